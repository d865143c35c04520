//! What a soak has come to: counts, latencies in and outside of rollouts, times of rollouts and of ways back, and whether
//! every promise was kept; as a table and as JSON.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::app::Shop;
use super::audit::{Broken, Judgement, Tally};
use super::book::{Book, End, Entry, Micros};
use super::closing::Closing;
use super::course::Course;
use super::kind::Kind;
use super::run::Options;

/// Goals, which depend on the machine and break no promise.
const MOST_TIMES_SLOWER: f64 = 2.0;
const LONGEST_BACK: Duration = Duration::from_secs(5);
const LONGEST_COMMANDED_BACK: Duration = Duration::from_secs(2);

/// Requests that are noted as the slowest.
const SLOWEST: usize = 1_000;

/// What came of a soak.
#[derive(Debug)]
pub struct Report {
    pub(super) options: Options,
    pub(super) took: Duration,
    pub(super) tally: Tally,
    pub(super) latencies: Latencies,
    pub(super) courses: Vec<Course>,
    pub(super) backs: Vec<Back>,
    pub(super) closings: Vec<Closing>,
    pub(super) broken: Vec<Broken>,
    pub(super) processes: Vec<Grown>,
    /// The folder with transcript, logs and data, where it is kept.
    pub kept: Option<PathBuf>,
}

/// Latencies of good answers, from when a request was due to its complete answer, in microseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) most: u64,
}

/// By when requests were due: while a rollout was on its way in any of the apps, or not.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    pub(super) inside: Spread,
    pub(super) outside: Spread,
    /// The same by app.
    pub(super) by_shop: Vec<(Shop, Spread, Spread)>,
    /// Those in rollouts, by the kind that was on its way.
    pub(super) by_kind: BTreeMap<Kind, Spread>,
}

/// A way back to what was before.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) shop: Shop,
    /// By a person's command, and not by itself.
    pub(super) commanded: bool,
    /// From the cause to when the old revision was all there again.
    pub(super) took: Duration,
}

/// A process, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Process {
    name: String,
    memory_kib: u64,
    cpu_ms: u64,
}

/// What a process took over the soak.
#[derive(Debug, Clone)]
pub(super) struct Grown {
    pub(super) name: String,
    pub(super) memory_kib: [u64; 2],
    pub(super) cpu_ms: u64,
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty()
    }

    /// Whether the goals that depend on the machine were reached as well.
    #[must_use]
    pub fn reaches_goals(&self) -> bool {
        self.goals().iter().all(|(_, _, reached)| *reached)
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        table::text(self)
    }

    /// The report for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let options = &self.options;
        json!({
            "good": self.is_good(),
            "goals": self.goals().iter().map(|(name, value, reached)| {
                json!({ "goal": name, "value": value, "reached": reached })
            }).collect::<Vec<_>>(),
            "seed": options.seed, "rate": options.rate, "hosts": options.hosts, "kill": options.kill,
            "seconds": self.took.as_secs_f64(),
            "requests": self.tally.json(),
            "latencyUs": {
                "inside": self.latencies.inside.json(), "outside": self.latencies.outside.json(),
                "byApp": self.latencies.by_shop.iter().map(|(shop, inside, outside)| {
                    (shop.name().to_owned(), json!({ "inside": inside.json(), "outside": outside.json() }))
                }).collect::<serde_json::Map<_, _>>(),
                "byKind": self.latencies.by_kind.iter().map(|(kind, spread)| {
                    (kind.name().to_owned(), spread.json())
                }).collect::<serde_json::Map<_, _>>(),
            },
            "rollouts": self.courses.iter().map(Course::json).collect::<Vec<_>>(),
            "backs": self.backs.iter().map(Back::json).collect::<Vec<_>>(),
            "closing": self.closings.iter().map(Closing::json).collect::<Vec<_>>(),
            "processes": self.processes.iter().map(Grown::json).collect::<Vec<_>>(),
            "broken": self.broken.iter().map(|broken| {
                json!({ "what": broken.what, "how": broken.how })
            }).collect::<Vec<_>>(),
            "kept": self.kept,
        })
    }

    /// Name, value, and whether it was reached. What was not measured is reached.
    pub(super) fn goals(&self) -> Vec<(&'static str, String, bool)> {
        let ratio = self.latencies.ratio();
        let longest = |commanded: bool, shop: Option<Shop>| {
            let its = self.backs.iter().filter(|back| back.commanded == commanded);
            its.filter(|back| shop.is_none_or(|shop| back.shop == shop)).map(|back| back.took).max()
        };
        let seconds = |took: Option<Duration>| {
            took.map_or_else(|| "not measured".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()))
        };
        let (back, commanded) = (longest(false, Some(Shop::Ten)), longest(true, None));
        vec![
            (
                "p99 in rollouts at most 2 times that outside",
                format!("{ratio:.2} times"),
                ratio <= MOST_TIMES_SLOWER,
            ),
            (
                "10 instances roll back in under 5 s, from cause to healthy",
                seconds(back),
                back.is_none_or(|back| back < LONGEST_BACK),
            ),
            (
                "a way back on command in under 2 s",
                seconds(commanded),
                commanded.is_none_or(|back| back < LONGEST_COMMANDED_BACK),
            ),
        ]
    }

    /// With how long each way back took.
    pub(super) fn with_backs(mut self, book: &Book) -> Self {
        let entries = book.entries();
        self.backs =
            self.courses.iter().filter(|course| !course.killed).filter_map(|c| back(c, &entries)).collect();
        self
    }
}

