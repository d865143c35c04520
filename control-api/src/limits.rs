//! What one component may use on a host, and how its instances are made and thrown away.
//!
//! Bounds and defaults of every limit stand here once: manifests and hosts read them. Nothing is measured here. A
//! field that has its default is left out on the wire, so that a new limit changes no spec that does not ask for it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

const WAITING: u32 = 1_000;
const LOG_RATE: u64 = 64 << 10;
const LOG_LINE: u64 = 4 << 10;
const BODY: u64 = 1 << 30;
const HOST_CALL: u64 = 128 << 20;
const HANDLES: u32 = 10_000;

/// What a component may use. Every limit has a bound; none means "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Linear memories and tables of an instance together, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time of a call, in milliseconds, time in host calls included.
    pub invocation_deadline_ms: u64,
    /// Most calls that wait on one host for an instance to be free; further ones are refused at once.
    #[serde(skip_serializing_if = "is_count::<WAITING>")]
    pub max_waiting: u32,
    /// Most bytes of all its calls together that reach the host's log in one second; the rest is dropped and told.
    #[serde(skip_serializing_if = "is_size::<LOG_RATE>")]
    pub log_bytes_per_second: u64,
    /// Longest line of its output, in bytes; the rest of a longer one becomes the next line.
    #[serde(skip_serializing_if = "is_size::<LOG_LINE>")]
    pub log_line_bytes: u64,
    /// Most bytes of the body of an HTTP request.
    #[serde(skip_serializing_if = "is_size::<BODY>")]
    pub request_body_bytes: u64,
    /// Most bytes of the body of its answer to an HTTP request.
    #[serde(skip_serializing_if = "is_size::<BODY>")]
    pub response_body_bytes: u64,
    /// Most bytes that it has the host copy in one host call.
    #[serde(skip_serializing_if = "is_size::<HOST_CALL>")]
    pub host_call_bytes: u64,
    /// Most handles that an instance holds at once.
    #[serde(skip_serializing_if = "is_count::<HANDLES>")]
    pub handles: u32,
}

impl Limits {
    /// Least and most of `memory_bytes`: one wasm page times 16, and what 32-bit code can address.
    pub const MEMORY_BYTES: RangeInclusive<u64> = 1 << 20..=4 << 30;
    /// Least and most of `invocation_deadline_ms`: an epoch tick, and an hour.
    pub const INVOCATION_DEADLINE_MS: RangeInclusive<u64> = 10..=3_600_000;
    /// Least and most of `max_waiting`: with none, a call is refused when no instance is free.
    pub const MAX_WAITING: RangeInclusive<u32> = 0..=10_000;
    /// Least and most of `log_bytes_per_second`.
    pub const LOG_BYTES_PER_SECOND: RangeInclusive<u64> = 1 << 10..=16 << 20;
    /// Least and most of `log_line_bytes`: what log collectors take as one record.
    pub const LOG_LINE_BYTES: RangeInclusive<u64> = 1 << 10..=64 << 10;
    /// Least and most of the two bodies. Bodies stream and are kept nowhere, so the most is far.
    pub const BODY_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 40;
    /// Least and most of `host_call_bytes`: the most is what a host has for one call anyway.
    pub const HOST_CALL_BYTES: RangeInclusive<u64> = 64 << 10..=HOST_CALL;
    /// Least and most of `handles`: a request needs about ten.
    pub const HANDLES: RangeInclusive<u32> = 100..=HANDLES;
}

impl Default for Limits {
    /// 256 MiB: roomy for a web component, and a host of 8 GiB still runs thirty of them at the bound. 30 s. 1,000
    /// waiting calls, 64 KiB of log in a second in lines of 4 KiB, bodies of 1 GiB, 128 MiB for one host call, and
    /// 10,000 handles.
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            invocation_deadline_ms: 30_000,
            max_waiting: WAITING,
            log_bytes_per_second: LOG_RATE,
            log_line_bytes: LOG_LINE,
            request_body_bytes: BODY,
            response_body_bytes: BODY,
            host_call_bytes: HOST_CALL,
            handles: HANDLES,
        }
    }
}

