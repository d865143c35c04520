//! The end of a process: it is asked, then told, then killed. Each has its part of the time that there is.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::timeout;

use super::talk::Talk;

/// Longest wait for a provider to shut down after it was asked.
const ASKED: Duration = Duration::from_secs(5);
/// Longest wait for it to end after SIGTERM.
const TOLD: Duration = Duration::from_secs(3);
/// How long the kernel may take to end what is killed.
const KILLED: Duration = Duration::from_secs(2);

/// Ends a process, and what it has started, by `until`.
pub(super) async fn stop(child: &mut Child, talk: &Talk, until: Instant) {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // A third of the time is kept for the rest: one that hangs while it shuts down must still get its signal.
    let asked = ASKED.min(left(until) * 2 / 3);
    let agrees = tokio::select! {
        agrees = talk.shut_down(asked) => agrees,
        // One that ends without a word has ended.
        _ = child.wait() => true,
    };
    if !agrees || timeout(asked, child.wait()).await.is_err() {
        signal(group, Signal::TERM);
        if timeout(TOLD.min(left(until)), child.wait()).await.is_err() {
            tracing::warn!(pid = child.id(), "a provider has not ended in time and is killed");
        }
    }
    // The whole group: what it has started goes with it.
    signal(group, Signal::KILL);
    if timeout(KILLED, child.wait()).await.is_err() {
        tracing::error!(pid = child.id(), "a provider was killed and has not ended");
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn signal(group: Option<Pid>, signal: Signal) {
    let Some(group) = group else { return };
    // None is left of it.
    let _gone = kill_process_group(group, signal);
}
