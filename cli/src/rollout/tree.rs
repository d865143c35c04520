//! The picture of an app on its way: what of which revision stands where, how calls go, what is waited for.
//!
//! A pure function from what is known to lines of text; painting them is `progress.rs`. Nothing is decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api::app::{
    AppStatus, ComponentStatus, GateStatus, Place, RolloutPhase, RolloutStatus, Verdict,
};
use lath_control_api::{Phase, Reason, Revision, Timestamp};

use super::rates::{Rate, Rates};
use crate::output::{Glyphs, clean};
use crate::progress::clock;
use crate::wait::problem_line;
use crate::words;

/// Cells of a bar.
const BAR: u32 = 10;
/// Most hosts of a revision, gates, problems and waits that are drawn one by one, when there is room.
const MOST: usize = 12;

/// What is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// How the app stands.
    pub(crate) status: &'a AppStatus,
    /// How its calls go.
    pub(crate) rates: &'a Rates,
    /// This machine's clock.
    pub(crate) now: Timestamp,
    /// What is to be said below, such as what a key has come to.
    pub(crate) told: Option<&'a str>,
    /// The last line names the keys.
    pub(crate) keys: bool,
}

/// What is drawn on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paper {
    /// Characters in a line.
    pub(crate) width: usize,
    /// Lines.
    pub(crate) height: usize,
    /// Pictures or letters.
    pub(crate) glyphs: Glyphs,
}

/// A line with what belongs to it.
#[derive(Debug)]
struct Node {
    text: String,
    children: Vec<Node>,
}

/// The picture, at most as large as the paper: with fewer single hosts where they do not fit.
pub(crate) fn frame(view: &View<'_>, paper: &Paper) -> Vec<String> {
    let mut lines = Vec::new();
    for most in [MOST, 6, 3, 1, 0] {
        lines = whole(view, paper.glyphs, most);
        if lines.len() <= paper.height {
            break;
        }
    }
    if lines.len() > paper.height {
        let shown = paper.height.saturating_sub(1);
        let hidden = lines.len() - shown;
        lines.truncate(shown);
        lines.push(format!("{} {hidden} more lines", paper.glyphs.pick("…", "...")));
    }
    lines.iter().map(|line| line.chars().take(paper.width).collect()).collect()
}

fn whole(view: &View<'_>, glyphs: Glyphs, most: usize) -> Vec<String> {
    let mut lines = vec![head(view, glyphs)];
    draw(&nodes(view, glyphs, most), "", glyphs, &mut lines);
    lines.extend(view.told.map(clean));
    if view.keys {
        let dot = glyphs.pick("·", "-");
        lines.push(format!("p promote {dot} a abort {dot} space pause {dot} q detach"));
    }
    lines
}

/// `shop  revision 6 → 7   canary   ◌ Progressing   step 2/4   weight 25%   00:41`.
fn head(view: &View<'_>, glyphs: Glyphs) -> String {
    let status = view.status;
    let state = words::state(status.state, glyphs);
    let Some(rollout) = &status.rollout else {
        let revision = status.revision.map(|revision| format!("  revision {revision}")).unwrap_or_default();
        return format!("{}{revision}   {state}", status.app);
    };
    let mut parts = vec![format!("{}  {}", status.app, way(status, rollout, glyphs))];
    if !rollout.strategy.is_empty() {
        parts.push(clean(&rollout.strategy));
    }
    parts.push(state);
    parts.push(format!("step {}/{}", rollout.step, rollout.steps));
    if !rollout.weight.is_none() {
        parts.push(format!("weight {}%", rollout.weight.percent()));
    }
    parts.push(clock(view.now.since(rollout.started)));
    parts.join("   ")
}

/// `revision 6 → 7`.
fn way(status: &AppStatus, rollout: &RolloutStatus, glyphs: Glyphs) -> String {
    let arrow = glyphs.pick("→", "->");
    match (rollout.from, status.revision) {
        (Some(from), None) => format!("revision {from} {arrow} stopped"),
        (Some(from), Some(_)) if from != rollout.to => format!("revision {from} {arrow} {}", rollout.to),
        (None, None) => "stopping".to_owned(),
        (_, Some(_)) => format!("revision {}", rollout.to),
    }
}

