//! The limits of a component as pairs of words, called as in the manifest.

use std::collections::BTreeMap;

use lath_control_api::Limits;

pub(super) fn properties(limits: &Limits) -> BTreeMap<String, String> {
    let Limits {
        memory_bytes,
        invocation_deadline_ms,
        max_waiting,
        log_bytes_per_second,
        log_line_bytes,
        request_body_bytes,
        response_body_bytes,
        host_call_bytes,
        handles,
    } = *limits;
    [
        ("memory", size(memory_bytes)),
        ("invocation_deadline", format!("{invocation_deadline_ms}ms")),
        ("max_waiting", max_waiting.to_string()),
        ("log_rate", size(log_bytes_per_second)),
        ("log_line", size(log_line_bytes)),
        ("request_body", size(request_body_bytes)),
        ("response_body", size(response_body_bytes)),
        ("host_call", size(host_call_bytes)),
        ("handles", handles.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A size as in a manifest, in the largest unit that divides it.
fn size(bytes: u64) -> String {
    [("Gi", 30), ("Mi", 20), ("Ki", 10)]
        .into_iter()
        .find(|(_, shift)| bytes.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{bytes} bytes"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}
