//! `lath apps`, `status` and `history`: what the manager says of apps.
//!
//! Nothing is changed and nothing is judged here: states and outcomes are the manager's words.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use lath_control_api::app::{AppList, AppStatus, History, HistoryEntry, ListRequest};
use lath_control_api::{AppName, AppVerb, ErrorCode, HostId, LinkState};

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::follow::{News, Piece};
use crate::near;
use crate::output::{Document, Format, Glyphs, NOTHING, Output, table};
use crate::progress::took;
use crate::wait::{gate_line, phase_word, problem_line};
use crate::words;

/// Arguments of `lath status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The app
    app: AppName,
    /// The exit code tells the state: 0 serving or stopped, 8 on its way, 10 degraded or failed
    #[arg(long)]
    exit_code: bool,
    /// Show it again whenever it changes; with --exit-code until nothing moves any more
    #[arg(short, long)]
    watch: bool,
}

/// Arguments of `lath history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The app
    app: AppName,
}

/// Lists the apps of the lattice.
pub(crate) async fn apps(call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let list: AppList = session.ask(AppVerb::List, &ListRequest {}).await?;
    let names = list.apps.iter().map(|app| app.app.to_string());
    let document = Document::new("AppList", &list).listing("AppStatus", &list.apps).names(names);
    if list.apps.is_empty() {
        call.out.say(&format!(
            "lattice {} has no apps; deploy one with: lath deploy FILE",
            session.target.lattice
        ));
    }
    call.out.print(&document, |wide| apps_table(&list.apps, &call.out, wide))?;
    Ok(Exit::Done)
}

/// Shows how an app stands.
pub(crate) async fn status(args: StatusArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    if args.watch {
        let news = News::of(&session, &args.app).await;
        return watch(&args, &session, news, &call.out).await;
    }
    let status = crate::rollout::status(&session, &args.app).await?;
    show(&status, &call.out)?;
    Ok(if args.exit_code { words::state_exit(status.state) } else { Exit::Done })
}

/// Shows the changes of an app.
pub(crate) async fn history(args: HistoryArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let history = match near::history(&session, &args.app).await {
        Ok(history) => history,
        Err(failure) => return Err(near::app(&session, &args.app, failure).await),
    };
    let names =
        history.entries.iter().filter_map(|entry| entry.revision).map(|revision| revision.to_string());
    let document = Document::new("History", &history).listing("HistoryEntry", &history.entries).names(names);
    call.out.print(&document, |wide| history_table(&history, &jiff::Zoned::now(), &call.out, wide))?;
    Ok(Exit::Done)
}

async fn watch(args: &StatusArgs, session: &Session, mut news: News, out: &Output) -> Result<Exit, Failure> {
    // One document after the other is a stream of lines.
    let out =
        &Output { format: if out.format == Format::Json { Format::Ndjson } else { out.format }, ..*out };
    let mut shown: Option<Box<AppStatus>> = None;
    let mut left = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let piece = tokio::select! {
            _ = &mut left => return Ok(Exit::Interrupted),
            piece = news.next() => piece,
        };
        let status = match piece {
            Piece::Status(status) => status,
            Piece::Gone if shown.is_none() || args.exit_code => {
                let message = format!("there is no app `{}`", args.app);
                let failure = Failure::coded(ErrorCode::NotFound, message);
                return Err(near::app(session, &args.app, failure).await);
            }
            Piece::Gone => {
                out.say(&format!("app {} is gone", args.app));
                return Ok(Exit::Done);
            }
            Piece::Silent(failure) => {
                out.say(&failure.line());
                continue;
            }
        };
        if shown.as_ref() != Some(&status) {
            if shown.is_some() && !out.format.is_machine() {
                out.write("\n")?;
            }
            show(&status, out)?;
        }
        if args.exit_code && status.rollout.is_none() && words::state_exit(status.state) != Exit::TimedOut {
            return Ok(words::state_exit(status.state));
        }
        shown = Some(status);
    }
}

fn show(status: &AppStatus, out: &Output) -> Result<(), Failure> {
    let document = Document::new("AppStatus", status).names([status.app.to_string()]);
    out.print(&document, |wide| status_text(status, &jiff::Zoned::now(), out, wide))
}

