//! Flags that differ from the manifest's rollout policy, for one deploy or rollback.
//!
//! They become properties of the policy, name to text as in a manifest. What a property means is the manager's.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::PossibleValuesParser;
use lath_control_api::ErrorCode;
use lath_manifests::manifest::{RolloutPolicy, Strategy};
use lath_manifests::rollout::override_policy;

use crate::failure::{Exit, Failure};

const ROLLOUT: &str = "Rollout options (for this time; the manifest's policy stays as it is)";

/// Properties of the rollout policy.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PolicyArgs {
    /// How traffic moves
    #[arg(long, value_name = "NAME", value_parser = strategies(), help_heading = ROLLOUT)]
    strategy: Option<String>,
    /// Steps of a canary, such as "10%/30s, 50%/1m, 100%"
    #[arg(long, value_name = "STEPS", help_heading = ROLLOUT)]
    steps: Option<String>,
    /// What the new revision is judged by, such as "errors<=1%, p95<=1.5x"
    #[arg(long, value_name = "GATES", help_heading = ROLLOUT)]
    gates: Option<String>,
    /// Hosts in one wave, a number or a percentage
    #[arg(long, value_name = "N|N%", help_heading = ROLLOUT)]
    max_parallel: Option<String>,
    /// What may run beyond the wanted number meanwhile
    #[arg(long, value_name = "N|N%", help_heading = ROLLOUT)]
    max_surge: Option<String>,
    /// What may be missing meanwhile
    #[arg(long, value_name = "N|N%", help_heading = ROLLOUT)]
    max_unavailable: Option<String>,
    /// How long a step must stay healthy before the next one (min_healthy_time)
    #[arg(long, value_name = "TIME", help_heading = ROLLOUT)]
    bake: Option<String>,
    /// Longest time for the hosts of a step to become ready
    #[arg(long, value_name = "TIME", help_heading = ROLLOUT)]
    healthy_deadline: Option<String>,
    /// Longest time without progress before the rollout counts as failed
    #[arg(long, value_name = "TIME", help_heading = ROLLOUT)]
    progress_deadline: Option<String>,
    /// Leave a failed rollout as it stands instead of going back
    #[arg(long, help_heading = ROLLOUT)]
    no_auto_rollback: bool,
    /// Whether traffic moves without a person's word
    #[arg(long, value_name = "true|false", help_heading = ROLLOUT)]
    auto_promote: Option<bool>,
    /// How long the revision before stays ready beside the new one
    #[arg(long, value_name = "TIME", help_heading = ROLLOUT)]
    keep_warm: Option<String>,
    /// How long replaced instances may take to finish their calls
    #[arg(long, value_name = "TIME", help_heading = ROLLOUT)]
    drain_deadline: Option<String>,
    /// Any property of the rollout policy; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = property, help_heading = ROLLOUT)]
    rollout: Vec<(String, String)>,
}

impl PolicyArgs {
    /// Property to value. What the values mean is checked with the policy that they change; see [`check`].
    pub(crate) fn overrides(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut properties = BTreeMap::new();
        let flags = self.flags();
        let named = flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        for (name, value) in named.chain(self.rollout.iter().cloned()) {
            if let Some(before) = properties.insert(name.clone(), value.clone()) {
                let message = format!("`{name}` of the rollout is given twice: `{before}` and `{value}`");
                return Err(Failure::new(Exit::Usage, message).help("give it once"));
            }
        }
        Ok(properties)
    }

