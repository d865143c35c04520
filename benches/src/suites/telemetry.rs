//! What telemetry costs: the same component over HTTP on three hosts, of which one sends no spans, one those of a hundredth of
//! its requests and one those of all.
//!
//! The collector reads what comes and throws it away, on the same machine. Hosts are loaded in turn, so that whatever else the
//! machine does is spread over all.

use std::time::Duration;

use crate::bundle::{component, guest, request, server};
use crate::load::{Ask, closed};
use crate::process::{Host, processor_time};
use crate::row::{Aim, Row, Unit, Value};
use crate::run::{Run, middle};
use crate::suites::http::bare;

const SUITE: &str = "telemetry";
const CONNECTIONS: usize = 50;
const APP: &str = "traced";
/// Each host: its share of the traces, and how much of the throughput without telemetry is to be left.
const SHARES: [(&str, Option<&str>, f64); 3] =
    [("none", None, 1.0), ("1 %", Some("0.01"), 0.97), ("100 %", Some("1"), 0.80)];

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let collector = bare(&run.hyper, &folder).await;
    let mut hosts = Vec::new();
    for (_, share, _) in SHARES {
        let host = Host::with(&run.lath, &variables(share, &collector.ask().address.to_string())).await;
        let digest = host.push(&guest("http-hello-v1")).await;
        let hello = component(APP, "hello", &digest);
        let web = server(APP, host.address, &format!("{APP}.test"), "hello");
        host.apply(&request(APP, 1, vec![hello, web])).await;
        host.running(2).await;
        hosts.push(host);
    }
    let asks: Vec<Ask> = hosts.iter().map(|host| Ask::root(host.address, &format!("{APP}.test"))).collect();
    for ask in &asks {
        let warm = closed(ask, CONNECTIONS, Duration::from_millis(500));
        assert!(warm.failures == 0, "{} requests failed", warm.failures);
    }
    let (mut rates, mut costs) = (vec![Vec::new(); SHARES.len()], vec![Vec::new(); SHARES.len()]);
    let collected = processor_time(collector.process());
    // A few hundredths are to be told apart: twice the rounds of others, and no host is always the first.
    for round in 0..2 * run.rounds() {
        for at in (0..SHARES.len()).map(|at| (at + round) % SHARES.len()) {
            let before = processor_time(hosts[at].process());
            let load = closed(&asks[at], CONNECTIONS, run.time());
            assert!(load.failures == 0, "{} requests failed", load.failures);
            let spent = processor_time(hosts[at].process()) - before;
            costs[at].push(spent.as_secs_f64() * 1e6 / load.times.len().max(1) as f64);
            rates[at].push(load.rate());
        }
    }
    assert!(processor_time(collector.process()) > collected, "no span has reached the collector");
    let (rates, costs): (Vec<f64>, Vec<f64>) =
        (rates.into_iter().map(middle).collect(), costs.into_iter().map(middle).collect());
    let mut rows = Vec::new();
    for (at, (name, _, left)) in SHARES.into_iter().enumerate().skip(1) {
        let what = format!("hello, fresh, 50 connections, {name} of the traces");
        let row = Row::new(SUITE, what, Value::per_second(rates[at]));
        rows.push(row.beside("without telemetry", Value::per_second(rates[0])).aim(Aim::TimesAtLeast(left)));
        let time = |at: usize| Value { amount: costs[at], unit: Unit::Us };
        let what = format!("the same: processor time of a request, {name} of the traces");
        rows.push(Row::new(SUITE, what, time(at)).beside("without telemetry", time(0)));
    }
    rows
}

fn variables(share: Option<&str>, collector: &str) -> Vec<(&'static str, String)> {
    let Some(share) = share else { return Vec::new() };
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", share.to_owned()),
    ]
}
