//! Names that NATS can hold, for keys and buckets that may be called anything. Different names stay different, and a
//! name that NATS takes as it is stays as it is, so that other programs find what components wrote.

/// The key as NATS holds it. Characters other than `A-Z a-z 0-9 - _ / .` become `=` and two hexadecimal digits for
/// each byte, and so does a dot that would make an empty part.
pub(super) fn of_key(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    let bytes = key.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let edge = at == 0 || at + 1 == bytes.len() || bytes.get(at - 1) == Some(&b'.');
        let plain = byte.is_ascii_alphanumeric() || b"-_/".contains(byte) || (*byte == b'.' && !edge);
        if plain { name.push(char::from(*byte)) } else { push_hex(&mut name, '=', *byte) }
    }
    name
}

/// The key that NATS holds as `name`; `name` itself when no key of ours is called so.
pub(super) fn key_of(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [byte, after @ ..] = rest {
        match (byte, after) {
            (b'=', [high, low, after @ ..]) => {
                let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return name.to_owned() };
                bytes.push(high << 4 | low);
                rest = after;
            }
            (b'=', _) => return name.to_owned(),
            (byte, after) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

/// The bucket `identifier` of `owner`, apart from those of every other owner. Characters other than `A-Z a-z 0-9 -`
/// become `_` and two hexadecimal digits for each byte.
pub(super) fn of_bucket(owner: &str, identifier: &str) -> String {
    let mut name = "lath-kv".to_owned();
    for part in [owner, identifier] {
        name.push_str("__");
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                name.push(char::from(byte));
            } else {
                push_hex(&mut name, '_', byte);
            }
        }
    }
    name
}

fn push_hex(name: &mut String, mark: char, byte: u8) {
    name.push(mark);
    for half in [byte >> 4, byte & 15] {
        name.push(char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase());
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_spelled_out() {
        assert_eq!(of_key("users/7.name-x_y"), "users/7.name-x_y");
        assert_eq!(of_key("user:7"), "user=3A7");
        assert_eq!(of_key(".a..b."), "=2Ea.=2Eb=2E");
        assert_eq!(of_key("ä b=c"), "=C3=A4=20b=3Dc");
        assert_eq!(key_of("odd=zz"), "odd=zz");
        assert_eq!(of_bucket("shop-kv", "carts"), "lath-kv__shop-kv__carts");
        assert_ne!(of_bucket("a", "b__c"), of_bucket("a__b", "c"));
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in "\\PC{1,40}") {
            let name = of_key(&key);
            prop_assert_eq!(key_of(&name), key);
            let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte);
            prop_assert!(name.bytes().all(taken));
            prop_assert!(name.split('.').all(|part| !part.is_empty()), "{}", name);
        }

        #[test]
        fn buckets_stay_apart(a in "[a-z_-]{1,6}", b in "[a-z_-]{1,6}", c in "[a-z_-]{1,6}", d in "[a-z_-]{1,6}") {
            prop_assert_eq!(of_bucket(&a, &b) == of_bucket(&c, &d), (a, b) == (c, d));
        }
    }
}
