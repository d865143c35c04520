//! The address that is asked before traffic moves on.
//!
//! Only what every HTTP client takes: no other schemes, no names or passwords, and no characters that must be encoded.
//! No message repeats the address, as its query may hold what is not for everybody.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::part::Part;
use crate::code;
use crate::limits::MAX_WEBHOOK;
use crate::manifest::Webhook;
use crate::problem::Problem;

/// How an address is written, for messages.
const RULE: &str = "write it such as `https://gate.example/check`";

/// The address in a text.
pub(super) fn read(text: &str) -> Result<String, Problem> {
    if text.len() > MAX_WEBHOOK {
        let message = format!("`webhook` has {} bytes, and at most {MAX_WEBHOOK} are allowed", text.len());
        return Err(Problem::new(code::OUT_OF_RANGE, message, "shorten the address"));
    }
    let whole = Part::whole(text);
    let Some(rest) = Webhook::SCHEMES.into_iter().find_map(|scheme| whole.without(scheme)) else {
        let help = format!("an address begins with `http://` or `https://`; {RULE}");
        return Err(Problem::new(code::POLICY, "`webhook` is not the address of an HTTP server", help));
    };
    let (authority, path) = rest.leading(|c| !matches!(c, '/' | '?' | '#'));
    if let Some((user, _)) = authority.split_once('@') {
        let message = "`webhook` has a user name or password, and manifests are no place for them";
        let help = "remove what stands before the `@`, and the `@`";
        return Err(Problem::new(code::POLICY, message, help).at(user.place()));
    }
    check_authority(authority)?;
    check_path(path)?;
    Ok(text.to_owned())
}

fn check_authority(authority: Part<'_>) -> Result<(), Problem> {
    // The colons of an IPv6 address are inside its brackets.
    let (host, port) = match authority.text.rfind([':', ']']) {
        Some(at) if authority.text.get(at..).is_some_and(|rest| rest.starts_with(':')) => {
            (authority.text.get(..at).unwrap_or_default(), authority.text.get(at + 1..))
        }
        Some(_) | None => (authority.text, None),
    };
    if !is_host(host) {
        let help =
            format!("a host is a name in ASCII, an IPv4 address, or an IPv6 address in brackets; {RULE}");
        return Err(Problem::new(code::POLICY, "`webhook` names no host", help).at(authority.place()));
    }
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    if port.is_some_and(|port| !digits(port) || port.parse::<u16>().unwrap_or(0) == 0) {
        let help = "a port is a number from 1 to 65535";
        return Err(
            Problem::new(code::POLICY, "`webhook` has no port after the `:`", help).at(authority.place())
        );
    }
    Ok(())
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // A name that ends in a number can only be an address.
    let number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(fits) && (!number || name.parse::<Ipv4Addr>().is_ok())
}

/// The characters of RFC 3986 that a path and a query may have.
fn check_path(path: Part<'_>) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?".contains(c);
    let mut rest = path;
    loop {
        let (_, after) = rest.leading(plain);
        let bad = after.first();
        rest = match (bad.text, after.without("%").and_then(after_hex)) {
            ("", _) => return Ok(()),
            ("%", Some(next)) => next,
            ("#", _) => {
                let help = "remove the `#` and what follows: servers are never sent it";
                return Err(Problem::new(code::POLICY, "`webhook` has a fragment", help).at(after.place()));
            }
            (_, _) => {
                let message = "`webhook` has a character that an address cannot have";
                let help = "encode it as `%XX`, its bytes as two hexadecimal digits each";
                return Err(Problem::new(code::POLICY, message, help).at(bad.place()));
            }
        };
    }
}

/// What follows two hexadecimal digits.
fn after_hex(part: Part<'_>) -> Option<Part<'_>> {
    let digits = part.text.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    part.without(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_http_servers_are_taken_as_they_are() {
        for text in [
            "http://a",
            "https://gate.example/check",
            "https://gate.example:8443/a/b?app=shop&x=%20#".trim_end_matches('#'),
            "http://127.0.0.1:1/",
            "http://[::1]:65535?x",
            "https://[2001:db8::1]",
            "https://gate.example./",
            "https://a_b-c.example/~me/(x);y=1,2'*!$+@:",
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for (text, expected) in [
            ("", "not the address"),
            ("gate.example/check", "not the address"),
            ("ftp://gate.example", "not the address"),
            ("HTTPS://gate.example", "not the address"),
            (" https://gate.example", "not the address"),
            ("https:/gate.example", "not the address"),
            ("https://", "names no host"),
            ("https:///check", "names no host"),
            ("https://:80/", "names no host"),
            ("https://a..b/", "names no host"),
            ("https://gäte.example/", "names no host"),
            ("https://256.1.1.1/", "names no host"),
            ("https://1.1.1/", "names no host"),
            ("https://::1/", "names no host"),
            ("https://[::1/", "names no host"),
            ("https://[::1]x/", "names no host"),
            ("https://a b/", "names no host"),
            ("https://a:/", "no port"),
            ("https://a:0/", "no port"),
            ("https://a:65536/", "no port"),
            ("https://a:+80/", "no port"),
            ("https://me:secret@a/", "a user name or password"),
            ("https://@a/", "a user name or password"),
            ("https://a/#top", "a fragment"),
            ("https://a#", "a fragment"),
            ("https://a/b c", "a character"),
            ("https://a/é", "a character"),
            ("https://a/%2", "a character"),
            ("https://a/%zz", "a character"),
            ("https://a/%é0", "a character"),
            ("https://a/{id}", "a character"),
            ("https://a/\n", "a character"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.message.contains(expected), "{text}: {problem:?}");
            assert!(!problem.message.contains("secret") && !problem.help.contains("secret"));
        }
    }

    #[test]
    fn the_bound_on_the_address_is_exact() {
        let long = |bytes: usize| format!("http://a/{}", "x".repeat(bytes - 9));
        for bytes in [MAX_WEBHOOK - 1, MAX_WEBHOOK] {
            assert_eq!(read(&long(bytes)).unwrap().len(), bytes);
        }
        assert_eq!(read(&long(MAX_WEBHOOK + 1)).unwrap_err().code, code::OUT_OF_RANGE);
    }
}
