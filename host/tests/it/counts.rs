//! Counts of calls over real sockets, and how soon others hear of them.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use lath_control_api::{AppInventory, CallCounts, CloudEvent, EventData, HostCalls, HostEventKind, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::lattice::{Host, Lattice, answered, eventually};
use crate::load::Load;
use crate::ports::free_address;
use crate::spec::{bundle, component, guest, http_server, id, request};

async fn counts(lattice: &Lattice, host: &Host, name: &str) -> CallCounts {
    lattice.units(host, name).await[0].calls.clone()
}

/// Sends a request, waits for so many bytes of its answer, and hangs up.
async fn hang_up_after(address: SocketAddr, path: &str, bytes: usize) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; bytes];
    client.read_exact(&mut answer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_is_no_failure_of_the_component() {
    let lattice = Lattice::start().await;
    lattice.push(&["misbehave-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let app = bundle("app", component(&guest("misbehave-v1"), 1), None);
    lattice
        .apply(&host, &request(1, 1, vec![app, bundle("web", http_server(address, "app", 1), None)]))
        .await;
    answered(address, "/ok").await;
    lattice.running(&host, "app", 1).await;
    let before = counts(&lattice, &host, "app").await;

    // Before the head, and in the middle of the body.
    let waiting = tokio::spawn(async move { hang_up_after(address, "/sleep?ms=4000", 1).await });
    eventually("the call to begin", async || {
        (counts(&lattice, &host, "app").await.in_flight > 0).then_some(())
    })
    .await;
    waiting.abort();
    hang_up_after(address, "/body?kib=1000000", 4_096).await;
    let after = eventually("the calls to end", async || {
        let counts = counts(&lattice, &host, "app").await;
        (counts.in_flight == 0).then_some(counts)
    })
    .await;
    assert_eq!((after.abandoned, after.failures()), (2, 0), "{after:?}");
    assert_eq!(after.started, before.started + 2);

    // A bad answer is one.
    hang_up_after(address, "/status/500", 12).await;
    let after = eventually("the call to end", async || {
        let counts = counts(&lattice, &host, "app").await;
        (counts.in_flight == 0 && counts.started == before.started + 3).then_some(counts)
    })
    .await;
    assert_eq!((after.answered_5xx, after.failures()), (1, 1), "{after:?}");
    assert_eq!(after.ended(), after.started, "{after:?}");
    host.stop().await;
}

fn of(apps: &[AppInventory], role: Role) -> &CallCounts {
    let components = apps.iter().flat_map(|app| &app.components).filter(|held| held.id == id("hello"));
    let mut units = components.flat_map(|component| &component.units);
    &units.find(|unit| unit.role == role).unwrap().calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_told_every_second_while_a_candidate_has_traffic_and_at_no_other_time() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let subject = lattice.subjects().host_event(&host.id(), HostEventKind::Calls);
    let mut events = lattice.nats.connect().await.subscribe(subject).await.unwrap();
    let mut next = async |within: Duration| -> Option<HostCalls> {
        let message = timeout(within, events.next()).await.ok()?.unwrap();
        match serde_json::from_slice::<CloudEvent>(&message.payload).unwrap().event {
            EventData::Calls(calls) => Some(*calls),
            other => panic!("{other:?}"),
        }
    };
    let hello = |version: u64| component(&guest(&format!("http-hello-v{version}")), version);
    let web = |revision| http_server(address, "hello", revision);
    let stable = |revision| vec![bundle("hello", hello(revision), None), bundle("web", web(revision), None)];
    let tried = |weight| {
        let hello = bundle("hello", hello(1), Some((hello(2), weight)));
        vec![hello, bundle("web", web(1), Some((web(2), weight)))]
    };
    // Another app, which tries nothing.
    let mut other = request(1, 1, vec![bundle("other", hello(1), None)]);
    other.app = "blog".parse().unwrap();
    lattice.apply(&host, &other).await;
    lattice.apply(&host, &request(1, 1, stable(1))).await;
    answered(address, "/").await;
    let load = Load::start(address, "/");
    lattice.apply(&host, &request(2, 1, tried(0))).await;
    lattice.running(&host, "hello", 2).await;
    assert_eq!(next(Duration::from_millis(2_500)).await, None, "nothing is tried yet");

    lattice.apply(&host, &request(2, 2, tried(50))).await;
    let mut told = vec![next(Duration::from_secs(5)).await.expect("a candidate has traffic")];
    let begun = Instant::now();
    while told.len() < 4 {
        told.push(next(Duration::from_secs(5)).await.expect("it goes on"));
    }
    let took = begun.elapsed();
    assert!((2_500..4_500).contains(&took.as_millis()), "three more after {took:?}");
    let shown = lattice.inventory(&host).await;
    for calls in &told {
        let names: Vec<_> = calls.apps.iter().map(|app| app.app.as_str()).collect();
        assert_eq!((names, &calls.host), (vec!["shop"], &host.id()));
        assert_eq!(calls.boot, shown.summary.boot);
    }
    let last = told.last().unwrap();
    assert_eq!(last.sequence, shown.summary.sequence, "they belong to the inventory");
    for role in [Role::Stable, Role::Candidate] {
        for pair in told.windows(2) {
            let (earlier, later) = (of(&pair[0].apps, role), of(&pair[1].apps, role));
            assert!(later.follows(earlier), "{role:?}: {earlier:?}, then {later:?}");
        }
        assert!(of(&last.apps, role).started > of(&told[0].apps, role).started, "{role:?} gets its share");
    }

    lattice.apply(&host, &request(3, 1, stable(2))).await;
    while next(Duration::from_millis(2_500)).await.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is tried any more");
    }
    load.end().await;
    host.stop().await;
}
