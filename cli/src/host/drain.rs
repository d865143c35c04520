//! `lath host drain` and `undrain`: no new work for a host, until it is told otherwise.
//!
//! The host decides nothing here: the manager moves what can move, and what has no other place stays and serves. This
//! command only looks on, and says what is still there and why.

use std::time::Duration;

use clap::Args;
use lath_control_api::app::{AppList, AppStatus, ListRequest};
use lath_control_api::{AppName, AppVerb, ComponentName, HostId, HostInventory, LatticeId, Phase, Revision};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::find::{Found, find};
use crate::args::WaitArgs;
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::output::{Document, Glyphs, clean};
use crate::progress::{Reporter, took};
use crate::render::count;
use crate::wait::problem_line;
use crate::words;

/// How often the host is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Least time between two lines that only say that nothing has changed.
const STILL_EVERY: Duration = Duration::from_secs(10);
/// Most units that are listed.
const SHOWN: usize = 10;

const AFTER_HELP: &str = "\
    What another host can take moves there, and is ready there before it goes here; what finds no other place stays and \
    serves. The host keeps to it over restarts, until `lath host undrain`. Ctrl-C ends the wait, not the drain.";

/// Arguments of `lath host drain`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DrainArgs {
    /// The host: its name, its id, or the beginning of its id
    host: String,
    /// Show what it runs, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Arguments of `lath host undrain`.
#[derive(Debug, Args)]
pub(crate) struct UndrainArgs {
    /// The host: its name, its id, or the beginning of its id
    host: String,
    /// Check that it answers, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// One unit that the host still runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    app: AppName,
    component: ComponentName,
    revision: Revision,
    phase: Phase,
    in_flight: u64,
    /// What keeps its app from moving it, where that is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DrainResult<'a> {
    lattice: &'a LatticeId,
    host: &'a HostId,
    name: &'a str,
    /// `Empty`, `Draining` while something is there, `Accepted` with `--detach`, `DryRun`; `Ready` after `undrain`.
    outcome: &'static str,
    /// It was told so before.
    unchanged: bool,
    exit: u8,
    left: &'a [Left],
    duration_ms: u128,
}

/// Drains a host.
pub(super) async fn drain(args: DrainArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let found = find(&session, &args.host).await?;
    let reporter = call.reporter();
    let mut drain =
        Drain { call, session: &session, found: &found, reporter, unchanged: false, left: Vec::new() };
    drain.reporter.headline(&headline(&session.target.lattice, &found.name, "drain", call.out.glyphs));
    drain.left = drain.look().await?;
    if args.dry_run {
        return drain.told("DryRun", Exit::Done, "Nothing was changed (dry run)");
    }
    let reply = session.control.drain(&found.host, session.patience).await;
    let reply = reply.map_err(|error| session.failed_host(error, &found.name))?;
    drain.unchanged = reply.unchanged;
    if args.wait.detach {
        let text = format!("Accepted; see what is left with: lath host show {}", found.name);
        return drain.told("Accepted", Exit::Done, &text);
    }
    drain.until_empty(args.wait.timeout).await
}

/// Has a drained host take work again.
pub(super) async fn undrain(args: UndrainArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let found = find(&session, &args.host).await?;
    let reporter = call.reporter();
    let mut drain =
        Drain { call, session: &session, found: &found, reporter, unchanged: false, left: Vec::new() };
    drain.reporter.headline(&headline(&session.target.lattice, &found.name, "undrain", call.out.glyphs));
    if args.dry_run {
        drain.left = drain.look().await?;
        return drain.told("DryRun", Exit::Done, "Nothing was changed (dry run)");
    }
    let reply = session.control.undrain(&found.host, session.patience).await;
    let reply = reply.map_err(|error| session.failed_host(error, &found.name))?;
    drain.unchanged = reply.unchanged;
    let mark = call.out.glyphs.pick("✔", "OK");
    let text = if reply.unchanged {
        format!("{mark} Unchanged: {} takes work", found.name)
    } else {
        format!("{mark} {} takes work again", found.name)
    };
    drain.told("Ready", Exit::Done, &text)
}

/// The first line of every command that changes a host.
pub(super) fn headline(lattice: &LatticeId, host: &str, change: &str, glyphs: Glyphs) -> String {
    let dot = glyphs.pick("·", "-");
    format!("Lattice {lattice} {dot} host {} {dot} {change}", clean(host))
}

/// A host on its way to being empty.
struct Drain<'a> {
    call: &'a Call,
    session: &'a Session,
    found: &'a Found,
    reporter: Reporter,
    unchanged: bool,
    left: Vec<Left>,
}

