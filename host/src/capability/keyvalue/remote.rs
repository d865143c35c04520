//! Buckets behind a provider: `wasi:keyvalue` of a component as `wrpc:keyvalue` of the provider.
//!
//! The two differ in one thing: a bucket is a resource for the component and a text for the provider. Which link a call
//! goes along stands in its header; by that and by the caller's id the provider knows its settings. Trace and deadline
//! are those of the call of the component in which it asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lath_control_api::LinkSpec;

use super::{Bucket, Calls, Error, Page, Store};
use crate::engine::{CallContext, Caller, UnitIdentity};
use crate::wrpc_call::Outgoing;

/// Longest wait for one answer of the provider.
const PATIENCE: Duration = Duration::from_secs(10);
const STORE: &str = "wrpc:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wrpc:keyvalue/atomics@0.2.0-draft";

/// The buckets of one link to a provider.
pub(super) struct Remote {
    way: Arc<Way>,
}

/// How the provider is called.
struct Way {
    calls: Arc<Calls>,
    caller: Caller,
    link: LinkSpec,
}

struct Held {
    way: Arc<Way>,
    bucket: String,
    /// The call that operations are a part of.
    call: CallContext,
}

impl Remote {
    pub(super) fn new(calls: Arc<Calls>, unit: &UnitIdentity, link: &LinkSpec) -> Self {
        let caller = Caller { app: unit.app.clone(), id: unit.id.clone(), revision: unit.revision };
        Self { way: Arc::new(Way { calls, caller, link: link.clone() }) }
    }
}

impl Store for Remote {
    /// Nothing is asked of the provider yet, as in 1.x.
    fn open<'a>(&'a self, bucket: &'a str) -> BoxFuture<'a, Result<Arc<dyn Bucket>, Error>> {
        let (way, bucket) = (Arc::clone(&self.way), bucket.to_owned());
        let held: Arc<dyn Bucket> = Arc::new(Held { way, bucket, call: CallContext::default() });
        std::future::ready(Ok(held)).boxed()
    }

    fn of_link<'a>(&self, link: &'a str) -> &'a str {
        // Providers of 1.x take the name that a component opens for the name of the link.
        link
    }
}

impl Held {
    /// The parameters that every function begins with.
    fn begin(&self) -> BytesMut {
        let mut params = BytesMut::new();
        put_bytes(&mut params, self.bucket.as_bytes());
        params
    }

    async fn call(&self, instance: &str, function: &str, params: BytesMut) -> Result<Bytes, Error> {
        let Way { calls, caller, link } = &*self.way;
        let patience = Instant::now() + PATIENCE;
        let ctx = CallContext {
            deadline: Some(self.call.deadline.map_or(patience, |deadline| deadline.min(patience))),
            ..self.call.clone()
        };
        let call = Outgoing { caller, link, instance, function, params: params.freeze(), ctx: &ctx };
        let results = calls.send(call).await.map_err(|error| {
            Error::Other(format!("the provider {} cannot be asked: {error}", link.target_name))
        })?;
        if results.is_empty() {
            return Err(Error::Other(format!(
                "the provider {} has failed without a reason",
                link.target_name
            )));
        }
        outcome(results)
    }
}

impl Bucket for Held {
    fn in_call(&self, call: &CallContext) -> Option<Arc<dyn Bucket>> {
        let call = CallContext { hops: call.hops.saturating_add(1), answer_by: None, ..call.clone() };
        Some(Arc::new(Self { way: Arc::clone(&self.way), bucket: self.bucket.clone(), call }))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>> {
        async move {
            let mut params = self.begin();
            put_bytes(&mut params, key.as_bytes());
            let mut value = self.call(STORE, "get", params).await?;
            Ok(if take_bool(&mut value)? { Some(take_bytes(&mut value)?.into()) } else { None })
        }
        .boxed()
    }

    fn set(&self, key: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let mut params = self.begin();
            put_bytes(&mut params, key.as_bytes());
            put_bytes(&mut params, &value);
            self.call(STORE, "set", params).await.map(drop)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let mut params = self.begin();
            put_bytes(&mut params, key.as_bytes());
            self.call(STORE, "delete", params).await.map(drop)
        }
        .boxed()
    }

