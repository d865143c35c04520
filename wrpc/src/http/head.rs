//! Heads of requests and responses, between the types of the `http` crate and the wire.
//!
//! Bodies and trailers are announced here as pending and travel elsewhere, as every 1.x encoder does it; when
//! a peer sends them inline they are read. The rule: no head above [`MAX_HEAD`] bytes, no more headers than a
//! header map takes.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, StatusCode, Uri, request, response};

use super::error_code::ErrorCode;
use crate::codec::wire::{Reader, WireError, put_bytes, put_len, put_unsigned};

/// Largest head that is read, in bytes.
pub(super) const MAX_HEAD: usize = 1 << 20;

/// Limits that a caller of an outgoing handler asks for; each is left to the handler when it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestOptions {
    /// Time to connect.
    pub connect: Option<Duration>,
    /// Time to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Time between bytes of the response.
    pub between_bytes: Option<Duration>,
}

/// What the head of a peer brought of body and trailers.
#[derive(Debug, Default)]
pub(super) struct Inline {
    /// The whole body, when it is not streamed.
    pub(super) body: Option<Bytes>,
    /// The trailers, when they do not follow later.
    pub(super) trailers: Option<Option<HeaderMap>>,
}

pub(super) fn put_request<B>(out: &mut BytesMut, head: &Request<B>) {
    out.extend_from_slice(&PENDING);
    put_method(out, head.method());
    put_some(out, head.uri().path_and_query().map(PathAndQuery::as_str));
    put_scheme(out, head.uri().scheme());
    let host = head.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    put_some(out, head.uri().authority().map(Authority::as_str).or(host));
    put_fields(out, head.headers());
}

pub(super) fn put_options(out: &mut BytesMut, options: Option<&RequestOptions>) {
    out.put_u8(u8::from(options.is_some()));
    let Some(options) = options else { return };
    for time in [options.connect, options.first_byte, options.between_bytes] {
        out.put_u8(u8::from(time.is_some()));
        if let Some(time) = time {
            put_unsigned(out, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

pub(super) fn put_response(out: &mut BytesMut, head: &response::Parts) {
    out.put_u8(0);
    out.extend_from_slice(&PENDING);
    put_unsigned(out, u64::from(head.status.as_u16()));
    put_fields(out, &head.headers);
}

pub(super) fn put_error(out: &mut BytesMut, code: &ErrorCode) {
    out.put_u8(1);
    code.put(out);
}

pub(super) fn put_trailers(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_u8(u8::from(trailers.is_some()));
    if let Some(trailers) = trailers {
        put_fields(out, trailers);
    }
}

/// A request, which must be the only parameter.
pub(super) fn get_request(bytes: &[u8]) -> Result<(request::Parts, Inline), WireError> {
    let reader = &mut Reader::new(bytes);
    let request = get_request_head(reader)?;
    end(reader)?;
    Ok(request)
}

/// The head of the request with which parameters begin, for somebody who only looks on. None when they begin with
/// something else, or end before the head does.
pub(crate) fn look_request(bytes: &[u8]) -> Option<request::Parts> {
    get_request_head(&mut Reader::new(bytes)).ok().map(|(head, _)| head)
}

fn get_request_head(reader: &mut Reader<'_>) -> Result<(request::Parts, Inline), WireError> {
    let inline = get_inline(reader)?;
    let method = get_method(reader)?;
    let path = get_option(reader, |reader| reader.str())?;
    let scheme = get_option(reader, get_scheme)?;
    let authority = get_option(reader, |reader| reader.str())?;
    let headers = get_fields(reader)?;
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = method;
    head.uri = uri(path, scheme, authority)?;
    head.headers = headers;
    Ok((head, inline))
}

/// The result of a handler.
pub(super) fn get_response(bytes: &[u8]) -> Result<Result<(response::Parts, Inline), ErrorCode>, WireError> {
    let reader = &mut Reader::new(bytes);
    if reader.bit("a result is neither 0 nor 1")? {
        let code = ErrorCode::get(reader)?;
        end(reader)?;
        return Ok(Err(code));
    }
    let inline = get_inline(reader)?;
    let status =
        u16::try_from(reader.unsigned(16)?).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let headers = get_fields(reader)?;
    end(reader)?;
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = status.ok_or(WireError::Invalid("a status is not between 100 and 999"))?;
    head.headers = headers;
    Ok(Ok((head, inline)))
}

pub(super) fn get_trailers(bytes: &[u8]) -> Result<Option<HeaderMap>, WireError> {
    let reader = &mut Reader::new(bytes);
    let trailers = get_option(reader, get_fields)?;
    end(reader)?;
    Ok(trailers)
}

/// Body and trailers that follow on their channels.
const PENDING: [u8; 2] = [0, 0];

fn put_method(out: &mut BytesMut, method: &Method) {
    match METHODS.iter().position(|known| *known == method.as_str()) {
        Some(index) => put_len(out, index),
        None => {
            put_len(out, METHODS.len());
            put_bytes(out, method.as_str().as_bytes());
        }
    }
}

/// In the order of their cases; what follows them is `other`.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

fn get_method(reader: &mut Reader<'_>) -> Result<Method, WireError> {
    let index = reader.length()?;
    let name = match METHODS.get(index) {
        Some(name) => name,
        None if index == METHODS.len() => reader.str()?,
        None => return Err(WireError::Invalid("a method has no such case")),
    };
    Method::from_bytes(name.as_bytes()).map_err(|_| WireError::Invalid("a method is not one"))
}

fn put_scheme(out: &mut BytesMut, scheme: Option<&Scheme>) {
    out.put_u8(1);
    match scheme.map_or("http", Scheme::as_str) {
        "http" => out.put_u8(0),
        "https" => out.put_u8(1),
        other => {
            out.put_u8(2);
            put_bytes(out, other.as_bytes());
        }
    }
}

fn get_scheme<'a>(reader: &mut Reader<'a>) -> Result<&'a str, WireError> {
    match reader.length()? {
        0 => Ok("http"),
        1 => Ok("https"),
        2 => reader.str(),
        _ => Err(WireError::Invalid("a scheme has no such case")),
    }
}

fn uri(path: Option<&str>, scheme: Option<&str>, authority: Option<&str>) -> Result<Uri, WireError> {
    let path = path.filter(|path| !path.is_empty()).unwrap_or("/");
    let mut parts = http::uri::Parts::default();
    let invalid = WireError::Invalid("a path, scheme or authority is not one");
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| invalid)?);
    if let Some(authority) = authority.filter(|authority| !authority.is_empty()) {
        parts.authority = Some(Authority::try_from(authority).map_err(|_| invalid)?);
        parts.scheme = Some(Scheme::try_from(scheme.unwrap_or("http")).map_err(|_| invalid)?);
    }
    Uri::from_parts(parts).map_err(|_| invalid)
}

