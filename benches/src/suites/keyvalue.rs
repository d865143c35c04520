//! `wasi:keyvalue` by a component over HTTP on its two backends, beside the client of NATS alone.
//!
//! Each request is one operation of a fresh instance, a bucket opened for it included; the client alone keeps its bucket
//! open. What is between the two is HTTP, the instance and the host.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, kv};
use lath_control_api::Builtin;

use crate::bundle::{component, guest, keeping_values, request, server};
use crate::load::{Ask, closed};
use crate::process::Host;
use crate::row::{Row, Value};
use crate::run::{Run, middle};

const SUITE: &str = "keyvalue";
const BACKENDS: [(&str, Builtin); 2] = [("memory", Builtin::KeyvalueMemory), ("nats", Builtin::KeyvalueNats)];
/// Each operation: its name, and how the component is asked for it.
const OPERATIONS: [(&str, &str); 3] = [
    ("get of 16 bytes", "/get?bucket=bench&key=one"),
    ("set of 16 bytes", "/set?bucket=bench&key=one&value=0123456789abcdef"),
    ("increment", "/add?bucket=bench&key=count&delta=1"),
];

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let host = Host::start(&run.lath, None).await;
    let digest = host.push(&guest("keeper-v1")).await;
    for (app, builtin) in BACKENDS {
        let keeper = keeping_values(component(app, "keeper", &digest), app, builtin);
        let web = server(app, host.address, &format!("{app}.test"), "keeper");
        host.apply(&request(app, 1, vec![keeper, web])).await;
    }
    host.running(2 * BACKENDS.len()).await;
    let alone = Alone::open(&host.nats_url()).await;
    let asks = BACKENDS.map(|(app, _)| Ask::root(host.address, &format!("{app}.test")));
    for ask in &asks {
        let warm = closed(&ask.path(OPERATIONS[1].1), 1, Duration::from_millis(500));
        assert!(warm.failures == 0, "{} requests of {} failed", warm.failures, ask.host);
    }
    let mut rows = Vec::new();
    for (number, (what, path)) in OPERATIONS.iter().enumerate() {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..run.rounds() {
            for (ask, times) in asks.iter().zip(&mut times) {
                let load = closed(&ask.path(*path), 1, run.time() / 2);
                assert!(load.failures == 0, "{} requests of {path} failed", load.failures);
                times.push(load.within(50.0).as_secs_f64());
            }
            times[2].push(alone.middle_of(number, run.time() / 2).await);
        }
        let [memory, nats, alone] = times.map(|times| Value::us(Duration::from_secs_f64(middle(times))));
        rows.push(
            Row::new(SUITE, format!("{what} in NATS, one connection, p50"), nats)
                .beside("the client alone", alone),
        );
        rows.push(Row::new(SUITE, format!("{what} in memory, one connection, p50"), memory));
    }
    rows
}

/// A bucket of the same nats-server, without a host.
struct Alone(kv::Store);

impl Alone {
    async fn open(url: &str) -> Self {
        let nats = async_nats::connect(url).await.expect("a connection");
        let config = kv::Config { bucket: "alone".to_owned(), ..kv::Config::default() };
        let store = jetstream::new(nats).create_key_value(config).await.expect("a bucket");
        store.put("one", "0123456789abcdef".into()).await.expect("the bucket takes a value");
        store.put("count", "0".into()).await.expect("the bucket takes a value");
        Self(store)
    }

    /// The middle of the times of one operation, one after another for `time`, in seconds.
    async fn middle_of(&self, operation: usize, time: Duration) -> f64 {
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let asked = Instant::now();
            match operation {
                0 => drop(self.0.get("one").await.expect("a value")),
                1 => drop(self.0.put("one", "0123456789abcdef".into()).await.expect("it is taken")),
                _ => self.increment().await,
            }
            times.push(asked.elapsed().as_secs_f64());
        }
        middle(times)
    }

    async fn increment(&self) {
        let entry = self.0.entry("count").await.expect("an answer").expect("a value");
        let count: u64 =
            std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok()).expect("a number");
        let next = (count + 1).to_string().into();
        let _revision = self.0.update("count", next, entry.revision).await.expect("nobody else writes");
    }
}
