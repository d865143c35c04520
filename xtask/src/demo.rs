//! `cargo xtask demo`: the whole story in one run, from an empty checkout to an upgrade that loses no request. Each
//! step is checked here and ends the demo when it is not right. What a step does is the business of `lath` alone.

mod lattice;
mod load;

use std::net::SocketAddr;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde_json::Value;

use crate::workspace::{Workspace, run};
use crate::{components, nats};
use lattice::Lattice;
use load::Load;

/// The app of `manifests/examples`, and how its revisions answer.
const APP: &str = "greet";
const REVISIONS: [(&str, &str); 2] =
    [("greet.yaml", "v1: Hello, Ada"), ("greet-v2.yaml", "v2: Welcome, Ada")];
const PATH: &str = "/greet?name=Ada";
const STEPS: u32 = 9;
/// Requests before a change begins and after it is done.
const AROUND: usize = 200;

/// What becomes of the lattice at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Stop,
    Keep,
}

/// Shows everything; an error as soon as something is not as it should be.
pub(crate) fn demo(workspace: &Workspace, after: After) -> Result<()> {
    let begun = Instant::now();
    step(1, "nats-server");
    let nats = nats::find_or_fetch(workspace)?;
    println!("    {}", nats.display());
    step(2, "example components");
    components::build(workspace, components::Guests::Rust, components::Wanted::UpToDate)?;
    step(3, "lath; the first build takes some minutes");
    // Of the whole workspace only this program, so that dependencies are built once for it and for the tests.
    run(workspace.cargo().args(["build", "--workspace", "--bin", "lath"]))?;

    let lattice = Lattice::new(workspace, nats)?;
    let shown = show(&lattice);
    if shown.is_ok() && after == After::Keep {
        println!("\neverything was as it should be, in {:.0?}", begun.elapsed());
        lattice.say_what_next(PATH);
        return Ok(());
    }
    step(9, "stop everything");
    let stopped = lattice.stop();
    shown.and(stopped)?;
    println!("\neverything was as it should be, in {:.0?}", begun.elapsed());
    Ok(())
}

fn step(number: u32, name: &str) {
    println!("\n[{number}/{STEPS}] {name}");
}

fn show(lattice: &Lattice) -> Result<()> {
    let [(first, old), (second, new)] = REVISIONS;
    step(4, "a lattice of two hosts and a manager, each in a process of its own");
    lattice.start()?;

    step(5, "deploy two linked components, until the first answer");
    let manifest = lattice.manifest(first)?;
    let begun = Instant::now();
    let first_answer = first_answer(lattice.http);
    run(lattice.lath(["deploy"]).arg(manifest))?;
    let (answer, at) = first_answer.join().map_err(|_| anyhow!("waiting for an answer has panicked"))??;
    println!("    first answer after {:.2} s: {answer}", at.duration_since(begun).as_secs_f64());
    expect(old, &name(&answer))?;

    step(6, "deploy the second revision, code and config, while requests keep coming");
    let manifest = lattice.manifest(second)?;
    under_load(lattice, old, new, lattice.lath(["deploy"]).arg(manifest))?;

    step(7, "roll back, while requests keep coming");
    under_load(lattice, new, old, &mut lattice.lath(["rollback", APP]))?;

    step(8, "what runs where");
    run(&mut lattice.lath(["inventory"]))?;
    lattice.check_inventory()
}

/// Asks until there is an answer, and tells when that was.
fn first_answer(address: SocketAddr) -> JoinHandle<Result<(Value, Instant)>> {
    thread::spawn(move || {
        let begun = Instant::now();
        loop {
            match load::get(address, PATH) {
                Ok(answer) => return Ok((answer, Instant::now())),
                Err(error) if begun.elapsed() > Duration::from_secs(60) => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    })
}

/// Runs a change while requests come, and checks that none was lost and that the old revision ended.
fn under_load(lattice: &Lattice, old: &str, new: &str, change: &mut Command) -> Result<()> {
    let load = Load::start(lattice.http, PATH);
    load.more(AROUND)?;
    let changed = run(change);
    let done = Instant::now();
    load.more(AROUND)?;
    let account = load.finish()?;
    changed?;

    let (by, late) = (account.by(None, name), account.by(Some(done), name));
    for (revision, count) in &by {
        let after = late.get(revision).copied().unwrap_or_default();
        println!("    {count:>6} answered by `{revision}`, {after} of them sent after it was done");
    }
    let failures = account.failures();
    println!("    {:>6} failed", failures.len());
    ensure!(
        failures.is_empty(),
        "{} requests failed, the first one: {}",
        failures.len(),
        failures.join("; ")
    );
    ensure!(by.keys().all(|name| name == old || name == new), "answers of no whole revision");
    ensure!(late.keys().eq([new]), "not only the new revision answers after the change was done");
    Ok(())
}

/// Which revision an answer is from: version of both components, and the text that the config decides.
fn name(answer: &Value) -> String {
    let text = |field| answer.get(field).and_then(Value::as_str).unwrap_or_default();
    match (text("version"), text("greeter")) {
        (front, greeter) if front == greeter => format!("{front}: {}", text("text")),
        (front, greeter) => format!("{front} with {greeter}: {}", text("text")),
    }
}

fn expect(expected: &str, found: &str) -> Result<()> {
    ensure!(found == expected, "expected `{expected}`, found `{found}`");
    Ok(())
}
