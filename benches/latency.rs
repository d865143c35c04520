//! How soon something new answers: from an accepted bundle to its first answer, and the first call of a component that
//! is there and was never called.
//!
//! Needs the guests of `cargo xtask components`. Run with `cargo bench --workspace --bench latency`.
#![expect(clippy::expect_used, reason = "a measurement that cannot be made stops at once")]

use std::time::{Duration, Instant};

use lath_benches::bundle::{component, guest, request, server, variant};
use lath_benches::numbers::{print, print_machine};
use lath_benches::process::{Host, Http};
use lath_control_api::Digest;

const ROUNDS: u32 = 300;
/// Time between rounds, so that one does not run into what another left to do.
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    print_machine();
    runtime.block_on(measure());
}

async fn measure() {
    let host = Host::start(None).await;
    let http = Http::default();
    let hello = guest("http-hello-v1");
    let digest = host.push(&hello).await;
    // Holds the address, and the code of the digest in memory.
    deploy(&host, "first", &digest, 1).await;
    until_answered(&host, &http, "first").await;

    let (mut commands, mut answers) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (command, answer) = first_answer(&host, &http, &format!("shared{round}"), &digest).await;
        commands.push(command);
        answers.push(answer);
    }
    print("command sent until accepted", commands);
    print("accepted until the first answer, code in memory", answers);

    // Digests that the host has had once: their bytes and compiled code are on its disk, and nowhere else.
    let mut digests = Vec::new();
    for round in 0..ROUNDS {
        let digest = host.push(&variant(&hello, round)).await;
        let app = format!("own{round}");
        deploy(&host, &app, &digest, 1).await;
        until_answered(&host, &http, &app).await;
        host.apply(&request(&app, 2, Vec::new())).await;
        digests.push(digest);
    }
    host.running(2 + 2 * ROUNDS as usize).await;
    let mut answers = Vec::new();
    for (round, digest) in digests.iter().enumerate() {
        answers.push(first_answer(&host, &http, &format!("cached{round}"), digest).await.1);
    }
    print("accepted until the first answer, code on disk", answers);

    let first = ROUNDS as usize;
    let mut calls = Vec::new();
    for round in first..2 * first {
        deploy(&host, &format!("resident{round}"), &digest, 1).await;
    }
    host.running(2 + 6 * ROUNDS as usize).await;
    for round in first..2 * first {
        tokio::time::sleep(PAUSE).await;
        let name = format!("resident{round}.test");
        let begun = Instant::now();
        let (status, _) = http.get(host.address, &name).await.expect("an answer");
        calls.push(begun.elapsed());
        assert_eq!(status, 200);
    }
    print("first call of a resident component", calls);
    let mut calls = Vec::new();
    for _ in 0..10 * ROUNDS {
        let begun = Instant::now();
        let (status, _) = http.get(host.address, "first.test").await.expect("an answer");
        calls.push(begun.elapsed());
        assert_eq!(status, 200);
    }
    print("any later call, for comparison", calls);
}

async fn deploy(host: &Host, app: &str, digest: &Digest, generation: u64) {
    let web = server(app, host.address, &format!("{app}.test"), "hello");
    host.apply(&request(app, generation, vec![component(app, "hello", digest), web])).await;
}

/// How long the host takes to accept a bundle, and from then on to its first answer.
async fn first_answer(host: &Host, http: &Http, app: &str, digest: &Digest) -> (Duration, Duration) {
    tokio::time::sleep(PAUSE).await;
    let sent = Instant::now();
    deploy(host, app, digest, 1).await;
    let accepted = Instant::now();
    until_answered(host, http, app).await;
    (accepted - sent, accepted.elapsed())
}

/// Asks again and again: what comes before is a 404 of the host, which takes a tenth of a millisecond.
async fn until_answered(host: &Host, http: &Http, app: &str) {
    let name = format!("{app}.test");
    while !matches!(http.get(host.address, &name).await, Ok((200, _))) {}
}
