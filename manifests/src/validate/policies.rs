//! Rules on policies among one another.
//!
//! What a rollout policy says is read in `rollout.rs`.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::ComponentName;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, DraftPolicy};
use crate::limits::MAX_NAME;
use crate::position::Span;
use crate::report::{Report, Spanned, shown};
use crate::rollout::Part;

/// 1.x lets the last of equal names win.
pub(super) fn names_are_unique(report: &mut Report<'_>, draft: &Draft<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in draft.policies.iter().filter_map(|policy| policy.name) {
        if name.value.is_empty() || name.value.len() > MAX_NAME || name.value.chars().any(char::is_control) {
            let diagnostic = Diagnostic::error(
                code::TEXT,
                "a policy has a name of 1 to 128 bytes without control characters",
            );
            report.add(name.at, "", diagnostic.help("give it a short name"));
        }
        let Some(first) = seen.get(name.value).copied() else {
            seen.insert(name.value, name.at.span);
            continue;
        };
        let message = format!("there are two policies called `{}`", shown(name.value));
        let diagnostic = Diagnostic::error(code::POLICY, message).label(first, "the first one");
        report.add(name.at, "the second one", diagnostic.help("give one of them another name"));
    }
}

/// Two lists could only mean more than either says.
pub(super) fn one_policy_of_grants(report: &mut Report<'_>, draft: &Draft<'_>) {
    let policies: Vec<_> = draft.policies.iter().filter(|policy| policy.allowed_hosts.is_some()).collect();
    let [first, others @ ..] = policies.as_slice() else { return };
    for other in others {
        let diagnostic = Diagnostic::error(code::POLICY, "an app has one policy of grants at most")
            .label(first.at.span, "the first one")
            .help("put all hosts into one, or those of one component into its trait `grants`");
        report.add(other.at, "another one", diagnostic);
    }
}

/// At most one for all components: which of two would count, nobody could say.
pub(super) fn one_rollout_policy_for_all(report: &mut Report<'_>, draft: &Draft<'_>) {
    let general = |policy: &&DraftPolicy<'_>| policy.rollout.is_some() && policy.components.is_none();
    let policies: Vec<_> = draft.policies.iter().filter(general).collect();
    let [first, others @ ..] = policies.as_slice() else { return };
    for other in others {
        let message = "an app has one rollout policy for all its components at most";
        let diagnostic = Diagnostic::error(code::POLICY, message)
            .label(first.at.span, "the first one")
            .help("put all properties into one, or limit one of them by `components: \"NAME, NAME\"`");
        report.add(other.at, "another one", diagnostic);
    }
}

/// No component in two policies, for the same reason.
pub(super) fn rollout_policies_are_apart(report: &mut Report<'_>, draft: &Draft<'_>) {
    let mut seen: BTreeMap<&str, (usize, Spanned<Part<'_>>)> = BTreeMap::new();
    for (index, policy) in draft.policies.iter().enumerate() {
        for name in policy.components.iter().flatten().filter(is_name) {
            let (first_index, first) = *seen.entry(name.value.text).or_insert((index, *name));
            // Twice in one policy is reported by its reader.
            if first_index == index {
                continue;
            }
            let message = format!("the component `{}` has two rollout policies", shown(name.value.text));
            let first = report.part(first.at, &first.value.range());
            let diagnostic = Diagnostic::error(code::POLICY, message).label(first.span, "in the first one");
            let at = report.part(name.at, &name.value.range());
            report.add(at, "and in another one", diagnostic.help("name it in one policy only"));
        }
    }
}

pub(super) fn components_of_rollouts_exist(report: &mut Report<'_>, draft: &Draft<'_>) {
    let names: BTreeSet<&str> =
        draft.components.iter().filter_map(|component| component.name).map(|name| name.value).collect();
    let limited = draft.policies.iter().filter_map(|policy| policy.components.as_ref()).flatten();
    for name in limited.filter(is_name) {
        let text = name.value.text;
        if names.contains(text) {
            continue;
        }
        let message = format!("the component `{}` of `components` does not exist", shown(text));
        let help = report.suggest(text, names.iter().copied()).map_or_else(
            || {
                "name components of this manifest, or leave the property out: the policy is for all then"
                    .to_owned()
            },
            |near| format!("did you mean `{near}`?"),
        );
        let at = report.part(name.at, &name.value.range());
        let diagnostic = Diagnostic::error(code::POLICY, message).help(help);
        report.add(at, "no component has this name", diagnostic);
    }
}

/// What cannot be a name is reported by its reader.
fn is_name(name: &&Spanned<Part<'_>>) -> bool {
    name.value.text.parse::<ComponentName>().is_ok()
}
