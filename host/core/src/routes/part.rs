//! What one app adds to the routes of its host, derived as a whole from its state.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{Builtin, ComponentId, HttpRoute, Weight, Workload};

use super::{AppRoutes, Labelled, Share, Target, Via};
use crate::app::App;
use crate::core::AppState;
use crate::unit::{SpecKey, Unit, UnitKey};

impl AppState {
    /// What the app adds to the routes of its host, on which routes without an address belong to `default`.
    #[must_use]
    pub fn routes(&self, default: Option<SocketAddr>) -> AppRoutes<UnitKey> {
        let mut part = Part {
            app: &self.0,
            default,
            targets: BTreeMap::new(),
            serving: Vec::new(),
            closing: Vec::new(),
        };
        part.add_serving();
        part.add_draining();
        let targets = part.targets.into_iter().filter(|(_, target)| target.units().next().is_some());
        AppRoutes {
            targets: targets.map(|(id, target)| (id.clone(), Arc::new(target))).collect(),
            serving: part.serving,
            closing: part.closing,
        }
    }
}

/// The routes of an app while they are gathered.
struct Part<'a> {
    app: &'a App,
    default: Option<SocketAddr>,
    targets: BTreeMap<&'a ComponentId, Target<UnitKey>>,
    serving: Vec<(SocketAddr, bool, Arc<Via>)>,
    closing: Vec<(SocketAddr, bool, Arc<Via>)>,
}

impl Part<'_> {
    fn add_serving(&mut self) {
        let app = self.app;
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
                self.add_ways(unit, labelled, Share::From(shifted));
            }
            if let Some(((unit, labelled), _)) = &candidate {
                self.add_ways(unit, labelled, Share::Below(shifted));
            }
            let target = self.targets.entry(id).or_insert_with(Target::empty);
            target.stable = stable.map(|(_, labelled)| labelled);
            target.candidate = candidate.map(|((_, labelled), weight)| (labelled, weight));
        }
    }

    fn add_draining(&mut self) {
        let app = self.app;
        for (id, slot) in &app.serving {
            let (stable, candidate) = app.taking(id, slot);
            let moved = candidate.is_some_and(|(_, weight)| weight == Weight::ALL);
            let place = stable.filter(|_| moved).map(|spec| (id.clone(), spec.clone()));
            if let Some((place, unit)) = place.and_then(|place| app.units.get_key_value(&place)) {
                // Whoever still comes to an address that has moved is answered until the rollout settles.
                self.add_closing_ways(unit, &label(app, unit, app.key(place)), true);
            }
        }
        let reachable = |unit: &Unit| unit.leaving.as_ref().is_some_and(|leaving| !leaving.closed);
        for (place, unit) in app.units.iter().filter(|(_, unit)| reachable(unit)) {
            let labelled = label(app, unit, app.key(place));
            self.add_closing_ways(unit, &labelled, false);
            let target = self.targets.entry(&place.0).or_insert_with(Target::empty);
            target.draining.push(labelled);
            target.sort_draining();
        }
    }

    /// A server does not open an address while a component behind it is still being made ready on this host: on a
    /// shared address another host answers meanwhile.
    fn add_ways(&mut self, unit: &Unit, labelled: &Labelled<UnitKey>, share: Share) {
        let answers =
            share.helps_out() && unit.spec.routes.iter().all(|route| !self.app.is_on_its_way(&route.target));
        for (address, route) in routes_of(unit, self.default) {
            self.serving.push((address, answers, Arc::new(Via::new(labelled, route, share))));
        }
    }

    fn add_closing_ways(&mut self, unit: &Unit, labelled: &Labelled<UnitKey>, open: bool) {
        for (address, route) in routes_of(unit, self.default) {
            self.closing.push((address, open, Arc::new(Via::new(labelled, route, Share::Rest))));
        }
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