fn nodes(view: &View<'_>, glyphs: Glyphs, most: usize) -> Vec<Node> {
    let status = view.status;
    let mut nodes: Vec<Node> =
        status.components.iter().map(|component| of_component(component, view, glyphs, most)).collect();
    let few = most.max(1);
    if let Some(rollout) = &status.rollout {
        if !rollout.gates.is_empty() {
            nodes.push(gates(&rollout.gates, glyphs, few));
        }
        nodes.extend(rest(view, rollout, glyphs));
        let waits = rollout.waiting_for.iter().map(|text| clean(text)).collect();
        nodes.extend(listed("waits", waits, few, glyphs));
    }
    let mark = glyphs.pick("⚠", "!!");
    let mut problems: Vec<String> = Vec::new();
    for problem in &status.problems {
        let line = format!("{mark} {}", problem_line(problem));
        if !problems.contains(&line) {
            problems.push(line);
        }
    }
    nodes.extend(listed("problems", problems, few, glyphs));
    nodes
}

/// How long the step still takes, how long the old revision is kept, what a person is waited for.
fn rest(view: &View<'_>, rollout: &RolloutStatus, glyphs: Glyphs) -> Vec<Node> {
    let left = rollout.until.map(|until| clock(until.since(view.now)));
    let time = match (rollout.phase, left, rollout.from) {
        (RolloutPhase::KeepingWarm, Some(left), Some(from)) => {
            Some(format!("kept     revision {from} stays ready for {left}"))
        }
        (_, Some(left), _) => Some(format!("step     {left} left, if all stays well")),
        (_, None, _) => None,
    };
    let mark = glyphs.pick("‖", "PP");
    let paused = rollout.paused.as_ref().map(|why| format!("paused   {mark} {}", clean(why)));
    time.into_iter().chain(paused).map(Node::leaf).collect()
}

fn gates(gates: &[GateStatus], glyphs: Glyphs, most: usize) -> Node {
    // What does not hold is what people look for.
    let mut sorted: Vec<&GateStatus> = gates.iter().collect();
    sorted.sort_by_key(|gate| match gate.verdict {
        Verdict::Failed => 0,
        Verdict::Inconclusive => 1,
        Verdict::Passed => 2,
    });
    let rows = sorted.into_iter().map(|gate| {
        let whose = gate.component.as_ref().map_or_else(String::new, ToString::to_string);
        let mark = match gate.verdict {
            Verdict::Passed => glyphs.pick("✔", "OK"),
            Verdict::Failed => glyphs.pick("✖", "XX"),
            Verdict::Inconclusive => glyphs.pick("·", "--"),
        };
        let old = gate.stable.as_ref().map(|stable| format!("old {}", clean(stable))).unwrap_or_default();
        let bound = format!("{} {}", clean(&gate.metric), clean(&gate.bound));
        vec![
            whose,
            bound,
            format!("{} {mark}", clean(&gate.candidate)),
            old,
            format!("{} calls", gate.samples),
        ]
    });
    let rows = columns(&rows.collect::<Vec<_>>());
    Node { text: "gates".into(), children: cut(rows, most, glyphs, "gates") }
}

fn listed(what: &'static str, texts: Vec<String>, most: usize, glyphs: Glyphs) -> Option<Node> {
    match texts.len() {
        0 => None,
        1 => texts.into_iter().next().map(|text| Node::leaf(format!("{what:<9}{text}"))),
        _ => Some(Node { text: what.into(), children: cut(texts, most, glyphs, what) }),
    }
}

