//! Hosts that are drained, or asked to stop, under load: what they have is taken over before they let go of it, what
//! they took they finish, and only what does not end in time gets an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lath_control_api::{HostId, HostState};
use lath_control_api_client::ControlClient;
use lath_tests::{App, Lattice, Load, Setup, eventually};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::order::{ORDER, settled};
use crate::words;

/// Requests a second.
const RATE: u32 = 100;
/// Longest wait for the answer of a host to a request about itself.
const ANSWER: Duration = Duration::from_secs(5);

/// Two hosts, either of which may run what asks for one of them.
async fn two_hosts() -> Lattice {
    Setup::default().host(&["zone=a"]).host(&["zone=a"]).start().await
}

/// Number of the host on which the units of `component` run, if all of them run on one, and how many units there are.
async fn place(lattice: &Lattice, component: &str) -> Result<usize, String> {
    let units = lattice.units().await;
    let ours: Vec<&Value> = units.iter().filter(|unit| unit["component"] == component).collect();
    match ours.as_slice() {
        [unit] if unit["phase"] == "running" && unit["serving"] == true => {
            Ok(if unit["hostName"] == "host-1" { 1 } else { 2 })
        }
        others => Err(format!("{others:#?}")),
    }
}

/// Waits until `component` is served on that host alone, by so many units of the whole app.
async fn served_on(lattice: &Lattice, component: &str, number: usize, units: usize) {
    let what = format!("`{component}` to be served on host-{number} alone");
    eventually(ORDER, &what, async || {
        let here = place(lattice, component).await?;
        let all = lattice.units().await;
        if here == number && all.len() == units { Ok(()) } else { Err(format!("{all:#?}")) }
    })
    .await;
}

/// Number of the host that has a call in flight, waited for.
async fn busy(lattice: &Lattice) -> usize {
    eventually(ORDER, "a host to give the endless answer", async || {
        let units = lattice.units().await;
        let busy = units.iter().find(|unit| unit["calls"]["inFlight"].as_u64() > Some(0));
        let host = busy.and_then(|unit| unit["hostName"].as_str());
        host.map(|name| if name == "host-1" { 1 } else { 2 }).ok_or_else(|| format!("{units:#?}"))
    })
    .await
}

async fn id_of(client: &ControlClient, number: usize) -> HostId {
    let name = format!("host-{number}");
    let hosts = client.hosts().await.unwrap().hosts;
    hosts.into_iter().find(|known| known.summary.name == name).unwrap().summary.host
}

#[tokio::test(flavor = "multi_thread")]
async fn r12_draining_and_stopping_a_host_loses_no_request() {
    let mut lattice = two_hosts().await;
    // The way in is on both hosts, what is behind it on one of them: half of the requests go from host to host.
    let app = App::hello("shop", lattice.address).place("hello", "zone", "a");
    let _ = lattice.deploy(&app).await.exits(0);
    let client = lattice.client().await;
    let first = place(&lattice, "hello").await.unwrap();
    let second = 3 - first;
    let ledger = Load::new(lattice.address, "/").rate(RATE).start();
    words::more(&ledger, 100).await;

    let drained = client.drain(&id_of(&client, first).await, ANSWER).await.unwrap();
    assert_eq!((drained.unchanged, drained.summary.state), (false, HostState::Draining));
    // The way in goes from the drained host as well, as it is to be on every host that takes work.
    served_on(&lattice, "hello", second, 2).await;
    settled(&lattice, "shop").await;
    words::more(&ledger, 100).await;

    let back = client.undrain(&id_of(&client, first).await, ANSWER).await.unwrap();
    assert_eq!((back.unchanged, back.summary.state), (false, HostState::Ready));
    served_on(&lattice, "hello", second, 3).await;
    settled(&lattice, "shop").await;
    words::more(&ledger, 100).await;

    lattice.host_mut(second).stop().await;
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::hello));
    accounts.none_failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_end_well_within_the_drain_deadline_and_others_get_an_error() {
    let lattice = two_hosts().await;
    // On both hosts, with room for many calls at once.
    let app = App::misbehave("shop", lattice.address).rollout("drain_deadline", "3s");
    let _ = lattice.deploy(&app).await.exits(0);
    let client = lattice.client().await;
    let bytes = Arc::new(AtomicUsize::new(0));
    let endless = tokio::spawn(read_slowly(lattice.address, "/body?kib=10000000", Arc::clone(&bytes)));
    let host = busy(&lattice).await;
    // Each lasts longer than a host needs to let go of an app, and less than the deadline.
    let ledger = Load::new(lattice.address, "/sleep?ms=1000").rate(20).start();
    words::more(&ledger, 20).await;
    assert!(!endless.is_finished());

    let began = Instant::now();
    let _ = client.drain(&id_of(&client, host).await, ANSWER).await.unwrap();
    let cut = endless.await.unwrap();
    let (took, bytes) = (began.elapsed(), bytes.load(Ordering::Relaxed));
    println!("an answer without end was cut {took:.1?} after the drain began, at {bytes} bytes");
    assert!(cut, "it was not cut but has ended");
    // It was given its time, and no more than that.
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(15), "{took:?}");
    served_on(&lattice, "misbehave", 3 - host, 2).await;
    words::more(&ledger, 20).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(|answer| answer.body.to_string()));
    accounts.none_failed();
}

