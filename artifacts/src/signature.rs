//! The signature that tools of wasmCloud 1.x put into a component: a token in a section of its own, which tells the hash of
//! everything else. It is only found here; whoever uses it judges it.

use sha2::{Digest as _, Sha256};
use wasmparser::BinaryReader;

/// Names of the section: that of wascap from 0.9 on, and the one before.
const SECTIONS: [&str; 2] = ["wasmcloud_jwt", "jwt"];
/// Id of sections that mean nothing to an engine.
const CUSTOM: u8 = 0;
/// Bytes before the first section.
const HEADER: usize = 8;

/// A signature as it stands in a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The token, a JWT.
    pub token: &'a [u8],
    /// SHA-256 of the component without this section, in upper-case hexadecimal digits, as tokens tell it.
    pub hash: String,
}

/// The signature in a component, outside of all that is nested in it; none when there is none, or the bytes are no
/// WebAssembly.
#[must_use]
pub fn signature(bytes: &[u8]) -> Option<Signature<'_>> {
    if !bytes.starts_with(b"\0asm") {
        return None;
    }
    let mut rest = BinaryReader::new(bytes.get(HEADER..)?, HEADER);
    while !rest.eof() {
        let begin = rest.original_position();
        let id = rest.read_u8().ok()?;
        let size = usize::try_from(rest.read_var_u32().ok()?).ok()?;
        let content_at = rest.original_position();
        let content = rest.read_bytes(size).ok()?;
        if id != CUSTOM {
            continue;
        }
        let mut section = BinaryReader::new(content, content_at);
        if section.read_string().is_ok_and(|name| SECTIONS.contains(&name)) {
            let token = section.read_bytes(section.bytes_remaining()).ok()?;
            let mut hasher = Sha256::new();
            hasher.update(bytes.get(..begin)?);
            hasher.update(bytes.get(rest.original_position()..)?);
            let hash = hasher.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
            return Some(Signature { token, hash });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with a section of this name at its end.
    fn with_section(name: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let plain = wat::parse_str("(component (component) (core module))").unwrap();
        let mut signed = plain.clone();
        let length = u8::try_from(1 + name.len() + content.len()).unwrap();
        signed.extend([CUSTOM, length, u8::try_from(name.len()).unwrap()]);
        signed.extend(name.as_bytes());
        signed.extend(content);
        (plain, signed)
    }

    #[test]
    fn a_signature_is_found_with_the_hash_of_the_rest() {
        for name in SECTIONS {
            let (plain, mut signed) = with_section(name, b"a.b.c");
            let hash: String = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02X}")).collect();
            assert_eq!(signature(&signed), Some(Signature { token: b"a.b.c", hash: hash.clone() }));
            // Something else was changed after it was signed.
            signed.extend([CUSTOM, 2, 1, b'x']);
            assert_ne!(signature(&signed).unwrap().hash, hash);
        }
    }

    #[test]
    fn what_is_nested_or_broken_or_another_section_is_no_signature() {
        let (plain, signed) = with_section("producers", b"rustc");
        assert!(signature(&plain).is_none() && signature(&signed).is_none() && signature(b"").is_none());
        let (_, signed) = with_section("jwt", b"a.b.c");
        for end in 0..signed.len() {
            assert!(signature(&signed[..end]).is_none(), "{end}");
        }
        let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
        outer.extend([4, u8::try_from(signed.len()).unwrap()]);
        outer.extend(&signed);
        assert!(signature(&outer).is_none());
    }
}
