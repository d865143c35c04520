//! Reads policies, and those of rollouts into their typed form.
//!
//! Values are text, because 1.x takes nothing else there and one file must load in both managers. What the texts of a
//! rollout policy mean is read in `rollout.rs`; here its problems get their places in the file.

use super::{DraftPolicy, bounded_list, grants, shapes};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::NodeId;
use crate::limits::MAX_POLICIES;
use crate::manifest::{Policy, RolloutPolicy};
use crate::problem::Place;
use crate::read::Pair;
use crate::report::{Report, Spanned, shown};
use crate::rollout::{self, Part};
use crate::suggest::closest;

/// What types begin with that are meant as [`Policy::ROLLOUT`], as [`Policy::GRANTS`], and as [`Policy::SECRET`].
const ROLLOUT_FAMILY: &str = "policy.rollout.";
const GRANTS_FAMILY: &str = "policy.grants.";
const SECRET_FAMILY: &str = "policy.secret.wasmcloud.dev/";

pub(super) fn read_all<'t>(report: &mut Report<'t>, id: NodeId) -> Vec<DraftPolicy<'t>> {
    let items = bounded_list(report, id, "policies", MAX_POLICIES);
    items.iter().filter_map(|item| read_one(report, *item)).collect()
}

fn read_one<'t>(report: &mut Report<'t>, id: NodeId) -> Option<DraftPolicy<'t>> {
    let object = report.object(id, &shapes::POLICY)?;
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let kind = object.required(report, "type").and_then(|id| report.text(id));
    let ours = kind.is_none_or(|kind| kind.value != Policy::REPLICAS);
    let properties = match object.required(report, "properties") {
        Some(id) if ours => report.pairs(id, "properties"),
        Some(id) => report.loose_pairs(id, "properties"),
        None => Vec::new(),
    };
    let kind_name = kind.map(|kind| kind.value).unwrap_or_default();
    if let Some(kind) = kind {
        look_at_type(report, kind);
    }
    let rollout = (kind_name == Policy::ROLLOUT).then(|| read_rollout(report, &properties));
    let allowed_hosts = (kind_name == Policy::GRANTS).then(|| grants::read_policy(report, &properties));
    let components = rollout.as_ref().and_then(|_| read_components(&properties));
    let at = name.map_or(object.at, |name| name.at);
    Some(DraftPolicy { at, name, kind, properties, rollout, allowed_hosts, components })
}

/// Says what is wrong with a type, or that it is not known.
fn look_at_type(report: &mut Report<'_>, kind: Spanned<&str>) {
    const KNOWN: [&str; 3] = [Policy::ROLLOUT, Policy::GRANTS, Policy::SECRET];
    if KNOWN.contains(&kind.value) {
        return;
    }
    if kind.value == Policy::REPLICAS {
        let message = "policies of type `replicas` are kept and do not act yet";
        let help = "until they do, `instances` of the scaler is what runs; `lath scale` changes it";
        return report.add(kind.at, "", Diagnostic::warning(code::NOT_YET, message).help(help));
    }
    // Another version, or another domain: a policy that is meant for us must not be without effect.
    let near = [ROLLOUT_FAMILY, GRANTS_FAMILY, SECRET_FAMILY]
        .into_iter()
        .zip(KNOWN)
        .find(|(family, _)| kind.value.starts_with(family))
        .map(|(_, known)| known);
    let near = near.or_else(|| closest(kind.value, KNOWN));
    if let Some(near) = near {
        let message = format!("`{}` is not a type of policy", shown(kind.value));
        let diagnostic = Diagnostic::error(code::COMPONENT_TYPE, message);
        report.add(kind.at, "", diagnostic.help(format!("did you mean `{near}`?")));
    } else {
        let message = format!("policies of type `{}` are not known and have no effect", shown(kind.value));
        let help = "remove the policy, unless another tool reads it";
        report.add(kind.at, "", Diagnostic::warning(code::UNKNOWN_TRAIT, message).help(help));
    }
}

fn read_rollout(report: &mut Report<'_>, properties: &[Pair<'_>]) -> RolloutPolicy {
    let given: Vec<rollout::Given<'_>> =
        properties.iter().map(|pair| (pair.key.value, pair.value.value)).collect();
    let reading = rollout::read(RolloutPolicy::default(), &given);
    for (index, problem) in reading.problems {
        let Some(pair) = properties.get(index) else { continue };
        let at = match problem.place {
            Place::Name => pair.key.at,
            Place::Value | Place::Part(_) => pair.value.at,
        };
        report.problem(at, problem);
    }
    reading.policy
}

/// The components that a rollout policy names; `None` when it is for all of them.
fn read_components<'t>(properties: &[Pair<'t>]) -> Option<Vec<Spanned<Part<'t>>>> {
    let value = properties.iter().find(|pair| pair.key.value == rollout::COMPONENTS)?.value;
    Some(rollout::names(value.value).map(|name| Spanned { value: name, at: value.at }).collect())
}
