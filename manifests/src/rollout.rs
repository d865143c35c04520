//! The properties of a rollout policy, from their texts to a [`RolloutPolicy`].
//!
//! Pure functions over texts, for both who write them: a manifest, and a person who overrides some of them for one
//! deploy. No document is known here. Every value is read by itself first, then those that must agree are compared.

mod components;
mod gates;
mod part;
mod steps;
mod together;
mod values;
mod waves;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use lath_control_api::UnverifiedLinks;

use crate::code;
use crate::limits::{MAX_DIAGNOSTICS, MAX_ROLLOUT_TEXT};
use crate::manifest::{Gates, Inconclusive, RollbackRule, RolloutPolicy, Strategy, Webhook};
use crate::problem::{Place, Problem};
use crate::read::listed;
use crate::report::shown;
use crate::suggest::closest;
use crate::units::duration_within;

pub(crate) use components::names;
pub(crate) use part::Part;

/// Every property of a rollout policy, in the order of documents.
pub const PROPERTIES: [&str; 21] = [
    "strategy",
    "steps",
    "gates",
    "inconclusive",
    "webhook",
    "webhook_timeout",
    "max_parallel",
    "waves",
    "max_surge",
    "max_unavailable",
    "min_healthy_time",
    "healthy_deadline",
    "progress_deadline",
    "auto_promote",
    "auto_rollback",
    "rollback",
    "keep_warm",
    "drain_deadline",
    "hold_time",
    UNVERIFIED_LINKS,
    COMPONENTS,
];

/// What hosts go by for as long as they run a revision, and not in its rollout alone.
const UNVERIFIED_LINKS: &str = "unverified_links";
/// The property that limits a policy to some components.
pub(crate) const COMPONENTS: &str = "components";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Shorter than this cannot be told from none.
const TENTH: Duration = Duration::from_millis(100);

/// A policy with some of its properties replaced, each as a whole: what a person asks for in one deploy.
///
/// The texts are those of the properties of a `policy.rollout.lath/v1`. Which components a policy is for, and what hosts go by
/// beyond the rollout, is left to the manifest, so `components` and `unverified_links` are refused.
///
/// # Errors
/// One text for each problem, in the order of the properties: it names the property, what is wrong with it and what is
/// allowed. There is at least one, and at most [`MAX_DIAGNOSTICS`].
pub fn override_policy(
    policy: &RolloutPolicy,
    properties: &BTreeMap<String, String>,
) -> Result<RolloutPolicy, Vec<String>> {
    let given: Vec<Given<'_>> =
        properties.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut reading = read(policy.clone(), &given);
    let of_the_manifest = [
        (COMPONENTS, "`components` chooses among the policies of a manifest and cannot be overridden"),
        (
            UNVERIFIED_LINKS,
            "`unverified_links` counts for as long as the revision runs and cannot be overridden for its rollout",
        ),
    ];
    for (property, message) in of_the_manifest {
        if let Some(index) = given.iter().position(|(name, _)| *name == property) {
            reading.problems.retain(|(at, _)| *at != index);
            reading.problems.push((index, Problem::new(code::POLICY, message, "leave it out")));
        }
    }
    if reading.problems.is_empty() {
        return Ok(reading.policy);
    }
    reading.problems.sort_by_key(|(at, _)| *at);
    let texts = reading.problems.iter().map(|(_, found)| format!("{}; {}", found.message, found.help));
    Err(texts.take(MAX_DIAGNOSTICS).collect())
}

/// A property as it was given: its name and its text. No name comes twice.
pub(crate) type Given<'a> = (&'a str, &'a str);

/// What properties say.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The policy; what could not be read is as it was before.
    pub(crate) policy: RolloutPolicy,
    /// Everything that is wrong, each with the index of the property that is to blame.
    pub(crate) problems: Vec<(usize, Problem)>,
}