/// When an instance is made and thrown away. One instance never has two calls at once, and one that trapped, met its
/// deadline or ran into a limit is thrown away whatever the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum InstancePolicy {
    /// A new instance for every call.
    #[default]
    Fresh,
    /// An instance serves some calls, one after another, and is then thrown away.
    Reuse {
        /// Most calls of one instance.
        calls: u32,
    },
    /// Instances that are not busy are kept, however many calls they have served.
    #[serde(rename_all = "camelCase")]
    Pooled {
        /// Most instances that are kept while nothing calls them.
        keep: u32,
        /// How long one is kept without a call, in milliseconds.
        idle_ms: u64,
    },
}

impl InstancePolicy {
    /// Least and most of `calls`.
    pub const CALLS: RangeInclusive<u32> = 1..=1_000_000;
    /// Calls of one instance when the policy does not say.
    pub const DEFAULT_CALLS: u32 = 1_000;
    /// Least and most of `keep`: as many as a host has room for at all.
    pub const KEEP: RangeInclusive<u32> = 1..=2_000;
    /// Instances that are kept when the policy does not say.
    pub const DEFAULT_KEEP: u32 = 4;
    /// Least and most of `idle_ms`: a second, and an hour.
    pub const IDLE_MS: RangeInclusive<u64> = 1_000..=3_600_000;
    /// Time that an instance is kept without a call when the policy does not say, and always under
    /// [`InstancePolicy::Reuse`]: a minute.
    pub const DEFAULT_IDLE_MS: u64 = 60_000;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_size<const DEFAULT: u64>(value: &u64) -> bool {
    *value == DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_count<const DEFAULT: u32>(value: &u32) -> bool {
    *value == DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_within_its_bounds_and_left_out() {
        let limits = Limits::default();
        assert!(Limits::MEMORY_BYTES.contains(&limits.memory_bytes));
        assert!(Limits::INVOCATION_DEADLINE_MS.contains(&limits.invocation_deadline_ms));
        assert!(Limits::MAX_WAITING.contains(&limits.max_waiting));
        assert!(Limits::LOG_BYTES_PER_SECOND.contains(&limits.log_bytes_per_second));
        assert!(Limits::LOG_LINE_BYTES.contains(&limits.log_line_bytes));
        assert!(Limits::BODY_BYTES.contains(&limits.request_body_bytes));
        assert!(Limits::BODY_BYTES.contains(&limits.response_body_bytes));
        assert!(Limits::HOST_CALL_BYTES.contains(&limits.host_call_bytes));
        assert!(Limits::HANDLES.contains(&limits.handles));
        let written = r#"{"memoryBytes":268435456,"invocationDeadlineMs":30000}"#;
        assert_eq!(serde_json::to_string(&limits).unwrap(), written);
        assert_eq!(serde_json::from_str::<Limits>(written).unwrap(), limits);
        let other = Limits { handles: 100, log_line_bytes: 1_024, ..limits };
        let written = serde_json::to_string(&other).unwrap();
        assert!(written.contains(r#""logLineBytes":1024,"handles":100"#), "{written}");
        assert_eq!(serde_json::from_str::<Limits>(&written).unwrap(), other);
    }

    #[test]
    fn policies_of_instances_keep_their_form() {
        for (policy, written) in [
            (InstancePolicy::Fresh, r#"{"kind":"fresh"}"#),
            (InstancePolicy::Reuse { calls: 7 }, r#"{"kind":"reuse","calls":7}"#),
            (
                InstancePolicy::Pooled { keep: 2, idle_ms: 1_000 },
                r#"{"kind":"pooled","keep":2,"idleMs":1000}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&policy).unwrap(), written);
            assert_eq!(serde_json::from_str::<InstancePolicy>(written).unwrap(), policy);
        }
    }
}
