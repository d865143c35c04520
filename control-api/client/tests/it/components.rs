//! The store of code.

use bytes::Bytes;
use lath_control_api::Digest;
use lath_control_api_client::{ComponentStore, Put, StoreError};

use crate::connected;

#[tokio::test]
async fn code_is_put_once_and_got_back_whole() {
    let (_nats, connection) = connected().await;
    let store = ComponentStore::open(&connection, "components-test").await.unwrap();
    let bytes: Bytes = (0..1_000_003_u32).map(|n| n.to_le_bytes()[1]).collect();
    let digest = Digest::of(&bytes);
    assert_eq!(
        store.get(&digest, 1 << 30).await.unwrap_err(),
        StoreError::NotFound { digest: digest.clone() }
    );
    assert_eq!(store.put(&digest, bytes.clone()).await.unwrap(), Put::Stored);
    assert_eq!(store.put(&digest, bytes.clone()).await.unwrap(), Put::AlreadyThere);
    let again = ComponentStore::open(&connection, "components-test").await.unwrap();
    assert_eq!(again.size(&digest).await.unwrap(), Some(bytes.len()));
    assert_eq!(again.get(&digest, 1 << 30).await.unwrap(), bytes);
    let error = again.get(&digest, 1000).await.unwrap_err();
    assert_eq!(error, StoreError::TooLarge { size: bytes.len(), limit: 1000 });
}

#[tokio::test]
async fn bytes_under_a_false_digest_are_neither_taken_nor_given() {
    let (_nats, connection) = connected().await;
    let store = ComponentStore::open(&connection, "components-test").await.unwrap();
    let digest = Digest::of(b"good");
    let error = store.put(&digest, Bytes::from_static(b"evil")).await.unwrap_err();
    assert_eq!(error, StoreError::DigestMismatch { expected: digest.clone(), found: Digest::of(b"evil") });
    assert!(!store.exists(&digest).await.unwrap());
    // Somebody else puts other bytes under the name: they do not count as the code.
    let context = connection.jetstream(std::time::Duration::from_secs(3));
    let raw = context.get_object_store("components-test").await.unwrap();
    raw.put(digest.hex(), &mut std::io::Cursor::new(b"evil")).await.unwrap();
    assert!(!store.exists(&digest).await.unwrap());
    assert_eq!(store.put(&digest, Bytes::from_static(b"good")).await.unwrap(), Put::Stored);
    assert_eq!(store.get(&digest, 10).await.unwrap(), "good");
}

#[tokio::test]
async fn the_beginning_of_code_is_what_is_there_damaged_or_not() {
    let (_nats, connection) = connected().await;
    let store = ComponentStore::open(&connection, "components-test").await.unwrap();
    // Of three pieces.
    let bytes: Bytes = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let digest = Digest::of(&bytes);
    assert_eq!(
        store.beginning(&digest, 8).await.unwrap_err(),
        StoreError::NotFound { digest: digest.clone() }
    );
    store.put(&digest, bytes.clone()).await.unwrap();
    for length in [0, 8, 128 << 10, 200_000, 299_999, 300_000, 1 << 20] {
        let beginning = store.beginning(&digest, length).await.unwrap();
        assert!(beginning == bytes[..length.min(bytes.len())], "{length}: {} bytes", beginning.len());
    }
    let context = connection.jetstream(std::time::Duration::from_secs(3));
    let raw = context.get_object_store("components-test").await.unwrap();
    let pieces = format!("$O.components-test.C.{}", raw.info(digest.hex()).await.unwrap().nuid);
    let stream = context.get_stream("OBJ_components-test").await.unwrap();
    stream.purge().filter(&pieces).await.unwrap();
    context.publish(pieces, "other bytes".into()).await.unwrap().await.unwrap();
    assert_eq!(store.beginning(&digest, 5).await.unwrap(), "other");
    assert_eq!(store.beginning(&digest, 512).await.unwrap(), "other bytes");
    store.get(&digest, 1 << 30).await.unwrap_err();
}
