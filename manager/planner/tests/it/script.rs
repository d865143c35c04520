//! The language of scenarios: lines that begin with `> ` are done, everything else is what came of them.
//!
//! | line | what it does |
//! |---|---|
//! | `hosts a b,zone=west` | these hosts are there, or join |
//! | `deploy front=v1 …` | deploys the app of the line, see `lath_manager_planner::example::App` |
//! | `deploy other: front=v1` | the same for an app that is not called `shop` |
//! | `rollback [N]`, `undeploy`, `delete` | what users ask for |
//! | `tick [N]` | seconds pass |
//! | `settle [N]` | seconds pass until nobody has anything left to do, and has not for N seconds |
//! | `broken front=v2 REASON`, `mended kv=!v2` | whether an image can be prepared |
//! | `rollout pause` … | what people tell a rollout, see `RolloutAction` |
//! | `unhealthy front=v2`, `healthy front=v2` | whether an image answers well once it runs |
//! | `calls N` | every second every component of every host is called so often |
//! | `failing front=v2 4%`, `slow front=v2 20ms` | what becomes of calls of an image |
//! | `hold a`, `release a` | whether a host prepares by itself |
//! | `ready a COMPONENT`, `fails a COMPONENT REASON` | ends one preparation of a host that holds |
//! | `busy a`, `idle a` | whether calls keep replaced units from going |
//! | `lose a`, `return a` | nothing comes from or goes to the host, or again |
//! | `restart a`, `wipe a` | a new process with the host's journal, or without one |
//! | `stopping a`, `stopped a` | the host goes in order |
//! | `drain a`, `undrain a` | the host stays and takes no work, or takes work again |
//! | `label a zone=west` | the host has these labels now |
//! | `manager stops`, `manager starts` | whether anybody plans |
//! | `store saves`, `store goes back` | the store loses all writes since it was saved |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lath_control_api::{AppInventory, AppName, CallCounts, HostId, HostState, Labels, Reason};
use lath_manager_planner::example;

use crate::show::Show;
use crate::world::{Happened, Stored, World};

/// Longest that `settle` waits, in seconds.
const SETTLES_WITHIN: usize = 600;
/// Seconds of silence after which `settle` believes it: longer than any host may be silent.
const SILENCE: usize = 15;

/// Runs the script lines of `text` and returns them with what came of them.
pub(crate) fn transcript(text: &str) -> String {
    let mut run = Run::default();
    for line in text.lines() {
        match line.strip_prefix("> ") {
            Some(script) => {
                let _ = writeln!(run.out, "{line}");
                run.line(script);
            }
            None if line.starts_with('#') || line.is_empty() => {
                let _ = writeln!(run.out, "{line}");
            }
            None => {}
        }
    }
    run.out
}

#[derive(Default)]
struct Run {
    out: String,
    world: Option<World>,
    show: Show,
    /// What was last shown of a host.
    shown: BTreeMap<(HostId, AppName), Option<AppInventory>>,
    /// The line of status that was last shown of an app.
    said: BTreeMap<AppName, String>,
    saved: Option<BTreeMap<AppName, Stored>>,
}

impl Run {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        let [verb, arguments @ ..] = words.as_slice() else { panic!("an empty line") };
        if *verb == "hosts" {
            match &mut self.world {
                Some(world) => world.join(rest),
                None => self.world = Some(World::new(rest)),
            }
            return;
        }
        match (*verb, arguments) {
            ("tick", []) => self.tick(),
            ("tick", [count]) => (0..count.parse().unwrap()).for_each(|_| self.tick()),
            ("settle", []) => self.settle(SILENCE),
            ("settle", [silence]) => self.settle(silence.parse().unwrap()),
            ("store", ["saves"]) => self.saved = Some(self.world().apps.clone()),
            ("store", ["goes", "back"]) => {
                let saved = self.saved.clone().expect("`store saves` comes first");
                self.world().replace_store(saved);
            }
            ("deploy" | "rollback" | "undeploy" | "delete", _) => self.ask(verb, rest),
            ("rollout", [action]) => self.steer(action),
            _ => self.world().happen(verb, arguments),
        }
    }

    fn world(&mut self) -> &mut World {
        self.world.as_mut().expect("`hosts` comes first")
    }

    fn ask(&mut self, verb: &str, rest: &str) {
        let (app, rest) = rest.split_once(": ").unwrap_or(("shop", rest));
        let world = self.world.as_mut().expect("`hosts` comes first");
        let change = match verb {
            "deploy" => Ok(world.deploy(app, rest)),
            "rollback" => world.rollback(app, rest.parse().ok()),
            _ => Ok(world.stop(app, verb == "delete")),
        };
        let _ = match change {
            Err(refused) => writeln!(self.out, "refused: {refused}"),
            Ok(change) => match &change.record {
                None => writeln!(self.out, "unchanged"),
                Some(record) => writeln!(self.out, "{}", self.show.record(world, record)),
            },
        };
    }

    fn steer(&mut self, action: &str) {
        let action = serde_json::from_value(serde_json::Value::String(action.to_owned()))
            .unwrap_or_else(|_| panic!("an action: {action}"));
        let world = self.world.as_mut().expect("`hosts` comes first");
        let _ = match world.steer("shop", action) {
            Err(refused) => writeln!(self.out, "refused: {refused}"),
            Ok(None) => writeln!(self.out, "unchanged"),
            Ok(Some(record)) => writeln!(self.out, "{}", self.show.record(world, &record)),
        };
    }

    fn settle(&mut self, silence: usize) {
        let mut quiet = 0;
        for second in 0..SETTLES_WITHIN {
            let before = self.out.len();
            self.tick();
            quiet = if self.out.len() == before && self.world().is_silent() { quiet + 1 } else { 0 };
            if quiet > silence {
                let _ = writeln!(self.out, "silent after {} s", second + 1 - quiet);
                return;
            }
        }
        let _ = writeln!(self.out, "NOT SILENT after {SETTLES_WITHIN} s");
    }

    fn tick(&mut self) {
        let mut world = self.world.take().expect("`hosts` comes first");
        let (out, show, shown, said) = (&mut self.out, &mut self.show, &mut self.shown, &mut self.said);
        let mut observed = false;
        world.tick(&mut |world, happened| {
            if !observed {
                // What hosts said is what everything after it was decided by.
                hosts(out, show, shown, world);
                observed = true;
            }
            let _ = match happened {
                Happened::Committed(record) => writeln!(out, "{}", show.record(world, record)),
                Happened::Sent(command, answer) => {
                    let refusal = answer.err().map(|error| format!("  REFUSED: {error}")).unwrap_or_default();
                    writeln!(out, "{}{refusal}", show.command(world, command))
                }
                Happened::Status(status) => {
                    let line = show.status(status);
                    // Counts change all the time, and are not shown.
                    if said.get(&status.app) == Some(&line) {
                        Ok(())
                    } else {
                        said.insert(status.app.clone(), line.clone());
                        writeln!(out, "{line}")
                    }
                }
                Happened::Forgotten(app) => writeln!(out, "forgotten {app}"),
            };
        });
        hosts(out, show, shown, &world);
        self.world = Some(world);
    }
}

