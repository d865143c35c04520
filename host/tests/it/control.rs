//! What a host says, to whoever asks and by itself.

use std::time::Duration;

use futures::StreamExt as _;
use lath_control_api::{CloudEvent, EventData, HostAlive, HostState, PingReply, Reply, Subjects};

use crate::lattice::{Lattice, eventually};
use crate::spec::{bundle, component, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xc01_xc04_every_request_gets_an_answer() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    let (nats, subjects) = (lattice.nats.connect().await, lattice.subjects());
    let deep = "[".repeat(100_000);
    let verbs = [
        (subjects.apply(&host.id()), "{}"),
        (subjects.apply(&host.id()), "not json"),
        (subjects.apply(&host.id()), "{\"fence\":"),
        (subjects.inventory(&host.id()), "{\"after\":\"a.b*\"}"),
        (subjects.inventory(&host.id()), deep.as_str()),
        (subjects.apply(&host.id()).replace(".apply", ".explode"), "{}"),
    ];
    for (subject, payload) in verbs {
        let message = nats.request(subject.clone(), payload.to_owned().into()).await.unwrap();
        let reply: Reply<serde_json::Value> = serde_json::from_slice(&message.payload).unwrap();
        let error = reply.into_result().unwrap_err();
        assert!(error.help.is_some(), "{subject}: {error:?}");
    }
    let bad = nats.request(subjects.ping(&host.id()), vec![0xff, 0xfe].into()).await.unwrap();
    assert!(serde_json::from_slice::<Reply<PingReply>>(&bad.payload).unwrap().into_result().is_err());
    let ping = nats.request(subjects.ping_hosts(), "".into()).await.unwrap();
    let ping = serde_json::from_slice::<Reply<PingReply>>(&ping.payload).unwrap().into_result().unwrap();
    assert_eq!((ping.host, ping.apis.as_slice()), (host.id(), [Subjects::API.to_owned()].as_slice()));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_tells_of_its_life() {
    let lattice = Lattice::start().await;
    let mut events = lattice.nats.connect().await.subscribe(lattice.subjects().host_events()).await.unwrap();
    let mut alive = lattice.nats.connect().await.subscribe(lattice.subjects().hosts_alive()).await.unwrap();
    let host = lattice.host().await;
    let id = host.id();
    let mut seen = Vec::new();
    let mut next = async |wanted: &dyn Fn(&EventData) -> bool| {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap();
            let event: CloudEvent = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(event.source, id.to_string());
            seen.push(event.event.clone());
            if wanted(&event.event) {
                return event.event;
            }
        }
    };
    let heartbeat = next(&|event| matches!(event, EventData::Heartbeat(_))).await;
    let EventData::Heartbeat(summary) = heartbeat else { unreachable!() };
    assert_eq!(summary.labels.0["zone"], "test");
    assert_eq!(summary.state, HostState::Ready);
    assert!(summary.name.contains('-'));
    // Nothing has changed since: it says no more than that it lives.
    let sign = tokio::time::timeout(Duration::from_secs(20), alive.next()).await.unwrap().unwrap();
    assert_eq!(*sign.subject, *lattice.subjects().host_alive(&id));
    let HostAlive { boot, sequence, .. } = serde_json::from_slice(&sign.payload).unwrap();
    assert_eq!(boot, summary.boot);
    assert!(sequence >= summary.sequence);

    lattice.apply(&host, &request(1, 1, vec![bundle("a", component(b"nowhere", 1), None)])).await;
    let fails = |event: &EventData| match event {
        EventData::Inventory(inventory) => {
            let units = inventory.apps.iter().flat_map(|app| &app.components).flat_map(|held| &held.units);
            units.into_iter().any(|unit| unit.phase.is_failed())
        }
        EventData::Heartbeat(_) | EventData::Calls(_) | EventData::HostStopped(_) | EventData::App(_) => {
            false
        }
    };
    next(&fails).await;
    let stopping = tokio::spawn(host.stop());
    next(&|event| match event {
        EventData::Inventory(inventory) => inventory.summary.state == HostState::Stopping,
        EventData::Heartbeat(summary) => summary.state == HostState::Stopping,
        EventData::Calls(_) | EventData::HostStopped(_) | EventData::App(_) => false,
    })
    .await;
    next(&|event| matches!(event, EventData::HostStopped(gone) if gone.boot == summary.boot)).await;
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h11_a_large_inventory_comes_in_pages_of_one_snapshot() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    for app in 0..40 {
        let mut bundles = Vec::new();
        for part in 0..25 {
            let mut spec = component(b"nowhere", 1);
            spec.annotations.insert("part".into(), part.to_string());
            let mut held = bundle("x", spec, None);
            held.id = format!("app{app}-part{part}").parse().unwrap();
            bundles.push(held);
        }
        let mut wanted = request(1, 1, bundles);
        wanted.app = format!("app{app}").parse().unwrap();
        lattice.apply(&host, &wanted).await;
    }
    let shown = eventually("a whole inventory", async || {
        lattice.control.inventory(&host.id(), Duration::from_secs(5)).await.ok()
    })
    .await;
    assert_eq!(shown.apps.len(), 40);
    assert!(shown.apps.iter().all(|app| app.components.len() == 25));
    host.stop().await;
}