/// The way back that was part of a rollout, if one was.
fn back(course: &Course, entries: &[Entry]) -> Option<Back> {
    let (kind, shop) = (course.turn.kind, course.turn.shop);
    let of = |commanded, took| Back { number: course.turn.number, kind, shop, commanded, took };
    if let Some(took) = course.commanded_back {
        return Some(of(true, took));
    }
    if !kind.is_bad() || course.after != course.before {
        return None;
    }
    // Where calls fail, the first of these is the cause. Elsewhere it is what was deployed: nothing is taken off for
    // sending the code, and a deadline that has to pass before counts with it.
    let cause = if kind.may_fail_calls() {
        let its = entries.iter().filter(|entry| {
            entry.shop == shop
                && entry.ended >= course.started
                && entry.ended <= course.done
                && matches!(entry.end, End::Failed(_))
        });
        its.map(|entry| entry.ended).min()?
    } else {
        course.started
    };
    Some(of(false, Duration::from_micros(course.done.saturating_sub(cause))))
}

/// Latencies of the requests before number `until`.
pub(super) fn latencies(book: &Book, courses: &[Course], until: Option<usize>) -> Latencies {
    let entries = book.entries();
    let mut found: BTreeMap<(Shop, Option<Kind>), Vec<u64>> = BTreeMap::new();
    for entry in entries.iter().take(until.unwrap_or(entries.len())) {
        if !matches!(entry.end, End::Answered(_)) {
            continue;
        }
        let inside = course_at(courses, entry.due).map(|course| course.turn.kind);
        found.entry((entry.shop, inside)).or_default().push(entry.ended - entry.due);
    }
    let of = |which: &dyn Fn(Shop, Option<Kind>) -> bool| {
        let its = found.iter().filter(|((shop, kind), _)| which(*shop, *kind));
        Spread::of(its.flat_map(|(_, took)| took.iter().copied()).collect())
    };
    let by_shop = |shop: Shop| {
        let inside = of(&|its, kind| its == shop && kind.is_some());
        (shop, inside, of(&|its, kind| its == shop && kind.is_none()))
    };
    let kinds: BTreeSet<Kind> = found.keys().filter_map(|(_, kind)| *kind).collect();
    Latencies {
        inside: of(&|_, kind| kind.is_some()),
        outside: of(&|_, kind| kind.is_none()),
        by_shop: Shop::ALL.map(by_shop).into(),
        by_kind: kinds.into_iter().map(|kind| (kind, of(&|_, its| its == Some(kind)))).collect(),
    }
}

/// The rollout that was on its way. `courses` are in order of time, and one at a time.
fn course_at(courses: &[Course], at: Micros) -> Option<&Course> {
    let begun = courses.partition_point(|course| course.started <= at);
    begun.checked_sub(1).and_then(|last| courses.get(last)).filter(|course| at <= course.rest)
}

/// Writes the slowest requests into a file of the transcript's folder, in order of time.
pub(super) fn note_slowest(folder: &Path, book: &Book, courses: &[Course]) {
    let mut entries: Vec<Entry> = book.entries().clone();
    entries.retain(|entry| matches!(entry.end, End::Answered(_)));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.ended - entry.due));
    entries.truncate(SLOWEST);
    entries.sort_by_key(|entry| entry.due);
    let line = |entry: &Entry| {
        let (due, took, late) = (entry.due, entry.ended - entry.due, entry.sent - entry.due);
        let course = course_at(courses, due);
        let course = course.map_or_else(String::new, |course| {
            format!(
                "{} us into rollout {} ({})",
                due - course.started,
                course.turn.number,
                course.turn.kind.name()
            )
        });
        format!("due {due} us, sent {late} us late, took {took} us, {}, {course}\n", entry.shop.name())
    };
    let lines: String = entries.iter().map(line).collect();
    std::fs::write(folder.join("slowest.txt"), lines).expect("cannot write the slowest requests");
}