/// Shows what hosts have that they had not before, whether the manager has heard of it or not.
fn hosts(
    out: &mut String,
    show: &mut Show,
    shown: &mut BTreeMap<(HostId, AppName), Option<AppInventory>>,
    world: &World,
) {
    let mut apps: Vec<AppName> = world.apps.keys().cloned().collect();
    apps.extend(shown.keys().map(|(_, app)| app.clone()));
    apps.sort();
    apps.dedup();
    for (id, host) in &world.hosts {
        let inventory = host.inventory();
        for app in &apps {
            let entry = inventory.apps.iter().find(|entry| entry.app == *app).map(timeless);
            let known = shown.entry((id.clone(), app.clone())).or_default();
            if *known != entry {
                let _ = writeln!(out, "{}", show.host(world, id, entry.as_ref()));
                *known = entry;
            }
        }
    }
}

/// What is compared of an entry: all but times and counts.
fn timeless(entry: &AppInventory) -> AppInventory {
    let mut entry = entry.clone();
    for unit in entry.components.iter_mut().flat_map(|component| &mut component.units) {
        unit.since = lath_control_api::Timestamp(0);
        unit.next_try = None;
        unit.calls = CallCounts::default();
    }
    entry
}

impl World {
    fn happen(&mut self, verb: &str, arguments: &[&str]) {
        let now = self.now;
        match (verb, arguments) {
            ("broken", [image, reason]) => {
                self.broken.insert(reference(image), read_reason(reason));
            }
            ("mended", [image]) => {
                self.broken.remove(&reference(image));
            }
            ("unhealthy", [image]) => {
                self.unhealthy.insert(reference(image));
            }
            ("healthy", [image]) => {
                self.unhealthy.remove(&reference(image));
            }
            ("calls", [count]) => {
                let count = count.parse().unwrap();
                self.hosts.values_mut().for_each(|host| host.traffic = count);
            }
            ("failing", [image, percent]) => {
                let failing = percent.trim_end_matches('%').parse().unwrap();
                self.ills.entry(reference(image)).or_default().failing = failing;
            }
            ("slow", [image, millis]) => {
                let millis: u64 = millis.trim_end_matches("ms").parse().unwrap();
                self.ills.entry(reference(image)).or_default().micros = millis * 1_000;
            }
            ("hold", [host]) => self.host(host).holds = true,
            ("release", [host]) => self.host(host).holds = false,
            ("ready", [host, component]) => {
                assert!(self.host(host).prepared(Some(component), None, now), "nothing is prepared");
            }
            ("fails", [host, component, reason]) => {
                let reason = read_reason(reason);
                assert!(self.host(host).prepared(Some(component), Some(reason), now), "nothing is prepared");
            }
            ("busy", [host]) => self.host(host).busy = true,
            ("idle", [host]) => self.host(host).busy = false,
            ("lose", [host]) => self.host(host).connected = false,
            ("return", [host]) => self.host(host).connected = true,
            ("restart", [host]) => self.host(host).restart(now),
            ("wipe", [host]) => self.host(host).wipe(now),
            ("stopping", [host]) => self.host(host).summary.state = HostState::Stopping,
            ("drain", [host]) => self.host(host).summary.state = HostState::Draining,
            ("undrain", [host]) => self.host(host).summary.state = HostState::Ready,
            ("stopped", [host]) => {
                let id = example::host(host);
                let boot = self.host(host).summary.boot.clone();
                self.hosts.remove(&id);
                self.observed.stopped(&id, &boot);
            }
            ("label", [host, label]) => {
                let (key, value) = label.split_once('=').unwrap();
                self.host(host).summary.labels = Labels(BTreeMap::from([(key.to_owned(), value.to_owned())]));
            }
            ("manager", ["stops"]) => self.managed = false,
            ("manager", ["starts"]) => self.restart_manager(),
            _ => panic!("unknown line: {verb} {arguments:?}"),
        }
    }
}

fn reference(image: &str) -> String {
    let (name, tag) = image.split_once('=').unwrap();
    match tag.strip_prefix('!') {
        Some(tag) => format!("file://{name}-{tag}.par"),
        None => format!("file://{name}-{tag}.wasm"),
    }
}

fn read_reason(text: &str) -> Reason {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .unwrap_or_else(|_| panic!("a reason: {text}"))
}
