//! What the gates of a step mean for its rollout.

use lath_control_api::Weight;
use lath_control_api::app::{GateStatus, Problem};
use lath_manifests::manifest::Inconclusive;

use super::{Advance, Forward, Shifting};
use crate::gate;
use crate::planted::planted;
use crate::record::{Pause, Rollout, Window};

/// How the gates of a step stand, and what follows.
pub(super) struct Judged {
    pub(super) gates: Vec<GateStatus>,
    pub(super) judgement: Judgement,
}

pub(super) enum Judgement {
    /// Nothing speaks against going on.
    Holds,
    /// The candidate is worse than it may be.
    Failed(Problem),
    /// There is too little to judge by; says what.
    Unknown(String),
    /// Hosts have begun to count anew, and so must we.
    Anew(Window),
}

pub(super) fn judge(forward: &Forward<'_>, at: &Shifting<'_>) -> Judged {
    let situation = forward.situation;
    if !situation.ladder.gated {
        return Judged { gates: Vec::new(), judgement: Judgement::Holds };
    }
    let now = forward.counted();
    let Some(window) = forward.rollout.window.as_ref().filter(|window| gate::goes_on(window, &now)) else {
        return Judged { gates: Vec::new(), judgement: Judgement::Anew(now) };
    };
    let shares = at.weight != Weight::ALL || !forward.has_all(at);
    let gates = gate::judge(&situation.policy.gates, window, &now, situation.changed, shares && !at.alone);
    let judgement = match gate::failed(&gates) {
        Some(problem) if !planted!("ignore-failed-gate") => Judgement::Failed(problem),
        Some(_) | None => gate::inconclusive(&situation.policy.gates, &gates, situation.changed)
            .map_or(Judgement::Holds, Judgement::Unknown),
    };
    Judged { gates, judgement }
}

impl Forward<'_> {
    /// What the hosts of the rollout have counted so far.
    pub(super) fn counted(&self) -> Window {
        let hosts = self.situation.hosts.keys().cloned().collect();
        gate::count(self.record, self.situation.observed, &hosts)
    }

    /// The step's time is over and nothing is known of its calls.
    pub(super) fn unknown(&self, at: &Shifting<'_>, what: String) -> Advance {
        match self.situation.policy.gates.inconclusive {
            // The last step has nothing left to move, and waiting would keep the old revision for ever.
            _ if self.has_all(at) => self.go_on(at),
            // The progress deadline ends this.
            Inconclusive::Wait => Advance { waits_for: Some(what), ..Advance::default() },
            Inconclusive::Pause => {
                let why = format!("too little to judge by: {what}");
                let paused = Some(Pause { since: self.situation.now, why });
                let rollout = Rollout { paused, ..self.rollout.clone() };
                Advance::to(crate::record::DesiredRecord { rollout: Some(rollout), ..self.record.clone() })
            }
        }
    }

    /// Asks the policy's webhook about the step that ends now; none when it agrees, or when nobody is to be asked.
    pub(super) fn ask_webhook(&self) -> Option<Advance> {
        if !self.situation.ladder.asks_webhook {
            return None;
        }
        let answer = self.rollout.webhook.as_ref().filter(|answer| answer.step == self.record.step);
        match answer {
            Some(answer) if answer.agreed => None,
            Some(answer) => Some(Advance::to(self.fail(Problem {
                reason: "webhook-refused".to_owned(),
                message: format!("the webhook did not agree: {}", answer.text),
                component: None,
                host: None,
                host_name: None,
            }))),
            None => {
                let waits_for = Some("the webhook".to_owned());
                Some(Advance { asks_webhook: true, waits_for, ..Advance::default() })
            }
        }
    }
}
