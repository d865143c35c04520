//! How apps of a run want to be rolled out: every strategy, with what its policy may ask for. Times are short, so that
//! runs are.

use super::Habit;
use crate::rng::Rng;

/// What every policy has.
const ALWAYS: &str = "policy.progress_deadline=20s policy.healthy_deadline=10s policy.drain_deadline=5s";

const STEPS: [&str; 5] =
    ["10%/2s,50%/2s,100%", "5%,50%/promote,100%", "30%/3s", "1%/1s,99%/1s,100%", "20%,40%,60%,80%"];
const GATES: [&str; 4] = [
    "errors<=20%,samples>=20",
    "errors<=+10%,samples>=10",
    "p95<=200ms,samples>=20",
    "traps<=2%,p90<=2x,samples>=30",
];

/// A policy in the words of [`lath_manager_planner::example::App`].
pub(super) fn draw(habit: Habit, rng: &mut Rng) -> String {
    let mut words = vec![ALWAYS.to_owned()];
    let mut say = |name: &str, value: &str| words.push(format!("policy.{name}={}", value.replace(' ', "~")));
    let strategy = rng.pick(&["rolling", "rolling", "canary", "canary", "blue-green", "recreate"]);
    let strategy = match habit {
        Habit::Gated if rng.chance(700) => "canary",
        Habit::Usual | Habit::Gated | Habit::Providers => strategy.copied().unwrap_or("rolling"),
    };
    say("strategy", strategy);
    if let Some(healthy) = rng.pick(&["0s", "1s", "1s", "3s"]) {
        say("min_healthy_time", healthy);
    }
    if rng.chance(250) {
        say("max_unavailable", "1");
    }
    match strategy {
        "rolling" => {
            if let Some(parallel) = rng.pick(&["1", "2", "100%"]) {
                say("max_parallel", parallel);
            }
            if rng.chance(200) {
                say("waves", "label zone: e, w");
            }
        }
        "canary" => {
            if let Some(steps) = rng.pick(&STEPS) {
                say("steps", steps);
            }
        }
        _ => {}
    }
    let gated = match (habit, strategy) {
        (Habit::Gated, _) => 900,
        (Habit::Usual | Habit::Providers, "canary") => 600,
        (Habit::Usual | Habit::Providers, _) => 200,
    };
    if rng.chance(gated) {
        if let Some(gates) = rng.pick(&GATES) {
            say("gates", gates);
        }
        if rng.chance(500) {
            say("inconclusive", "wait");
        }
    }
    if rng.chance(120) {
        say("webhook", "https://example.test/ask");
        say("webhook_timeout", "2s");
    }
    if strategy == "blue-green" && rng.chance(500) {
        say("auto_promote", "true");
    } else if rng.chance(100) {
        say("auto_promote", "false");
    }
    let may_be_warm = strategy == "blue-green" || (strategy != "recreate" && rng.chance(150));
    if may_be_warm && let Some(warm) = rng.pick(&["0s", "2s", "6s"]) {
        say("keep_warm", warm);
    }
    match rng.below(20) {
        0 | 1 => say("auto_rollback", "false"),
        2 => say("rollback", "manual"),
        3 => say("rollback", "forbidden"),
        _ => {}
    }
    words.join(" ")
}

/// What people ask for to go another way in one deploy only.
pub(super) fn draw_override(rng: &mut Rng) -> Option<(&'static str, &'static str)> {
    if !rng.chance(100) {
        return None;
    }
    rng.pick(&[("auto_promote", "true"), ("min_healthy_time", "0s"), ("max_unavailable", "1")]).copied()
}