/// SIGTERM under an answer without end: the others finish, that one is cut at the deadline, and the host leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_host_ends_what_does_not_end_at_the_drain_deadline() {
    let mut lattice = two_hosts().await;
    let app = App::misbehave("shop", lattice.address).rollout("drain_deadline", "3s");
    let _ = lattice.deploy(&app).await.exits(0);
    let bytes = Arc::new(AtomicUsize::new(0));
    let endless = tokio::spawn(read_slowly(lattice.address, "/body?kib=10000000", bytes));
    let host = busy(&lattice).await;
    let ledger = Load::new(lattice.address, "/sleep?ms=1000").rate(20).start();
    words::more(&ledger, 20).await;
    assert!(!endless.is_finished());

    let began = Instant::now();
    lattice.host_mut(host).stop().await;
    let cut = endless.await.unwrap();
    let took = began.elapsed();
    println!("the host had gone {took:.1?} after it was asked to");
    assert!(cut, "it was not cut but has ended");
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(20), "{took:?}");
    words::more(&ledger, 20).await;
    ledger.finish().await.none_failed();
}

/// An app that is stopped finishes what it took and takes no more; what does not end is cut at the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_app_finishes_what_it_took_and_takes_no_more() {
    let lattice = two_hosts().await;
    let app = App::misbehave("shop", lattice.address).rollout("drain_deadline", "4s");
    let _ = lattice.deploy(&app).await.exits(0);
    let bytes = Arc::new(AtomicUsize::new(0));
    let endless = tokio::spawn(read_slowly(lattice.address, "/body?kib=10000000", bytes));
    let _ = busy(&lattice).await;
    let ledger = Load::new(lattice.address, "/sleep?ms=1500").rate(20).start();
    words::more(&ledger, 10).await;
    let mark = Instant::now();
    let undeploy = lattice.lath().start(["undeploy", "shop"]);
    // Whoever was taken before it was asked for has its answer.
    let ended = undeploy.ended().await.exits(0);
    let accounts = ledger.finish().await;
    let taken = accounts.sent_after(mark);
    let before = accounts.failed().filter(|(record, _)| record.sent < mark).count();
    println!("{} sent before, {before} of them failed; {}", accounts.sent() - taken.sent(), ended.told());
    assert_eq!(before, 0, "{:#?}", accounts.causes());
    assert!(endless.await.unwrap(), "it was not cut but has ended");
    assert!(ended.took() < Duration::from_secs(20), "{}", ended.told());
    assert!(Load::new(lattice.address, "/ok").once().await.is_err(), "a stopped app still answers");
    assert!(lattice.units().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_other_place_is_served_on_the_drained_host() {
    let mut lattice = Setup::default().host(&["zone=a"]).start().await;
    let zone = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let app = App::misbehave("shop", lattice.address).scaling(lath_tests::Scaling::OnOne(zone));
    let _ = lattice.deploy(&app).await.exits(0);
    let client = lattice.client().await;
    let ledger = Load::new(lattice.address, "/ok").rate(RATE).start();
    let _ = client.drain(&id_of(&client, 1).await, ANSWER).await.unwrap();
    eventually(ORDER, "the manager to say that there is no other place", async || {
        let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.json();
        if status["problems"][0]["reason"] == "no-host" { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
    words::more(&ledger, 200).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(|answer| answer.body.to_string()));
    accounts.none_failed();

    // Asked to stop, it has nobody to wait for, and finishes what it took.
    let slow = Load::new(lattice.address, "/sleep?ms=1500");
    let slow = tokio::spawn(async move { slow.once().await });
    eventually(ORDER, "the slow call to begin", async || {
        let units = lattice.units().await;
        let busy = units.iter().any(|unit| unit["calls"]["inFlight"].as_u64() > Some(0));
        if busy { Ok(()) } else { Err(format!("{units:#?}")) }
    })
    .await;
    lattice.host_mut(1).stop().await;
    slow.await.unwrap().unwrap();
}

/// Reads an answer at a few MiB a second and counts its bytes. True when it broke off before its end.
async fn read_slowly(address: SocketAddr, path: &str, bytes: Arc<AtomicUsize>) -> bool {
    const END: &[u8] = b"\r\n0\r\n\r\n";
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut last, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match client.read(&mut piece).await {
            Ok(0) | Err(_) => return !last.ends_with(END),
            Ok(read) => {
                bytes.fetch_add(read, Ordering::Relaxed);
                last.extend_from_slice(&piece[..read]);
                last.drain(..last.len().saturating_sub(END.len()));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
