//! Does with `wasi:blobstore` what its requests say, one operation for each path, and answers what came of it:
//! `{"ok": …}`, or `{"error": …}` with status 400. Parameters are `container`, `object` (again and again for several,
//! with commas between), `value`, `size`, `start` and `end`, `page`, `skip`, and `to-container` and `to-object`. It keeps
//! nothing itself.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/blobstore",
        world: "imports",
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
        },
    });
}

mod pieces;

use bindings::wasi::blobstore::blobstore;
use bindings::wasi::blobstore::container::Container;
use bindings::wasi::blobstore::types::{IncomingValue, ObjectId, OutgoingValue};
use lath_guest::http::Exchange;
use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// The end of a part that is all of an object.
const ALL: u64 = u64::MAX;

struct Blobber;

wasip2::http::proxy::export!(Blobber);

impl Guest for Blobber {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let exchange = Exchange::new(request, answer);
        match operate(&exchange) {
            Ok(outcome) => exchange.json(200, &json!({ "ok": outcome })),
            Err(error) => exchange.json(400, &json!({ "error": error })),
        }
    }
}

fn operate(exchange: &Exchange) -> Result<Value, String> {
    let name = exchange.param("container").unwrap_or_default();
    let to = || ObjectId {
        container: exchange.param("to-container").unwrap_or_else(|| name.clone()),
        object: exchange.param("to-object").unwrap_or_default(),
    };
    let from = || ObjectId { container: name.clone(), object: exchange.param("object").unwrap_or_default() };
    match exchange.path() {
        "/create" => blobstore::create_container(&name)?.name().map(Value::from),
        "/exists" => blobstore::container_exists(&name).map(Value::from),
        "/delete-container" => blobstore::delete_container(&name).map(|()| Value::Null),
        "/copy" => blobstore::copy_object(&from(), &to()).map(|()| Value::Null),
        "/move" => blobstore::move_object(&from(), &to()).map(|()| Value::Null),
        path => within(&blobstore::get_container(&name)?, path, exchange),
    }
}

fn within(container: &Container, path: &str, exchange: &Exchange) -> Result<Value, String> {
    let object = exchange.param("object").unwrap_or_default();
    let objects = || object.split(',').map(str::to_owned).collect::<Vec<_>>();
    let part = || container.get_data(&object, exchange.number("start", 0), exchange.number("end", ALL));
    let value = || exchange.param("value").unwrap_or_default().into_bytes();
    let size = || exchange.number("size", 0);
    match path {
        "/info" => {
            let info = container.info()?;
            Ok(json!({ "name": info.name, "dated": info.created_at > 0 }))
        }
        "/clear" => container.clear().map(|()| Value::Null),
        "/has" => container.has_object(&object).map(Value::from),
        "/object-info" => {
            let info = container.object_info(&object)?;
            Ok(json!({ "name": info.name, "container": info.container, "size": info.size }))
        }
        "/delete" => container.delete_object(&object).map(|()| Value::Null),
        "/delete-many" => container.delete_objects(&objects()).map(|()| Value::Null),
        "/list" => list(container, exchange),
        "/write" => write(container, &object, |body| pieces::write(body, &value())),
        "/write-first" => write_first(container, &object, &value()),
        "/write-large" => write(container, &object, |body| pieces::write_many(body, size())),
        "/write-homeless" => {
            let value = OutgoingValue::new_outgoing_value();
            let body = value.outgoing_value_write_body().map_err(|()| "it has no stream".to_owned())?;
            pieces::write_many(&body, size()).map(|()| Value::Null)
        }
        "/abandon" => {
            let abandoned = OutgoingValue::new_outgoing_value();
            container.write_data(&object, &abandoned)?;
            let body = abandoned.outgoing_value_write_body().map_err(|()| "it has no stream".to_owned())?;
            pieces::write(&body, &value()).map(|()| Value::Null)
        }
        "/read" => {
            let read = IncomingValue::incoming_value_consume_sync(part()?)?;
            Ok(json!(String::from_utf8_lossy(&read)))
        }
        "/read-stream" => {
            let stream = IncomingValue::incoming_value_consume_async(part()?)?;
            pieces::count(&stream).map(|bytes| json!(bytes))
        }
        "/size" => Ok(json!(part()?.size())),
        other => Err(format!("nothing is done at {other}")),
    }
}

/// Says first where the value goes, as it streams from then on.
fn write(
    container: &Container,
    object: &str,
    fill: impl FnOnce(&wasip2::io::streams::OutputStream) -> Result<(), String>,
) -> Result<Value, String> {
    let value = OutgoingValue::new_outgoing_value();
    container.write_data(object, &value)?;
    let body = value.outgoing_value_write_body().map_err(|()| "it has no stream".to_owned())?;
    let filled = fill(&body);
    drop(body);
    OutgoingValue::finish(value)?;
    filled.map(|()| Value::Null)
}

/// Writes all of it before it says where the value goes, and does not finish it.
fn write_first(container: &Container, object: &str, bytes: &[u8]) -> Result<Value, String> {
    let value = OutgoingValue::new_outgoing_value();
    let body = value.outgoing_value_write_body().map_err(|()| "it has no stream".to_owned())?;
    if value.outgoing_value_write_body().is_ok() {
        return Err("it has a second stream".to_owned());
    }
    pieces::write(&body, bytes)?;
    drop(body);
    container.write_data(object, &value).map(|()| Value::Null)
}

/// All names in order, but as many as `skip` says, read `page` at a time.
fn list(container: &Container, exchange: &Exchange) -> Result<Value, String> {
    let names = container.list_objects()?;
    let (mut all, page) = (Vec::new(), exchange.number("page", 100));
    let (_, mut ended) = names.skip_stream_object_names(exchange.number("skip", 0))?;
    while !ended {
        let (mut more, last) = names.read_stream_object_names(page)?;
        all.append(&mut more);
        ended = last;
    }
    all.sort();
    Ok(json!(all))
}
