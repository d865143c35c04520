//! `wasmcloud:messaging` through a provider that publishes and subscribes on NATS, both ways.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use client_nats::{Client, Subscriber};
use futures::StreamExt as _;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::courier::{CONSUMER, CourierApp, Taker};
use crate::lattice::{Lattice, eventually};

/// Longest wait for one message.
const SOON: Duration = Duration::from_secs(20);

/// Two components that exchange messages of `orders.>`, and the file in which the courier notes how they were taken.
fn app(lattice: &Lattice) -> CourierApp {
    let report = lattice.folder.path().join("report");
    let taker = Taker { guest: "messenger-v1", subscriptions: "orders.new,orders.load|takers", report };
    CourierApp { front: "messenger-v1", link: CONSUMER, taker: Some(taker), ..CourierApp::default() }
}

fn report(lattice: &Lattice) -> String {
    std::fs::read_to_string(lattice.folder.path().join("report")).unwrap_or_default()
}

/// Somebody else on the same NATS.
struct Outsider {
    runtime: Runtime,
    client: Client,
}

impl Outsider {
    fn connect(lattice: &Lattice) -> Self {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(client_nats::connect(&lattice.nats)).unwrap();
        Self { runtime, client }
    }

    fn subscribe(&self, subject: &'static str) -> Subscriber {
        self.runtime.block_on(async {
            let subscriber = self.client.subscribe(subject).await.unwrap();
            self.client.flush().await.unwrap();
            subscriber
        })
    }

    fn next(&self, subscriber: &mut Subscriber) -> String {
        let message = self.runtime.block_on(async { timeout(SOON, subscriber.next()).await });
        String::from_utf8(message.unwrap().unwrap().payload.into()).unwrap()
    }
}

#[test]
fn messages_go_from_one_component_to_another_by_way_of_nats() {
    let lattice = Lattice::start(&[]);
    app(&lattice).deploy(&lattice);
    // The link is put while the provider is made ready, and what it leads to may become ready a moment later.
    lattice.says("/request?subject=orders.new&body=tea", &["{\"ok\":\"v1 heard tea at orders.new\"}"]);

    let outsider = Outsider::connect(&lattice);
    // Subscriptions of this client are given up by a task.
    let _inside = outsider.runtime.enter();
    let mut heard = outsider.subscribe("orders.new.heard");
    let sent = |path: &str| assert_eq!(lattice.get(path), Ok((200, "{\"ok\":null}\n".to_owned())), "{path}");
    sent("/publish?subject=orders.new&body=milk");
    assert_eq!(outsider.next(&mut heard), "v1 heard milk at orders.new");
    let mut answers = outsider.subscribe("answers");
    sent("/publish?subject=orders.new&body=rum&reply-to=answers");
    assert_eq!(outsider.next(&mut answers), "v1 heard rum at orders.new");
    let asked = outsider.runtime.block_on(outsider.client.request("orders.new", "gin".into())).unwrap();
    assert_eq!(asked.payload, "v1 heard gin at orders.new");

    let (status, told) = lattice.get("/request?subject=nobody.there&body=x").unwrap();
    assert!(status == 400 && told.contains("no responders"), "{status} {told}");
    sent("/publish?subject=orders.new&body=refuse%20me");
    eventually("a refused message", || {
        let report = report(&lattice);
        if report.contains("refused refused, as it wanted") { Ok(()) } else { Err(report) }
    });
}

#[test]
fn no_message_is_lost_while_both_ends_are_rolled_out() {
    let lattice = Lattice::start(&[]);
    let before = app(&lattice);
    before.deploy(&lattice);
    lattice.says("/request?subject=orders.load&body=first", &["v1 heard first"]);
    let early = report(&lattice).len();

    let outsider = Outsider::connect(&lattice);
    // Subscriptions of this client are given up by a task.
    let _inside = outsider.runtime.enter();
    let mut heard = outsider.subscribe("orders.load.heard");
    let over = AtomicBool::new(false);
    let until_over = |send: &dyn Fn(usize) -> Result<(u16, String), String>| {
        let mut answers = Vec::new();
        while !over.load(Ordering::Relaxed) {
            answers.push(send(answers.len()));
            thread::sleep(Duration::from_millis(10));
        }
        answers
    };
    let (asked, published) = thread::scope(|scope| {
        let asking = scope.spawn(|| until_over(&|_| lattice.get("/request?subject=orders.load&body=tea")));
        let publishing = scope.spawn(|| {
            until_over(&|count| lattice.get(&format!("/publish?subject=orders.load&body=n{count}")))
        });
        let mut after = before.clone();
        after.front = "messenger-v2";
        after.taker = after.taker.map(|taker| Taker { guest: "messenger-v2", ..taker });
        after.deploy(&lattice);
        lattice.says("/request?subject=orders.load&body=tea", &["v2 heard tea"]);
        lattice.does(&["rollback", "mail"]);
        lattice.says("/request?subject=orders.load&body=tea", &["v1 heard tea"]);
        over.store(true, Ordering::Relaxed);
        (asking.join().unwrap(), publishing.join().unwrap())
    });
    println!("{} messages with an answer, {} without", asked.len(), published.len());
    let failed: Vec<_> =
        asked.iter().chain(&published).filter(|answer| !matches!(answer, Ok((200, _)))).collect();
    assert!(failed.is_empty() && asked.len() > 50 && published.len() > 50, "{failed:?}");

    let mut missing: BTreeSet<String> = (0..published.len()).map(|count| format!("n{count}")).collect();
    while !missing.is_empty() {
        let told = outsider.next(&mut heard);
        let body = told.split(' ').nth(2).unwrap();
        assert!(missing.remove(body), "twice: {told}");
    }
    let taken = report(&lattice).split_off(early);
    let bad: Vec<&str> = taken.lines().filter(|line| !line.starts_with("ok")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}
