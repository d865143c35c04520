//! Typed buckets: compare-and-set, listing, watching, and writes whose answer is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use lath_control_api_client::{
    BucketOptions, Change, ConnectOptions, Connection, Patience, ReadError, TypedBucket, WriteError, WriteId,
    connect,
};

use crate::connected;
use crate::nats::{Nats, Proxy};

async fn open(connection: &Connection) -> TypedBucket<u64> {
    TypedBucket::open(connection, "numbers", BucketOptions::default()).await.expect("a bucket")
}

#[tokio::test]
async fn f08_only_one_of_two_first_writes_wins() {
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    let id = WriteId::generate();
    let revision = bucket.create("a", &1, &id).await.unwrap();
    // The same write again is the same write.
    assert_eq!(bucket.create("a", &1, &id).await.unwrap(), revision);
    let error = bucket.create("a", &2, &WriteId::generate()).await.unwrap_err();
    assert_eq!(error, WriteError::Conflict { key: "a".into(), winner: Some(revision) });
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value, 1);
}

#[tokio::test]
async fn f07_a_write_on_an_old_value_is_refused() {
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    let first = bucket.create("a", &1, &WriteId::generate()).await.unwrap();
    let second = bucket.update("a", &2, first, &WriteId::generate()).await.unwrap();
    let error = bucket.update("a", &3, first, &WriteId::generate()).await.unwrap_err();
    assert_eq!(error, WriteError::Conflict { key: "a".into(), winner: Some(second) });
    assert!(matches!(
        bucket.delete("a", first, &WriteId::generate()).await,
        Err(WriteError::Conflict { .. })
    ));
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value, 2);
}

