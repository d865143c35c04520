//! What a host says of itself: the state of its units as managers read it. Derived as a whole from one state.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use lath_control_api::{
    AppInventory, CallCounts, ComponentId, ComponentInventory, ListenerInventory, Role, UnitInventory, Weight,
};

use crate::app::App;
use crate::core::{AppState, Core};
use crate::routes::RouteTable;
use crate::spec::Slot;
use crate::unit::{Shown, SpecKey, Unit, UnitKey};

impl Core {
    /// All apps that this host holds a fence for, in order of their names; one of which nothing is left has no
    /// components. `counts` gives the calls of a unit.
    pub fn inventory(&self, counts: impl Fn(&UnitKey) -> CallCounts) -> Vec<AppInventory> {
        self.apps.values().map(|app| describe(app, &counts)).collect()
    }
}

impl AppState {
    /// How its units are, without their calls; no components when nothing of it is left.
    #[must_use]
    pub fn inventory(&self) -> AppInventory {
        describe(&self.0, &|_| CallCounts::default())
    }
}

impl<U> RouteTable<U> {
    /// Addresses on which HTTP requests are taken.
    #[must_use]
    pub fn listening(&self) -> Vec<ListenerInventory> {
        let open = self.listeners().filter(|(_, listener)| listener.open);
        open.map(|(address, listener)| ListenerInventory {
            address,
            routes: listener
                .vias()
                .iter()
                .map(|via| format!("{} -> {}", via.route.describe(), via.route.target))
                .collect(),
        })
        .collect()
    }
}

fn describe(app: &App, counts: &impl Fn(&UnitKey) -> CallCounts) -> AppInventory {
    let mut components: BTreeMap<&ComponentId, ComponentInventory> = BTreeMap::new();
    for (place, unit) in &app.units {
        let described = describe_unit(app, place, unit, counts(&app.key(place)));
        match components.entry(&place.0) {
            Entry::Occupied(mut held) => held.get_mut().units.push(described),
            // Mostly it stays alone, and takes no room for others then.
            Entry::Vacant(free) => {
                let (component, id) = (unit.component.clone(), place.0.clone());
                free.insert(ComponentInventory { component, id, units: vec![described] });
            }
        }
    }
    let mut components: Vec<ComponentInventory> = components.into_values().collect();
    components.iter_mut().for_each(|component| component.units.sort_by_key(|unit| unit.role));
    components.sort_by(|a, b| (&a.component, &a.id).cmp(&(&b.component, &b.id)));
    AppInventory { app: app.name.clone(), fence: app.request.fence, confirmed: app.confirmed, components }
}

fn describe_unit(
    app: &App,
    (id, spec): &(ComponentId, SpecKey),
    unit: &Unit,
    calls: CallCounts,
) -> UnitInventory {
    let weight = app.share(id, spec);
    let Shown { phase, reason, message, since } = unit.shown();
    UnitInventory {
        role: role(app.wanted.get(id), spec),
        serving: weight != Weight::NONE,
        weight,
        revision: spec.revision,
        content: spec.content.clone(),
        image: unit.spec.workload.reference().to_owned(),
        digest: unit.spec.workload.image().map(|image| image.digest.clone()),
        phase,
        reason,
        message,
        since,
        next_try: unit.retry_at,
        max_instances: unit.spec.max_instances,
        calls,
        process: unit.spec.wire_id(id),
        claims: None,
        links: Vec::new(),
    }
}

fn role(wanted: Option<&Slot>, spec: &SpecKey) -> Role {
    match wanted {
        Some(slot) if slot.stable.as_ref() == Some(spec) => Role::Stable,
        Some(slot) if slot.holds(spec) => Role::Candidate,
        Some(_) | None => Role::Retired,
    }
}
