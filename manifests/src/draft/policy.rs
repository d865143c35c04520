//! Reads policies, and the one of rollouts into its typed form.
//!
//! Values are text, because 1.x takes nothing else there and one file must load in both managers.

use std::time::Duration;

use super::{DraftPolicy, bounded_list, shapes};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::NodeId;
use crate::limits::{MAX_INSTANCES, MAX_POLICIES};
use crate::manifest::{Policy, RolloutPolicy, Share, Strategy};
use crate::read::{Pair, listed};
use crate::report::{Report, Spanned, shown};
use crate::suggest::closest;
use crate::units;

/// Every property of a rollout policy.
pub(crate) const ROLLOUT_PROPERTIES: [&str; 8] = [
    "strategy",
    "max_parallel",
    "max_surge",
    "max_unavailable",
    "min_healthy_time",
    "progress_deadline",
    "auto_rollback",
    "drain_deadline",
];

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn read_all<'t>(report: &mut Report<'t>, id: NodeId) -> Vec<DraftPolicy<'t>> {
    let items = bounded_list(report, id, "policies", MAX_POLICIES);
    items.iter().filter_map(|item| read_one(report, *item)).collect()
}

fn read_one<'t>(report: &mut Report<'t>, id: NodeId) -> Option<DraftPolicy<'t>> {
    let object = report.object(id, &shapes::POLICY)?;
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let kind = object.required(report, "type").and_then(|id| report.text(id));
    let properties = match object.required(report, "properties") {
        Some(id) => report.pairs(id, "properties"),
        None => Vec::new(),
    };
    let rollout = match kind {
        Some(kind) if known_type(report, kind) => Some(read_rollout(report, &properties)),
        _ => None,
    };
    Some(DraftPolicy { at: name.map_or(object.at, |name| name.at), name, kind, properties, rollout })
}

/// Looks at the type; true for a rollout policy.
fn known_type(report: &mut Report<'_>, kind: Spanned<&str>) -> bool {
    match kind.value {
        Policy::ROLLOUT => return true,
        Policy::SECRET => return false,
        _ => {}
    }
    let family = kind.value.split_once('/').map(|(family, _)| family);
    let near = [Policy::ROLLOUT, Policy::SECRET]
        .into_iter()
        .find(|known| family.is_some() && known.split_once('/').map(|(known, _)| known) == family);
    let near = near.or_else(|| closest(kind.value, [Policy::ROLLOUT, Policy::SECRET]));
    if let Some(near) = near {
        let message = format!("`{}` is not a type of policy", shown(kind.value));
        let diagnostic = Diagnostic::error(code::COMPONENT_TYPE, message);
        report.add(kind.at, "", diagnostic.help(format!("did you mean `{near}`?")));
    } else {
        let message = format!("policies of type `{}` are not known and have no effect", shown(kind.value));
        let help = "remove the policy, unless another tool reads it";
        report.add(kind.at, "", Diagnostic::warning(code::UNKNOWN_TRAIT, message).help(help));
    }
    false
}

fn read_rollout(report: &mut Report<'_>, properties: &[Pair<'_>]) -> RolloutPolicy {
    let mut policy = RolloutPolicy::default();
    for pair in properties {
        read_property(report, pair, &mut policy);
    }
    check_together(report, properties, &policy);
    policy
}