impl Drain<'_> {
    async fn look(&self) -> Result<Vec<Left>, Failure> {
        let inventory = self.session.control.inventory(&self.found.host, self.session.patience).await;
        let inventory = inventory.map_err(|error| self.session.failed_host(error, &self.found.name))?;
        // Without a manager nobody knows why; what is there is known all the same.
        let apps = self.session.ask::<_, AppList>(AppVerb::List, &ListRequest {}).await;
        Ok(left(&inventory, apps.as_ref().map(|list| list.apps.as_slice()).unwrap_or_default()))
    }

    /// The same after a while, so that a host is not asked more often than it changes.
    async fn look_after(&self, pause: Duration) -> Result<Vec<Left>, Failure> {
        sleep(pause).await;
        self.look().await
    }

    async fn until_empty(mut self, timeout: Duration) -> Result<Exit, Failure> {
        let deadline = Instant::now() + timeout;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let (mut last_line, mut pause) = (Duration::ZERO, Duration::ZERO);
        self.reporter.line(&summary(&self.left));
        loop {
            let look = tokio::select! {
                biased;
                _ = &mut interrupted => return self.unfinished(Exit::Interrupted, "No longer waiting; the host stays drained"),
                () = sleep_until(deadline) => {
                    let text = format!("Not empty within {}; the host stays drained", took(timeout));
                    return self.unfinished(Exit::TimedOut, &text);
                }
                look = self.look_after(pause) => look,
            };
            pause = LOOK_EVERY;
            let now = match look {
                Ok(now) => now,
                Err(failure) => {
                    self.reporter.paint(&failure.message);
                    continue;
                }
            };
            if now.is_empty() {
                return self.empty();
            }
            let elapsed = self.reporter.elapsed();
            if summary(&now) != summary(&self.left) {
                self.reporter.line(&summary(&now));
                last_line = elapsed;
            } else if elapsed.saturating_sub(last_line) >= STILL_EVERY && !self.reporter.is_live() {
                let slowest = now.first().map(line).unwrap_or_default();
                self.reporter.line(&format!("still waiting after {} s for {slowest}", elapsed.as_secs()));
                last_line = elapsed;
            }
            self.left = now;
            let slowest = self.left.first().map(line).unwrap_or_default();
            self.reporter.paint(&format!("waiting for {slowest}"));
        }
    }

    fn empty(mut self) -> Result<Exit, Failure> {
        self.left.clear();
        let mark = self.call.out.glyphs.pick("✔", "OK");
        let time = took(self.reporter.elapsed());
        let name = &self.found.name;
        let text = format!(
            "{mark} {name} is empty after {time}; it can be stopped, or takes work again with: lath host undrain {name}"
        );
        self.told("Empty", Exit::Done, &text)
    }

    fn unfinished(self, exit: Exit, text: &str) -> Result<Exit, Failure> {
        let name = &self.found.name;
        let lines = self.left.iter().take(SHOWN).map(|one| format!("  still there: {}\n", line(one)));
        let more = self.left.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
        let lines: String = lines.collect();
        let text = format!(
            "{text}\n{lines}{more}Wait again with: lath host drain {name}; take it back with: lath host undrain {name}"
        );
        self.told("Draining", exit, &text)
    }

    fn told(mut self, outcome: &'static str, exit: Exit, text: &str) -> Result<Exit, Failure> {
        self.reporter.wipe();
        let result = DrainResult {
            lattice: &self.session.target.lattice,
            host: &self.found.host,
            name: &self.found.name,
            outcome,
            unchanged: self.unchanged,
            exit: exit.code(),
            left: &self.left,
            duration_ms: self.reporter.elapsed().as_millis(),
        };
        let document = Document::new("HostDrainResult", &result).names([self.found.name.clone()]);
        let listed = outcome == "DryRun";
        self.call.out.print(&document, |_wide| {
            let there = self.left.iter().filter(|_| listed).map(|one| format!("  runs {}\n", line(one)));
            there.collect::<String>() + text + "\n"
        })?;
        Ok(exit)
    }
}

/// What a host still runs, those that wait for another place first, each with what its app says of it.
fn left(inventory: &HostInventory, apps: &[AppStatus]) -> Vec<Left> {
    let units = inventory.apps.iter().flat_map(|app| {
        let status = apps.iter().find(|status| status.app == app.app);
        app.components.iter().flat_map(move |component| {
            component.units.iter().map(move |unit| Left {
                app: app.app.clone(),
                component: component.component.clone(),
                revision: unit.revision,
                phase: unit.phase,
                in_flight: unit.calls.in_flight,
                why: status.map(|status| why(status, &component.component)).unwrap_or_default(),
            })
        })
    });
    let mut left: Vec<Left> = units.collect();
    left.sort_by_key(|unit| unit.phase == Phase::Draining);
    left
}