fn apps_table(apps: &[AppStatus], out: &Output, wide: bool) -> String {
    let mut titles = vec!["APP", "STATE", "REV", "READY", "CHANGE"];
    if wide {
        titles.extend(["ROUTES", "DESCRIPTION"]);
    }
    let rows = apps.iter().map(|app| {
        let ready: u32 = app.components.iter().map(|component| component.ready).sum();
        let desired: u32 = app.components.iter().map(|component| component.desired).sum();
        let mut row = vec![
            app.app.to_string(),
            words::state(app.state, out.glyphs),
            app.revision.map_or_else(|| NOTHING.into(), |revision| revision.to_string()),
            format!("{ready}/{desired}"),
            change_cell(app, out.glyphs),
        ];
        if wide {
            row.push(or_nothing(app.routes.join(" ")));
            row.push(or_nothing(app.description.clone().unwrap_or_default()));
        }
        row
    });
    table(out.headers, &titles, rows.collect())
}

/// What moves, or what is wrong, or how the last change ended.
fn change_cell(app: &AppStatus, glyphs: Glyphs) -> String {
    if app.rollout.is_some() {
        return rollout_line(app, glyphs);
    }
    match (app.problems.first(), &app.last) {
        (Some(problem), _) => problem_line(problem),
        (None, Some(last)) => format!("{} {}", words::kind(last.kind), words::outcome(last.outcome)),
        (None, None) => or_nothing(app.message.clone()),
    }
}

/// `revision 6 → 7, step 2/4 shifting traffic`; empty when nothing moves.
fn rollout_line(app: &AppStatus, glyphs: Glyphs) -> String {
    let Some(rollout) = &app.rollout else { return String::new() };
    let from = rollout.from.map(|from| format!("{from} {} ", glyphs.pick("→", "->"))).unwrap_or_default();
    let weight = match rollout.weight.percent() {
        0 | 100 => String::new(),
        percent => format!(", weight {percent}%"),
    };
    format!(
        "revision {from}{}, step {}/{} {}{weight}",
        rollout.to,
        rollout.step,
        rollout.steps,
        phase_word(rollout.phase)
    )
}

fn status_text(status: &AppStatus, now: &jiff::Zoned, out: &Output, wide: bool) -> String {
    let revision = status.revision.map(|revision| format!("  revision {revision}")).unwrap_or_default();
    let mut text = format!("{}  {}{revision}\n", status.app, words::state(status.state, out.glyphs));
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<9}{}\n", crate::output::clean(&value)));
        }
    };
    fact("about", status.description.clone().unwrap_or_default());
    // Of a pause, the longer text below says the same.
    let paused = status.rollout.as_ref().is_some_and(|rollout| rollout.paused.is_some());
    fact("note", if paused { String::new() } else { status.message.clone() });
    fact("rollout", rollout_line(status, out.glyphs));
    for waiting in status.rollout.iter().flat_map(|rollout| &rollout.waiting_for) {
        fact("waits for", format!(" {waiting}"));
    }
    for gate in status.rollout.iter().flat_map(|rollout| &rollout.gates) {
        fact("gate", gate_line(gate));
    }
    fact("paused", status.rollout.as_ref().and_then(|rollout| rollout.paused.clone()).unwrap_or_default());
    fact("last", status.last.as_ref().map(|entry| last_line(entry, now)).unwrap_or_default());
    for route in &status.routes {
        fact("route", route.clone());
    }
    for problem in &status.problems {
        fact("problem", problem_line(problem));
    }
    for link in links_in_doubt(status) {
        fact("link", link);
    }
    if !status.components.is_empty() {
        text.push('\n');
        text.push_str(&places_table(status, out, wide));
    }
    text
}

/// Links that no provider has accepted, each once with how many hosts say so.
fn links_in_doubt(status: &AppStatus) -> Vec<String> {
    let mut found = BTreeMap::<String, BTreeSet<&HostId>>::new();
    for place in status.components.iter().flat_map(|component| &component.places) {
        for link in place.links.iter().filter(|link| link.state != LinkState::Accepted) {
            found.entry(words::link(link)).or_default().insert(&place.host);
        }
    }
    let text = |(link, hosts): (String, BTreeSet<&HostId>)| match hosts.len() {
        1 => link,
        count => format!("{link} (on {count} hosts)"),
    };
    found.into_iter().map(text).collect()
}

