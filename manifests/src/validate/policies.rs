//! Rules on policies among one another.
//!
//! What a rollout policy says is read in `draft/policy.rs`.

use std::collections::BTreeMap;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::Draft;
use crate::limits::MAX_NAME;
use crate::position::Span;
use crate::report::{Report, shown};

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

pub(super) fn one_rollout_policy(report: &mut Report<'_>, draft: &Draft<'_>) {
    let policies: Vec<_> = draft.policies.iter().filter(|policy| policy.rollout.is_some()).collect();
    let [first, others @ ..] = policies.as_slice() else { return };
    for other in others {
        let diagnostic = Diagnostic::error(code::POLICY, "an app has one rollout policy at most")
            .label(first.at.span, "the first one")
            .help("put all properties into one");
        report.add(other.at, "another one", diagnostic);
    }
}
