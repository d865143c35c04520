//! Reads the trait `instances`: when an instance of a component is made and thrown away.
//!
//! Bounds and defaults are those of the hosts, in [`InstancePolicy`]. A property that belongs to another policy is
//! refused: it would be without effect, and whoever wrote it counts on one.

use std::time::Duration;

use lath_control_api::InstancePolicy;

use super::shapes;
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::NodeId;
use crate::read::{Object, listed};
use crate::report::{Report, shown};
use crate::suggest::closest;

const POLICIES: [&str; 3] = ["fresh", "reuse", "pooled"];

/// The policy of a component; `None` when it cannot be followed, which is reported.
pub(super) fn read(report: &mut Report<'_>, id: NodeId) -> Option<InstancePolicy> {
    let object = report.object(id, &shapes::INSTANCES)?;
    let policy = object.required(report, "policy").and_then(|id| report.text(id))?;
    match policy.value {
        "fresh" => {
            others_are_absent(report, &object, "fresh", &["calls", "keep", "idle"])?;
            Some(InstancePolicy::Fresh)
        }
        "reuse" => {
            others_are_absent(report, &object, "reuse", &["keep", "idle"])?;
            let calls = match object.get(report, "calls") {
                Some(id) => report.whole(id, "`calls`", InstancePolicy::CALLS)?,
                None => InstancePolicy::DEFAULT_CALLS,
            };
            Some(InstancePolicy::Reuse { calls })
        }
        "pooled" => {
            others_are_absent(report, &object, "pooled", &["calls"])?;
            let keep = match object.get(report, "keep") {
                Some(id) => report.whole(id, "`keep`", InstancePolicy::KEEP)?,
                None => InstancePolicy::DEFAULT_KEEP,
            };
            Some(InstancePolicy::Pooled { keep, idle_ms: read_idle(report, &object)? })
        }
        unknown => {
            let message = format!("`policy` cannot be `{}`", shown(unknown));
            let allowed = format!("it is one of {}", listed(&POLICIES));
            let help = match closest(unknown, POLICIES) {
                Some(near) => format!("did you mean `{near}`? {allowed}"),
                None => allowed,
            };
            report.add(policy.at, "", Diagnostic::error(code::POLICY, message).help(help));
            None
        }
    }
}

fn read_idle<'t>(report: &mut Report<'t>, object: &Object<'t>) -> Option<u64> {
    let Some(id) = object.get(report, "idle") else { return Some(InstancePolicy::DEFAULT_IDLE_MS) };
    let (least, most) = (*InstancePolicy::IDLE_MS.start(), *InstancePolicy::IDLE_MS.end());
    let range = Duration::from_millis(least)..=Duration::from_millis(most);
    let text = report.quantity(id)?;
    let idle = report.duration(text, "`idle`", &range)?;
    u64::try_from(idle.as_millis()).ok()
}

/// Refuses properties of other policies; `None` when there is one.
fn others_are_absent<'t>(
    report: &mut Report<'t>,
    object: &Object<'t>,
    policy: &str,
    others: &[&'static str],
) -> Option<()> {
    let mut found = None;
    for field in others {
        if let Some(key) = object.key(field) {
            let message = format!("`{field}` has no meaning with `policy: {policy}`");
            let owner = if *field == "calls" { "reuse" } else { "pooled" };
            let help = format!("remove it, or write `policy: {owner}`");
            report.add(key, "", Diagnostic::error(code::UNKNOWN_FIELD, message).help(help));
            found = Some(());
        }
    }
    if found.is_some() { None } else { Some(()) }
}
