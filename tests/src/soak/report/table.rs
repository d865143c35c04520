//! The report as text. Nothing is computed here but what is only for the eye.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::{Report, Spread};
use crate::soak::kind::Kind;

/// Broken promises of one sort that are shown; the others are in the folder that is kept.
const SHOWN: usize = 5;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    kinds(&mut text, report);
    backs(&mut text, report);
    requests(&mut text, report);
    latencies(&mut text, report);
    closing(&mut text, report);
    processes(&mut text, report);
    verdict(&mut text, report);
    text
}

fn kinds(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "\n{:<18}{:>6}{:>10}{:>10}{:>13}   outcomes",
        "rollouts", "count", "median", "longest", "p99 then"
    );
    let mut kinds: BTreeMap<Kind, (Vec<Duration>, BTreeMap<String, usize>)> = BTreeMap::new();
    for course in &report.courses {
        let (took, outcomes) = kinds.entry(course.turn.kind).or_default();
        took.push(course.took());
        *outcomes.entry(course.outcome()).or_default() += 1;
    }
    for (kind, (mut took, outcomes)) in kinds {
        took.sort();
        let median = seconds(took[took.len() / 2]);
        let longest = seconds(took[took.len() - 1]);
        let p99 = report.latencies.by_kind.get(&kind).map_or_else(String::new, |spread| millis(spread.p99));
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let (name, count, outcomes) = (kind.name(), took.len(), outcomes.join(", "));
        let _ = writeln!(text, "{name:<18}{count:>6}{median:>10}{longest:>10}{p99:>13}   {outcomes}");
    }
}

fn backs(text: &mut String, report: &Report) {
    let _ = writeln!(text, "\n{:<32}{:>6}{:>10}{:>10}", "ways back", "count", "median", "longest");
    let mut kinds: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for back in &report.backs {
        let how = if back.commanded { "on command" } else { "by itself" };
        kinds.entry(format!("{how}: {}", back.kind.name())).or_default().push(back.took);
    }
    for (name, mut took) in kinds {
        took.sort();
        let (median, longest) = (seconds(took[took.len() / 2]), seconds(took[took.len() - 1]));
        let _ = writeln!(text, "{name:<32}{:>6}{median:>10}{longest:>10}", took.len());
    }
}

fn requests(text: &mut String, report: &Report) {
    let tally = &report.tally;
    let _ = writeln!(text, "\n{:<44}{:>12}", "requests", tally.sent());
    for (name, count) in [
        ("answered well", tally.answered),
        ("failed by components that were made to", tally.made_to_fail),
        ("failed otherwise", tally.failed),
        ("lost: without an answer", tally.lost + tally.out),
        ("doubled: more than one call of a component", tally.doubled),
        ("answered by two revisions", tally.mixed),
        ("answered by a revision that was not due", tally.foreign),
        ("answered without a call accounted for", tally.unaccounted),
        ("calls of components accounted for", tally.calls),
    ] {
        let _ = writeln!(text, "  {name:<42}{count:>12}");
    }
}

fn latencies(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "\n{:<26}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "latency from when it was due", "count", "p50", "p99", "p99.9", "most"
    );
    let mut line = |name: String, spread: &Spread| {
        let Spread { count, p50, p99, p999, most } = *spread;
        let [p50, p99, p999, most] = [p50, p99, p999, most].map(millis);
        let _ = writeln!(text, "{name:<28}{count:>8}{p50:>10}{p99:>10}{p999:>10}{most:>10}");
    };
    line("all, in rollouts".to_owned(), &report.latencies.inside);
    line("all, outside".to_owned(), &report.latencies.outside);
    for (shop, inside, outside) in &report.latencies.by_shop {
        line(format!("{}, in rollouts", shop.name()), inside);
        line(format!("{}, outside", shop.name()), outside);
    }
}

fn closing(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "\n{:<18}{:>10}{:>14}{:>16}",
        "closing account", "requests", "told by it", "counted by hosts"
    );
    for closing in &report.closings {
        let name = format!("{}/{}", closing.shop.name(), closing.component);
        let (sent, told, started) = (closing.sent, closing.told, closing.counted.started);
        let _ = writeln!(text, "{name:<18}{sent:>10}{told:>14}{started:>16}");
    }
}

fn processes(text: &mut String, report: &Report) {
    let _ =
        writeln!(text, "\n{:<18}{:>16}{:>16}{:>12}", "process", "memory before", "memory after", "CPU time");
    for process in &report.processes {
        let [before, after] = process.memory_kib.map(|kib| format!("{} MiB", kib / 1024));
        let cpu = seconds(Duration::from_millis(process.cpu_ms));
        let _ = writeln!(text, "{:<18}{before:>16}{after:>16}{cpu:>12}", process.name);
    }
}

fn verdict(text: &mut String, report: &Report) {
    let _ = writeln!(text);
    for (goal, value, reached) in report.goals() {
        let word = if reached { "reached" } else { "NOT REACHED" };
        let _ = writeln!(text, "{goal}: {value}: {word}");
    }
    let options = &report.options;
    let minutes = report.took.as_secs_f64() / 60.0;
    let _ = writeln!(
        text,
        "{} rollouts in {minutes:.1} minutes, {} requests a second, {} hosts, seed {}",
        report.courses.len(),
        options.rate,
        options.hosts,
        options.seed
    );
    if options.kill {
        let killed = report.courses.iter().filter(|course| course.killed).count();
        let middle = report.courses.iter().filter(|course| course.cut_short).count();
        let _ = writeln!(
            text,
            "manager killed {killed} times, {middle} of them before a rollout's command had ended"
        );
    }
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for broken in &report.broken {
        let shown = shown.entry(broken.what).or_default();
        *shown += 1;
        if *shown <= SHOWN {
            let _ = writeln!(text, "broken: {}: {}", broken.what, broken.how);
        }
    }
    let count = report.broken.len();
    match (count, &report.kept) {
        (0, _) => text.push_str("every promise was kept\n"),
        (_, Some(kept)) => {
            let _ = writeln!(text, "{count} PROMISES BROKEN; all of them, logs and data: {}", kept.display());
        }
        (_, None) => {
            let _ = writeln!(text, "{count} PROMISES BROKEN");
        }
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

fn millis(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
