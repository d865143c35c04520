//! The components that a policy is limited to: `api, worker`.
//!
//! Whether the manifest has them is not known here; [`crate::validate`] looks.

use std::collections::BTreeSet;

use lath_control_api::ComponentName;

use super::part::Part;
use crate::code;
use crate::limits::{MAX_COMPONENTS, MAX_ROLLOUT_TEXT};
use crate::problem::Problem;
use crate::report::shown;

/// The names in a text, each with its place, as they were written. Of more than there may be only so many.
pub(crate) fn names(text: &str) -> impl Iterator<Item = Part<'_>> {
    let text = if text.len() > MAX_ROLLOUT_TEXT { "" } else { text };
    Part::whole(text).listed().take(MAX_COMPONENTS + 1)
}

/// The names in a text; at least one.
pub(super) fn read(text: &str) -> Result<BTreeSet<ComponentName>, Vec<Problem>> {
    if names(text).count() > MAX_COMPONENTS {
        let message = format!("`components` has more than {MAX_COMPONENTS} names, which no app has");
        let help = "leave the property out: the policy is for all then";
        return Err(vec![Problem::new(code::COUNT, message, help)]);
    }
    let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
    for part in names(text) {
        match part.text.parse::<ComponentName>() {
            Ok(name) => {
                if !found.insert(name) {
                    let message = format!("`components` has `{}` twice", shown(part.text));
                    problems.push(Problem::new(code::POLICY, message, "remove one of them").at(part.place()));
                }
            }
            Err(_) => problems.push(bad_name(part)),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

fn bad_name(part: Part<'_>) -> Problem {
    let message = format!("`components` cannot have the name `{}`", shown(part.text));
    let help =
        format!("write names of components with commas between them; a name has {}", ComponentName::RULE);
    Problem::new(code::POLICY, message, help).at(part.place())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_listed_once() {
        let found: Vec<String> = read("worker, api").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["api", "worker"]);
        for (text, problems) in [("", 1), ("api,", 1), ("api, api", 1), ("a b, -", 2)] {
            assert_eq!(read(text).unwrap_err().len(), problems, "{text}");
        }
        let many = |count: usize| (0..count).map(|index| format!("c{index}")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&many(MAX_COMPONENTS)).unwrap().len(), MAX_COMPONENTS);
        assert_eq!(read(&many(MAX_COMPONENTS + 1)).unwrap_err()[0].code, code::COUNT);
    }
}