/// Puts properties into `policy`, each in place of what it says so far.
pub(crate) fn read(policy: RolloutPolicy, given: &[Given<'_>]) -> Reading {
    let mut reader = Reader { policy, webhook_timeout: None };
    let mut problems = Vec::new();
    for (index, (name, text)) in given.iter().enumerate() {
        if let Err(found) = reader.property(name, text) {
            problems.extend(found.into_iter().map(|problem| (index, problem)));
        }
    }
    let policy = reader.finish();
    let failed = problems.iter().map(|(index, _)| *index).collect();
    problems.extend(together::check(&policy, given, &failed));
    Reading { policy, problems }
}

struct Reader {
    policy: RolloutPolicy,
    /// May be given before the webhook that it belongs to.
    webhook_timeout: Option<Duration>,
}

impl Reader {
    fn property(&mut self, name: &str, text: &str) -> Result<(), Vec<Problem>> {
        let what = format!("`{}`", shown(name));
        if text.len() > MAX_ROLLOUT_TEXT {
            let message =
                format!("{what} has {} bytes, and at most {MAX_ROLLOUT_TEXT} are allowed", text.len());
            return Err(vec![Problem::new(code::OUT_OF_RANGE, message, "shorten the text")]);
        }
        let duration = |low: Duration, high: Duration| duration_within(text, &what, &(low..=high));
        let policy = &mut self.policy;
        match name {
            "strategy" => {
                policy.strategy = values::word(text, &what, &Strategy::ALL.map(|one| (one.as_str(), one)))?;
            }
            "steps" => policy.steps = steps::read(text)?,
            "gates" => {
                let (limits, samples) = gates::read(text)?;
                policy.gates = Gates { limits, samples, inconclusive: policy.gates.inconclusive };
            }
            "inconclusive" => {
                let words = Inconclusive::ALL.map(|one| (one.as_str(), one));
                policy.gates.inconclusive = values::word(text, &what, &words)?;
            }
            "webhook" => {
                let url = webhook::read(text)?;
                let timeout = policy.webhook.as_ref().map_or(Webhook::DEFAULT_TIMEOUT, |old| old.timeout);
                policy.webhook = Some(Webhook { url, timeout });
            }
            "webhook_timeout" => self.webhook_timeout = Some(duration(TENTH, MINUTE)?),
            "max_parallel" => policy.max_parallel = values::some_share(text, &what)?,
            "waves" => policy.waves = Some(waves::read(text)?),
            "max_surge" => policy.max_surge = values::share(text, &what)?,
            "max_unavailable" => policy.max_unavailable = values::share(text, &what)?,
            "min_healthy_time" => policy.min_healthy_time = duration(Duration::ZERO, HOUR)?,
            "healthy_deadline" => policy.healthy_deadline = duration(SECOND, DAY)?,
            "progress_deadline" => policy.progress_deadline = duration(SECOND, DAY)?,
            "auto_promote" => policy.auto_promote = Some(values::truth(text, &what)?),
            "auto_rollback" => policy.auto_rollback = values::truth(text, &what)?,
            "rollback" => {
                let words = RollbackRule::ALL.map(|one| (one.as_str(), one));
                policy.rollback = values::word(text, &what, &words)?;
            }
            "keep_warm" => policy.keep_warm = Some(duration(Duration::ZERO, DAY)?),
            "drain_deadline" => policy.drain_deadline = duration(TENTH, HOUR)?,
            "hold_time" => policy.hold_time = duration(Duration::ZERO, MINUTE)?,
            UNVERIFIED_LINKS => {
                let words = UnverifiedLinks::ALL.map(|one| (one.as_str(), one));
                policy.unverified_links = values::word(text, &what, &words)?;
            }
            COMPONENTS => policy.components = components::read(text)?,
            unknown => return Err(vec![unknown_property(unknown)]),
        }
        Ok(())
    }

    fn finish(self) -> RolloutPolicy {
        let Self { mut policy, webhook_timeout } = self;
        if let (Some(webhook), Some(timeout)) = (&mut policy.webhook, webhook_timeout) {
            webhook.timeout = timeout;
        }
        policy
    }
}

fn unknown_property(name: &str) -> Problem {
    let help = closest(name, PROPERTIES).map_or_else(
        || format!("a rollout policy may have {}", listed(&PROPERTIES)),
        |near| format!("did you mean `{near}`?"),
    );
    let message = format!("the property `{}` is not known in a rollout policy", shown(name));
    Problem::new(code::UNKNOWN_FIELD, message, help).at(Place::Name)
}

#[cfg(test)]
mod tests;
