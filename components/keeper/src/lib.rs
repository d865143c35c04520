//! Does with `wasi:keyvalue` what its requests say, one operation for each path, and answers what came of it:
//! `{"ok": …}`, or `{"error": …}` with status 400. Parameters are `bucket`, `key` (again and again for batches, with
//! commas between), `value`, `delta` and `cursor`; and `link`, the link that is chosen by `wasmcloud:bus` before a bucket is
//! opened. It keeps nothing itself.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/keyvalue",
        world: "imports",
    });
}

mod bus {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/bus",
        world: "imports",
    });
}

use bindings::wasi::keyvalue::store::{Bucket, Error};
use bindings::wasi::keyvalue::{atomics, batch, store};
use bus::wasmcloud::bus::lattice::{CallTargetInterface, set_link_name};
use lath_guest::http::Exchange;
use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Keeper;

wasip2::http::proxy::export!(Keeper);

impl Guest for Keeper {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        match operate(&exchange) {
            Ok(outcome) => exchange.json(200, &json!({ "ok": outcome })),
            Err(Error::NoSuchStore) => exchange.json(400, &json!({ "error": "no such store" })),
            Err(Error::AccessDenied) => exchange.json(400, &json!({ "error": "access denied" })),
            Err(Error::Other(text)) => exchange.json(400, &json!({ "error": text })),
        }
    }
}

fn operate(exchange: &Exchange) -> Result<Value, Error> {
    if let Some(link) = exchange.param("link") {
        let store = CallTargetInterface::new("wasi", "keyvalue", "store");
        set_link_name(&link, vec![store]).map_err(Error::Other)?;
    }
    let bucket = store::open(&exchange.param("bucket").unwrap_or_default())?;
    let key = exchange.param("key").unwrap_or_default();
    let keys = || key.split(',').map(str::to_owned).collect::<Vec<_>>();
    let value = || exchange.param("value").unwrap_or_default().into_bytes();
    match exchange.path() {
        "/get" => Ok(json!(bucket.get(&key)?.map(text))),
        "/set" => bucket.set(&key, &value()).map(|()| Value::Null),
        "/set-large" => {
            let size = usize::try_from(exchange.number("size", 0)).unwrap_or(usize::MAX);
            bucket.set(&key, &vec![b'x'; size]).map(|()| Value::Null)
        }
        "/delete" => bucket.delete(&key).map(|()| Value::Null),
        "/exists" => bucket.exists(&key).map(Value::from),
        "/keys" => list(&bucket, exchange),
        "/add" => atomics::increment(&bucket, &key, exchange.number("delta", 1)).map(Value::from),
        "/get-many" => {
            let found = batch::get_many(&bucket, &keys())?.into_iter();
            Ok(found.map(|pair| json!(pair.map(|(key, value)| (key, text(value))))).collect())
        }
        "/set-many" => {
            let pairs: Vec<_> = keys().into_iter().map(|key| (key, value())).collect();
            batch::set_many(&bucket, &pairs).map(|()| Value::Null)
        }
        "/delete-many" => batch::delete_many(&bucket, &keys()).map(|()| Value::Null),
        other => Err(Error::Other(format!("nothing is done at {other}"))),
    }
}

/// A page of keys from `cursor` on; all of them without one.
fn list(bucket: &Bucket, exchange: &Exchange) -> Result<Value, Error> {
    if exchange.param("cursor").is_some() {
        let page = bucket.list_keys(Some(exchange.number("cursor", 0)))?;
        return Ok(json!({ "keys": page.keys, "cursor": page.cursor }));
    }
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor)?;
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(json!(all));
        }
    }
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}
