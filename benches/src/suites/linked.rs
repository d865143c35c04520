//! What a call over a link adds on one host, and what the size and type of its values cost.

use lath_control_api::InstancePolicy;

use crate::bundle::{component, guest, keeping, linked, request, server};
use crate::load::{Ask, closed};
use crate::process::Host;
use crate::row::{Aim, Row, Value};
use crate::run::{Run, in_turn};

const SUITE: &str = "linked";
const CONNECTIONS: usize = 10;
/// Calls in one request, where one alone is too quick to be seen.
const MANY: u32 = 100;

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let host = Host::start(&run.lath, None).await;
    let policies = [("fresh", InstancePolicy::Fresh), ("reuse", InstancePolicy::Reuse { calls: 1_000_000 })];
    for (app, policy) in policies {
        let (front, echo) = (host.push(&guest("http-bench-v1")).await, host.push(&guest("echoer-v1")).await);
        let front = linked(component(app, "front", &front), app, "echo", "echo");
        let bundles = vec![
            keeping(front, policy),
            keeping(component(app, "echo", &echo), policy),
            server(app, host.address, &format!("{app}.test"), "front"),
        ];
        host.apply(&request(app, 1, bundles)).await;
    }
    host.running(3 * policies.len()).await;
    let fresh = Ask::root(host.address, "fresh.test");
    let reuse = Ask::root(host.address, "reuse.test");

    let mut rows = vec![
        Row::new(SUITE, "added by one call, fresh, p50", added(run, &fresh, "/number", 1))
            .aim(Aim::AtMost(40.0)),
        Row::new(SUITE, "added by one call, reused, p50", added(run, &reuse, "/number", MANY))
            .aim(Aim::AtMost(4.0)),
    ];
    rows.push(
        large_beside_small(run, &fresh, "64 KiB of bytes there and back, fresh").aim(Aim::TimesAtLeast(0.5)),
    );
    for (path, what) in [
        ("/nothing", "nothing"),
        ("/text?size=16", "16 B of text"),
        ("/text?size=65536", "64 KiB of text"),
        ("/bytes?size=16", "16 B of bytes"),
        ("/bytes?size=1024", "1 KiB of bytes"),
        ("/bytes?size=65536", "64 KiB of bytes"),
        ("/bytes?size=1048576", "1 MiB of bytes"),
        ("/rows?size=64", "one record"),
        ("/rows?size=65536", "1,024 records"),
    ] {
        let times = if path.ends_with("1048576") { 4 } else { 20 };
        rows.push(Row::new(SUITE, format!("one call, reused: {what}"), added(run, &reuse, path, times)));
    }
    rows.extend(between_hosts(run).await);
    rows
}

/// The same from one host to another, over NATS.
async fn between_hosts(run: &Run) -> Vec<Row> {
    let host = Host::start(&run.lath, None).await;
    let other = host.beside().await;
    let (front, echo) = (host.push(&guest("http-bench-v1")).await, host.push(&guest("echoer-v1")).await);
    let policy = InstancePolicy::Reuse { calls: 1_000_000 };
    let echo = keeping(component("far", "echo", &echo), policy);
    other.apply(&request("far", 1, vec![echo])).await;
    other.running(1).await;
    let front = keeping(linked(component("far", "front", &front), "far", "echo", "echo"), policy);
    let web = server("far", host.address, "far.test", "front");
    host.apply(&request("far", 1, vec![front, web])).await;
    host.running(2).await;
    let ask = Ask::root(host.address, "far.test");
    let mut rows = Vec::new();
    for (path, what) in [
        ("/nothing", "nothing"),
        ("/bytes?size=16", "16 B of bytes"),
        ("/bytes?size=65536", "64 KiB of bytes"),
        ("/rows?size=65536", "1,024 records"),
    ] {
        let added = added(run, &ask, path, 20);
        rows.push(Row::new(SUITE, format!("one call to another host, reused: {what}"), added));
    }
    rows.push(large_beside_small(run, &ask, "64 KiB of bytes to another host and back"));
    rows
}

/// Requests in a second with 64 KiB of bytes, beside those with 16.
fn large_beside_small(run: &Run, ask: &Ask, what: &str) -> Row {
    let [large, small] = in_turn(run.rounds(), |at| {
        let path = ["/bytes?size=65536", "/bytes?size=16"][at];
        let load = closed(&ask.path(path), CONNECTIONS, run.time());
        assert!(load.failures == 0, "{} requests of {path} failed", load.failures);
        load.rate()
    });
    Row::new(SUITE, what, Value::per_second(large)).beside("the same with 16 bytes", Value::per_second(small))
}

/// What one of `times` calls adds to a request, by the middle of the times of one connection.
fn added(run: &Run, ask: &Ask, path: &str, times: u32) -> Value {
    let separator = if path.contains('?') { '&' } else { '?' };
    let asks = [0, times].map(|times| ask.path(format!("{path}{separator}times={times}")));
    let [without, with] = in_turn(run.rounds(), |at| {
        let load = closed(&asks[at], 1, run.time() / 2);
        load.within(50.0).as_secs_f64() * 1e6
    });
    Value { amount: (with - without).max(0.0) / f64::from(times), unit: crate::row::Unit::Us }
}
