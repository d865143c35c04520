//! One app on this host: what is wanted of it, what serves, and its units.
//!
//! `wanted` is the newest command. `serving` is what calls go to; it becomes `wanted` in one step, when
//! everything that is to serve runs. All moves between the two are made here, in [`App::advance`].

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{
    AppName, ApplyRequest, ComponentId, DrainPolicy, Phase, Reason, Revision, Timestamp, Weight,
};

use crate::planted::planted;
use crate::spec::{self, Slot, Slots, Specs};
use crate::transition::{Changes, Transition};
use crate::unit::{Heard, Leaving, News, SpecKey, Ticket, Unit, UnitKey};

type Place = (ComponentId, SpecKey);

#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: AppName,
    /// The newest command that was obeyed, with the newest epoch that repeated it.
    pub(crate) request: Arc<ApplyRequest>,
    pub(crate) confirmed: bool,
    pub(crate) wanted: Slots,
    pub(crate) serving: Slots,
    pub(crate) units: BTreeMap<Place, Unit>,
    /// Since when nothing of the app is here.
    pub(crate) empty_since: Option<Timestamp>,
    /// When the core has noted that it changes by time alone.
    pub(crate) due: Option<Timestamp>,
}

impl App {
    /// An app of which nothing is here yet.
    pub(crate) fn new(request: &ApplyRequest) -> Self {
        Self {
            name: request.app.clone(),
            request: Arc::new(request.clone()),
            confirmed: true,
            wanted: Slots::new(),
            serving: Slots::new(),
            units: BTreeMap::new(),
            empty_since: None,
            due: None,
        }
    }

    /// What a journal says: wanted and serving as they were, all units yet to be prepared.
    pub(crate) fn restored(request: &ApplyRequest, serving: Slots, specs: Specs, now: Timestamp) -> Self {
        let mut app = Self { confirmed: false, serving, ..Self::new(request) };
        app.add_units(specs, now);
        let (wanted, specs) = spec::sort(&request.bundles);
        app.wanted = wanted;
        app.add_units(specs, now);
        app
    }

    pub(crate) fn key(&self, (id, spec): &Place) -> UnitKey {
        UnitKey { app: self.name.clone(), id: id.clone(), spec: spec.clone() }
    }

    /// Takes a newer command as what is wanted. [`App::advance`] does the rest.
    pub(crate) fn accept(&mut self, request: &ApplyRequest, now: Timestamp) {
        self.request = Arc::new(request.clone());
        self.confirmed = true;
        let (wanted, specs) = spec::sort(&request.bundles);
        self.wanted = wanted;
        self.add_units(specs, now);
        for unit in self.units.values_mut().filter(|unit| unit.has_failed()) {
            // A newer decision that still names a failed spec asks for another try.
            unit.try_afresh(now);
        }
    }

    fn add_units(&mut self, specs: Specs, now: Timestamp) {
        for (place, ask) in specs {
            match self.units.entry(place) {
                Entry::Occupied(mut held) => held.get_mut().ask_again(ask),
                Entry::Vacant(free) => {
                    free.insert(Unit::new(ask, now));
                }
            }
        }
    }

    /// Whether news with this ticket are not too late.
    pub(crate) fn expects(&self, place: &Place, ticket: Ticket) -> bool {
        self.units.get(place).is_some_and(|unit| unit.ticket == ticket)
    }

    /// Takes news of a unit in; false when they are too late or say nothing new.
    /// Notes the step that it takes when it was running and is not any more.
    pub(crate) fn hear(
        &mut self,
        place: &Place,
        ticket: Ticket,
        news: News,
        heard: &Heard<'_>,
        changes: &mut Changes,
    ) -> bool {
        let Some(unit) = self.units.get_mut(place).filter(|unit| unit.ticket == ticket) else { return false };
        let ran = unit.is_running();
        let heard_something = unit.hear(news, heard);
        if ran && !unit.is_running() {
            changes.step(Transition::Release { unit: heard.unit.clone() });
        }
        if ran != unit.is_running() {
            changes.routes();
        }
        heard_something
    }

