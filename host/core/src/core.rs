//! The one door of the host's decisions: commands and news in, transitions out.
//!
//! A refused command leaves no trace. An accepted one is remembered with its fence, also after its app is gone,
//! so that a late older command cannot bring it back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{
    ApiError, AppName, ApplyReply, ApplyRequest, ComponentSpec, Epoch, Order, Probe, Timestamp,
};

use crate::app::App;
use crate::journal::JournalEntry;
use crate::spec::{self, Claims};
use crate::transition::{Changes, Transition};
use crate::unit::{Heard, News, Ticket, UnitKey};

/// How long the fence of an app that is gone is remembered. Far longer than a command can be on its way, and
/// short enough that a host does not gather the names of all apps there ever were.
pub const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// Everything that a host has decided. Cloning is cheap enough to try a command on a copy first: apps are shared until
/// they change.
#[derive(Debug, Clone)]
pub struct Core {
    pub(crate) apps: BTreeMap<AppName, Arc<App>>,
    /// Apps that change by time alone, by when: few of them, mostly.
    due: BTreeSet<(Timestamp, AppName)>,
    /// Where routes that name no address listen; none on a host that takes no such routes.
    pub(crate) http_default: Option<SocketAddr>,
    epoch: Epoch,
    sequence: u64,
    tickets: Ticket,
    seed: u64,
}

impl Core {
    /// A host that was told nothing yet. Routes without an address belong to `http_default`.
    #[must_use]
    pub fn new(http_default: Option<SocketAddr>) -> Self {
        Self {
            apps: BTreeMap::new(),
            due: BTreeSet::new(),
            http_default,
            epoch: Epoch(0),
            sequence: 0,
            tickets: Ticket(0),
            seed: 0,
        }
    }

    /// Another seed for the spread of tries in time. Give each host its own, so that what has failed on all of them is
    /// not tried on all of them in the same moment.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// A host that goes on from its journal. Nothing runs yet, and nothing is confirmed by a manager.
    #[must_use]
    pub fn restore(
        http_default: Option<SocketAddr>,
        entries: Vec<JournalEntry>,
        now: Timestamp,
    ) -> (Self, Vec<Transition>) {
        let mut core = Self::new(http_default);
        let mut changes = Changes::default();
        for entry in entries {
            core.epoch = core.epoch.max(entry.epoch).max(entry.request.fence.epoch);
            let serving = entry.serving.as_ref().unwrap_or(&entry.request.bundles);
            let (serving, specs) = spec::sort(serving);
            let mut app = App::restored(&entry.request, serving, specs, now);
            app.empty_since = entry.empty_since;
            app.advance(&mut core.tickets, &mut changes, now);
            schedule(&mut core.due, &mut app);
            core.apps.insert(entry.request.app.clone(), Arc::new(app));
        }
        changes.routes();
        let steps = core.settle(changes);
        (core, steps)
    }

    /// Obeys a command, or says why not. On refusal nothing has changed.
    ///
    /// # Errors
    /// `BadRequest` for a malformed command, `Stale` for an older epoch, generation or step, `FenceReused` for
    /// other content under a fence that is held, `IdTaken` and `RouteTaken` for what another app holds here.
    pub fn apply(
        &mut self,
        request: &ApplyRequest,
        now: Timestamp,
    ) -> Result<(ApplyReply, Vec<Transition>), ApiError> {
        spec::check(request)?;
        spec::check_epoch(request, self.epoch)?;
        let held = self.apps.get(&request.app);
        let order = held.map_or(Ok(Order::Newer), |app| spec::order(request, &app.request))?;
        let claims = Claims::of(request);
        for other in self.apps.values().filter(|other| other.name != request.app) {
            claims.check(&other.request, self.http_default)?;
        }
        let unchanged = order == Order::Same;
        let raised = self.epoch < request.fence.epoch;
        self.epoch = self.epoch.max(request.fence.epoch);
        let app = self.apps.entry(request.app.clone()).or_insert_with(|| Arc::new(App::new(request)));
        let app = Arc::make_mut(app);
        let mut changes = Changes::default();
        if unchanged {
            let renewed = app.request.fence != request.fence;
            if renewed {
                app.request = Arc::new(request.clone());
                changes.step(Transition::Persist(request.app.clone()));
            }
            if renewed || raised || !app.confirmed {
                changes.shown();
            }
            app.confirmed = true;
        } else {
            changes.step(Transition::Persist(request.app.clone()));
            app.accept(request, now);
            app.advance(&mut self.tickets, &mut changes, now);
            schedule(&mut self.due, app);
        }
        let reply = ApplyReply { fence: request.fence, unchanged };
        Ok((reply, self.settle(changes)))
    }

