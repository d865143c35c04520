//! What a changing command has come to: the document for machines and the words for people.
//!
//! Pure: it only puts together what is known.

pub(crate) mod github;

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::app::{AppStatus, Problem};
use lath_control_api::{AppName, Generation, LatticeId, Revision, Timestamp};
use serde::Serialize;

use crate::failure::Exit;
use crate::output::{Glyphs, clean};
use crate::progress::took;
use crate::rollout::Seen;
use crate::wait::{Change, End, Goal, prepared, problem_line};
use crate::words;

/// The document that every changing command ends with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RolloutResult {
    /// The lattice.
    pub(crate) lattice: LatticeId,
    /// The app.
    pub(crate) app: AppName,
    /// The command's word, such as `deploy` or `promote`.
    pub(crate) change: &'static str,
    /// Where it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<Revision>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Revision>,
    /// The generation that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<Generation>,
    /// `Completed`, `Paused`, `RolledBack`, `Failed`, `Degraded`, `Superseded`, `Stopped`, `Deleted`; `Accepted` with
    /// `--detach`, `DryRun`, and `Progressing` when the wait ended first.
    pub(crate) outcome: &'static str,
    /// Nothing had to change.
    pub(crate) unchanged: bool,
    /// The process's exit code.
    pub(crate) exit: u8,
    /// The strategy's word in a manifest, where one moved traffic.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) strategy: String,
    /// `step 2/4`: how far it had come when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_at: Option<String>,
    /// Why it stands still until a person says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<String>,
    /// Until when the revision before is kept ready beside the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warm_until: Option<Timestamp>,
    /// Stable word for why it did not go well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The same with host and cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
    /// What it waited for when the wait ended first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting_for: Vec<String>,
    /// Hosts that run some of it.
    pub(crate) hosts: usize,
    /// Components on hosts that serve as wanted, and how many there should be.
    pub(crate) ready: u32,
    /// See `ready`.
    pub(crate) desired: u32,
    /// Those where the new revision could serve, with calls or without, while a rollout is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prepared: Option<u32>,
    /// Time from the request to the end.
    pub(crate) duration_ms: u128,
    /// Time from the request until every component served on some host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_ready_ms: Option<u128>,
    /// Calls of all its components that ended while the command looked on, as far as hosts have told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invocations: Option<Seen>,
    /// Where it answers HTTP requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<String>,
    /// What the manager added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// A command that tells or does more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl RolloutResult {
    /// A result of which only the change is known.
    pub(crate) fn of(lattice: &LatticeId, goal: &Goal, notes: Vec<String>) -> Self {
        Self {
            lattice: lattice.clone(),
            app: goal.app.clone(),
            change: goal.change.word(),
            revision: goal.revision,
            from: goal.from,
            generation: Some(goal.generation),
            outcome: "Accepted",
            unchanged: goal.unchanged,
            exit: Exit::Done.code(),
            strategy: String::new(),
            failed_at: None,
            paused: None,
            warm_until: None,
            reason: None,
            problem: None,
            waiting_for: Vec::new(),
            hosts: 0,
            ready: 0,
            desired: 0,
            prepared: None,
            duration_ms: 0,
            first_ready_ms: None,
            invocations: None,
            routes: Vec::new(),
            notes,
            next: None,
        }
    }

    /// The same with what the last status tells.
    pub(crate) fn standing(mut self, status: Option<&AppStatus>) -> Self {
        let Some(status) = status else { return self };
        let places = status.components.iter().flat_map(|component| &component.places);
        self.hosts = places.map(|place| &place.host).collect::<BTreeSet<_>>().len();
        self.ready = status.components.iter().map(|component| component.ready).sum();
        self.desired = status.components.iter().map(|component| component.desired).sum();
        self.prepared = status
            .rollout
            .as_ref()
            .map(|rollout| status.components.iter().map(|component| prepared(component, rollout.to)).sum());
        self.routes.clone_from(&status.routes);
        let rollout = status.rollout.as_ref().map(|rollout| &rollout.strategy);
        let strategy = rollout.or_else(|| status.last.as_ref().map(|last| &last.strategy));
        self.strategy = strategy.cloned().unwrap_or_default();
        self
    }

    /// The same with how it ended.
    pub(crate) fn ended(mut self, end: &End) -> Self {
        self.outcome = end.word();
        self.exit = end.exit().code();
        self.reason = end.problem().map(|problem| problem.reason.clone());
        self.problem = end.problem().cloned();
        if let End::Paused(why) = end {
            self.paused = Some(why.clone());
        }
        if let End::Warm(until) = end {
            self.warm_until = *until;
        }
        self.next = match end {
            End::Completed | End::Unchanged | End::Stopped | End::Deleted => None,
            End::Warm(_) => Some(self.command("abort")),
            End::Paused(why) => Some(self.command(forward(why))),
            End::RolledBack(_) | End::Aborted | End::Superseded => Some(format!("lath history {}", self.app)),
            End::Failed(_) | End::Degraded(_) => Some(format!("lath status {}", self.app)),
        };
        self
    }

    fn command(&self, verb: &str) -> String {
        format!("lath rollout {verb} {}", self.app)
    }

    /// What people read at the end. `now` gives their time zone.
    pub(crate) fn text(&self, end: &End, glyphs: Glyphs, now: &jiff::Zoned) -> String {
        let mut text = format!("{}\n", self.first_line(end, glyphs));
        let mut fact = |name: &str, value: &str| text.push_str(&format!("  {name:<8} {value}\n"));
        if let Some(problem) = end.problem() {
            let at = self.failed_at.as_ref().map(|at| format!(" (at {at})")).unwrap_or_default();
            fact("why", &format!("{}{at}", problem_line(problem)));
        }
        match end {
            End::Completed | End::Unchanged => {
                self.routes.iter().for_each(|route| fact("answers", &clean(route)))
            }
            End::Warm(until) => {
                self.routes.iter().for_each(|route| fact("answers", &clean(route)));
                let from = self.before();
                let until = until.map(|until| format!(" until {}", words::day_and_clock(until, now)));
                fact("kept", &format!("{from} stays ready{}", until.unwrap_or_default()));
                fact("back", &format!("{} switches back at once", self.command("abort")));
            }
            End::Paused(why) => {
                fact("why", why.split("; go on: ").next().unwrap_or(why));
                let next = self.next.clone().unwrap_or_default();
                fact("go on", &next);
                if next == self.command("promote") {
                    fact("", &format!("{next} --full skips every step that is left"));
                }
                fact("go back", &self.command("abort"));
            }
            End::RolledBack(_) | End::Failed(_) | End::Degraded(_) => {
                fact("see", &self.next.clone().unwrap_or_default());
                fact("again", &self.command("retry"));
                // It is held where it failed: the revision before is still there.
                if matches!(end, End::Degraded(_)) && self.prepared.is_some() && self.from.is_some() {
                    fact("go back", &self.command("abort"));
                }
            }
            End::Aborted | End::Superseded => fact("see", &self.next.clone().unwrap_or_default()),
            End::Stopped | End::Deleted => {}
        }
        text
    }

    /// `revision 6`.
    fn before(&self) -> String {
        self.from.map_or_else(|| "what was there before".to_owned(), |from| format!("revision {from}"))
    }

    fn first_line(&self, end: &End, glyphs: Glyphs) -> String {
        let good = glyphs.pick("✔", "OK");
        let bad = glyphs.pick("✖", "XX");
        let time = took(Duration::from_millis(u64::try_from(self.duration_ms).unwrap_or(u64::MAX)));
        let from = self.before();
        match end {
            End::Completed | End::Warm(_) => {
                let calls = self.calls(glyphs);
                format!("{good} Healthy in {time}{}{}{calls}", self.first_ready(glyphs), self.numbers(glyphs))
            }
            End::Paused(_) => {
                let mark = glyphs.pick("‖", "PP");
                format!("{mark} Paused after {time}{}{}", self.numbers(glyphs), self.calls(glyphs))
            }
            End::Aborted if self.from.is_none() => {
                format!("{} Aborted in {time}: nothing of it runs", glyphs.pick("↺", "<<"))
            }
            End::Aborted => {
                let mark = glyphs.pick("↺", "<<");
                format!("{mark} Aborted in {time}: {from} serves{}", self.calls(glyphs))
            }
            End::Unchanged if self.revision.is_none() => format!("{good} Unchanged: {} is stopped", self.app),
            End::Unchanged => format!("{good} Unchanged{}", self.numbers(glyphs)),
            End::Stopped => format!("{good} Stopped in {time}; its revisions are kept"),
            End::Deleted => format!("{good} Deleted in {time}"),
            End::RolledBack(_) => {
                let mark = glyphs.pick("↺", "<<");
                let calls = self.calls(glyphs);
                format!(
                    "{mark} Rolled back after {time}: {from} serves and nothing of the new revision does{calls}"
                )
            }
            End::Failed(_) => format!("{bad} Failed after {time}, and there was nothing to go back to"),
            End::Degraded(_) => {
                let mark = glyphs.pick("⚠", "!!");
                format!("{mark} Degraded after {time}: it is not all as it should be{}", self.numbers(glyphs))
            }
            End::Superseded => format!("{bad} Superseded after {time}: somebody asked for a newer change"),
        }
    }

    fn first_ready(&self, glyphs: Glyphs) -> String {
        let Some(first) = self.first_ready_ms else { return String::new() };
        let first = took(Duration::from_millis(u64::try_from(first).unwrap_or(u64::MAX)));
        format!(" {} first ready after {first}", glyphs.pick("·", "-"))
    }

    /// ` · 3 of 41209 calls failed`.
    fn calls(&self, glyphs: Glyphs) -> String {
        let Some(calls) = self.invocations else { return String::new() };
        format!(" {} {} of {} calls failed", glyphs.pick("·", "-"), calls.failed, calls.total)
    }

    fn numbers(&self, glyphs: Glyphs) -> String {
        let dot = glyphs.pick("·", "-");
        let hosts = crate::render::count(self.hosts, "host");
        let revision =
            self.revision.map(|revision| format!(" {dot} revision {revision}")).unwrap_or_default();
        // What is ready and has no calls yet counts, where that is what is waited for.
        let ready = self.ready.max(self.prepared.unwrap_or(0));
        format!(" {dot} {ready}/{} ready on {hosts}{revision}", self.desired)
    }
}

