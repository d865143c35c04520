//! Words and pictures for states, times and outcomes, one for each thing everywhere.
//!
//! Pure. The stable words of machine output come from serde, not from here.

use std::collections::BTreeMap;

use lath_control_api::app::{AppState, ChangeKind, Outcome};
use lath_control_api::{HostState, LinkInventory, LinkKey, LinkName, LinkState, Phase, Reason, Timestamp};
use serde::Serialize;

use crate::failure::Exit;
use crate::output::Glyphs;

/// `✔ Serving`.
pub(crate) fn state(state: AppState, glyphs: Glyphs) -> String {
    let (glyph, word) = match state {
        AppState::Serving => (glyphs.pick("✔", "OK"), "Serving"),
        AppState::Progressing => (glyphs.pick("◌", ".."), "Progressing"),
        AppState::Waiting => (glyphs.pick("·", "--"), "Waiting"),
        AppState::Paused => (glyphs.pick("‖", "PP"), "Paused"),
        AppState::RollingBack => (glyphs.pick("↺", "<-"), "RollingBack"),
        AppState::Degraded => (glyphs.pick("⚠", "!!"), "Degraded"),
        AppState::Failed => (glyphs.pick("✖", "XX"), "Failed"),
        AppState::Stopped => (glyphs.pick("○", "()"), "Stopped"),
    };
    format!("{glyph} {word}")
}

/// What `status --exit-code` says of a state.
pub(crate) const fn state_exit(state: AppState) -> Exit {
    match state {
        AppState::Serving | AppState::Stopped => Exit::Done,
        AppState::Progressing | AppState::Waiting | AppState::Paused | AppState::RollingBack => {
            Exit::TimedOut
        }
        AppState::Degraded | AppState::Failed => Exit::Degraded,
    }
}

/// `Completed`, or `Progressing` while there is no outcome.
pub(crate) const fn outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Completed) => "Completed",
        Some(Outcome::RolledBack) => "RolledBack",
        Some(Outcome::Superseded) => "Superseded",
        Some(Outcome::Failed) => "Failed",
        Some(Outcome::Stopped) => "Stopped",
        None => "Progressing",
    }
}

/// The command's word for a kind of change.
pub(crate) const fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Deploy => "deploy",
        ChangeKind::Rollback => "rollback",
        ChangeKind::Scale => "scale",
        ChangeKind::Undeploy => "undeploy",
    }
}

/// `Ready`, `Draining` or `Stopping`.
pub(crate) const fn host_state(state: HostState) -> &'static str {
    match state {
        HostState::Ready => "Ready",
        HostState::Draining => "Draining",
        HostState::Stopping => "Stopping",
    }
}

/// The stable word of a phase.
pub(crate) fn phase(phase: Phase) -> String {
    stable(&phase)
}

/// The stable word of a reason; empty where there is nothing to explain.
pub(crate) fn reason(reason: Reason) -> String {
    if reason == Reason::AsAsked { String::new() } else { stable(&reason) }
}

/// What is to be said of links to and from providers: `1 link unverified`; empty where each was accepted.
pub(crate) fn links(links: &[LinkInventory]) -> String {
    let mut counts = BTreeMap::<LinkState, usize>::new();
    for link in links.iter().filter(|link| link.state != LinkState::Accepted) {
        *counts.entry(link.state).or_default() += 1;
    }
    let text = |(state, count): (&LinkState, &usize)| {
        format!("{count} link{} {}", if *count == 1 { "" } else { "s" }, stable(state))
    };
    counts.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// One link for people: `shop-api -> shop-kv (wasi:keyvalue): unverified`.
pub(crate) fn link(link: &LinkInventory) -> String {
    let LinkKey { source, namespace, package, name } = &link.link;
    let name = if *name == LinkName::default() { String::new() } else { format!(", {name}") };
    let why = match (link.state, link.message.is_empty()) {
        (_, false) => format!(": {}", link.message),
        (LinkState::Unverified, true) => ": the provider has said nothing about it".to_owned(),
        (LinkState::Accepted | LinkState::Waiting | LinkState::Refused, true) => String::new(),
    };
    format!("{source} -> {} ({namespace}:{package}{name}) {}{why}", link.target, stable(&link.state))
}

/// The word that serde writes for a plain variant.
pub(crate) fn stable(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// `12d`, `3h`, `5m`, `8s`.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Time from `earlier` to `now`, short.
pub(crate) fn since(earlier: Timestamp, now: Timestamp) -> String {
    age(u64::try_from(now.since(earlier).as_millis()).unwrap_or(u64::MAX))
}

/// The clock of this machine.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// `today 14:02` or `2026-11-18 09:12`, in the zone of `now`.
pub(crate) fn day_and_time(time: Timestamp, now: &jiff::Zoned) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(time.0) else { return time.to_string() };
    let time = time.to_zoned(now.time_zone().clone());
    if time.date() == now.date() {
        time.strftime("today %H:%M").to_string()
    } else {
        time.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// `14:02:05`, with the day when it is another one, in the zone of `now`.
pub(crate) fn day_and_clock(time: Timestamp, now: &jiff::Zoned) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(time.0) else { return time.to_string() };
    let time = time.to_zoned(now.time_zone().clone());
    let form = if time.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    time.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!([0, 8_400, 300_000, 10_800_000, 1_036_800_000].map(age), ["0s", "8s", "5m", "3h", "12d"]);
    }

    #[test]
    fn today_is_said_as_such() {
        let now: jiff::Zoned = "2026-11-21T14:30[UTC]".parse().unwrap();
        assert_eq!(day_and_time(Timestamp(1_795_244_400_123), &now), "today 07:00");
        assert_eq!(day_and_time(Timestamp(1_795_144_400_123), &now), "2026-11-20 03:13");
    }

    #[test]
    fn stable_words_are_those_of_the_wire() {
        assert_eq!(phase(Phase::CrashLooping), "crash-looping");
        assert_eq!(reason(Reason::DigestMismatch), "digest-mismatch");
        assert_eq!(reason(Reason::AsAsked), "");
    }
}
