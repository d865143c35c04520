//! A result in a job of GitHub Actions: a failure is an annotation, and the job's page gets a summary.
//!
//! What is written is made by pure functions. A summary that cannot be written ends no command.

use std::fs::OpenOptions;
use std::io::Write;

use super::RolloutResult;
use crate::call::Call;
use crate::output;
use crate::render::{workflow_property, workflow_text};

/// Tells the job, where there is one; `text` is what people read elsewhere.
pub(crate) fn tell(result: &RolloutResult, text: &str) {
    if Call::env("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return;
    }
    if result.exit != 0 {
        output::tell(&annotation(result, text));
    }
    let Some(path) = Call::env("GITHUB_STEP_SUMMARY") else { return };
    let file = OpenOptions::new().append(true).create(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(summary(result, text).as_bytes())) {
        output::tell(&format!("warning: the job's summary {path} cannot be written: {error}"));
    }
}

/// `::error title=shop RolledBack::...`.
fn annotation(result: &RolloutResult, text: &str) -> String {
    let title = format!("{} {} of {}: {}", result.lattice, result.change, result.app, result.outcome);
    format!("::error title={}::{}", workflow_property(&title), workflow_text(text.trim_end()))
}

/// A section of Markdown. The text is shown as it is, whatever is in it.
fn summary(result: &RolloutResult, text: &str) -> String {
    let revision = result.revision.map(|revision| format!(" revision {revision}")).unwrap_or_default();
    let mark = if result.exit == 0 { "✅" } else { "❌" };
    // A fence of four is not ended by one of three.
    let text = text.trim_end().replace("````", "``` `");
    format!(
        "### {mark} {} of `{}`{revision} in lattice `{}`: {}\n\n````text\n{text}\n````\n\n",
        result.change, result.app, result.lattice, result.outcome
    )
}

#[cfg(test)]
mod tests {
    use lath_control_api::{Generation, Revision};

    use super::*;
    use crate::wait::{Change, End, Goal};

    fn result() -> RolloutResult {
        let goal = Goal {
            app: "shop".parse().unwrap(),
            change: Change::Deploy,
            generation: Generation(3),
            revision: Some(Revision(7)),
            from: Some(Revision(6)),
            unchanged: false,
            before: None,
        };
        RolloutResult::of(&"eu".parse().unwrap(), &goal, Vec::new()).ended(&End::RolledBack(None))
    }

    #[test]
    fn a_failure_is_one_annotation_whatever_it_says() {
        let annotation = annotation(&result(), "rolled back\n  why  100%\n::set-output name=x::y\n");
        assert_eq!(
            annotation,
            "::error title=eu deploy of shop%3A RolledBack::rolled back%0A  why  100%25%0A::set-output name=x::y"
        );
    }

    #[test]
    fn the_summary_is_a_section_that_its_text_cannot_leave() {
        let summary = summary(&result(), "why\n````\n# mine\n");
        insta::assert_snapshot!(summary, @r"
        ### ❌ deploy of `shop` revision 7 in lattice `eu`: RolledBack

        ````text
        why
        ``` `
        # mine
        ````
        ");
    }
}
