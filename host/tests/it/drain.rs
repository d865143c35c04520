//! Changes of a host itself: drained and back, labels. They are told at once and outlive the process.

use std::time::Duration;

use futures::StreamExt as _;
use lath_control_api::{
    CloudEvent, ErrorCode, EventData, HostChangeReply, HostState, HostSummary, LabelRequest,
};
use lath_control_api_client::RequestError;
use tokio::time::timeout;

use crate::lattice::{Host, Lattice, answered};
use crate::ports::free_address;
use crate::spec::{bundle, component, guest, http_server, request};

const SOON: Duration = Duration::from_secs(20);

fn labels(pairs: &[(&str, Option<&str>)]) -> LabelRequest {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
    LabelRequest { labels: pairs.collect() }
}

fn shown(summary: &HostSummary) -> Vec<(&str, &str)> {
    // Every host has those of its machine.
    let own = summary.labels.0.iter().filter(|(key, _)| !key.starts_with("hostcore."));
    own.map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn refused(answer: Result<HostChangeReply, RequestError>) -> (ErrorCode, String) {
    match answer {
        Err(RequestError::Refused(error)) => {
            assert!(error.help.is_some(), "{error:?}");
            (error.code, error.message)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_host_serves_and_stays_drained_over_a_restart() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let hello = bundle("hello", component(&guest("http-hello-v1"), 1), None);
    let app = request(1, 1, vec![hello, bundle("web", http_server(address, "hello", 1), None)]);
    lattice.apply(&host, &app).await;
    answered(address, "/").await;
    lattice.running(&host, "hello", 1).await;
    lattice.running(&host, "web", 1).await;
    let before = lattice.inventory(&host).await.summary;
    assert_eq!(before.state, HostState::Ready);

    let drained = lattice.control.drain(&host.id(), SOON).await.unwrap();
    assert_eq!((drained.unchanged, drained.summary.state), (false, HostState::Draining));
    assert!(drained.summary.sequence > before.sequence);
    assert_eq!(lattice.inventory(&host).await.summary, drained.summary, "whoever asks sees the same");
    let again = lattice.control.drain(&host.id(), SOON).await.unwrap();
    assert_eq!((again.unchanged, again.summary.sequence), (true, drained.summary.sequence));
    // What it has it serves, and it obeys its manager.
    answered(address, "/").await;
    assert!(lattice.apply(&host, &app).await.unchanged);

    let folder = host.stop().await.unwrap();
    let mut host = Host::begin(&lattice.nats.url, folder.path(), None);
    host.wait_ready().await;
    let summary = lattice.inventory(&host).await.summary;
    assert_eq!(summary.state, HostState::Draining);
    answered(address, "/").await;

    let back = lattice.control.undrain(&host.id(), SOON).await.unwrap();
    assert_eq!((back.unchanged, back.summary.state), (false, HostState::Ready));
    assert!(back.summary.sequence > summary.sequence);
    assert!(lattice.control.undrain(&host.id(), SOON).await.unwrap().unchanged);
    host.stop().await;
    let mut host = Host::begin(&lattice.nats.url, folder.path(), None);
    host.wait_ready().await;
    assert_eq!(lattice.inventory(&host).await.summary.state, HostState::Ready);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_set_and_removed_while_the_host_runs() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    let label = async |host: &Host, pairs: &[(&str, Option<&str>)]| {
        lattice.control.label(&host.id(), &labels(pairs), SOON).await
    };
    assert_eq!(shown(&lattice.inventory(&host).await.summary), [("zone", "test")]);
    let set = label(&host, &[("zone", Some("b")), ("disk", Some("ssd"))]).await.unwrap();
    assert_eq!(shown(&set.summary), [("disk", "ssd"), ("zone", "b")]);
    assert!(!set.unchanged);
    let gone = label(&host, &[("zone", None), ("nowhere", None)]).await.unwrap();
    assert_eq!(shown(&gone.summary), [("disk", "ssd")]);
    assert!(gone.summary.sequence > set.summary.sequence);
    assert!(label(&host, &[("disk", Some("ssd"))]).await.unwrap().unchanged);

    let (code, message) = refused(label(&host, &[("hostcore.os", Some("plan9"))]).await);
    assert!(code == ErrorCode::BadRequest && message.contains("`hostcore.os`"), "{message}");
    // All of a request or nothing.
    let (code, _) = refused(label(&host, &[("fine", Some("1")), ("zone", Some("a\u{7}"))]).await);
    assert_eq!(code, ErrorCode::BadRequest);
    let many: Vec<String> = (0..64).map(|n| format!("key-{n}")).collect();
    let many: Vec<_> = many.iter().map(|key| (key.as_str(), Some("1"))).collect();
    let (code, message) = refused(label(&host, &many).await);
    assert!(code == ErrorCode::TooLarge && message.contains("64"), "{message}");
    assert_eq!(lattice.inventory(&host).await.summary, gone.summary);

    let folder = host.stop().await.unwrap();
    let mut host = Host::begin(&lattice.nats.url, folder.path(), None);
    host.wait_ready().await;
    assert_eq!(shown(&lattice.inventory(&host).await.summary), [("disk", "ssd")], "the removed one stays so");
    let back = label(&host, &[("zone", Some("c"))]).await.unwrap();
    assert_eq!(shown(&back.summary), [("disk", "ssd"), ("zone", "c")]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_host_is_told_at_once() {
    let lattice = Lattice::start().await;
    let host = lattice.host().await;
    let mut events = lattice.nats.connect().await.subscribe(lattice.subjects().host_events()).await.unwrap();
    // The next heartbeat is five seconds away at most: what comes sooner was sent because of the change.
    let mut told = async |is_it: &dyn Fn(&HostSummary) -> bool| {
        let hears = async {
            loop {
                let message = events.next().await.unwrap();
                let event: CloudEvent = serde_json::from_slice(&message.payload).unwrap();
                if let EventData::Inventory(inventory) = event.event
                    && is_it(&inventory.summary)
                {
                    return inventory.summary;
                }
            }
        };
        timeout(Duration::from_secs(2), hears).await.expect("an event in time")
    };
    let drained = lattice.control.drain(&host.id(), SOON).await.unwrap().summary;
    assert_eq!(told(&|summary| summary.state == HostState::Draining).await, drained);
    let labelled = lattice.control.label(&host.id(), &labels(&[("rack", Some("7"))]), SOON).await.unwrap();
    assert_eq!(told(&|summary| summary.labels.0.contains_key("rack")).await, labelled.summary);
    // A host that goes says that it goes, drained or not.
    let stopping = tokio::spawn(host.stop());
    told(&|summary| summary.state == HostState::Stopping).await;
    stopping.await.unwrap();
}
