//! Where calls go: from a component id to a unit, and from an HTTP request to a component id.
//!
//! Derived as a whole from the state of the apps and never changed in place; readers see one table or the next.
//! The table is generic in what it leads to, so that a host can put its own handles in the place of keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{AppName, Builtin, ComponentId, HttpRoute, Revision, Weight, Workload};

use crate::app::App;
use crate::core::Core;
use crate::unit::{Unit, UnitKey};

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
    vias: Vec<Via>,
}

/// One way from a listener to a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Via {
    /// The HTTP server that has the route.
    pub source: ComponentId,
    /// The route as its spec has it. Shared, so that a request can keep it without a copy.
    pub route: Arc<HttpRoute>,
    segments: Vec<Box<str>>,
}

impl<U> Target<U> {
    /// Whether new calls are taken, from anyone.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        let candidate = self.candidate.as_ref().is_some_and(|(_, weight)| *weight != Weight::NONE);
        self.stable.is_some() || candidate
    }

    /// Every unit that calls may reach.
    pub fn units(&self) -> impl Iterator<Item = &Labelled<U>> {
        self.stable.iter().chain(self.candidate.as_ref().map(|(unit, _)| unit)).chain(&self.draining)
    }

    /// The unit for one call: that of the caller's own app revision where there is one, else by weight. What is
    /// draining is taken when there is nothing else, for calls that were on their way when it was replaced.
    fn pick(&self, caller: Option<(&AppName, Revision)>, dice: u8) -> Option<&U> {
        let own = caller.and_then(|(app, revision)| {
            self.units().find(|labelled| labelled.revision == revision && labelled.app == *app)
        });
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
    /// random number from 0 to 99 that chooses between stable spec and candidate. `None`: nothing here answers.
    #[must_use]
    pub fn pick(&self, target: &ComponentId, caller: Option<(&AppName, Revision)>, dice: u8) -> Option<&U> {
        self.targets.get(target)?.pick(caller, dice)
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
    /// in whole segments. `host` is lower-case without port, `path` is as the request line has it.
    #[must_use]
    pub fn find(&self, address: SocketAddr, host: Option<&str>, path: &str) -> Option<&Via> {
        let fits = |via: &&Via| via.route.host.is_none() || via.route.host.as_deref() == host;
        let listener = self.listeners.get(&address)?;
        let fitting = listener.vias.iter().filter(fits).filter(|via| is_below(path, &via.segments));
        // The first of equals wins: routes that serve stand before those that are only finishing.
        fitting.reduce(|best, via| if via.weight() > best.weight() { via } else { best })
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
    pub fn vias(&self) -> &[Via] {
        &self.vias
    }
}

impl Via {
    fn new(source: &ComponentId, route: &HttpRoute) -> Self {
        let path = route.path.as_deref().unwrap_or_default();
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(Into::into).collect();
        Self { source: source.clone(), route: Arc::new(route.clone()), segments }
    }

    fn weight(&self) -> (bool, usize) {
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
        for app in self.apps.values() {
            add_draining(&mut table, app, self.http_default);
        }
        table.targets.retain(|_, target| target.units().next().is_some());
        table
    }
}

fn add_serving(table: &mut RouteTable<UnitKey>, app: &App, default: Option<SocketAddr>) {
    for (id, slot) in &app.serving {
        let unit = |content: &lath_control_api::Digest| {
            let place = (id.clone(), content.clone());
            app.units.get(&place).map(|unit| (unit, label(app, unit, app.key(&place))))
        };
        let (stable, candidate) = app.taking(id, slot);
        let stable = stable.and_then(unit);
        let candidate = candidate.and_then(|(content, weight)| Some((unit(content)?, weight)));
        // While calls are shared, so are the routes; where both claim the same, the stable spec's goes first.
        let shifted = candidate.as_ref().map_or(Weight::NONE, |(_, weight)| *weight);
        if let Some((unit, _)) = stable.as_ref().filter(|_| shifted != Weight::ALL) {
            add_listeners(table, app, id, unit, default);
        }
        if let Some(((unit, _), _)) = candidate.as_ref().filter(|_| shifted != Weight::NONE) {
            add_listeners(table, app, id, unit, default);
        }
        let target = table.targets.entry(id.clone()).or_insert_with(Target::empty);
        target.stable = stable.map(|(_, labelled)| labelled);
        target.candidate = candidate.map(|((_, labelled), weight)| (labelled, weight));
    }
}

fn add_draining(table: &mut RouteTable<UnitKey>, app: &App, default: Option<SocketAddr>) {
    let reachable = |unit: &Unit| unit.leaving.as_ref().is_some_and(|leaving| !leaving.closed);
    for (place, unit) in app.units.iter().filter(|(_, unit)| reachable(unit)) {
        add_closing_listeners(table, &place.0, unit, default);
        let target = table.targets.entry(place.0.clone()).or_insert_with(Target::empty);
        target.draining.push(label(app, unit, app.key(place)));
        target.draining.sort_by_key(|labelled| std::cmp::Reverse(labelled.revision));
    }
}

impl<U> Target<U> {
    fn empty() -> Self {
        Self { stable: None, candidate: None, draining: Vec::new() }
    }
}

fn label(app: &App, unit: &Unit, key: UnitKey) -> Labelled<UnitKey> {
    Labelled { app: app.name.clone(), revision: unit.revision, unit: key }
}

fn routes_of(unit: &Unit, default: Option<SocketAddr>) -> impl Iterator<Item = (SocketAddr, &HttpRoute)> {
    let serves_http = match &unit.spec.workload {
        Workload::Builtin { builtin: Builtin::HttpServer, .. } => true,
        Workload::Component { .. } => false,
    };
    let routes = unit.spec.routes.iter().filter(move |_| serves_http);
    routes.filter_map(move |route| Some((route.address.or(default)?, route)))
}

/// A server does not open an address while a component behind it is still being made ready on this host: on a
/// shared address another host answers meanwhile.
fn add_listeners(
    table: &mut RouteTable<UnitKey>,
    app: &App,
    source: &ComponentId,
    unit: &Unit,
    default: Option<SocketAddr>,
) {
    let answers = unit.spec.routes.iter().all(|route| !app.is_on_its_way(&route.target));
    for (address, route) in routes_of(unit, default) {
        let listener = table.listeners.entry(address).or_default();
        listener.open |= answers;
        listener.vias.push(Via::new(source, route));
    }
}

/// Routes that were replaced stay for requests that arrived before, on addresses that nobody else has taken.
fn add_closing_listeners(
    table: &mut RouteTable<UnitKey>,
    source: &ComponentId,
    unit: &Unit,
    default: Option<SocketAddr>,
) {
    for (address, route) in routes_of(unit, default) {
        let listener = table.listeners.entry(address).or_default();
        if !listener.open {
            listener.vias.push(Via::new(source, route));
        }
    }
}
