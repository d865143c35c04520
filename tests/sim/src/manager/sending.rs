//! Commands on their way: sent until the inventory shows them, with pauses that grow.

use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{ApiError, AppName, ApplyReply, ErrorCode, Fence, HostId, Order, Timestamp};
use lath_manager_planner::Command;

use super::{Manager, Out, View, Waiting};
use crate::message::{Event, Known, Message};

/// Time for a host to take a command on.
const DEADLINE: Duration = Duration::from_secs(5);
/// Shortest and longest time between two sendings of one command.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// The last command of an app to a host.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    fence: Fence,
    boot: String,
    at: Timestamp,
    in_flight: bool,
    failures: u32,
}

impl Sent {
    fn pause(&self) -> Duration {
        if planted!("send-without-pause") {
            return Duration::ZERO;
        }
        AGAIN.0.saturating_mul(1 << self.failures.saturating_sub(1).min(8)).min(AGAIN.1)
    }
}

impl Manager {
    /// Sends the commands that are due.
    pub(super) fn offer(&mut self, app: &AppName, commands: &[Command], view: View<'_>, out: &mut Out) {
        for command in commands {
            let known = self.observed.host(&command.host);
            let boot = known.map(|known| known.summary.boot.clone()).unwrap_or_default();
            let fence = command.request.fence;
            let key = (app.clone(), command.host.clone());
            let same = self.sent.get(&key).filter(|sent| sent.fence == fence && sent.boot == boot);
            let failures = match same {
                Some(sent) if sent.in_flight => continue,
                Some(sent) if view.now < sent.at.plus(sent.pause()) => {
                    let again = sent.at.plus(sent.pause());
                    self.due(app, again);
                    continue;
                }
                Some(sent) => sent.failures,
                None => 0,
            };
            self.send(app, command, boot.clone(), view, out);
            self.sent.insert(key, Sent { fence, boot, at: view.now, in_flight: true, failures });
        }
    }

    fn send(&mut self, app: &AppName, command: &Command, boot: String, view: View<'_>, out: &mut Out) {
        let Command { host, request, .. } = command;
        let Some(node) = view.node(host) else { return };
        self.last_id += 1;
        let id = self.last_id;
        let fence = request.fence;
        self.waiting.insert(id, Waiting::Apply { app: app.clone(), host: host.clone(), fence });
        let holds = self.observed.host(host).and_then(|known| known.app(app));
        let has_it = holds.is_some_and(|entry| entry.fence.order(&fence) == Order::Same && entry.confirmed);
        let known = Known { boot, has_it };
        let message = Message::Apply { from: self.at, id, request: Arc::new(request.clone()), known };
        out.sends.push((node, message));
        out.later.push((DEADLINE, Event::GiveUp(self.at, id)));
    }

    /// A host has answered a command, or has not in time.
    pub(super) fn answered(
        &mut self,
        (app, host, fence): (&AppName, &HostId, Fence),
        answer: Option<Result<ApplyReply, ApiError>>,
        view: View<'_>,
        out: &mut Out,
    ) {
        let sent = self.sent.get_mut(&(app.clone(), host.clone()));
        if let Some(sent) = sent.filter(|sent| sent.fence == fence) {
            sent.in_flight = false;
            sent.failures = if matches!(answer, Some(Ok(_))) { 0 } else { sent.failures.saturating_add(1) };
        }
        let out_of_date = match answer {
            Some(Ok(reply)) => reply.unchanged,
            Some(Err(refusal)) => {
                out.lines.push(format!("refused: {refusal}"));
                refusal.code == ErrorCode::Stale
            }
            None => false,
        };
        if out_of_date {
            self.ask_host(view.node(host), out);
        }
        self.due(app, view.now);
    }
}
