//! Reads the trait `limits`: what a component may use on a host.
//!
//! Bounds and defaults are those of the hosts, in [`lath_control_api::Limits`]; no number stands here.

use std::time::Duration;

use lath_control_api::Limits;

use super::shapes;
use crate::document::NodeId;
use crate::read::Object;
use crate::report::Report;

/// The limits of a component; `None` when one of them cannot be followed, which is reported.
pub(super) fn read(report: &mut Report<'_>, id: NodeId) -> Option<Limits> {
    let object = report.object(id, &shapes::LIMITS)?;
    let mut limits = Limits::default();
    let mut whole = true;
    let sizes = [
        ("memory", &mut limits.memory_bytes, Limits::MEMORY_BYTES),
        ("log_rate", &mut limits.log_bytes_per_second, Limits::LOG_BYTES_PER_SECOND),
        ("log_line", &mut limits.log_line_bytes, Limits::LOG_LINE_BYTES),
        ("request_body", &mut limits.request_body_bytes, Limits::BODY_BYTES),
        ("response_body", &mut limits.response_body_bytes, Limits::BODY_BYTES),
        ("host_call", &mut limits.host_call_bytes, Limits::HOST_CALL_BYTES),
    ];
    for (field, place, range) in sizes {
        let Some(id) = object.get(report, field) else { continue };
        let text = report.quantity(id);
        put(text.and_then(|text| report.size(text, &format!("`{field}`"), &range)), place, &mut whole);
    }
    let counts = [
        ("max_waiting", &mut limits.max_waiting, Limits::MAX_WAITING),
        ("handles", &mut limits.handles, Limits::HANDLES),
    ];
    for (field, place, range) in counts {
        let Some(id) = object.get(report, field) else { continue };
        put(report.whole(id, &format!("`{field}`"), range), place, &mut whole);
    }
    put(read_deadline(report, &object, limits), &mut limits.invocation_deadline_ms, &mut whole);
    whole.then_some(limits)
}

fn read_deadline<'t>(report: &mut Report<'t>, object: &Object<'t>, default: Limits) -> Option<u64> {
    let Some(id) = object.get(report, "invocation_deadline") else {
        return Some(default.invocation_deadline_ms);
    };
    let (least, most) = (*Limits::INVOCATION_DEADLINE_MS.start(), *Limits::INVOCATION_DEADLINE_MS.end());
    let range = Duration::from_millis(least)..=Duration::from_millis(most);
    let text = report.quantity(id)?;
    let deadline = report.duration(text, "`invocation_deadline`", &range)?;
    u64::try_from(deadline.as_millis()).ok()
}

/// Puts what was read into its place, or notes that nothing was.
fn put<T>(read: Option<T>, place: &mut T, whole: &mut bool) {
    match read {
        Some(value) => *place = value,
        None => *whole = false,
    }
}
