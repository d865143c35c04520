//! When instances of a component are made and thrown away, in the words of the manifest.

use lath_control_api::InstancePolicy;

pub(super) fn policy(policy: InstancePolicy) -> Option<String> {
    match policy {
        InstancePolicy::Fresh => None,
        InstancePolicy::Reuse { calls } => Some(format!("reuse, calls {calls}")),
        InstancePolicy::Pooled { keep, idle_ms } => Some(format!("pooled, keep {keep}, idle {idle_ms}ms")),
    }
}
