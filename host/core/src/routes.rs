//! Where calls go: from a component id to a unit, and from an HTTP request to a component id.
//!
//! Derived as a whole from the state of the apps and never changed in place; readers see one table or the next.
//! The table is generic in what it leads to, so that a host can put its own handles in the place of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{AppName, Builtin, ComponentId, HttpRoute, Revision, Weight, Workload};

use crate::app::App;
use crate::core::Core;
use crate::unit::{SpecKey, Unit, UnitKey};

/// All routes of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTable<U> {
    targets: BTreeMap<ComponentId, Target<U>>,
    listeners: BTreeMap<SocketAddr, Listener>,
}

impl<U> Default for RouteTable<U> {
    fn default() -> Self {
        Self { targets: BTreeMap::new(), listeners: BTreeMap::new() }
    }
}

/// The units of one component that calls may reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Target<U> {
    stable: Option<Labelled<U>>,
    candidate: Option<(Labelled<U>, Weight)>,
    /// Newest revision first.
    draining: Vec<Labelled<U>>,
}

/// A unit with the app revision whose calls prefer it.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled<U> {
    /// Its app.
    pub app: AppName,
    /// Its revision of the app.
    pub revision: Revision,
    /// What calls are made on.
    pub unit: U,
}

/// One address on which HTTP requests arrive.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listener {
    /// Whether new connections are taken. False while only what arrived before is finished.
    pub open: bool,
    vias: Vec<Arc<Via>>,
}

/// One way from a listener to a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Via {
    /// The app of the route.
    pub app: AppName,
    /// The revision that the route belongs to. A request stays in it.
    pub revision: Revision,
    /// The HTTP server that has the route.
    pub source: ComponentId,
    /// The route as its spec has it.
    pub route: HttpRoute,
    segments: Vec<Box<str>>,
    takes: Share,
}

/// How far a call may go to stay in the revision of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No further than this host: it is answered here, by another revision if there is no unit of its own.
    Host,
    /// To any host of the lattice: better there than here by another revision of the same app.
    Lattice,
}

/// Which revision a request is to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// By weight: a number from 0 to 99, all of which come equally often.
    Dice(u8),
    /// This one, whatever its weight: how a revision without traffic is looked at.
    Revision(Revision),
}

/// The part of new requests that a route takes while its revision shares them with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// The dice below this number.
    Below(u8),
    /// The dice from this number on.
    From(u8),
    /// None but those that nothing else takes: it is being left.
    Rest,
}

impl Share {
    const fn takes(self, dice: u8) -> bool {
        match self {
            Self::Below(end) => dice < end,
            Self::From(start) => dice >= start,
            Self::Rest => false,
        }
    }

    /// Whether requests may come here that the revision which the dice chose has no route for.
    const fn helps_out(self) -> bool {
        match self {
            Self::Below(end) => end > 0,
            Self::From(_) | Self::Rest => true,
        }
    }
}

impl<U> Target<U> {
    /// Whether new calls are taken, from anyone.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        let candidate = self.candidate.as_ref().is_some_and(|(_, weight)| *weight != Weight::NONE);
        self.stable.is_some() || candidate
    }

    /// The units that take new calls, and the share of each: together all of them.
    pub fn shares(&self) -> impl Iterator<Item = (&Labelled<U>, Weight)> {
        let candidate = self.candidate.as_ref().filter(|(_, weight)| *weight != Weight::NONE);
        let moved = candidate.map_or(0, |(_, weight)| weight.percent());
        let rest = Weight::try_from(100_u8.saturating_sub(moved)).unwrap_or(Weight::NONE);
        let stable = self.stable.as_ref().filter(|_| rest != Weight::NONE).map(|unit| (unit, rest));
        let candidate =
            candidate.map(|(unit, weight)| (unit, if stable.is_some() { *weight } else { Weight::ALL }));
        stable.into_iter().chain(candidate)
    }

    /// Every unit that calls may reach.
    pub fn units(&self) -> impl Iterator<Item = &Labelled<U>> {
        self.stable.iter().chain(self.candidate.as_ref().map(|(unit, _)| unit)).chain(&self.draining)
    }

    /// The unit for one call: that of the caller's own app revision where there is one, else by weight. What is
    /// draining is taken when there is nothing else, for calls that were on their way when it was replaced.
    fn pick(&self, caller: Option<(&AppName, Revision)>, reach: Reach, dice: u8) -> Option<&U> {
        let own = caller.and_then(|(app, revision)| {
            self.units().find(|labelled| labelled.revision == revision && labelled.app == *app)
        });
        let same_app = |app: &AppName| self.units().any(|labelled| labelled.app == *app);
        if own.is_none() && reach == Reach::Lattice && caller.is_some_and(|(app, _)| same_app(app)) {
            return None;
        }
        let by_weight = || match &self.candidate {
            Some((candidate, weight)) if dice < weight.percent() => Some(candidate),
            Some(_) | None => self.stable.as_ref(),
        };
        own.or_else(by_weight).or_else(|| self.draining.first()).map(|labelled| &labelled.unit)
    }
}