impl Latencies {
    /// How many times slower 99 of a hundred requests are answered in rollouts.
    pub(super) fn ratio(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a request are far below 2^52")]
        let of = |spread: &Spread| spread.p99.max(1) as f64;
        if self.inside.count == 0 || self.outside.count == 0 {
            1.0
        } else {
            of(&self.inside) / of(&self.outside)
        }
    }
}

impl Spread {
    fn of(mut took: Vec<u64>) -> Self {
        took.sort_unstable();
        let at = |thousandth: usize| {
            let place = (took.len() * thousandth / 1_000).min(took.len().saturating_sub(1));
            took.get(place).copied().unwrap_or_default()
        };
        Self { count: took.len(), p50: at(500), p99: at(990), p999: at(999), most: at(1_000) }
    }

    fn json(&self) -> Value {
        let Self { count, p50, p99, p999, most } = self;
        json!({ "count": count, "p50": p50, "p99": p99, "p999": p999, "most": most })
    }
}

impl Back {
    fn json(&self) -> Value {
        json!({
            "rollout": self.number, "kind": self.kind.name(), "app": self.shop.name(),
            "commanded": self.commanded, "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Process {
    /// A running process; none where the system does not say.
    pub(super) fn of(name: String, id: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory_kib = memory.split_whitespace().next()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // After the name in brackets: the times are the 12th and 13th, in hundredths of a second.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
        Some(Self { name, memory_kib, cpu_ms: 10 * (ticks(11)? + ticks(12)?) })
    }
}

/// What processes took from one moment to another. One that was started anew in between counts from its start.
pub(super) fn grown(before: Vec<Process>, after: &[Process]) -> Vec<Grown> {
    let grown = |before: Process| {
        let after = after.iter().find(|after| after.name == before.name)?;
        let cpu_ms = after.cpu_ms.checked_sub(before.cpu_ms).unwrap_or(after.cpu_ms);
        Some(Grown { name: before.name, memory_kib: [before.memory_kib, after.memory_kib], cpu_ms })
    };
    before.into_iter().filter_map(grown).collect()
}

impl Grown {
    fn json(&self) -> Value {
        let [before, after] = self.memory_kib;
        json!({ "name": self.name, "memoryKib": { "before": before, "after": after }, "cpuMs": self.cpu_ms })
    }
}

/// A line for people about a rollout that is over.
pub(super) fn line(course: &Course, of: u32, judged: &Judgement) -> String {
    let Tally { failed, lost, doubled, mixed, foreign, unaccounted, made_to_fail, .. } = judged.tally;
    let bad = failed + lost + doubled + mixed + foreign + unaccounted;
    let verdict = match (course.wrong.is_empty(), bad) {
        (true, 0) => "ok".to_owned(),
        (true, _) => format!("BROKEN: {:?}", judged.tally),
        (false, _) => format!("WRONG: {}", course.wrong.join("; ")),
    };
    let planned = if made_to_fail > 0 { format!(", {made_to_fail} made to fail") } else { String::new() };
    let killed = match (course.cut_short, course.killed) {
        (true, _) => ", manager killed",
        (false, true) => ", manager killed after it",
        (false, false) => "",
    };
    format!(
        "{:>4}/{of} {:<17} {:<4} {:<32} {:>6.2} s, {} requests{planned}{killed}: {verdict}",
        course.turn.number,
        course.turn.kind.name(),
        course.turn.shop.name(),
        course.outcome(),
        course.took().as_secs_f64(),
        judged.tally.sent(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let spread = Spread::of((1..=1000).rev().collect());
        assert_eq!((spread.count, spread.p50, spread.p99, spread.most), (1000, 501, 991, 1000));
        assert_eq!(Spread::of(vec![7]).p99, 7);
        assert_eq!(Spread::of(Vec::new()).most, 0);
    }

    #[test]
    fn a_process_can_be_looked_at() {
        let own = Process::of("own".to_owned(), std::process::id()).unwrap();
        assert!(own.memory_kib > 100);
    }
}
