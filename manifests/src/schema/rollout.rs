//! The schema of the properties of a rollout policy.
//!
//! Patterns of texts are left to the reader, whose messages say what is wrong: only choices are listed.
#![expect(dead_code, reason = "the types describe a document and are never filled")]

use schemars::{JsonSchema, Schema};

use crate::limits;

/// How a revision takes over. Every value is text: put numbers and truth values in quotes.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = all_optional)]
pub(super) struct RolloutProperties {
    /// The ladder of steps; `rolling` when left out.
    strategy: RolloutStrategy,
    /// Steps of a canary, such as `5%/30s, 25%/promote, 100%`: a weight, and what ends the step. Weights grow; 100% is
    /// added at the end. `5%/1m, 25%/2m, 50%/2m, 100%` when left out.
    steps: String,
    /// What the calls of the new revision must hold to, such as `errors<=1%, p95<=1.5x, samples>=20`: `errors` and
    /// `traps` as `<=1%` or `<=+1%`, `p50`, `p90`, `p95` and `p99` as `<=200ms` or `<=1.5x`.
    gates: String,
    /// What happens after too few calls for the gates; `pause` when left out.
    inconclusive: RolloutInconclusive,
    /// `http://` or `https://` address that must agree before traffic moves on.
    #[schemars(length(max = limits::MAX_WEBHOOK), regex(pattern = "^https?://"))]
    webhook: String,
    /// Longest wait for its answer, `100ms` to `1m`; `10s` when left out.
    webhook_timeout: String,
    /// Hosts in one wave of `rolling`, such as `"2"` or `25%`; `25%` when left out.
    max_parallel: String,
    /// Order of groups of hosts in `rolling`, such as `"label zone: a, b"`.
    waves: String,
    /// What may be ready beyond the wanted number meanwhile, such as `"1"` or `25%`; `25%` when left out.
    max_surge: String,
    /// Hosts that may be not ready meanwhile, such as `"1"` or `25%`; `"0"` when left out.
    max_unavailable: String,
    /// How long a step must stay healthy, `0s` to `1h`; `5s` when left out.
    min_healthy_time: String,
    /// Longest that the hosts of a step may take to become ready, `1s` to `24h`; `1m` when left out.
    healthy_deadline: String,
    /// Longest stand-still before the rollout counts as failed, `1s` to `24h`; `5m` when left out.
    progress_deadline: String,
    /// Whether traffic moves without a person's word; `"false"` in `blue-green`, else `"true"`, when left out.
    auto_promote: RolloutTruth,
    /// Whether a failed rollout puts the previous revision back by itself; `"true"` when left out.
    auto_rollback: RolloutTruth,
    /// Who may leave this revision for an earlier one; `allowed` when left out.
    rollback: RolloutRollback,
    /// How long the replaced revision stays ready, `0s` to `24h`; `5m` in `blue-green`, else `0s`, when left out.
    keep_warm: String,
    /// Longest that replaced instances may take to finish, `100ms` to `1h`; `30s` when left out.
    drain_deadline: String,
    /// Longest that calls are held while something exclusive changes hands, `0s` to `1m`; `5s` when left out.
    hold_time: String,
    /// What a link is worth that a provider was given and said nothing about, as providers of 1.x do; `allow` when left out.
    unverified_links: RolloutUnverified,
    /// Components of this manifest that the policy is for, such as `"api, worker"`; all of them when left out.
    components: String,
}

/// An `Option` would let a property be `null`, which no policy takes.
fn all_optional(schema: &mut Schema) {
    schema.remove("required");
}

/// `rolling`: waves of hosts. `canary`: a growing part of the traffic. `blue-green`: all of the new beside all of the
/// old, then one switch. `recreate`: stop the old, then start the new.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum RolloutStrategy {
    Rolling,
    Canary,
    BlueGreen,
    Recreate,
}

/// `pause`: until a person says more. `wait`: for more calls, until the progress deadline.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RolloutInconclusive {
    Pause,
    Wait,
}

/// `allowed`: by itself and by people. `manual`: by people only. `forbidden`: by nobody.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RolloutRollback {
    Allowed,
    Manual,
    Forbidden,
}

/// `allow`: it counts as taken. `fail`: what needs it is not ready.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RolloutUnverified {
    Allow,
    Fail,
}

/// A truth value as text.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RolloutTruth {
    True,
    False,
}