#[tokio::test]
async fn xc17_a_deleted_record_is_absent_and_can_be_made_again() {
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    let first = bucket.create("a", &1, &WriteId::generate()).await.unwrap();
    bucket.delete("a", first, &WriteId::generate()).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), None);
    assert!(bucket.list().await.unwrap().records.is_empty());
    assert!(matches!(
        bucket.update("a", &2, first, &WriteId::generate()).await,
        Err(WriteError::Conflict { .. })
    ));
    bucket.create("a", &3, &WriteId::generate()).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_writers_lose_no_update() {
    const WRITERS: u64 = 20;
    const EACH: u64 = 10;
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    bucket.create("sum", &0, &WriteId::generate()).await.unwrap();
    let writers = (0..WRITERS).map(|_| {
        let bucket = bucket.clone();
        tokio::spawn(async move {
            for _ in 0..EACH {
                loop {
                    let now = bucket.get("sum").await.unwrap().unwrap();
                    let write =
                        bucket.update("sum", &(now.value + 1), now.revision, &WriteId::generate()).await;
                    match write {
                        Ok(_) => break,
                        Err(WriteError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(bucket.get("sum").await.unwrap().unwrap().value, WRITERS * EACH);
}

#[tokio::test]
async fn n3_a_listing_is_complete_and_names_what_cannot_be_read() {
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    for number in 0..300 {
        bucket.create(&format!("key-{number}"), &number, &WriteId::generate()).await.unwrap();
    }
    let context = connection.jetstream(Duration::from_secs(3));
    let raw = context.get_key_value("numbers").await.unwrap();
    raw.put("by-hand", "7".into()).await.unwrap();
    raw.put("garbage", "{".into()).await.unwrap();
    raw.put("forgotten", "1".into()).await.unwrap();
    raw.delete("forgotten").await.unwrap();
    let listing = bucket.list().await.unwrap();
    assert_eq!(listing.records.len(), 301);
    assert_eq!(listing.records["by-hand"].value, 7);
    assert_eq!(listing.records["key-299"].value, 299);
    assert_eq!(listing.malformed.keys().collect::<Vec<_>>(), ["garbage"]);
    assert!(matches!(bucket.get("garbage").await, Err(ReadError::Malformed(_))));
}

#[tokio::test]
async fn a_listing_can_be_narrowed_to_one_part_of_the_keys() {
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    for key in ["shop.1", "shop.2", "shop-2.1", "shop"] {
        bucket.create(key, &1, &WriteId::generate()).await.unwrap();
    }
    let listing = bucket.list_matching("shop.*").await.unwrap();
    assert_eq!(listing.records.into_keys().collect::<Vec<_>>(), ["shop.1", "shop.2"]);
}

#[tokio::test]
async fn f47_a_bucket_that_is_gone_is_an_error_and_not_an_empty_list() {
    let (_nats, connection) = connected().await;
    let bucket = open(&connection).await;
    bucket.create("a", &1, &WriteId::generate()).await.unwrap();
    connection.jetstream(Duration::from_secs(3)).delete_key_value("numbers").await.unwrap();
    let gone = ReadError::NoBucket { bucket: "numbers".into() };
    assert_eq!(bucket.list().await.unwrap_err(), gone);
    assert_eq!(bucket.get("a").await.unwrap_err(), gone);
    assert!(matches!(
        bucket.create("b", &1, &WriteId::generate()).await,
        Err(WriteError::Unavailable { .. })
    ));
    bucket.ensure().await.unwrap();
    assert!(bucket.list().await.unwrap().records.is_empty());
}

#[tokio::test]
async fn n8_a_record_that_is_too_large_is_refused_with_the_limit() {
    let (_nats, connection) = connected().await;
    let bucket: TypedBucket<String> =
        TypedBucket::open(&connection, "texts", BucketOptions::default()).await.unwrap();
    let limit = connection.max_payload();
    let error = bucket.create("a", &"x".repeat(limit + 1), &WriteId::generate()).await.unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { limit: named, .. } if named == limit), "{error}");
}

#[tokio::test]
async fn n4_a_watch_tells_every_change_and_lists_anew_after_a_restart_of_the_server() {
    let (mut nats, connection) = connected().await;
    let bucket = open(&connection).await;
    let first = bucket.create("a", &1, &WriteId::generate()).await.unwrap();
    let mut watch = bucket.watch();
    let Ok(Change::Listed(listing)) = watch.next().await else { panic!("the first change is a listing") };
    assert_eq!(listing.records["a"].value, 1);

    let second = bucket.update("a", &2, first, &WriteId::generate()).await.unwrap();
    let Ok(Change::Put(record)) = watch.next().await else { panic!("a write") };
    assert_eq!((record.value, record.revision), (2, second));
    bucket.delete("a", second, &WriteId::generate()).await.unwrap();
    assert!(matches!(watch.next().await, Ok(Change::Gone { key, .. }) if key == "a"));

    nats.kill();
    nats.run().await;
    let other = connect(ConnectOptions::new(&nats.url(), "other")).await.unwrap();
    open(&other).await.create("b", &3, &WriteId::generate()).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(20), async {
        let mut seen = BTreeSet::new();
        while !seen.contains("b") {
            match watch.next().await {
                Ok(Change::Listed(listing)) => seen = listing.records.into_keys().collect(),
                Ok(Change::Put(record)) => drop(seen.insert(record.key)),
                Ok(Change::Gone { key, .. }) => drop(seen.remove(&key)),
                Ok(Change::Malformed(malformed)) => panic!("{malformed}"),
                Err(_) => {}
            }
        }
        seen
    });
    assert_eq!(seen.await.expect("the watch comes back"), BTreeSet::from(["b".to_owned()]));
}

#[tokio::test]
async fn f37_a_write_whose_answer_was_lost_is_found_and_not_made_twice() {
    let nats = Nats::start().await;
    let proxy = Proxy::before(nats.address()).await;
    let connection =
        connect(ConnectOptions::new(&format!("nats://{}", proxy.address), "test")).await.unwrap();
    let options = BucketOptions { timeout: Duration::from_millis(800), ..BucketOptions::default() };
    let bucket: TypedBucket<u64> = TypedBucket::open(&connection, "numbers", options).await.unwrap();
    let first = bucket.create("a", &1, &WriteId::generate()).await.unwrap();
    let mut at = first;
    for value in 2..5 {
        proxy.lose_the_next_answer();
        at = bucket.update("a", &value, at, &WriteId::generate()).await.unwrap();
        assert!(proxy.has_lost(), "the fault must have happened");
        assert_eq!(bucket.get("a").await.unwrap().unwrap().revision, at);
    }
    assert_eq!(at.0, first.0 + 3, "each write was made once");
}

#[tokio::test]
async fn f37_a_lost_answer_does_not_hide_that_somebody_else_won() {
    let nats = Nats::start().await;
    let direct = connect(ConnectOptions::new(&nats.url(), "direct")).await.unwrap();
    let proxy = Proxy::before(nats.address()).await;
    let connection =
        connect(ConnectOptions::new(&format!("nats://{}", proxy.address), "test")).await.unwrap();
    let options = BucketOptions { timeout: Duration::from_millis(800), ..BucketOptions::default() };
    let bucket: TypedBucket<u64> = TypedBucket::open(&connection, "numbers", options).await.unwrap();
    let first = bucket.create("a", &1, &WriteId::generate()).await.unwrap();
    let other = open(&direct).await.update("a", &9, first, &WriteId::generate()).await.unwrap();
    proxy.lose_the_next_answer();
    let error = bucket.update("a", &2, first, &WriteId::generate()).await.unwrap_err();
    assert!(proxy.has_lost(), "the fault must have happened");
    assert_eq!(error, WriteError::Conflict { key: "a".into(), winner: Some(other) });
}

#[tokio::test]
async fn nothing_is_written_late_while_there_is_no_server() {
    let (mut nats, connection) = connected().await;
    let options = BucketOptions { timeout: Duration::from_millis(300), ..BucketOptions::default() };
    let bucket: TypedBucket<u64> = TypedBucket::open(&connection, "numbers", options).await.unwrap();
    nats.kill();
    connection.link().wait_for(|link| !link.up).await.unwrap();
    let error = bucket.create("a", &1, &WriteId::generate()).await.unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { .. }), "{error}");
    nats.run().await;
    assert!(connection.up_within(Duration::from_secs(10)).await);
    assert_eq!(bucket.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_daemon_connects_when_the_server_comes_later() {
    let mut nats = Nats::start().await;
    nats.kill();
    let options = ConnectOptions::new(&nats.url(), "daemon").in_background();
    assert_eq!(options.patience, Patience::Background);
    let connection = connect(options).await.unwrap();
    assert!(!connection.is_up());
    nats.run().await;
    tokio::time::timeout(Duration::from_secs(10), connection.ready()).await.expect("in time").unwrap();
    open(&connection).await.create("a", &1, &WriteId::generate()).await.unwrap();
}
