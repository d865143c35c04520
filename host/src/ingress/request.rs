//! What of a request is checked and changed before a component sees it.
//!
//! Its host has one source, the same for choosing the route and for the component. Headers that belong to the
//! connection end here.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use lath_control_api::Revision;

/// Headers of a connection and not of a message, beside those that `Connection` names.
static OF_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Header of a request for one revision of the app that it reaches, by number.
const ASKED_REVISION: HeaderName = HeaderName::from_static("x-lath-revision");

/// Why a request is refused before anyone is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
}

const fn refuse<T>(status: StatusCode, text: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, text })
}

/// The host that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AskedHost(Authority);

impl AskedHost {
    /// Its name, lower-case and without port.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        let name = self.0.host();
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        Cow::Borrowed(name)
    }
}

/// Checks the head and gives the host that it asks for; none when it names none, as HTTP/1.0 may. Removes the headers of
/// the connection.
pub(crate) fn admit(head: &mut Parts) -> Result<Option<AskedHost>, Refusal> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here");
    }
    let authority = authority(head)?;
    drop_connection_headers(&mut head.headers);
    // The component sees the one host that the route was chosen by.
    match &authority {
        Some(authority) if head.uri.authority().is_some() => {
            let value = HeaderValue::from_str(authority.as_str());
            let Ok(value) = value else { return refuse(StatusCode::BAD_REQUEST, "the host is not valid") };
            head.headers.insert(header::HOST, value);
        }
        Some(_) | None => {}
    }
    Ok(authority.map(AskedHost))
}

/// The one authority of a request: of its target, or of its only `Host`. They may not differ.
fn authority(head: &Parts) -> Result<Option<Authority>, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return refuse(StatusCode::BAD_REQUEST, "the request has more than one Host");
    }
    let named = match host.map(|host| Authority::try_from(host.as_bytes())) {
        Some(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the Host is not valid"),
        Some(Ok(named)) => Some(named),
        None if head.version == Version::HTTP_11 => {
            return refuse(StatusCode::BAD_REQUEST, "the request has no Host");
        }
        None => None,
    };
    let authority = match (head.uri.authority(), named) {
        (Some(target), Some(named)) if !target.as_str().eq_ignore_ascii_case(named.as_str()) => {
            return refuse(StatusCode::BAD_REQUEST, "the request's target and its Host differ");
        }
        (Some(target), _) => Some(target.clone()),
        (None, named) => named,
    };
    if authority.as_ref().is_some_and(|authority| authority.as_str().contains('@')) {
        return refuse(StatusCode::BAD_REQUEST, "the host may not have a user name");
    }
    Ok(authority)
}

/// The revision of its app that a request asks for, if it does: how people look at one that has no traffic yet.
pub(crate) fn asked_revision(headers: &HeaderMap) -> Result<Option<Revision>, Refusal> {
    let Some(value) = headers.get(ASKED_REVISION) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or(Refusal {
        status: StatusCode::BAD_REQUEST,
        text: "x-lath-revision must be the number of a revision",
    })
}

/// Removes what belongs to the connection that a message came over.
pub(crate) fn drop_connection_headers(headers: &mut HeaderMap) {
    // Most messages have none, and looking for each by name would cost them more than looking at each that is there.
    if !headers.keys().any(|name| OF_CONNECTION.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder()).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_has_one_source() {
        let mut plain = head(|request| request.uri("/x").header("host", "Shop.Test:8000"));
        assert_eq!(admit(&mut plain).unwrap().unwrap().name(), "shop.test");
        let mut absolute = head(|request| request.uri("http://shop.test/x"));
        absolute.version = Version::HTTP_2;
        assert_eq!(admit(&mut absolute).unwrap().unwrap().name(), "shop.test");
        assert_eq!(absolute.headers.get("host").unwrap(), "shop.test");
        let mut old = head(|request| request.uri("/x").version(Version::HTTP_10));
        assert_eq!(admit(&mut old), Ok(None));
    }

    #[test]
    fn xh03_doubtful_hosts_are_refused() {
        let wrong = [
            head(|request| request.uri("/")),
            head(|request| request.uri("/").header("host", "a").header("host", "b")),
            head(|request| request.uri("http://a/").header("host", "b")),
            head(|request| request.uri("/").header("host", "me@a")),
            head(|request| request.uri("/").header("host", "a b")),
        ];
        for mut head in wrong {
            assert_eq!(admit(&mut head).unwrap_err().status, StatusCode::BAD_REQUEST, "{head:?}");
        }
        let mut connect = head(|request| request.method("CONNECT").uri("a:1").header("host", "a:1"));
        assert_eq!(admit(&mut connect).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn a_revision_is_asked_for_by_number() {
        let asked =
            |value: &str| asked_revision(&head(|request| request.header("x-lath-revision", value)).headers);
        assert_eq!(asked_revision(&HeaderMap::new()), Ok(None));
        assert_eq!(asked("7"), Ok(Some(Revision(7))));
        for wrong in ["", "seven", "-1", "7, 8", "99999999999999999999999"] {
            assert_eq!(asked(wrong).unwrap_err().status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn headers_of_the_connection_end_here() {
        let mut head = head(|request| {
            request
                .uri("/")
                .header("host", "a")
                .header("connection", "close, X-Hop")
                .header("x-hop", "1")
                .header("x", "2")
        });
        admit(&mut head).unwrap();
        assert!(head.headers.get("x-hop").is_none() && head.headers.get("connection").is_none());
        assert!(head.headers.get("x").is_some());
    }
}
