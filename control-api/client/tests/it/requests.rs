//! Requests and answers, pages of an inventory, events.

use std::time::{Duration, Instant};

use futures::StreamExt;
use lath_control_api::app::{AppRequest, Cause, ListRequest};
use lath_control_api::{
    ApiError, AppInventory, AppVerb, BuiltinAliases, Epoch, ErrorCode, EventData, Fence, HostEventKind,
    HostGone, HostId, HostInventory, HostState, HostSummary, InventoryPage, InventoryRequest, Labels, Reply,
    Subjects, Timestamp,
};
use lath_control_api_client::{
    ConnectError, ConnectOptions, Connection, RequestError, async_nats, connect, envelope,
};

use crate::nats::free_port;
use crate::{client, connected};

/// Answers everything on `subject` with what `answer` makes of it.
async fn respond<F>(connection: &Connection, subject: String, mut answer: F)
where
    F: FnMut(&async_nats::Message) -> Vec<u8> + Send + 'static,
{
    let nats = connection.nats().clone();
    let mut requests = nats.subscribe(subject).await.unwrap();
    assert!(connection.round_trip(Duration::from_secs(10)).await.is_some());
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let payload = answer(&request);
            nats.publish(request.reply.unwrap(), payload.into()).await.unwrap();
        }
    });
}

fn host_id() -> HostId {
    format!("N{}", "A".repeat(55)).parse().unwrap()
}