    fn flags(&self) -> [(&'static str, Option<String>); 13] {
        [
            ("strategy", self.strategy.clone()),
            ("steps", self.steps.clone()),
            ("gates", self.gates.clone()),
            ("max_parallel", self.max_parallel.clone()),
            ("max_surge", self.max_surge.clone()),
            ("max_unavailable", self.max_unavailable.clone()),
            ("min_healthy_time", self.bake.clone()),
            ("healthy_deadline", self.healthy_deadline.clone()),
            ("progress_deadline", self.progress_deadline.clone()),
            ("auto_rollback", self.no_auto_rollback.then(|| "false".to_owned())),
            ("auto_promote", self.auto_promote.map(|auto| auto.to_string())),
            ("keep_warm", self.keep_warm.clone()),
            ("drain_deadline", self.drain_deadline.clone()),
        ]
    }
}

/// Refuses properties that suit none of the policies that may be meant: those of the manifest, and the usual one where
/// no policy is for all components.
pub(crate) fn check(
    properties: &BTreeMap<String, String>,
    policies: &[RolloutPolicy],
) -> Result<(), Failure> {
    let usual = RolloutPolicy::default();
    let general = policies.iter().any(|policy| policy.components.is_empty());
    let meant = policies.iter().chain((!general).then_some(&usual));
    let mut problems = Vec::new();
    for policy in meant {
        match override_policy(policy, properties) {
            Ok(_) => return Ok(()),
            Err(found) if problems.is_empty() => problems = found,
            Err(_) => {}
        }
    }
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else { return Ok(()) };
    let (message, help) = first.split_once("; ").unwrap_or((&first, "see `lath deploy --help`"));
    let failure = Failure::coded(ErrorCode::BadRequest, message).help(help);
    Err(problems.fold(failure, Failure::note))
}

fn strategies() -> PossibleValuesParser {
    PossibleValuesParser::new(Strategy::ALL.map(Strategy::as_str))
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        Some(_) | None => Err("KEY=VALUE, such as max_surge=50%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn overrides(flags: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
        Flags::try_parse_from(["lath"].iter().chain(flags)).unwrap().policy.overrides()
    }

    #[test]
    fn flags_become_properties_of_the_policy() {
        let given = overrides(&[
            "--strategy",
            "canary",
            "--steps",
            "10%/30s, 100%",
            "--bake=20s",
            "--no-auto-rollback",
            "--auto-promote",
            "false",
            "--rollout",
            "hold_time = 2s",
        ]);
        let wanted = [
            ("auto_promote", "false"),
            ("auto_rollback", "false"),
            ("hold_time", "2s"),
            ("min_healthy_time", "20s"),
            ("steps", "10%/30s, 100%"),
            ("strategy", "canary"),
        ];
        let wanted = wanted.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(given.unwrap(), BTreeMap::from(wanted));
        assert!(overrides(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_property_is_given_once() {
        let failure = overrides(&["--bake", "5s", "--rollout", "min_healthy_time=9s"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("min_healthy_time"), "{failure}");
    }

    #[test]
    fn values_are_checked_with_the_policy_that_they_change() {
        let properties = |text: &str| BTreeMap::from([property(text).unwrap()]);
        let refused = |text: &str| check(&properties(text), &[]).unwrap_err();
        assert!(check(&properties("max_surge=50%"), &[]).is_ok());
        let failure = refused("max_surgee=50%");
        assert_eq!(failure.exit, Exit::Invalid);
        insta::assert_snapshot!(failure, @r"
        error[E0101]: the property `max_surgee` is not known in a rollout policy
          = help: did you mean `max_surge`?
        ");
        insta::assert_snapshot!(refused("progress_deadline=soon"), @r"
        error[E0101]: `progress_deadline` cannot be `soon`
          = help: a duration is whole numbers with units `h`, `m`, `s` or `ms`, such as `30s` or `2m30s`
        ");
        // With the usual policy nothing could move; with the manifest's own it can.
        let none = properties("max_surge=0");
        assert!(check(&none, &[]).is_err());
        let mut own = RolloutPolicy::default();
        own.max_unavailable = lath_manifests::manifest::Share::Count(1);
        assert!(check(&none, &[own]).is_ok());
    }

    #[test]
    fn unknown_strategies_and_half_properties_are_refused_at_once() {
        for flags in [["--strategy", "canry"], ["--rollout", "max_surge"], ["--auto-promote", "maybe"]] {
            assert!(Flags::try_parse_from(["lath"].iter().chain(&flags)).is_err(), "{flags:?}");
        }
    }
}
