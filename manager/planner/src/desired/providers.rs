//! Links within an app that lead to its providers: each provider is told all that lead to it, and each caller which process
//! answers it.
//!
//! In this order, because the links are a part of what a process is, and so of what it is called. A caller's own content is
//! no part of it, so there is no circle.

use std::collections::BTreeMap;

use lath_control_api::{ComponentId, ComponentName, IncomingLink, ProviderTarget, WireId, Workload};

use super::ComponentPlan;

/// Fills in both ends of the links that lead from a component to a provider.
pub(super) fn connect(components: &mut BTreeMap<ComponentName, ComponentPlan>) {
    let mut incoming: BTreeMap<ComponentId, Vec<IncomingLink>> = BTreeMap::new();
    for source in components.values() {
        for link in &source.spec.links {
            incoming.entry(link.target.clone()).or_default().push(IncomingLink::of(&source.id, link));
        }
    }
    let mut processes: BTreeMap<ComponentId, WireId> = BTreeMap::new();
    for plan in components.values_mut() {
        if !matches!(plan.spec.workload, Workload::Provider { .. }) {
            continue;
        }
        let mut links = incoming.remove(&plan.id).unwrap_or_default();
        // Another order in the manifest is no reason for another process.
        links.sort();
        plan.spec.incoming = links;
        processes.extend(plan.spec.wire_id(&plan.id).map(|wire_id| (plan.id.clone(), wire_id)));
    }
    for link in components.values_mut().flat_map(|plan| &mut plan.spec.links) {
        if let Some(wire_id) = processes.get(&link.target) {
            link.provider = Some(ProviderTarget::Process { wire_id: wire_id.clone() });
        }
    }
}
