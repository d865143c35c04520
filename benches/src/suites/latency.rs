//! How soon something new answers: from an accepted bundle to its first answer, and the first call of a component that
//! is there and was never called.

use std::time::{Duration, Instant};

use lath_control_api::Digest;

use crate::bundle::{component, guest, request, server, variant};
use crate::numbers::within;
use crate::process::{Host, Http};
use crate::row::{Aim, Row, Value};
use crate::run::Run;

const SUITE: &str = "latency";
/// Time between rounds, so that one does not run into what another left to do.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let rounds = run.count(300, 60);
    let host = Host::start(&run.lath, None).await;
    let http = Http::default();
    let hello = guest("http-hello-v1");
    let digest = host.push(&hello).await;
    // Holds the address, and the code of the digest in memory.
    deploy(&host, "first", &digest, 1).await;
    until_answered(&host, &http, "first").await;

    let (mut commands, mut shared) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (command, answer) = first_answer(&host, &http, &format!("shared{round}"), &digest).await;
        commands.push(command);
        shared.push(answer);
    }

    // Digests that the host has had once: their bytes and compiled code are on its disk, and nowhere else.
    let mut digests = Vec::new();
    for round in 0..rounds {
        let digest = host.push(&variant(&hello, u32::try_from(round).expect("few rounds"))).await;
        let app = format!("own{round}");
        deploy(&host, &app, &digest, 1).await;
        until_answered(&host, &http, &app).await;
        host.apply(&request(&app, 2, Vec::new())).await;
        digests.push(digest);
    }
    host.running(2 + 2 * rounds).await;
    let mut on_disk = Vec::new();
    for (round, digest) in digests.iter().enumerate() {
        on_disk.push(first_answer(&host, &http, &format!("cached{round}"), digest).await.1);
    }

    for round in 0..2 * rounds {
        deploy(&host, &format!("resident{round}"), &digest, 1).await;
    }
    host.running(2 + 8 * rounds).await;
    let mut first = Vec::new();
    for round in 0..rounds {
        first.push(call(&host, &http, &format!("resident{round}.test")).await);
    }
    // A machine that rests between calls takes its time to wake up, for the client and the host alike.
    let (mut first_paused, mut paused) = (Vec::new(), Vec::new());
    for round in rounds..2 * rounds {
        tokio::time::sleep(PAUSE).await;
        first_paused.push(call(&host, &http, &format!("resident{round}.test")).await);
    }
    for _ in 0..rounds {
        tokio::time::sleep(PAUSE).await;
        paused.push(call(&host, &http, "first.test").await);
    }
    let mut later = Vec::new();
    for _ in 0..10 * rounds {
        later.push(call(&host, &http, "first.test").await);
    }
    let p50_and_p99 = |what: &str, times: &[Duration], aim: Option<f64>| {
        let p99 = Row::new(SUITE, format!("{what}, p99"), Value::ms(within(times, 99)));
        let p99 = match aim {
            Some(most) => p99.aim(Aim::AtMost(most)),
            None => p99,
        };
        [Row::new(SUITE, format!("{what}, p50"), Value::ms(within(times, 50))), p99]
    };
    [
        p50_and_p99("command sent until accepted", &commands, None),
        p50_and_p99("accepted until the first answer, code in memory", &shared, Some(5.0)),
        p50_and_p99("accepted until the first answer, code on disk", &on_disk, None),
        p50_and_p99("first call of a resident component", &first, Some(1.0)),
        p50_and_p99("the same after a pause of 5 ms", &first_paused, None),
        p50_and_p99("a later call after as long a pause", &paused, None),
        p50_and_p99("a later call without a pause", &later, None),
    ]
    .concat()
}

async fn call(host: &Host, http: &Http, name: &str) -> Duration {
    let begun = Instant::now();
    let (status, _) = http.get(host.address, name).await.expect("an answer");
    assert_eq!(status, 200);
    begun.elapsed()
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
