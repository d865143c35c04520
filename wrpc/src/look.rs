//! What the first message of a call shows to somebody who only looks on: parameters in one line, for people.
//!
//! Types do not travel, so only functions whose parameters are known by name are read: those of the `wrpc:` packages
//! and of messaging. Of any other function the bytes are shown. Nothing here is trusted, and nothing fails: what
//! cannot be read is shown as it came, and what is long is cut.

use std::fmt::Write as _;

use crate::codec::wire::{Reader, WireError};
use crate::http::look_request;

/// Longest text that is shown of one value, in characters.
const MAX_TEXT: usize = 2_000;
/// Most bytes that are shown of a value that is no text.
const MAX_BYTES: usize = 256;
/// Most items that are shown of one list.
const MAX_ITEMS: usize = 100;

/// A parameter that can be read. A record is the parameters in it: it has no frame on the wire.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Bytes,
    Number,
    MaybeNumber,
    MaybeText,
    Texts,
    /// A list of keys and values.
    Pairs,
}

/// Functions by their interface without version, with their parameters. Streams at the end are left out.
const KNOWN: &[(&str, &str, &[Kind])] = {
    use Kind::{Bytes, MaybeNumber, MaybeText, Number, Pairs, Text, Texts};
    &[
        ("wrpc:keyvalue/store", "get", &[Text, Text]),
        ("wrpc:keyvalue/store", "set", &[Text, Text, Bytes]),
        ("wrpc:keyvalue/store", "delete", &[Text, Text]),
        ("wrpc:keyvalue/store", "exists", &[Text, Text]),
        ("wrpc:keyvalue/store", "list-keys", &[Text, MaybeNumber]),
        ("wrpc:keyvalue/atomics", "increment", &[Text, Text, Number]),
        ("wrpc:keyvalue/batch", "get-many", &[Text, Texts]),
        ("wrpc:keyvalue/batch", "set-many", &[Text, Pairs]),
        ("wrpc:keyvalue/batch", "delete-many", &[Text, Texts]),
        ("wrpc:keyvalue/watcher", "on-set", &[Text, Text, Bytes]),
        ("wrpc:keyvalue/watcher", "on-delete", &[Text, Text]),
        ("wrpc:blobstore/blobstore", "clear-container", &[Text]),
        ("wrpc:blobstore/blobstore", "container-exists", &[Text]),
        ("wrpc:blobstore/blobstore", "create-container", &[Text]),
        ("wrpc:blobstore/blobstore", "delete-container", &[Text]),
        ("wrpc:blobstore/blobstore", "get-container-info", &[Text]),
        ("wrpc:blobstore/blobstore", "list-container-objects", &[Text, MaybeNumber, MaybeNumber]),
        ("wrpc:blobstore/blobstore", "copy-object", &[Text, Text, Text, Text]),
        ("wrpc:blobstore/blobstore", "move-object", &[Text, Text, Text, Text]),
        ("wrpc:blobstore/blobstore", "delete-object", &[Text, Text]),
        ("wrpc:blobstore/blobstore", "delete-objects", &[Text, Texts]),
        ("wrpc:blobstore/blobstore", "get-container-data", &[Text, Text, Number, Number]),
        ("wrpc:blobstore/blobstore", "get-object-info", &[Text, Text]),
        ("wrpc:blobstore/blobstore", "has-object", &[Text, Text]),
        ("wrpc:blobstore/blobstore", "write-container-data", &[Text, Text]),
        ("wasmcloud:messaging/handler", "handle-message", &[Text, Bytes, MaybeText]),
        ("wasmcloud:messaging/consumer", "publish", &[Text, Bytes, MaybeText]),
        ("wasmcloud:messaging/consumer", "request", &[Text, Bytes, Number]),
    ]
};

/// The parameters that the first message of a call to `func` of `instance` holds, as one line of text.
#[must_use]
pub fn parameters(instance: Option<&str>, func: &str, payload: &[u8]) -> String {
    let interface = instance.map_or("", |name| name.split('@').next().unwrap_or(name));
    if interface.starts_with("wrpc:http/")
        && let Some(line) = http_request(payload)
    {
        return line;
    }
    let known = KNOWN.iter().find(|(of, name, _)| *of == interface && *name == func);
    match known.and_then(|(_, _, kinds)| known_parameters(payload, kinds).ok()) {
        Some(line) => line,
        None => unknown_parameters(payload),
    }
}

/// Method, URL and headers of a request.
fn http_request(payload: &[u8]) -> Option<String> {
    let head = look_request(payload)?;
    let mut line = format!("{} {}", head.method, head.uri);
    for (name, value) in &head.headers {
        // Writing to a string cannot fail.
        let _ = write!(line, ", {name}: {}", text_or_bytes(value.as_bytes()));
    }
    Some(line)
}