/// The verb by which a paused rollout goes on: the manager names the command in its reason.
fn forward(why: &str) -> &'static str {
    if why.contains("lath rollout resume") { "resume" } else { "promote" }
}

/// The first line of every changing command: where, what, and from which revision to which.
pub(crate) fn headline(lattice: &LatticeId, goal: &Goal, glyphs: Glyphs) -> String {
    let dot = glyphs.pick("·", "-");
    let arrow = glyphs.pick("→", "->");
    let change = match (goal.change, goal.from, goal.revision) {
        (Change::Delete | Change::Undeploy, _, _) if goal.unchanged => "unchanged".to_owned(),
        (Change::Delete, from, _) => match from {
            Some(from) => format!("delete (revision {from} is deployed)"),
            None => "delete".to_owned(),
        },
        (Change::Undeploy, Some(from), _) => format!("revision {from} {arrow} stopped"),
        (Change::Undeploy, None, _) => "stopped".to_owned(),
        // It leads the other way.
        (Change::Abort, Some(from), Some(to)) if from != to => {
            format!("abort revision {to} {arrow} back to {from}")
        }
        (
            Change::Pause | Change::Resume | Change::Promote | Change::Abort | Change::Watch,
            Some(from),
            Some(to),
        ) if from != to => {
            format!("{} revision {from} {arrow} {to}", goal.change.word())
        }
        (Change::Pause | Change::Resume | Change::Promote | Change::Abort | Change::Watch, _, Some(to)) => {
            format!("{} revision {to}", goal.change.word())
        }
        (_, _, Some(to)) if goal.unchanged => format!("revision {to} (unchanged)"),
        (_, Some(from), Some(to)) if from != to => format!("revision {from} {arrow} {to}"),
        (_, _, Some(to)) => format!("revision {to}"),
        (_, _, None) => "no revision".to_owned(),
    };
    format!("Lattice {lattice} {dot} app {} {dot} {change}", goal.app)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(change: Change) -> Goal {
        Goal {
            app: "shop".parse().unwrap(),
            change,
            generation: Generation(3),
            revision: Some(Revision(7)),
            from: Some(Revision(6)),
            unchanged: false,
            before: None,
        }
    }

    fn now() -> jiff::Zoned {
        "2026-11-21T07:00[UTC]".parse().unwrap()
    }

    fn result(end: &End) -> RolloutResult {
        let result = RolloutResult::of(&"eu".parse().unwrap(), &goal(Change::Deploy), Vec::new()).ended(end);
        RolloutResult {
            duration_ms: 2_150,
            first_ready_ms: Some(840),
            hosts: 2,
            ready: 4,
            desired: 4,
            routes: vec!["127.0.0.1:8000/cart".into()],
            ..result
        }
    }

    #[test]
    fn people_read_what_became_of_it() {
        let problem = Problem {
            reason: "digest-mismatch".into(),
            message: "the bytes are those of sha256:aa".into(),
            component: Some("cart".parse().unwrap()),
            host: None,
            host_name: Some("amber-fox".into()),
        };
        let ends = [
            End::Completed,
            End::Unchanged,
            End::RolledBack(Some(problem.clone())),
            End::Failed(Some(problem)),
            End::Superseded,
        ];
        let text: Vec<String> =
            ends.iter().map(|end| result(end).text(end, Glyphs::Unicode, &now())).collect();
        insta::assert_snapshot!(text.join(""));
        insta::assert_snapshot!(result(&ends[2]).text(&ends[2], Glyphs::Ascii, &now()));
    }

    #[test]
    fn what_a_person_may_do_next_is_told() {
        let later = Timestamp(1_795_244_400_000 + 300_000);
        let ends = [
            End::Warm(Some(later)),
            End::Paused(
                "waits for promotion at step 2/4; go on: lath rollout promote shop; go back: lath rollout abort shop"
                    .into(),
            ),
            End::Paused("paused by ops; go on: lath rollout resume shop".into()),
            End::Aborted,
        ];
        let told = |end: &End| {
            let invocations = Some(Seen { total: 41_209, failed: 3 });
            RolloutResult { invocations, ..result(end) }.text(end, Glyphs::Unicode, &now())
        };
        insta::assert_snapshot!(ends.iter().map(told).collect::<String>());
        let first = RolloutResult { from: None, ..result(&End::Aborted) };
        insta::assert_snapshot!(first.text(&End::Aborted, Glyphs::Ascii, &now()));
    }

    #[test]
    fn machines_read_the_same() {
        insta::assert_json_snapshot!(result(&End::RolledBack(None)));
        let paused = result(&End::Paused("by ops".into()));
        assert_eq!((paused.outcome, paused.exit, paused.paused.as_deref()), ("Paused", 0, Some("by ops")));
        let warm = result(&End::Warm(Some(Timestamp(5))));
        assert_eq!((warm.outcome, warm.warm_until), ("Completed", Some(Timestamp(5))));
    }

    #[test]
    fn the_first_line_names_target_and_change() {
        let eu = "eu".parse().unwrap();
        let first = Goal { from: None, ..goal(Change::Deploy) };
        let same = Goal { unchanged: true, ..goal(Change::Deploy) };
        let lines = [
            headline(&eu, &goal(Change::Deploy), Glyphs::Unicode),
            headline(&eu, &goal(Change::Rollback), Glyphs::Ascii),
            headline(&eu, &first, Glyphs::Unicode),
            headline(&eu, &same, Glyphs::Unicode),
            headline(&eu, &goal(Change::Undeploy), Glyphs::Unicode),
            headline(&eu, &goal(Change::Delete), Glyphs::Unicode),
            headline(&eu, &Goal { unchanged: true, ..goal(Change::Delete) }, Glyphs::Unicode),
            headline(&eu, &goal(Change::Abort), Glyphs::Unicode),
            headline(&eu, &Goal { from: None, ..goal(Change::Watch) }, Glyphs::Unicode),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        Lattice eu · app shop · revision 6 → 7
        Lattice eu - app shop - revision 6 -> 7
        Lattice eu · app shop · revision 7
        Lattice eu · app shop · revision 7 (unchanged)
        Lattice eu · app shop · revision 6 → stopped
        Lattice eu · app shop · delete (revision 6 is deployed)
        Lattice eu · app shop · unchanged
        Lattice eu · app shop · abort revision 7 → back to 6
        Lattice eu · app shop · watch revision 7
        ");
    }
}