/// The app's problem with this component, else its problem as a whole, else what it waits for.
fn why(status: &AppStatus, component: &ComponentName) -> String {
    let own = status.problems.iter().find(|problem| problem.component.as_ref() == Some(component));
    let whole = || status.problems.iter().find(|problem| problem.component.is_none());
    match (own, whole()) {
        (Some(problem), _) => clean(&format!("{}: {}", problem.reason, problem.message)),
        (None, Some(problem)) => problem_line(problem),
        (None, None) => clean(&status.message),
    }
}

/// `2 units of 1 app, 3 calls in flight: shop/cart@7, shop/http@7`.
fn summary(left: &[Left]) -> String {
    let apps: std::collections::BTreeSet<&AppName> = left.iter().map(|unit| &unit.app).collect();
    let calls: u64 = left.iter().map(|unit| unit.in_flight).sum();
    let calls = if calls > 0 { format!(", {calls} in flight") } else { String::new() };
    let names: Vec<String> = left.iter().take(SHOWN).map(name).collect();
    let more = left.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
    format!("{} of {} left{calls}{names}", count(left.len(), "unit"), count(apps.len(), "app"))
}

fn name(unit: &Left) -> String {
    format!("{}/{}@{}", unit.app, unit.component, unit.revision)
}

/// `shop/cart@7 (draining, 3 in flight): why`.
fn line(unit: &Left) -> String {
    let calls = if unit.in_flight > 0 { format!(", {} in flight", unit.in_flight) } else { String::new() };
    let why = if unit.why.is_empty() { String::new() } else { format!(": {}", unit.why) };
    format!("{} ({}{calls}){why}", name(unit), words::phase(unit.phase))
}

#[cfg(test)]
mod tests {
    use lath_control_api::Generation;
    use lath_control_api::app::{AppState, Problem};

    use super::*;

    fn inventory() -> HostInventory {
        let unit = |revision: u64, phase: &str, in_flight: u64| {
            serde_json::json!({
                "role": "stable", "serving": phase == "running", "weight": 100, "revision": revision,
                "content": format!("sha256:{}", "a".repeat(64)), "image": "file://cart.wasm", "phase": phase,
                "reason": "as-asked", "since": "2026-11-21T07:00:00Z", "maxInstances": 1,
                "calls": { "inFlight": in_flight },
            })
        };
        serde_json::from_value(serde_json::json!({
            "summary": {
                "host": format!("N{}", "A".repeat(55)), "name": "grey-elk", "version": "0.0.0", "boot": "01K",
                "sequence": 1, "started": "2026-11-21T07:00:00Z", "state": "draining",
            },
            "apps": [{
                "app": "shop", "confirmed": true,
                "fence": { "epoch": 1, "generation": 1, "step": 1 },
                "components": [
                    { "component": "cart", "id": "shop-cart", "units": [unit(6, "draining", 3), unit(7, "running", 0)] },
                    { "component": "http", "id": "shop-http", "units": [unit(7, "running", 0)] },
                ],
            }],
        }))
        .unwrap()
    }

    fn status() -> AppStatus {
        AppStatus {
            app: "shop".parse().unwrap(),
            state: AppState::Degraded,
            message: "cart needs 2 hosts".into(),
            revision: Some(Revision(7)),
            generation: Generation(1),
            rollout: None,
            last: None,
            components: Vec::new(),
            problems: vec![Problem {
                reason: "no-host".into(),
                message: "`cart` needs 2 hosts: 1 will do".into(),
                component: Some("cart".parse().unwrap()),
                host: None,
                host_name: None,
            }],
            routes: Vec::new(),
            description: None,
        }
    }

    #[test]
    fn what_is_left_is_told_with_the_reason() {
        let left = left(&inventory(), &[status()]);
        insta::assert_snapshot!(left.iter().map(line).collect::<Vec<_>>().join("\n"), @r"
        shop/cart@7 (running): no-host: `cart` needs 2 hosts: 1 will do
        shop/http@7 (running): cart needs 2 hosts
        shop/cart@6 (draining, 3 in flight): no-host: `cart` needs 2 hosts: 1 will do
        ");
        insta::assert_snapshot!(summary(&left), @"3 units of 1 app left, 3 in flight: shop/cart@7, shop/http@7, shop/cart@6");
        insta::assert_snapshot!(summary(&[]), @"0 units of 0 apps left");
    }

    #[test]
    fn an_app_that_nobody_manages_gives_no_reason() {
        assert!(left(&inventory(), &[]).iter().all(|unit| unit.why.is_empty()));
    }
}
