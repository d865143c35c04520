//! The path and the query of a request target. Only what the guests need of URLs: no fragments, no hosts. A bad
//! escape is kept as it was written, because a guest must answer something to every request.

/// The path part of a request target such as `/greet?name=Ada`.
#[must_use]
pub fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The decoded value of the first parameter called `key`; empty when it is given without a value.
#[must_use]
pub fn param(target: &str, key: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name) == key).then(|| decode(value))
    })
}

/// Percent-decoding, with `+` for a space as forms write it.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = if first == b'%' { tail.split_at_checked(2) } else { None };
        match escaped.and_then(|(digits, after)| Some((hex(digits)?, after))) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        u8::try_from(u32::from(value) * 16 + digit).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_ends_at_the_query() {
        assert_eq!(path("/a/b?c=d?e"), "/a/b");
        assert_eq!(path("/a"), "/a");
    }

    #[test]
    fn first_matching_parameter_is_decoded() {
        assert_eq!(param("/?name=Ada+L%C3%B6we&name=x", "name").as_deref(), Some("Ada Löwe"));
        assert_eq!(param("/?a&n%61me=", "name").as_deref(), Some(""));
        assert_eq!(param("/?other=1", "name"), None);
        assert_eq!(param("/name", "name"), None);
    }

    #[test]
    fn a_bad_escape_stays_as_written() {
        assert_eq!(param("/?n=100%", "n").as_deref(), Some("100%"));
        assert_eq!(param("/?n=%zz%4", "n").as_deref(), Some("%zz%4"));
    }
}