#[tokio::test]
async fn without_a_server_it_says_soon_what_was_tried() {
    let ports = [free_port(), free_port()];
    let begun = Instant::now();
    let urls = format!("nats://me:secret@127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    let error = connect(ConnectOptions::new(&urls, "test")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let text = error.to_string();
    assert!(ports.iter().all(|port| text.contains(&format!("127.0.0.1:{port}"))), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let ConnectError::Unreachable { tried } = error else { panic!("{error}") };
    assert!(tried.iter().all(|attempt| attempt.cause.contains("refused") && !attempt.refused), "{tried:?}");
}

#[tokio::test]
async fn every_way_a_request_can_end_is_told_apart() {
    let (_nats, connection) = connected().await;
    let client = client(&connection);
    assert!(matches!(client.apps().await, Err(RequestError::NoResponders { .. })));

    let refusal = Reply::<()>::from(Err(ApiError::new(ErrorCode::NotFound, "no app `x`")));
    let subject = client.subjects().app(AppVerb::Status);
    respond(&connection, subject, move |_| serde_json::to_vec(&refusal).unwrap()).await;
    let ask = AppRequest { app: "x".parse().unwrap(), cause: Cause::default(), dry_run: false };
    let Err(RequestError::Refused(error)) = client.status(&ask).await else { panic!("a refusal") };
    assert_eq!(error.code, ErrorCode::NotFound);

    respond(&connection, client.subjects().app(AppVerb::List), |_| b"{\"result\":7}".to_vec()).await;
    assert!(matches!(client.apps().await, Err(RequestError::Malformed { .. })));

    let _silent = connection.nats().subscribe("silent").await.unwrap();
    let silent: Result<(), _> = client.request("silent", &ListRequest {}, Duration::from_millis(100)).await;
    assert!(matches!(silent, Err(RequestError::TimedOut { .. })));
}

#[tokio::test]
async fn xc18_n8_a_request_above_the_limit_is_not_sent_and_the_limit_named() {
    let (_nats, connection) = connected().await;
    let client = client(&connection);
    respond(&connection, "echo".into(), |request| {
        serde_json::to_vec(&Reply::Result(request.payload.len())).unwrap()
    })
    .await;
    let limit = connection.max_payload();
    // Two bytes are the quotes around the text.
    for size in [limit - 1, limit] {
        let text = "x".repeat(size - 2);
        let taken: usize = client.request("echo", &text, Duration::from_secs(5)).await.unwrap();
        assert_eq!(taken, size);
    }
    let text = "x".repeat(limit - 1);
    let refused: Result<usize, _> = client.request("echo", &text, Duration::from_secs(5)).await;
    assert!(
        matches!(refused, Err(RequestError::TooLarge { size, limit: named }) if size == limit + 1 && named == limit)
    );
}

fn inventory(sequence: u64, apps: &[&str]) -> HostInventory {
    let app = |name: &&str| AppInventory {
        app: name.parse().unwrap(),
        fence: Fence::default(),
        confirmed: true,
        components: Vec::new(),
    };
    let summary = serde_json::json!({
        "host": host_id(), "name": "amber-fox", "labels": Labels::default(), "version": "0.0.0", "boot": "b1",
        "sequence": sequence, "started": Timestamp(0), "state": HostState::Ready, "epoch": Epoch(1),
        "builtins": BuiltinAliases::default(),
    });
    let summary: HostSummary = serde_json::from_value(summary).unwrap();
    HostInventory { summary, listeners: Vec::new(), apps: apps.iter().map(app).collect() }
}

/// A host with apps a to f, two to a page, which changes `unrest` times while it is read.
async fn paging_host(connection: &Connection, unrest: u64) {
    let subject = Subjects::new("test".parse().unwrap()).inventory(&host_id());
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut pages = 0;
    respond(connection, subject, move |request| {
        let ask: InventoryRequest = serde_json::from_slice(&request.payload).unwrap();
        let rest =
            names.iter().skip_while(|name| ask.after.as_ref().is_some_and(|after| **name <= after.as_str()));
        let apps: Vec<&str> = rest.copied().take(2).collect();
        let next = apps.last().filter(|last| **last != "f").map(|last| last.parse().unwrap());
        pages += 1;
        let page = InventoryPage { inventory: inventory(pages.min(unrest), &apps), next };
        serde_json::to_vec(&Reply::Result(page)).unwrap()
    })
    .await;
}

#[tokio::test]
async fn h11_all_pages_of_one_snapshot_make_an_inventory() {
    let (_nats, connection) = connected().await;
    paging_host(&connection, 3).await;
    let whole = client(&connection).inventory(&host_id(), Duration::from_secs(2)).await.unwrap();
    let names: Vec<&str> = whole.apps.iter().map(|app| app.app.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(whole.summary.sequence, 3);
}

#[tokio::test]
async fn an_inventory_that_never_stands_still_is_an_error() {
    let (_nats, connection) = connected().await;
    paging_host(&connection, u64::MAX).await;
    let error = client(&connection).inventory(&host_id(), Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, RequestError::Unsteady { .. }), "{error}");
}

#[tokio::test]
async fn xc11_an_inventory_of_another_host_is_refused() {
    let (_nats, connection) = connected().await;
    let other: HostId = format!("N{}", "B".repeat(55)).parse().unwrap();
    let subject = client(&connection).subjects().inventory(&other);
    respond(&connection, subject, |_| {
        serde_json::to_vec(&Reply::Result(InventoryPage { inventory: inventory(1, &[]), next: None }))
            .unwrap()
    })
    .await;
    let error = client(&connection).inventory(&other, Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, RequestError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn pings_are_gathered_from_all_and_nobody_is_an_empty_answer() {
    let (_nats, connection) = connected().await;
    let client = client(&connection);
    let begun = Instant::now();
    assert!(client.ping_hosts(Duration::from_secs(20)).await.unwrap().is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody listens, so nobody is waited for");
    for name in ["b", "a"] {
        let reply = serde_json::json!({ "result": {
            "host": host_id(), "name": name, "version": "0", "apis": ["lath.v1"], "time": Timestamp(0) } });
        respond(&connection, client.subjects().ping_hosts(), move |_| serde_json::to_vec(&reply).unwrap())
            .await;
    }
    let found = client.ping_hosts(Duration::from_millis(500)).await.unwrap();
    assert_eq!(found.iter().map(|reply| reply.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn events_are_decoded_and_garbage_is_counted() {
    let (_nats, connection) = connected().await;
    let client = client(&connection);
    let mut events = client.host_events().await.unwrap();
    let subject = client.subjects().host_event(&host_id(), HostEventKind::Stopped);
    connection.nats().publish(subject.clone(), "{".into()).await.unwrap();
    let gone = EventData::HostStopped(HostGone { host: host_id(), boot: "b1".into() });
    let event = envelope(host_id().as_str(), host_id().as_str(), Timestamp(5), gone);
    client.publish_event(subject.clone(), &event).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap();
    assert_eq!((heard.subject, heard.event), (subject, event));
    assert_eq!(events.malformed(), 1);
}