    /// Brings units and serving slots as far as they can go now, and notes every step that this takes.
    pub(crate) fn advance(&mut self, tickets: &mut Ticket, changes: &mut Changes, now: Timestamp) {
        self.reopen(changes, now);
        self.flip(changes);
        self.retry(now);
        self.prepare(tickets, changes);
        self.retire(tickets, changes, now);
        self.finish(tickets, changes, now);
        match (self.is_empty(), self.empty_since) {
            (true, None) => {
                self.empty_since = Some(now);
                changes.step(Transition::Persist(self.name.clone()));
            }
            (false, Some(_)) => self.empty_since = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Whether nothing of the app is here or wanted here.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.units.is_empty()
    }

    /// The next time at which something changes by time alone.
    pub(crate) fn wake_at(&self, forget_after: Duration) -> Option<Timestamp> {
        let deadlines =
            self.units.values().filter_map(|unit| unit.leaving.as_ref()).map(|leaving| leaving.deadline);
        let retries = self.units.values().filter_map(|unit| unit.retry_at);
        deadlines.chain(retries).chain(self.empty_since.map(|since| since.plus(forget_after))).min()
    }

    /// The share of new calls that a unit takes.
    pub(crate) fn share(&self, id: &ComponentId, spec: &SpecKey) -> Weight {
        let Some(slot) = self.serving.get(id) else { return Weight::NONE };
        let (stable, candidate) = self.taking(id, slot);
        let shifted = candidate.map_or(Weight::NONE, |(_, weight)| weight);
        if candidate.is_some_and(|(held, _)| held == spec) {
            shifted
        } else if stable == Some(spec) {
            Weight::try_from(100_u8.saturating_sub(shifted.percent())).unwrap_or(Weight::ALL)
        } else {
            Weight::NONE
        }
    }

    /// Who of a serving slot takes calls, and the share of the candidate.
    ///
    /// An app changes as one unit: while one of its candidates does not run, none takes calls from a stable spec.
    pub(crate) fn taking<'a>(
        &'a self,
        id: &ComponentId,
        slot: &'a Slot,
    ) -> (Option<&'a SpecKey>, Option<(&'a SpecKey, Weight)>) {
        let stable = slot.stable.as_ref().filter(|spec| self.runs(id, spec));
        let candidate = slot.candidate.as_ref().filter(|(spec, _)| self.runs(id, spec));
        let candidate = candidate.map(|(spec, weight)| match (stable.is_some(), *weight) {
            (_, Weight::NONE) => (spec, Weight::NONE),
            (false, _) => (spec, Weight::ALL),
            (true, weight) if self.candidates_run() => (spec, weight),
            (true, _) => (spec, Weight::NONE),
        });
        (stable, candidate)
    }

    fn candidates_run(&self) -> bool {
        if planted!("share-alone") {
            return true;
        }
        self.all_run(&self.serving)
    }

    /// Whether every candidate of these slots runs.
    fn all_run(&self, slots: &Slots) -> bool {
        slots.iter().all(|(id, slot)| slot.candidate.as_ref().is_none_or(|(spec, _)| self.runs(id, spec)))
    }

    fn runs(&self, id: &ComponentId, spec: &SpecKey) -> bool {
        if planted!("route-unready") {
            return self.units.contains_key(&(id.clone(), spec.clone()));
        }
        self.units.get(&(id.clone(), spec.clone())).is_some_and(Unit::is_running)
    }

    fn holds(&self, slots: &Slots, place: &Place) -> bool {
        slots.get(&place.0).is_some_and(|slot| slot.holds(&place.1))
    }

    /// Units that were leaving and are wanted again take calls again.
    fn reopen(&mut self, changes: &mut Changes, now: Timestamp) {
        let back: Vec<Place> = self
            .units
            .iter()
            .filter(|(place, unit)| unit.leaving.is_some() && self.holds(&self.wanted, place))
            .map(|(place, _)| place.clone())
            .collect();
        for place in back {
            let key = self.key(&place);
            let Some(unit) = self.units.get_mut(&place) else { continue };
            unit.leaving = None;
            unit.move_to(Phase::Running, Reason::AsAsked, String::new(), now);
            changes.step(Transition::Reopen { unit: key });
            changes.routes();
        }
    }

    /// Makes `serving` what is wanted, when all that is to serve runs. Until then only components of which
    /// nothing serves get what runs of them: that takes from nobody.
    fn flip(&mut self, changes: &mut Changes) {
        let before = self.serving.clone();
        if self.may_flip() {
            self.serving = self.wanted.clone();
        } else {
            for (id, slot) in &self.wanted {
                let held = before.get(id);
                let (takes, would) =
                    (held.is_some_and(|held| self.takes(id, held)), self.would_take(id, slot));
                // Of the specs that are held already, another command has changed the shares at most.
                let reshared = would && held.is_some_and(|held| held.has_specs_of(slot));
                if (!takes && would) || reshared || held == Some(slot) {
                    // The candidates of an app take calls from its stable specs together or not at all.
                    let alone = slot.stable.as_ref().is_some_and(|spec| self.runs(id, spec))
                        && !self.all_run(&self.wanted)
                        && !planted!("share-alone");
                    let candidate = slot.candidate.clone().filter(|_| !alone);
                    self.serving.insert(id.clone(), Slot { candidate, ..slot.clone() });
                }
            }
            self.let_go_of_idle_candidates();
        }
        if self.serving != before {
            changes.step(Transition::Persist(self.name.clone()));
            changes.routes();
        }
    }

    /// What serves may wait for long until it is relieved; a candidate beside it that has no calls and that nobody wants
    /// any more need not.
    fn let_go_of_idle_candidates(&mut self) {
        for (id, slot) in &mut self.serving {
            let wanted = self.wanted.get(id);
            let unwanted = |spec: &SpecKey| wanted.is_none_or(|wanted| !wanted.holds(spec));
            slot.candidate.take_if(|(spec, weight)| *weight == Weight::NONE && unwanted(spec));
        }
        self.serving.retain(|_, slot| slot.specs().next().is_some());
    }

    fn may_flip(&self) -> bool {
        if planted!("flip-early") {
            return true;
        }
        self.wanted.iter().all(|(id, slot)| match (&slot.stable, &slot.candidate) {
            // A stable spec that cannot run does not hold up the candidate that is to take all its calls.
            (Some(stable), Some((spec, Weight::ALL))) => self.runs(id, stable) || self.runs(id, spec),
            (Some(stable), _) => self.runs(id, stable),
            // With no stable spec wanted, what takes the calls now goes on until the candidate takes them.
            (None, Some((spec, weight))) => {
                (*weight != Weight::NONE && self.runs(id, spec))
                    || !self.serving.get(id).is_some_and(|held| self.goes_on(id, held))
            }
            (None, None) => true,
        })
    }

    /// Whether a serving slot is not to be given up for what is not ready: it takes calls, or did before the
    /// host's restart and is on its way back.
    fn goes_on(&self, id: &ComponentId, slot: &Slot) -> bool {
        let comes_back = |spec: &SpecKey| {
            self.units.get(&(id.clone(), spec.clone())).is_some_and(|unit| !unit.has_failed())
        };
        self.takes(id, slot) || (!self.confirmed && slot.specs().any(comes_back))
    }

    /// Whether a component is to serve here, does not yet, and has not failed.
    pub(crate) fn is_on_its_way(&self, id: &ComponentId) -> bool {
        let comes = |slot: &Slot| {
            slot.specs().any(|spec| {
                let unit = self.units.get(&(id.clone(), spec.clone()));
                unit.is_some_and(|unit| !unit.has_failed())
            })
        };
        let serves = self.serving.get(id).is_some_and(|slot| self.takes(id, slot));
        !serves && self.serving.get(id).or_else(|| self.wanted.get(id)).is_some_and(comes)
    }

    fn takes(&self, id: &ComponentId, slot: &Slot) -> bool {
        let (stable, candidate) = self.taking(id, slot);
        stable.is_some() || candidate.is_some_and(|(_, weight)| weight != Weight::NONE)
    }

    fn would_take(&self, id: &ComponentId, slot: &Slot) -> bool {
        let candidate = slot.candidate.as_ref().filter(|(_, weight)| *weight != Weight::NONE);
        let takes = slot.stable.as_ref().into_iter().chain(candidate.map(|(spec, _)| spec));
        takes.into_iter().any(|spec| self.runs(id, spec))
    }

    /// Failures whose time has come are tried again.
    fn retry(&mut self, now: Timestamp) {
        for unit in self.units.values_mut().filter(|unit| unit.retry_at.is_some_and(|at| at <= now)) {
            unit.try_again(now);
        }
    }

    fn prepare(&mut self, tickets: &mut Ticket, changes: &mut Changes) {
        let due: Vec<Place> = self
            .units
            .iter()
            .filter(|(place, unit)| unit.is_untouched() && self.is_held(place))
            .map(|(place, _)| place.clone())
            .collect();
        for place in due {
            let key = self.key(&place);
            let Some(unit) = self.units.get_mut(&place) else { continue };
            unit.ticket = tickets.take();
            changes.step(Transition::Prepare {
                unit: key,
                ticket: unit.ticket,
                component: unit.component.clone(),
                spec: Arc::clone(&unit.spec),
                terms: unit.terms,
            });
        }
    }

    fn is_held(&self, place: &Place) -> bool {
        self.holds(&self.wanted, place) || self.holds(&self.serving, place)
    }

    /// Units that nobody wants and that do not serve: running ones drain, others go at once.
    fn retire(&mut self, tickets: &mut Ticket, changes: &mut Changes, now: Timestamp) {
        let unheld: Vec<Place> = self
            .units
            .iter()
            .filter(|(place, unit)| unit.leaving.is_none() && !self.is_held(place))
            .map(|(place, _)| place.clone())
            .collect();
        for place in unheld {
            let key = self.key(&place);
            let reason = if self.wanted.contains_key(&place.0) { Reason::Replaced } else { Reason::Removed };
            let drain = self.drain_of(&place.0);
            let Some(unit) = self.units.get_mut(&place) else { continue };
            if !unit.is_running() {
                let known = !unit.is_untouched();
                self.units.remove(&place);
                changes.shown();
                if known {
                    changes.step(Transition::Cancel { unit: key });
                }
                continue;
            }
            let drain = drain.unwrap_or(unit.drain);
            let deadline = now.plus(Duration::from_millis(drain.deadline_ms));
            unit.leaving = Some(Leaving { deadline, idle: false, closed: false });
            unit.ticket = tickets.take();
            unit.move_to(Phase::Draining, reason, String::new(), now);
            changes.step(Transition::Drain { unit: key, ticket: unit.ticket, deadline });
            changes.routes();
        }
    }

    /// How the newest command lets specs of a component go.
    fn drain_of(&self, id: &ComponentId) -> Option<DrainPolicy> {
        let spec = self.wanted.get(id)?.specs().next()?;
        self.units.get(&(id.clone(), spec.clone())).map(|unit| unit.drain)
    }

    /// Closes the retired units of a revision when none of them has a call in flight, and stops what is closed
    /// and idle, or overdue.
    ///
    /// Whether a group is idle can be told from flags that were raised one after another: a call within the group
    /// keeps its caller busy until it has ended, so the last one to become idle was waiting for nobody.
    fn finish(&mut self, tickets: &mut Ticket, changes: &mut Changes, now: Timestamp) {
        let busy: BTreeSet<Revision> = self
            .units
            .values()
            .filter(|unit| unit.leaving.as_ref().is_some_and(|leaving| !leaving.idle && !leaving.closed))
            .filter(|_| !planted!("stop-busy"))
            .map(|unit| unit.spec.revision)
            .collect();
        let leaving: Vec<Place> = self
            .units
            .iter()
            .filter(|(_, unit)| unit.leaving.is_some())
            .map(|(place, _)| place.clone())
            .collect();
        for place in leaving {
            let key = self.key(&place);
            let Some(unit) = self.units.get_mut(&place) else { continue };
            let Some(leaving) = unit.leaving.as_mut() else { continue };
            let overdue = leaving.deadline <= now;
            let idle = leaving.idle || planted!("stop-busy");
            if overdue || (leaving.closed && idle) {
                changes.step(Transition::Stop { unit: key, overdue: overdue && !leaving.idle });
                changes.routes();
                self.units.remove(&place);
            } else if !leaving.closed && !busy.contains(&unit.spec.revision) {
                leaving.closed = true;
                leaving.idle = false;
                unit.ticket = tickets.take();
                changes.step(Transition::Close { unit: key, ticket: unit.ticket });
                changes.routes();
            }
        }
    }
}