fn of_component(component: &ComponentStatus, view: &View<'_>, glyphs: Glyphs, most: usize) -> Node {
    let revisions: BTreeSet<Revision> = component.places.iter().map(|place| place.revision).collect();
    if revisions.is_empty() {
        let nothing = match component.desired {
            0 => "nowhere".to_owned(),
            desired => format!("0/{desired} ready"),
        };
        return Node::leaf(format!("{}   {nothing}", component.component));
    }
    // The newest first: it is what moves.
    let newest_first: Vec<Revision> = revisions.into_iter().rev().collect();
    let rows = newest_first.iter().map(|revision| revision_row(component, *revision, view, glyphs));
    let rows = columns(&rows.collect::<Vec<_>>());
    let children = rows
        .into_iter()
        .zip(newest_first)
        .map(|(text, revision)| Node { text, children: hosts(component, revision, view, glyphs, most) });
    Node { text: component.component.to_string(), children: children.collect() }
}

/// `rev 7  ● new   ▕███░░░░░░░▏ 3/12 ready   weight 25%   req/s 104   ok 100%   p95 7.9ms`.
fn revision_row(
    component: &ComponentStatus,
    revision: Revision,
    view: &View<'_>,
    glyphs: Glyphs,
) -> Vec<String> {
    let places = component.places.iter().filter(|place| place.revision == revision);
    let (mut ready, mut there, mut weights, mut called) = (0_u32, 0_u32, 0_u32, false);
    for place in places {
        there += 1;
        ready += u32::from(place.phase.is_some_and(Phase::is_running));
        weights += u32::from(place.weight.percent());
        called |= place.calls.started > 0;
    }
    let all = if goal(view.status) == Some(revision) { component.desired.max(there) } else { there };
    let hosts: BTreeSet<_> = component.places.iter().map(|place| &place.host).collect();
    let share = weights / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
    let mut row = vec![
        format!("rev {revision}"),
        age(view.status, revision, glyphs).to_owned(),
        format!("{} {ready}/{all} ready", bar(ready, all, glyphs)),
        format!("weight {share}%"),
    ];
    // A capability that nobody calls has no rate of zero; it has none.
    row.extend(rate_cells(view.rates.of(&component.component, revision).filter(|_| called)));
    row
}

/// The revision that hosts are on the way to.
fn goal(status: &AppStatus) -> Option<Revision> {
    match &status.rollout {
        Some(rollout) if matches!(rollout.phase, RolloutPhase::RollingBack | RolloutPhase::Stuck) => {
            rollout.from
        }
        Some(_) | None => status.revision,
    }
}

fn age(status: &AppStatus, revision: Revision, glyphs: Glyphs) -> &'static str {
    let Some(rollout) = &status.rollout else { return "" };
    if rollout.from == Some(revision) {
        glyphs.pick("○ old", "o old")
    } else if rollout.to == revision {
        glyphs.pick("● new", "* new")
    } else {
        glyphs.pick("○ older", "o older")
    }
}

fn bar(part: u32, all: u32, glyphs: Glyphs) -> String {
    let full = (part.min(all) * BAR).checked_div(all).unwrap_or(0);
    let cells = |glyph: &str, number: u32| glyph.repeat(usize::try_from(number).unwrap_or(0));
    let (left, right) = (glyphs.pick("▕", "["), glyphs.pick("▏", "]"));
    format!("{left}{}{}{right}", cells(glyphs.pick("█", "#"), full), cells(glyphs.pick("░", "."), BAR - full))
}

fn rate_cells(rate: Option<Rate>) -> [String; 3] {
    let Some(rate) = rate else { return Default::default() };
    let calls = if rate.per_second > 0.0 && rate.per_second < 9.95 {
        format!("req/s {:.1}", rate.per_second)
    } else {
        format!("req/s {:.0}", rate.per_second)
    };
    [
        calls,
        rate.well.map(ok).unwrap_or_default(),
        rate.p95.map(|time| format!("p95 {}", short(time))).unwrap_or_default(),
    ]
}

/// All means all: what is rounded is rounded down.
fn ok(percent: f64) -> String {
    let hundredths = (percent * 100.0).floor() / 100.0;
    if hundredths >= 100.0 { "ok 100%".into() } else { format!("ok {hundredths:.2}%") }
}