    /// Takes news of a unit in. News of an episode that is over change nothing.
    pub fn observe(&mut self, unit: &UnitKey, ticket: Ticket, news: News, now: Timestamp) -> Vec<Transition> {
        let mut changes = Changes::default();
        let place = (unit.id.clone(), unit.spec.clone());
        if let Some(app) = self.apps.get_mut(&unit.app).filter(|app| app.expects(&place, ticket)) {
            let app = Arc::make_mut(app);
            let heard = Heard { unit, seed: self.seed, now };
            let on_its_way = news.is_of_a_preparation_that_goes_on();
            if app.hear(&place, ticket, news, &heard, &mut changes) {
                changes.shown();
                // What others of the app do does not hang on how far it has come.
                if !on_its_way {
                    app.advance(&mut self.tickets, &mut changes, now);
                    schedule(&mut self.due, app);
                }
            }
        }
        self.settle(changes)
    }

    /// Does what time alone has made due: drains that are over, what has failed to try again, fences to forget.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Transition> {
        let mut changes = Changes::default();
        let due: Vec<AppName> =
            self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, app)| app.clone()).collect();
        for name in due {
            let Some(app) = self.apps.get_mut(&name).map(Arc::make_mut) else { continue };
            app.advance(&mut self.tickets, &mut changes, now);
            schedule(&mut self.due, app);
            if app.empty_since.is_some_and(|since| since.plus(FORGET_AFTER) <= now) {
                self.due.retain(|(_, due)| *due != name);
                self.apps.remove(&name);
                changes.step(Transition::Persist(name));
            }
        }
        self.settle(changes)
    }

    /// The next time at which [`Core::tick`] has something to do.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How a unit is to be asked whether it is well.
    #[must_use]
    pub fn probe(&self, unit: &UnitKey) -> Option<Probe> {
        let held = self.apps.get(&unit.app)?.units.get(&(unit.id.clone(), unit.spec.clone()))?;
        held.spec.probe.clone()
    }

    /// Where routes that name no address listen.
    #[must_use]
    pub const fn http_default(&self) -> Option<SocketAddr> {
        self.http_default
    }

    /// Highest epoch that was obeyed.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Grows with every change that the inventory shows.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The newest command for an app that was obeyed; none when it is forgotten.
    #[must_use]
    pub fn request(&self, app: &AppName) -> Option<&ApplyRequest> {
        self.apps.get(app).map(|held| &*held.request)
    }

    /// Every app of which something is known here, as it is now, in order of their names.
    pub fn apps(&self) -> impl Iterator<Item = AppState> {
        self.apps.values().map(|app| AppState(Arc::clone(app)))
    }

    /// One app, as it is now.
    #[must_use]
    pub fn app(&self, app: &AppName) -> Option<AppState> {
        self.apps.get(app).map(|app| AppState(Arc::clone(app)))
    }

    /// What is to be kept on disk of an app; none when it is forgotten.
    #[must_use]
    pub fn journal(&self, app: &AppName) -> Option<JournalEntry> {
        self.apps.get(app).map(|held| JournalEntry::of(held, self.epoch))
    }

    fn settle(&mut self, changes: Changes) -> Vec<Transition> {
        if !changes.is_empty() {
            self.sequence = self.sequence.saturating_add(1);
        }
        changes.into_steps()
    }
}

/// Notes when time alone changes an app next.
fn schedule(due: &mut BTreeSet<(Timestamp, AppName)>, app: &mut App) {
    let next = app.wake_at(FORGET_AFTER);
    if next == app.due {
        return;
    }
    if let Some(before) = app.due.take() {
        due.remove(&(before, app.name.clone()));
    }
    if let Some(at) = next {
        due.insert((at, app.name.clone()));
    }
    app.due = next;
}

/// One app as it was at a moment. What is derived of it can be kept as long as it is the same.
#[derive(Debug, Clone)]
pub struct AppState(pub(crate) Arc<App>);

impl AppState {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &AppName {
        &self.0.name
    }

    /// Whether the other one is the same app at the same moment. Of one that was touched and has not changed the answer
    /// may be no.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Every spec that is here, from its acceptance to the end of its drain.
    pub fn specs(&self) -> impl Iterator<Item = (UnitKey, Arc<ComponentSpec>)> {
        self.0.units.iter().map(|(place, unit)| (self.0.key(place), Arc::clone(&unit.spec)))
    }
}
