//! What is derived of each app, kept as long as the app is the same: its part of the routes, what it offers to the
//! lattice, and what readers see of it. A change costs what the app costs that has changed, not what the host holds.
//!
//! Nothing is decided here. What an app's units have become changes with a word to the core, and so with its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{AppName, ComponentId, ListenerInventory, Weight};
use lath_host_core::{AppRoutes, AppState, Core, Labelled, RouteTable, UnitKey};

use crate::engine::Prepared;
use crate::slots::Slots;
use crate::status::AppShown;
use crate::wrpc_serve::{AppOffers, Offer, Offers, Served};

/// What was derived last.
#[derive(Debug, Default)]
pub(super) struct Derived {
    parts: BTreeMap<AppName, (AppState, Part)>,
    shown: BTreeMap<AppName, (AppState, Arc<AppShown>)>,
    listeners: Vec<ListenerInventory>,
}

/// Where calls of one app go.
#[derive(Debug)]
struct Part {
    routes: AppRoutes<Arc<Prepared>>,
    shares: Shares,
    offers: Arc<AppOffers>,
}

/// The share of each unit of what takes calls; of providers, whose processes are chosen by it.
type Shares = BTreeMap<ComponentId, BTreeMap<UnitKey, Weight>>;

/// Where all calls go.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) table: RouteTable<Arc<Prepared>>,
    pub(super) shares: Shares,
    /// What is served to the lattice by them.
    pub(super) offers: Offers,
}

impl Derived {
    /// The routes of all apps.
    pub(super) fn routes(&mut self, core: &Core, slots: &Slots) -> Routes {
        let default = core.http_default();
        refresh(&mut self.parts, core, |app| {
            let routes = app.routes(default);
            let (shares, offers) = (shares(&routes, slots), Arc::new(offers(&routes, slots)));
            Part { routes: routes.map(|unit| slots.component(unit).cloned()), shares, offers }
        });
        let table = RouteTable::of(self.parts.values().map(|(_, part)| &part.routes));
        self.listeners = table.listening();
        let mut shares = Shares::new();
        for (id, units) in self.parts.values().flat_map(|(_, part)| &part.shares) {
            shares.entry(id.clone()).or_default().extend(units.clone());
        }
        let offers = self.parts.iter().map(|(app, (_, part))| (app.clone(), Arc::clone(&part.offers)));
        Routes { table, shares, offers: offers.collect() }
    }

    /// Addresses on which HTTP requests are taken, by the routes that were derived last.
    pub(super) fn listeners(&self) -> Vec<ListenerInventory> {
        self.listeners.clone()
    }

    /// What readers see of all apps.
    pub(super) fn shown(&mut self, core: &Core, slots: &Slots) -> Vec<Arc<AppShown>> {
        refresh(&mut self.shown, core, |app| {
            let specs: BTreeMap<_, _> = app.specs().collect();
            let component = |unit: &UnitKey| Some((unit.clone(), Arc::clone(slots.component(unit)?)));
            let units = specs.keys().filter_map(component).collect();
            let process = |unit: &UnitKey| {
                let provider = slots.get(unit)?.product.as_ref()?.provider()?;
                Some((unit.clone(), Arc::clone(provider.process())))
            };
            let processes = specs.keys().filter_map(process).collect();
            Arc::new(AppShown::new(app.inventory(), units, processes, specs))
        });
        self.shown.values().map(|(_, shown)| Arc::clone(shown)).collect()
    }
}

/// Derives anew what is of an app that has changed, and lets go of what is of one that is gone.
fn refresh<T>(held: &mut BTreeMap<AppName, (AppState, T)>, core: &Core, derive: impl Fn(&AppState) -> T) {
    let mut before = std::mem::take(held);
    for app in core.apps() {
        let derived = match before.remove(app.name()) {
            Some((state, derived)) if state.is(&app) => derived,
            Some(_) | None => derive(&app),
        };
        held.insert(app.name().clone(), (app, derived));
    }
}

fn shares(routes: &AppRoutes<UnitKey>, slots: &Slots) -> Shares {
    let is_provider = |unit: &UnitKey| {
        let product = slots.get(unit).and_then(|slot| slot.product.as_ref());
        product.is_some_and(|product| product.provider().is_some())
    };
    let providers = routes.targets().filter(|(_, target)| target.units().any(|held| is_provider(&held.unit)));
    let shares = providers.map(|(id, target)| {
        let units = target.shares().map(|(held, weight)| (held.unit.clone(), weight));
        (id.clone(), units.collect())
    });
    shares.collect()
}

/// Each revision that has a unit here takes the calls that began in it; new calls are taken by what serves.
fn offers(routes: &AppRoutes<UnitKey>, slots: &Slots) -> AppOffers {
    let mut offers = AppOffers::new();
    for (id, target) in routes.targets() {
        for Labelled { app, revision, unit } in target.units() {
            let (Some(slot), Some(prepared)) = (slots.get(unit), slots.component(unit)) else { continue };
            let own = Served::of_revision(app, id, *revision);
            offers.entry(own).or_insert_with(|| Offer::of(prepared, slot.max_instances));
            if target.is_serving() {
                let anyone = offers.entry(Served::by_anyone(app, id)).or_default();
                anyone.add(prepared, slot.max_instances);
            }
        }
    }
    offers
}