/// `870us`, `7.9ms`, `120ms`, `1.5s`.
fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros}us"),
        micros @ 1_000..10_000 => format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100),
        micros @ 10_000..1_000_000 => format!("{}ms", micros / 1_000),
        micros => format!("{}.{}s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Hosts of the new revision, those that are not well first; of others only those that are not well.
fn hosts(
    component: &ComponentStatus,
    revision: Revision,
    view: &View<'_>,
    glyphs: Glyphs,
    most: usize,
) -> Vec<Node> {
    let places = component.places.iter().filter(|place| place.revision == revision);
    let (ready, mut shown): (Vec<&Place>, Vec<&Place>) = places.partition(|place| is_well(place));
    if goal(view.status) == Some(revision) {
        shown.extend(ready);
    }
    let rows: Vec<_> = shown.into_iter().map(|place| host_row(place, glyphs)).collect();
    let rows = columns(&rows);
    cut(rows, most, glyphs, "hosts")
}

fn is_well(place: &Place) -> bool {
    place.phase.is_some_and(Phase::is_running) && place.reason == Reason::AsAsked
}

/// `host-c  ◌ linking   import-unsatisfied: kv is not linked`.
fn host_row(place: &Place, glyphs: Glyphs) -> Vec<String> {
    let (mark, word) = match place.phase {
        None => (glyphs.pick("?", "??"), "unknown".to_owned()),
        Some(Phase::Running) if place.weight.is_none() => (glyphs.pick("✔", "OK"), "ready".to_owned()),
        Some(Phase::Running) => (glyphs.pick("✔", "OK"), "serving".to_owned()),
        Some(phase @ (Phase::Failed | Phase::CrashLooping | Phase::Unhealthy)) => {
            (glyphs.pick("✖", "XX"), words::phase(phase))
        }
        Some(phase @ (Phase::Draining | Phase::Stopped)) => (glyphs.pick("○", "()"), words::phase(phase)),
        Some(
            phase @ (Phase::Pending | Phase::Fetching | Phase::Compiling | Phase::Linking | Phase::Starting),
        ) => (glyphs.pick("◌", ".."), words::phase(phase)),
    };
    let in_flight = match (place.phase, place.calls.in_flight) {
        (Some(Phase::Draining), calls @ 1..) => format!("{calls} in flight"),
        _ => String::new(),
    };
    let why = [words::reason(place.reason), clean(&place.message), in_flight];
    let why: Vec<String> = why.into_iter().filter(|part| !part.is_empty()).collect();
    vec![clean(&place.host_name), format!("{mark} {word}"), why.join(": ")]
}

impl Node {
    const fn leaf(text: String) -> Self {
        Self { text, children: Vec::new() }
    }
}

/// At most so many of the texts, and how many more there are.
fn cut(texts: Vec<String>, most: usize, glyphs: Glyphs, what: &str) -> Vec<Node> {
    // One line that says "1 more" tells less than that one.
    let shown = if texts.len() <= most.saturating_add(1) && most > 0 { texts.len() } else { most };
    let more = texts.len() - shown;
    let mut nodes: Vec<Node> = texts.into_iter().take(shown).map(Node::leaf).collect();
    if more > 0 && most > 0 {
        nodes.push(Node::leaf(format!("{} {more} more {what}", glyphs.pick("…", "..."))));
    }
    nodes
}

/// Rows whose cells stand below each other. Empty columns take no place.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let cells: Vec<String> =
            cells.map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        cells.join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn draw(nodes: &[Node], indent: &str, glyphs: Glyphs, lines: &mut Vec<String>) {
    for (index, node) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        let (branch, below) = if last {
            (glyphs.pick("└─ ", "`- "), "   ")
        } else {
            (glyphs.pick("├─ ", "|- "), glyphs.pick("│  ", "|  "))
        };
        lines.push(format!("{indent}{branch}{}", node.text));
        draw(&node.children, &format!("{indent}{below}"), glyphs, lines);
    }
}

#[cfg(test)]
mod tests;