/// `deploy of revision 7 by dev, today 14:02: Completed in 38.2 s: batch reads`.
fn last_line(entry: &HistoryEntry, now: &jiff::Zoned) -> String {
    let what = entry.revision.map(|revision| format!(" of revision {revision}")).unwrap_or_default();
    let by = if entry.cause.by.is_empty() { String::new() } else { format!(" by {}", entry.cause.by) };
    let time = words::day_and_time(entry.started, now);
    let taken = took_of(entry).map(|taken| format!(" in {taken}")).unwrap_or_default();
    let outcome = words::outcome(entry.outcome);
    let change = change_of(entry);
    let change = if change == NOTHING { String::new() } else { format!(": {change}") };
    format!("{}{what}{by}, {time}: {outcome}{taken}{change}", words::kind(entry.kind))
}

fn took_of(entry: &HistoryEntry) -> Option<String> {
    entry.ended.map(|ended| took(ended.since(entry.started)))
}

/// Why it failed, and what its author said.
fn change_of(entry: &HistoryEntry) -> String {
    match (&entry.problem, &entry.cause.message) {
        (Some(problem), None) => problem_line(problem),
        (Some(problem), Some(message)) => format!("{}; {message}", problem_line(problem)),
        (None, Some(message)) => message.clone(),
        (None, None) => NOTHING.into(),
    }
}

fn places_table(status: &AppStatus, out: &Output, wide: bool) -> String {
    let mut titles = vec!["COMPONENT", "READY", "HOST", "REV", "WEIGHT", "PHASE", "REASON"];
    if wide {
        titles.extend(["ID", "HOST ID"]);
    }
    let mut rows = Vec::new();
    for component in &status.components {
        let ready = format!("{}/{}", component.ready, component.desired);
        let mut head = Some((component.component.to_string(), ready));
        for place in &component.places {
            let (name, ready) = head.take().unwrap_or_default();
            let reason = words::reason(place.reason);
            let text = [reason.as_str(), place.message.as_str()];
            let text: Vec<&str> = text.into_iter().filter(|part| !part.is_empty()).collect();
            let phase = place.phase.map_or_else(|| "unknown".into(), words::phase);
            let mut row = vec![
                name,
                ready,
                place.host_name.clone(),
                place.revision.to_string(),
                format!("{}%", place.weight.percent()),
                phase,
                text.join(": "),
            ];
            if wide {
                row.extend([component.id.to_string(), place.host.to_string()]);
            }
            rows.push(row);
        }
        if let Some((name, ready)) = head {
            let nothing = || NOTHING.to_owned();
            rows.push(vec![name, ready, nothing(), nothing(), nothing(), nothing(), String::new()]);
        }
    }
    table(out.headers, &titles, rows)
}

fn history_table(history: &History, now: &jiff::Zoned, out: &Output, wide: bool) -> String {
    let mut titles = vec!["REV", "KIND", "STATE", "STRATEGY", "STARTED", "TOOK", "BY", "TAGS", "CHANGE"];
    if wide {
        titles.extend(["FROM", "GENERATION"]);
    }
    let rows = history.entries.iter().map(|entry| {
        let number = |revision: Option<lath_control_api::Revision>| {
            revision.map_or_else(|| NOTHING.to_owned(), |revision| revision.to_string())
        };
        let mut row = vec![
            number(entry.revision),
            words::kind(entry.kind).to_owned(),
            words::outcome(entry.outcome).to_owned(),
            or_nothing(entry.strategy.clone()),
            words::day_and_time(entry.started, now),
            took_of(entry).unwrap_or_else(|| NOTHING.into()),
            or_nothing(entry.cause.by.clone()),
            or_nothing(tags_of(entry, history)),
            change_of(entry),
        ];
        if wide {
            row.extend([number(entry.from), entry.generation.to_string()]);
        }
        row
    });
    table(out.headers, &titles, rows.collect())
}

/// The tags of the revision that an entry made. A stop made none.
fn tags_of(entry: &HistoryEntry, history: &History) -> String {
    let has = |(_, revision): &(&String, &lath_control_api::Revision)| Some(**revision) == entry.revision;
    history.tags.iter().filter(has).map(|(tag, _)| tag.as_str()).collect::<Vec<_>>().join(",")
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { NOTHING.into() } else { text }
}

#[cfg(test)]
mod tests;
