//! Where calls go: from a component id to a unit, and from an HTTP request to a component id.
//!
//! Each app's part is derived as a whole from its state, and the table from the parts; nothing is changed in place, and
//! readers see one table or the next. The table is generic in what it leads to, so that a host can put its own handles
//! in the place of keys.

mod part;

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{AppName, ComponentId, HttpRoute, ListenerInventory, Revision, Weight};

use crate::core::Core;
use crate::unit::UnitKey;

/// All routes of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTable<U> {
    targets: BTreeMap<ComponentId, Arc<Target<U>>>,
    listeners: BTreeMap<SocketAddr, Listener>,
}

/// What one app adds to the routes of its host.
#[derive(Debug, Clone, PartialEq)]
pub struct AppRoutes<U> {
    /// In order of ids. None is without units.
    targets: Vec<(ComponentId, Arc<Target<U>>)>,
    /// Ways that take new requests, each with its address and whether that is listened on for it.
    serving: Vec<(SocketAddr, bool, Arc<Via>)>,
    /// Ways for requests that arrived before, or still come to an address that nobody else has taken.
    closing: Vec<(SocketAddr, bool, Arc<Via>)>,
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
    /// Places of those that name a host, by that, and of those that do not.
    named: BTreeMap<Box<str>, Vec<usize>>,
    any: Vec<usize>,
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
        self.targets.iter().map(|(id, target)| (id, &**target))
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
        let listener = self.listeners.get(&address)?;
        let named = host.and_then(|host| listener.named.get(host));
        let best = |chosen: &dyn Fn(&Via) -> bool| {
            let longest = |places: &Vec<usize>| {
                let vias = places.iter().filter_map(|at| listener.vias.get(*at));
                let fitting = vias.filter(|via| chosen(via) && is_below(path, &via.segments));
                // The first of equals wins: routes that serve stand before those that are only finishing.
                fitting.reduce(|best, via| if via.segments.len() > best.segments.len() { via } else { best })
            };
            named.and_then(longest).or_else(|| longest(&listener.any))
        };
        match choice {
            Choice::Dice(dice) => {
                best(&|via| via.takes.takes(dice)).or_else(|| best(&|via| via.takes.helps_out()))
            }
            Choice::Revision(revision) => best(&|via| via.revision == revision),
        }
    }

    /// The table of all apps of a host, whose parts come in order of their names.
    #[must_use]
    pub fn of<'a>(parts: impl Iterator<Item = &'a AppRoutes<U>> + Clone) -> Self
    where
        U: Clone + 'a,
    {
        let mut listeners = BTreeMap::<SocketAddr, Listener>::new();
        for (address, answers, via) in parts.clone().flat_map(|part| &part.serving) {
            let listener = listeners.entry(*address).or_default();
            listener.open |= answers;
            listener.add(via);
        }
        let open = listeners.iter().filter(|(_, listener)| listener.open).map(|(address, _)| *address);
        let taken: BTreeSet<SocketAddr> = open.collect();
        // Routes that were replaced stay for requests that arrived before, on addresses that nobody else has taken.
        for (address, open, via) in parts.clone().flat_map(|part| &part.closing) {
            let listener = listeners.entry(*address).or_default();
            if !taken.contains(address) {
                listener.open |= open;
                listener.add(via);
            }
        }
        let mut targets = BTreeMap::new();
        for (id, target) in parts.flat_map(|part| &part.targets) {
            match targets.entry(id.clone()) {
                Entry::Vacant(free) => drop(free.insert(Arc::clone(target))),
                // An id that one app is leaving and another has taken.
                Entry::Occupied(mut held) => Arc::make_mut(held.get_mut()).join(target),
            }
        }
        Self { targets, listeners }
    }
}

impl<U> AppRoutes<U> {
    /// Components of the app of which this host has units that calls may reach.
    pub fn targets(&self) -> impl Iterator<Item = (&ComponentId, &Target<U>)> {
        self.targets.iter().map(|(id, target)| (id, &**target))
    }

    /// The same routes to something else: `handle` gives for each unit what calls are made on. Units without a
    /// handle are left out.
    #[must_use]
    pub fn map<V>(&self, mut handle: impl FnMut(&U) -> Option<V>) -> AppRoutes<V> {
        let mut labelled = |from: &Labelled<U>| {
            let unit = handle(&from.unit)?;
            Some(Labelled { app: from.app.clone(), revision: from.revision, unit })
        };
        let targets = self.targets.iter().map(|(id, target)| {
            let stable = target.stable.as_ref().and_then(&mut labelled);
            let candidate = target.candidate.as_ref();
            let candidate = candidate.and_then(|(unit, weight)| Some((labelled(unit)?, *weight)));
            let draining = target.draining.iter().filter_map(&mut labelled).collect();
            (id.clone(), Arc::new(Target { stable, candidate, draining }))
        });
        AppRoutes { targets: targets.collect(), serving: self.serving.clone(), closing: self.closing.clone() }
    }
}

impl Listener {
    /// The routes of this address, serving ones first.
    #[must_use]
    pub fn vias(&self) -> &[Arc<Via>] {
        &self.vias
    }

    fn add(&mut self, via: &Arc<Via>) {
        let place = self.vias.len();
        match &via.route.host {
            Some(host) => self.named.entry(host.as_str().into()).or_default().push(place),
            None => self.any.push(place),
        }
        self.vias.push(Arc::clone(via));
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
        let parts: Vec<_> = self.apps().map(|app| app.routes(self.http_default)).collect();
        RouteTable::of(parts.iter())
    }

    /// Addresses on which HTTP requests are taken.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerInventory> {
        self.routes().listening()
    }
}

impl<U> Target<U> {
    fn empty() -> Self {
        Self { stable: None, candidate: None, draining: Vec::new() }
    }

    /// Newest revision first.
    fn sort_draining(&mut self) {
        self.draining.sort_by_key(|labelled| std::cmp::Reverse(labelled.revision));
    }
}

impl<U: Clone> Target<U> {
    /// Adds what a later app has under the same id.
    fn join(&mut self, later: &Self) {
        if later.stable.is_some() || later.candidate.is_some() {
            self.stable.clone_from(&later.stable);
            self.candidate.clone_from(&later.candidate);
        }
        self.draining.extend(later.draining.iter().cloned());
        self.sort_draining();
    }
}