impl<U> RouteTable<U> {
    /// The unit that answers a call of `target`.
    ///
    /// `caller` is the app revision in whose name the call is made, if it is made by a component; `dice` is a
    /// random number from 0 to 99 that chooses between stable spec and candidate. `None`: nothing here answers,
    /// or the call is to be made on another host first.
    #[must_use]
    pub fn pick(
        &self,
        target: &ComponentId,
        caller: Option<(&AppName, Revision)>,
        reach: Reach,
        dice: u8,
    ) -> Option<&U> {
        self.targets.get(target)?.pick(caller, reach, dice)
    }

    /// Components of which this host has units that calls may reach.
    pub fn targets(&self) -> impl Iterator<Item = (&ComponentId, &Target<U>)> {
        self.targets.iter()
    }

    /// Addresses on which requests arrive.
    pub fn listeners(&self) -> impl Iterator<Item = (SocketAddr, &Listener)> {
        self.listeners.iter().map(|(address, listener)| (*address, listener))
    }

    /// The route of a request that arrived on `address`.
    ///
    /// A route that names the request's host goes before one for any host; then the longest path wins, counted
    /// in whole segments. `host` is lower-case without port, `path` is as the request line has it. A revision that
    /// shares its app's traffic takes its part of the requests; where it has no route for one, the other may.
    #[must_use]
    pub fn find(
        &self,
        address: SocketAddr,
        host: Option<&str>,
        path: &str,
        choice: Choice,
    ) -> Option<&Arc<Via>> {
        let vias = &self.listeners.get(&address)?.vias;
        let best = |chosen: &dyn Fn(&Via) -> bool| {
            let fits = |via: &&Arc<Via>| {
                chosen(via) && (via.route.host.is_none() || via.route.host.as_deref() == host)
            };
            let fitting = vias.iter().filter(fits).filter(|via| is_below(path, &via.segments));
            // The first of equals wins: routes that serve stand before those that are only finishing.
            fitting.reduce(|best, via| if via.rank() > best.rank() { via } else { best })
        };
        match choice {
            Choice::Dice(dice) => {
                best(&|via| via.takes.takes(dice)).or_else(|| best(&|via| via.takes.helps_out()))
            }
            Choice::Revision(revision) => best(&|via| via.revision == revision),
        }
    }

    /// The same routes to something else: `handle` gives for each unit what calls are made on. Units without a
    /// handle are left out.
    pub fn map<V>(self, mut handle: impl FnMut(&U) -> Option<V>) -> RouteTable<V> {
        let mut labelled = |from: Labelled<U>| {
            let Labelled { app, revision, unit } = from;
            handle(&unit).map(|unit| Labelled { app, revision, unit })
        };
        let targets = self.targets.into_iter().map(|(id, target)| {
            let stable = target.stable.and_then(&mut labelled);
            let candidate = target.candidate.and_then(|(unit, weight)| Some((labelled(unit)?, weight)));
            let draining = target.draining.into_iter().filter_map(&mut labelled).collect();
            (id, Target { stable, candidate, draining })
        });
        RouteTable { targets: targets.collect(), listeners: self.listeners }
    }
}

impl Listener {
    /// The routes of this address, serving ones first.
    #[must_use]
    pub fn vias(&self) -> &[Arc<Via>] {
        &self.vias
    }
}

impl Via {
    fn new(unit: &Labelled<UnitKey>, route: &HttpRoute, takes: Share) -> Self {
        let path = route.path.as_deref().unwrap_or_default();
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(Into::into).collect();
        let Labelled { app, revision, unit: UnitKey { id: source, .. } } = unit;
        let (app, revision, source) = (app.clone(), *revision, source.clone());
        Self { app, revision, source, route: route.clone(), segments, takes }
    }

    fn rank(&self) -> (bool, usize) {
        (self.route.host.is_some(), self.segments.len())
    }
}

/// Whether `path` begins with all of `segments`. Nothing is decoded or folded: a component sees the path as it
/// was sent, and so does the choice of the component.
fn is_below(path: &str, segments: &[Box<str>]) -> bool {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
    segments.iter().all(|segment| parts.next() == Some(segment))
}

impl Core {
    /// Where calls go now.
    #[must_use]
    pub fn routes(&self) -> RouteTable<UnitKey> {
        let mut table = RouteTable::default();
        for app in self.apps.values() {
            add_serving(&mut table, app, self.http_default);
        }
        let open = table.listeners.iter().filter(|(_, listener)| listener.open).map(|(address, _)| *address);
        let taken: BTreeSet<SocketAddr> = open.collect();
        for app in self.apps.values() {
            add_draining(&mut table, app, &taken, self.http_default);
        }
        table.targets.retain(|_, target| target.units().next().is_some());
        table
    }
}