fn known_parameters(payload: &[u8], kinds: &[Kind]) -> Result<String, WireError> {
    let reader = &mut Reader::new(payload);
    let mut shown = Vec::with_capacity(kinds.len());
    for kind in kinds {
        shown.push(match kind {
            Kind::Text => quoted(reader.str()?),
            Kind::Bytes => text_or_bytes(reader.bytes()?),
            Kind::Number => reader.unsigned(64)?.to_string(),
            Kind::MaybeNumber => maybe(reader, |reader| Ok(reader.unsigned(64)?.to_string()))?,
            Kind::MaybeText => maybe(reader, |reader| Ok(quoted(reader.str()?)))?,
            Kind::Texts => list(reader, |reader| Ok(quoted(reader.str()?)))?,
            Kind::Pairs => list(reader, |reader| {
                let key = quoted(reader.str()?);
                Ok(format!("({key}, {})", text_or_bytes(reader.bytes()?)))
            })?,
        });
    }
    Ok(shown.join(", "))
}

fn maybe<'a>(
    reader: &mut Reader<'a>,
    show: impl FnOnce(&mut Reader<'a>) -> Result<String, WireError>,
) -> Result<String, WireError> {
    if reader.bit("an option is neither 0 nor 1")? { show(reader) } else { Ok("none".to_owned()) }
}

fn list<'a>(
    reader: &mut Reader<'a>,
    show: impl Fn(&mut Reader<'a>) -> Result<String, WireError>,
) -> Result<String, WireError> {
    let count = reader.length()?;
    let mut items = Vec::new();
    for _ in 0..count.min(MAX_ITEMS) {
        items.push(show(reader)?);
    }
    if count > MAX_ITEMS {
        items.push(format!("and {} more", count - MAX_ITEMS));
    }
    Ok(format!("[{}]", items.join(", ")))
}

/// Parameters of an unknown function: the one string that they may be, else text, else bytes.
fn unknown_parameters(payload: &[u8]) -> String {
    let reader = &mut Reader::new(payload);
    match reader.str() {
        Ok(text) if reader.remaining() == 0 && !text.is_empty() => quoted(text),
        Ok(_) | Err(_) if payload.is_empty() => String::new(),
        Ok(_) | Err(_) => text_or_bytes(payload),
    }
}

fn text_or_bytes(bytes: &[u8]) -> String {
    let is_text = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    match std::str::from_utf8(bytes).ok().filter(is_text) {
        Some(text) => quoted(text),
        None => hex(bytes),
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => {
            format!("{:?}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
        }
        None => format!("{text:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut shown = String::from("0x");
    for byte in bytes.iter().take(MAX_BYTES) {
        // Writing to a string cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    if bytes.len() > MAX_BYTES {
        let _ = write!(shown, "… ({} bytes)", bytes.len());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read() {
        let store = Some("wrpc:keyvalue/store@0.2.0-draft");
        assert_eq!(parameters(store, "get", b"\x07default\x01k"), r#""default", "k""#);
        assert_eq!(parameters(store, "set", b"\x01b\x01k\x02\xff\x00"), r#""b", "k", 0xff00"#);
        assert_eq!(parameters(store, "list-keys", b"\x01b\x01\x80\x01"), r#""b", 128"#);
        let batch = Some("wrpc:keyvalue/batch@0.2.0-draft");
        assert_eq!(parameters(batch, "get-many", b"\x01b\x02\x01x\x01y"), r#""b", ["x", "y"]"#);
        assert_eq!(parameters(batch, "set-many", b"\x01b\x01\x01x\x02hi"), r#""b", [("x", "hi")]"#);
        let messages = Some("wasmcloud:messaging/handler@0.2.0");
        assert_eq!(parameters(messages, "handle-message", b"\x03a.b\x02hi\x00"), r#""a.b", "hi", none"#);
        let http = Some("wrpc:http/incoming-handler@0.1.0");
        let request = b"\x00\x00\x00\x01\x02/a\x01\x00\x01\x01h\x01\x01x\x01\x01y";
        assert_eq!(parameters(http, "handle", request), r#"GET http://h/a, x: "y""#);
    }

    #[test]
    fn what_is_unknown_is_shown_as_it_came() {
        let other = Some("acme:calc/add@1.0.0");
        assert_eq!(parameters(other, "f", b""), "");
        assert_eq!(parameters(other, "f", b"\x03Ada"), r#""Ada""#);
        assert_eq!(parameters(None, "f", b"\x03Ad"), "0x034164");
        assert_eq!(parameters(other, "f", b"plain"), r#""plain""#);
        // Known by its name, and not what it should be.
        assert_eq!(parameters(Some("wrpc:keyvalue/store"), "get", b"\xff"), "0xff");
        assert_eq!(parameters(Some("wrpc:http/incoming-handler"), "handle", b"\x07"), "0x07");
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = format!("x{}", "é".repeat(3_000));
        let shown = parameters(None, "f", long.as_bytes());
        assert!(shown.ends_with("… (6001 bytes)") && shown.len() < 4_200, "{shown}");
        assert!(parameters(None, "f", &[0; 5_000]).ends_with("… (5000 bytes)"));
        // A count that nobody sent the items of.
        let many = b"\x01b\xff\xff\xff\xff\x0f\x01x";
        assert!(parameters(Some("wrpc:keyvalue/batch"), "get-many", many).starts_with("0x"));
    }
}
