//! Sends commands of committed records to hosts. What came of them stands in the hosts' inventories, not here.
//!
//! Level-triggered: the plan asks for a command until the inventory shows its fence, and this decides when it is sent
//! again. There is no other retry. In flight are at most [`IN_FLIGHT`] commands, [`OF_ONE_APP`] of them of one app.

use std::collections::BTreeMap;
use std::time::Duration;

use lath_control_api::{ApiError, AppName, ApplyReply, ErrorCode, Fence, HostId};
use lath_control_api_client::{ControlClient, RequestError};
use lath_manager_planner::{Command, ObservedState};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::failpoint::Failpoint;
use crate::lease::Standing;

/// Time for a host to take a command on.
const DEADLINE: Duration = Duration::from_secs(5);
/// Commands in flight.
const IN_FLIGHT: usize = 128;
/// Commands of one app in flight.
const OF_ONE_APP: usize = 32;
/// Shortest time between two sendings of the same command; doubles with every failure up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// Sends commands.
#[derive(Debug)]
pub(crate) struct Executor {
    client: ControlClient,
    standing: watch::Receiver<Standing>,
    /// The last command of each app to each host.
    sent: BTreeMap<AppName, BTreeMap<HostId, Sent>>,
    flights: JoinSet<Answer>,
}

#[derive(Debug)]
struct Sent {
    fence: Fence,
    /// Run of the host that it was sent to: a restarted host is told anew at once.
    boot: String,
    at: Instant,
    in_flight: bool,
    failures: u32,
}

/// What a host said to a command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) app: AppName,
    pub(crate) host: HostId,
    fence: Fence,
    result: Result<ApplyReply, RequestError>,
}

/// What an answer means for the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host has taken it on; its inventory will tell.
    Taken,
    /// The host knew it, or knows better: what we know of the host is old.
    OutOfDate,
    /// Nobody answered. The plan says whether to send it again.
    Silent,
    /// Sending it again will not help by itself.
    Refused(ApiError),
}

impl Executor {
    pub(crate) fn new(client: ControlClient, standing: watch::Receiver<Standing>) -> Self {
        Self { client, standing, sent: BTreeMap::new(), flights: JoinSet::new() }
    }

    /// Sends the commands of an app that are due. Returns when those that are not should be offered again; an
    /// answer to any command of the app is a reason, too.
    pub(crate) fn offer(
        &mut self,
        app: &AppName,
        commands: Vec<Command>,
        observed: &ObservedState,
    ) -> Option<Instant> {
        let mut later: Option<Instant> = None;
        for command in commands {
            let boot =
                observed.host(&command.host).map(|known| known.summary.boot.clone()).unwrap_or_default();
            match self.due(app, &command, &boot) {
                Due::Now => self.send(app, command, boot),
                Due::WithAnswer => {}
                Due::At(time) => later = Some(later.map_or(time, |other| other.min(time))),
            }
        }
        later
    }

    /// The next answer. Pends while nothing is in flight; dropping the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Answer {
        loop {
            match self.flights.join_next().await {
                Some(Ok(answer)) => {
                    Failpoint::CommandAnswered.before();
                    self.note(&answer);
                    Failpoint::CommandAnswered.after();
                    return answer;
                }
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => tracing::error!(%error, "a command ended without an answer"),
                None => std::future::pending().await,
            }
        }
    }

    /// Forgets what was sent for an app that is gone.
    pub(crate) fn forget(&mut self, app: &AppName) {
        self.sent.remove(app);
    }

    /// Forgets everything that was sent, at the end of a term. What is in flight carries the old fence.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.flights.abort_all();
    }

    fn due(&self, app: &AppName, command: &Command, boot: &str) -> Due {
        let of_app = self.sent.get(app);
        let same = |sent: &&Sent| sent.fence == command.request.fence && sent.boot == boot;
        if let Some(sent) = of_app.and_then(|sent| sent.get(&command.host)).filter(same) {
            if sent.in_flight {
                return Due::WithAnswer;
            }
            let at = sent.at + sent.pause();
            if Instant::now() < at {
                return Due::At(at);
            }
        }
        let in_flight = of_app.into_iter().flat_map(BTreeMap::values).filter(|sent| sent.in_flight).count();
        if in_flight >= OF_ONE_APP {
            return Due::WithAnswer;
        }
        if self.flights.len() >= IN_FLIGHT {
            return Due::At(Instant::now() + Duration::from_millis(200));
        }
        Due::Now
    }

    fn send(&mut self, app: &AppName, command: Command, boot: String) {
        let Command { host, request, why } = command;
        let fence = request.fence;
        if !self.standing.borrow().may_act(fence.epoch) {
            return;
        }
        tracing::debug!(%app, %host, %fence, %why, bundles = request.bundles.len(), "telling a host");
        let sent = self.sent.entry(app.clone()).or_default();
        let same = sent.get(&host).filter(|sent| sent.fence == fence && sent.boot == boot);
        let failures = same.map_or(0, |sent| sent.failures);
        sent.insert(host.clone(), Sent { fence, boot, at: Instant::now(), in_flight: true, failures });
        let (client, app) = (self.client.clone(), app.clone());
        self.flights.spawn(async move {
            Failpoint::CommandSend.before();
            let result = client.apply(&host, &request, DEADLINE).await;
            Failpoint::CommandSend.after();
            Answer { app, host, fence, result }
        });
    }

    fn note(&mut self, answer: &Answer) {
        let sent = self.sent.get_mut(&answer.app).and_then(|sent| sent.get_mut(&answer.host));
        let Some(sent) = sent.filter(|sent| sent.fence == answer.fence) else { return };
        sent.in_flight = false;
        sent.failures = if answer.result.is_ok() { 0 } else { sent.failures.saturating_add(1) };
    }
}

enum Due {
    Now,
    WithAnswer,
    At(Instant),
}

impl Sent {
    fn pause(&self) -> Duration {
        let doubled = AGAIN.0.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
        doubled.min(AGAIN.1)
    }
}

impl Answer {
    /// What the answer means.
    pub(crate) fn verdict(&self) -> Verdict {
        match &self.result {
            Ok(reply) if reply.unchanged => Verdict::OutOfDate,
            Ok(_) => Verdict::Taken,
            Err(RequestError::Refused(error)) if error.code == ErrorCode::Stale => Verdict::OutOfDate,
            Err(RequestError::Refused(error)) if error.code == ErrorCode::NotReady => Verdict::Silent,
            Err(RequestError::Refused(error)) => Verdict::Refused(ApiError::clone(error)),
            Err(error @ RequestError::TooLarge { .. }) => {
                Verdict::Refused(ApiError::new(ErrorCode::TooLarge, error.to_string()))
            }
            Err(error) => {
                tracing::debug!(app = %self.app, host = %self.host, %error, "a host did not answer a command");
                Verdict::Silent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn m12_pauses_between_sendings_grow_and_have_a_cap() {
        let pause = |failures| {
            let (fence, boot) = (Fence::default(), String::new());
            Sent { fence, boot, at: Instant::now(), in_flight: false, failures }.pause()
        };
        assert_eq!((pause(0), pause(1)), (AGAIN.0, AGAIN.0));
        assert_eq!(pause(2), AGAIN.0 * 2);
        assert_eq!(pause(u32::MAX), AGAIN.1);
    }
}
