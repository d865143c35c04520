//! What a registry asks for in `WWW-Authenticate`.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password.
    Basic,
    /// A token that another address gives out.
    Bearer { realm: String, service: Option<String> },
}

/// The first challenge that we can answer; a token before a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<_> = texts.flat_map(parse).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or_else(|| all.first()).cloned()
}

/// Every challenge of one header that we know.
fn parse(text: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme = "";
    let mut parameters: Vec<(String, String)> = Vec::new();
    for part in split(text) {
        let (head, value) = part.split_once('=').map_or((part, None), |(head, value)| (head, Some(value)));
        // `Bearer realm="…"`: a space before the first `=` begins another scheme.
        let (begins, name) = match head.trim().split_once(' ') {
            Some((begins, name)) => (Some(begins), name.trim()),
            None if value.is_none() => (Some(head.trim()), ""),
            None => (None, head.trim()),
        };
        if let Some(begins) = begins {
            found.extend(finished(scheme, &parameters));
            scheme = begins;
            parameters.clear();
        }
        if let Some(value) = value {
            parameters.push((name.to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found.extend(finished(scheme, &parameters));
    found
}

fn finished(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let value =
        |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    if scheme.eq_ignore_ascii_case("basic") {
        Some(Challenge::Basic)
    } else if scheme.eq_ignore_ascii_case("bearer") {
        Some(Challenge::Bearer { realm: value("realm")?, service: value("service") })
    } else {
        None
    }
}

/// The parts between commas that are not in quotes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let ends = c == ',' && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        ends
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_are_read() {
        for (text, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer("https://auth.docker.io/token", Some("registry.docker.io"))],
            ),
            (r#"bearer REALM=https://a.test/t"#, vec![bearer("https://a.test/t", None)]),
            (r#"Basic realm="a, b""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            (
                r#"Negotiate, Basic realm="x", Bearer realm="https://a.test/\"t\"", service="s""#,
                vec![Challenge::Basic, bearer("https://a.test/\"t\"", Some("s"))],
            ),
            (r#"Bearer service="s""#, vec![]),
            ("", vec![]),
            (r#"Bearer realm="unclosed, Basic"#, vec![bearer("\"unclosed, Basic", None)]),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_token_is_wanted_before_a_password() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=https://a.test/t".parse().unwrap());
        assert_eq!(challenge(&headers), Some(bearer("https://a.test/t", None)));
        assert_eq!(challenge(&HeaderMap::new()), None);
    }
}