fn add_serving(table: &mut RouteTable<UnitKey>, app: &App, default: Option<SocketAddr>) {
    for (id, slot) in &app.serving {
        let unit = |spec: &SpecKey| {
            let place = (id.clone(), spec.clone());
            app.units.get(&place).map(|unit| (unit, label(app, unit, app.key(&place))))
        };
        let (stable, candidate) = app.taking(id, slot);
        let stable = stable.and_then(unit);
        let candidate = candidate.and_then(|(spec, weight)| Some((unit(spec)?, weight)));
        let shifted = candidate.as_ref().map_or(0, |(_, weight)| weight.percent());
        // A stable spec whose traffic has moved keeps its routes as one that is draining does.
        if let Some((unit, labelled)) = stable.as_ref().filter(|_| shifted < 100) {
            add_listeners(table, app, unit, labelled, Share::From(shifted), default);
        }
        if let Some(((unit, labelled), _)) = &candidate {
            add_listeners(table, app, unit, labelled, Share::Below(shifted), default);
        }
        let target = table.targets.entry(id.clone()).or_insert_with(Target::empty);
        target.stable = stable.map(|(_, labelled)| labelled);
        target.candidate = candidate.map(|((_, labelled), weight)| (labelled, weight));
    }
}

fn add_draining(
    table: &mut RouteTable<UnitKey>,
    app: &App,
    taken: &BTreeSet<SocketAddr>,
    default: Option<SocketAddr>,
) {
    for (id, slot) in &app.serving {
        let (stable, candidate) = app.taking(id, slot);
        let moved = candidate.is_some_and(|(_, weight)| weight == Weight::ALL);
        let place = stable.filter(|_| moved).map(|spec| (id.clone(), spec.clone()));
        if let Some((place, unit)) = place.and_then(|place| app.units.get_key_value(&place)) {
            // Whoever still comes to an address that has moved is answered until the rollout settles.
            add_closing_listeners(table, unit, &label(app, unit, app.key(place)), taken, true, default);
        }
    }
    let reachable = |unit: &Unit| unit.leaving.as_ref().is_some_and(|leaving| !leaving.closed);
    for (place, unit) in app.units.iter().filter(|(_, unit)| reachable(unit)) {
        let labelled = label(app, unit, app.key(place));
        add_closing_listeners(table, unit, &labelled, taken, false, default);
        let target = table.targets.entry(place.0.clone()).or_insert_with(Target::empty);
        target.draining.push(labelled);
        target.draining.sort_by_key(|labelled| std::cmp::Reverse(labelled.revision));
    }
}

impl<U> Target<U> {
    fn empty() -> Self {
        Self { stable: None, candidate: None, draining: Vec::new() }
    }
}

fn label(app: &App, unit: &Unit, key: UnitKey) -> Labelled<UnitKey> {
    Labelled { app: app.name.clone(), revision: unit.spec.revision, unit: key }
}

fn routes_of(unit: &Unit, default: Option<SocketAddr>) -> impl Iterator<Item = (SocketAddr, &HttpRoute)> {
    let serves_http = match &unit.spec.workload {
        Workload::Builtin { builtin: Builtin::HttpServer, .. } => true,
        Workload::Builtin { .. } | Workload::Component { .. } | Workload::Provider { .. } => false,
    };
    let routes = unit.spec.routes.iter().filter(move |_| serves_http);
    routes.filter_map(move |route| Some((route.address.or(default)?, route)))
}

/// A server does not open an address while a component behind it is still being made ready on this host: on a
/// shared address another host answers meanwhile.
fn add_listeners(
    table: &mut RouteTable<UnitKey>,
    app: &App,
    unit: &Unit,
    labelled: &Labelled<UnitKey>,
    share: Share,
    default: Option<SocketAddr>,
) {
    let answers = share.helps_out() && unit.spec.routes.iter().all(|route| !app.is_on_its_way(&route.target));
    for (address, route) in routes_of(unit, default) {
        let listener = table.listeners.entry(address).or_default();
        listener.open |= answers;
        listener.vias.push(Arc::new(Via::new(labelled, route, share)));
    }
}

/// Routes that were replaced stay for requests that arrived before, on addresses that nobody else has taken.
fn add_closing_listeners(
    table: &mut RouteTable<UnitKey>,
    unit: &Unit,
    labelled: &Labelled<UnitKey>,
    taken: &BTreeSet<SocketAddr>,
    open: bool,
    default: Option<SocketAddr>,
) {
    for (address, route) in routes_of(unit, default) {
        let listener = table.listeners.entry(address).or_default();
        if !taken.contains(&address) {
            listener.open |= open;
            listener.vias.push(Arc::new(Via::new(labelled, route, Share::Rest)));
        }
    }
}