fn read_property(report: &mut Report<'_>, pair: &Pair<'_>, policy: &mut RolloutPolicy) {
    let value = pair.value;
    match pair.key.value {
        "strategy" => set(&mut policy.strategy, read_strategy(report, value)),
        "max_parallel" => set(&mut policy.max_parallel, read_share(report, value, "`max_parallel`")),
        "max_surge" => set(&mut policy.max_surge, read_share(report, value, "`max_surge`")),
        "max_unavailable" => set(&mut policy.max_unavailable, read_share(report, value, "`max_unavailable`")),
        "min_healthy_time" => {
            set(
                &mut policy.min_healthy_time,
                report.duration(value, "`min_healthy_time`", Duration::ZERO..=HOUR),
            );
        }
        "progress_deadline" => {
            let bounds = Duration::from_secs(1)..=24 * HOUR;
            set(&mut policy.progress_deadline, report.duration(value, "`progress_deadline`", bounds));
        }
        "auto_rollback" => set(&mut policy.auto_rollback, read_bool(report, value)),
        "drain_deadline" => {
            let bounds = Duration::from_millis(100)..=HOUR;
            set(&mut policy.drain_deadline, report.duration(value, "`drain_deadline`", bounds));
        }
        unknown => {
            let near = closest(unknown, ROLLOUT_PROPERTIES);
            let help = near.map_or_else(
                || format!("a rollout policy may have {}", listed(&ROLLOUT_PROPERTIES)),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("the property `{}` is not known in a rollout policy", shown(unknown));
            report.add(pair.key.at, "", Diagnostic::error(code::UNKNOWN_FIELD, message).help(help));
        }
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn read_strategy(report: &mut Report<'_>, text: Spanned<&str>) -> Option<Strategy> {
    let found = Strategy::ALL.into_iter().find(|strategy| strategy.as_str() == text.value);
    if found.is_none() {
        let names = Strategy::ALL.map(Strategy::as_str);
        let near = closest(text.value, names);
        let help = near.map_or_else(
            || format!("the strategies are {}", listed(&names)),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("`{}` is not a rollout strategy", shown(text.value));
        report.add(text.at, "", Diagnostic::error(code::POLICY, message).help(help));
    }
    found
}

fn read_share(report: &mut Report<'_>, text: Spanned<&str>, what: &str) -> Option<Share> {
    match units::share(text.value) {
        Some(Share::Count(count)) if count > MAX_INSTANCES => {
            let message = format!("{what} is {count}, and must be from 0 to {MAX_INSTANCES}");
            let diagnostic = Diagnostic::error(code::OUT_OF_RANGE, message);
            report.add(text.at, "", diagnostic.help("give a percentage, such as `25%`"));
            None
        }
        Some(share) => Some(share),
        None => {
            report.bad_unit(text, what, units::SHARE_RULE);
            None
        }
    }
}

fn read_bool(report: &mut Report<'_>, text: Spanned<&str>) -> Option<bool> {
    let found = text.value.parse().ok();
    if found.is_none() {
        let message = format!("`auto_rollback` cannot be `{}`", shown(text.value));
        let diagnostic = Diagnostic::error(code::WRONG_TYPE, message);
        report.add(text.at, "", diagnostic.help("write `\"true\"` or `\"false\"`, with quotes"));
    }
    found
}

/// What no single property can be blamed for.
fn check_together(report: &mut Report<'_>, properties: &[Pair<'_>], policy: &RolloutPolicy) {
    let place = |names: [&str; 2]| properties.iter().find(|pair| names.contains(&pair.key.value));
    let stuck = policy.max_surge.is_zero() && policy.max_unavailable.is_zero();
    let recreate = policy.strategy == Strategy::Recreate;
    if let (true, false, Some(pair)) = (stuck, recreate, place(["max_surge", "max_unavailable"])) {
        let message = "with `max_surge` and `max_unavailable` both 0 nothing could ever be replaced";
        let help = "allow one of the two, such as `max_surge: \"25%\"`";
        report.add(pair.value.at, "", Diagnostic::error(code::POLICY, message).help(help));
    }
    let never_healthy = policy.min_healthy_time >= policy.progress_deadline;
    if let (true, Some(pair)) = (never_healthy, place(["min_healthy_time", "progress_deadline"])) {
        let message = format!(
            "`min_healthy_time` ({}) must be shorter than `progress_deadline` ({})",
            units::show_duration(policy.min_healthy_time),
            units::show_duration(policy.progress_deadline)
        );
        let help = "a wave that may not be called healthy in time would always fail";
        report.add(pair.value.at, "", Diagnostic::error(code::POLICY, message).help(help));
    }
}