    fn keys(&self, from: u64) -> BoxFuture<'_, Result<Page, Error>> {
        async move {
            let mut params = self.begin();
            if from == 0 {
                params.put_u8(0);
            } else {
                params.put_u8(1);
                put_number(&mut params, from);
            }
            let mut answer = self.call(STORE, "list-keys", params).await?;
            let count = take_number(&mut answer)?;
            let mut keys = Vec::new();
            // Each takes a byte at least: the count is not trusted before.
            for _ in 0..count {
                let key = take_bytes(&mut answer)?;
                keys.push(String::from_utf8(key.into()).map_err(|_| nonsense())?);
            }
            let next = if take_bool(&mut answer)? { Some(take_number(&mut answer)?) } else { None };
            Ok((keys, next))
        }
        .boxed()
    }

    fn increment(&self, key: String, delta: u64) -> BoxFuture<'_, Result<u64, Error>> {
        async move {
            let mut params = self.begin();
            put_bytes(&mut params, key.as_bytes());
            put_number(&mut params, delta);
            take_number(&mut self.call(ATOMICS, "increment", params).await?)
        }
        .boxed()
    }
}

/// Reads `result<T, error>`; gives the bytes of the `T`.
fn outcome(mut results: Bytes) -> Result<Bytes, Error> {
    match take_byte(&mut results)? {
        0 => Ok(results),
        1 => Err(match take_byte(&mut results)? {
            0 => Error::NoSuchStore,
            1 => Error::AccessDenied,
            2 => {
                let text = String::from_utf8_lossy(&take_bytes(&mut results)?).into_owned();
                Error::Other(crate::engine::bounded(&text))
            }
            _ => nonsense(),
        }),
        _ => Err(nonsense()),
    }
}

fn nonsense() -> Error {
    Error::Other("the provider's answer makes no sense".to_owned())
}

fn put_number(to: &mut BytesMut, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return to.put_u8(low);
        }
        to.put_u8(low | 0x80);
    }
}

fn put_bytes(to: &mut BytesMut, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.put_slice(bytes);
}

fn take_byte(from: &mut Bytes) -> Result<u8, Error> {
    if from.has_remaining() { Ok(from.get_u8()) } else { Err(nonsense()) }
}

fn take_bool(from: &mut Bytes) -> Result<bool, Error> {
    match take_byte(from)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(nonsense()),
    }
}

fn take_number(from: &mut Bytes) -> Result<u64, Error> {
    let mut number = 0_u64;
    for place in 0..10 {
        let byte = take_byte(from)?;
        let low = u64::from(byte & 0x7f);
        let shifted = low.checked_shl(7 * place).filter(|shifted| shifted >> (7 * place) == low);
        number |= shifted.ok_or_else(nonsense)?;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(nonsense())
}

fn take_bytes(from: &mut Bytes) -> Result<Bytes, Error> {
    let length = usize::try_from(take_number(from)?).map_err(|_| nonsense())?;
    if length > from.len() {
        return Err(nonsense());
    }
    Ok(from.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = BytesMut::new();
            put_number(&mut bytes, number);
            assert_eq!(take_number(&mut bytes.freeze()).unwrap(), number);
        }
        let mut bytes = BytesMut::new();
        put_bytes(&mut bytes, b"carts");
        assert_eq!(&bytes[..], b"\x05carts");
        assert_eq!(take_bytes(&mut bytes.freeze()).unwrap(), "carts");
    }

    #[test]
    fn outcomes_are_told_apart_and_nonsense_is_refused() {
        assert_eq!(outcome(Bytes::from_static(b"\0\x01\x02hi")).unwrap(), &b"\x01\x02hi"[..]);
        assert_eq!(outcome(Bytes::from_static(b"\x01\0")).unwrap_err(), Error::NoSuchStore);
        assert_eq!(outcome(Bytes::from_static(b"\x01\x01")).unwrap_err(), Error::AccessDenied);
        let other = outcome(Bytes::from_static(b"\x01\x02\x04down")).unwrap_err();
        assert_eq!(other, Error::Other("down".to_owned()));
        for bad in [&b""[..], b"\x02", b"\x01", b"\x01\x03", b"\x01\x02\x09down"] {
            let error = outcome(Bytes::copy_from_slice(bad)).unwrap_err();
            assert_eq!(error, nonsense(), "{bad:?}");
        }
        assert!(take_number(&mut Bytes::from_static(&[0xff; 11])).is_err());
    }
}
