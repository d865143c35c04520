//! How many components fit on a host: ten thousand idle ones of one digest, and forty different ones in 256 MiB.
//!
//! Needs the guests of `cargo xtask components`. Run with `cargo bench --workspace --bench density`, and with
//! `-- --components N` for another number than 10,000.
#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that cannot be made stops at once")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use lath_benches::bundle::{component, guest, request, server, variant};
use lath_benches::numbers::{mebibytes, print_machine};
use lath_benches::process::{Group, Host, Http};

/// Components of one app; several apps fit in one message each.
const OF_AN_APP: usize = 100;
const DIFFERENT: u32 = 40;
const SMALL: u64 = 256 << 20;
/// How long the host has nothing to do before it is looked at.
const REST: Duration = Duration::from_secs(5);
/// Longest wait for what a host was asked for: there is no figure then.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked =
        arguments.iter().position(|argument| argument == "--components").map(|at| arguments.get(at + 1));
    let components = match asked {
        Some(number) => number.and_then(|number| number.parse().ok()).expect("--components NUMBER"),
        None => 10_000,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    print_machine();
    runtime.block_on(idle(components));
    runtime.block_on(small());
}

/// Many components of one digest, of which none is called.
async fn idle(components: usize) {
    let host = Host::start(None).await;
    let digest = host.push(&guest("http-hello-v1")).await;
    // The code is compiled and everything has been there once before anything is measured.
    let first =
        vec![component("first", "hello", &digest), server("first", host.address, "first.test", "hello")];
    host.apply(&request("first", 1, first)).await;
    host.running(2).await;
    answered(&host, "first.test").await;
    tokio::time::sleep(REST).await;
    let (before, nats_before, ready_before) = (host.memory(), host.memory_of_nats(), host.logged(" ready"));

    let begun = Instant::now();
    let mut accepted = Duration::ZERO;
    for app in 0..components.div_ceil(OF_AN_APP) {
        let name = format!("app{app}");
        let of_this = OF_AN_APP.min(components - app * OF_AN_APP);
        let bundles = (0..of_this).map(|number| component(&name, &format!("c{number}"), &digest)).collect();
        let sent = Instant::now();
        host.apply(&request(&name, 1, bundles)).await;
        accepted += sent.elapsed();
    }
    while host.logged(" ready") - ready_before < components {
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} not all components are ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ready = begun.elapsed();
    host.running(components + 2).await;
    tokio::time::sleep(REST).await;
    let (after, nats_after) = (host.memory(), host.memory_of_nats());
    answered(&host, "first.test").await;

    let each = |all: Duration| all.as_secs_f64() * 1_000.0 / components as f64;
    let kibibytes =
        |after: u64, before: u64| after.saturating_sub(before) as f64 / 1024.0 / components as f64;
    println!("{components} idle components of one digest on one host:");
    println!(
        "  time of each, until it can be called: {:.3} ms ({:.1} s in all)",
        each(ready),
        ready.as_secs_f64()
    );
    println!("  of it until its command was accepted: {:.3} ms", each(accepted));
    println!(
        "  resident memory of each: {:.1} KiB (host {} before, {} after, {} at most)",
        kibibytes(after.resident, before.resident),
        mebibytes(before.resident),
        mebibytes(after.resident),
        mebibytes(after.most),
    );
    println!(
        "  beside it in the nats-server: {:.1} KiB (it has {})",
        kibibytes(nats_after.resident, nats_before.resident),
        mebibytes(nats_after.resident),
    );
}

/// Different components on a host that has little memory.
async fn small() {
    let group = Group::of(SMALL);
    let how = match &group {
        Ok(_) => "a control group limits it".to_owned(),
        Err(error) => {
            format!("nothing limits it, since no control group can be made here ({error}); look at the most")
        }
    };
    let group = group.ok();
    let mut host = Host::start(group.as_ref()).await;
    println!("{DIFFERENT} different components on a host that may take {}; {how}:", mebibytes(SMALL));
    println!("  started, with nothing on it: {}", mebibytes(host.memory().resident));
    let guests: Vec<Bytes> =
        ["http-hello-v1", "http-hello-v2", "misbehave-v1", "http-caller-v1"].map(guest).into();
    let begun = Instant::now();
    for (number, kind) in (0..DIFFERENT).zip(guests.iter().cycle()) {
        let digest = host.push(&variant(kind, number)).await;
        let app = format!("app{number}");
        let web = server(&app, host.address, &format!("{app}.test"), "hello");
        host.apply(&request(&app, 1, vec![component(&app, "hello", &digest), web])).await;
    }
    host.running(2 * DIFFERENT as usize).await;
    let compiled = begun.elapsed();
    call_all(&host).await;
    let memory = host.memory();
    println!(
        "  fetched, compiled and called: {:.1} s, {} resident, {} at most",
        compiled.as_secs_f64(),
        mebibytes(memory.resident),
        mebibytes(memory.most)
    );
    let begun = Instant::now();
    let ready = host.restart(group.as_ref()).await;
    call_all(&host).await;
    let memory = host.memory();
    println!(
        "  started again with its data: takes commands after {:.0} ms, has answered for all after {:.0} ms (its stop included), {} resident, {} at most",
        ready.as_secs_f64() * 1_000.0,
        begun.elapsed().as_secs_f64() * 1_000.0,
        mebibytes(memory.resident),
        mebibytes(memory.most)
    );
    if memory.most > SMALL {
        panic!("the host went over {}", mebibytes(SMALL));
    }
}

async fn call_all(host: &Host) {
    for number in 0..DIFFERENT {
        answered(host, &format!("app{number}.test")).await;
    }
}

/// Asks until there is an answer of the component, whatever it says to `/`.
async fn answered(host: &Host, name: &str) {
    let (http, begun) = (Http::default(), Instant::now());
    loop {
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} {name} does not answer");
        // A host that does not know the way says 404 too, with a text of its own.
        match http.get(host.address, name).await {
            Ok((200 | 400, _)) => return,
            Ok((404, text)) if text.starts_with(b"there are /ok") => return,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