fn put_some(out: &mut BytesMut, text: Option<&str>) {
    out.put_u8(u8::from(text.is_some()));
    if let Some(text) = text {
        put_bytes(out, text.as_bytes());
    }
}

fn get_option<'a, T>(
    reader: &mut Reader<'a>,
    get: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    let some = reader.bit("an option is neither 0 nor 1")?;
    some.then(|| get(reader)).transpose()
}

fn get_inline(reader: &mut Reader<'_>) -> Result<Inline, WireError> {
    let body = reader.bytes()?;
    let ready = reader.bit("a future is neither 0 nor 1")?;
    let trailers = ready.then(|| get_option(reader, get_fields)).transpose()?;
    Ok(Inline { body: (!body.is_empty()).then(|| Bytes::copy_from_slice(body)), trailers })
}

fn put_fields(out: &mut BytesMut, fields: &HeaderMap) {
    put_len(out, fields.keys_len());
    for name in fields.keys() {
        put_bytes(out, name.as_str().as_bytes());
        let values = fields.get_all(name);
        put_len(out, values.iter().count());
        for value in values {
            put_bytes(out, value.as_bytes());
        }
    }
}

fn get_fields(reader: &mut Reader<'_>) -> Result<HeaderMap, WireError> {
    let mut fields = HeaderMap::new();
    for _ in 0..reader.length()? {
        let name = reader.bytes()?;
        let name =
            HeaderName::from_bytes(name).map_err(|_| WireError::Invalid("a header's name is not one"))?;
        for _ in 0..reader.length()? {
            let value = HeaderValue::from_bytes(reader.bytes()?);
            let value = value.map_err(|_| WireError::Invalid("a header's value is not one"))?;
            let full = WireError::Invalid("there are too many headers");
            fields.try_append(name.clone(), value).map_err(|_| full)?;
        }
    }
    Ok(fields)
}

fn end(reader: &Reader<'_>) -> Result<(), WireError> {
    if reader.remaining() == 0 { Ok(()) } else { Err(WireError::Invalid("bytes follow the last value")) }
}

#[cfg(test)]
mod tests;
