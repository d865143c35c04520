//! The scalars of the encoding: LEB128 numbers, characters, lengths, on plain buffers.
//!
//! No component type is known here; `encode.rs`, `decode.rs` and `http/` stand on it. The rule: reading past
//! the end is [`WireError::Truncated`] and nothing else, so that a reader of a growing buffer knows that more
//! bytes may help.

use bytes::{BufMut as _, BytesMut};

/// Why bytes are not what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireError {
    /// They end too early.
    Truncated,
    /// They never become right.
    Invalid(&'static str),
}

pub(crate) fn put_unsigned(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

pub(crate) fn put_signed(out: &mut BytesMut, mut value: i64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        let done = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        out.put_u8(if done { low } else { low | 0x80 });
        if done {
            return;
        }
    }
}

pub(crate) fn put_len(out: &mut BytesMut, len: usize) {
    put_unsigned(out, len as u64);
}

pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn put_char(out: &mut BytesMut, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// A place in bytes that are read front to back.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        let (&first, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An unsigned number of at most `bits` bits.
    pub(crate) fn unsigned(&mut self, bits: u32) -> Result<u64, WireError> {
        let mut value = 0_u64;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            // Bits beyond the type's width must be zero.
            if bits - shift < 7 && low >> (bits - shift) != 0 {
                return Err(WireError::Invalid("a number is too large for its type"));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
            if shift >= bits {
                return Err(WireError::Invalid("a number has too many bytes for its type"));
            }
        }
    }

    /// A signed number of at most `bits` bits.
    pub(crate) fn signed(&mut self, bits: u32) -> Result<i64, WireError> {
        let mut value = 0_i64;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let low = byte & 0x7f;
            if bits - shift < 7 {
                // The bits beyond the width must repeat the sign bit.
                let beyond = i16::from(low) << 9 >> 9 >> (bits - shift - 1);
                if beyond != 0 && beyond != -1 {
                    return Err(WireError::Invalid("a number is too large for its type"));
                }
            }
            value |= i64::from(low) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                if shift < 64 && low & 0x40 != 0 {
                    value |= -1_i64 << shift;
                }
                return Ok(value);
            }
            if shift >= bits {
                return Err(WireError::Invalid("a number has too many bytes for its type"));
            }
        }
    }

    /// A length or count, which is a `u32` on the wire.
    pub(crate) fn length(&mut self) -> Result<usize, WireError> {
        let value = self.unsigned(32)?;
        usize::try_from(value).map_err(|_| WireError::Invalid("a length does not fit in memory"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.length()?;
        self.take(len)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, WireError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| WireError::Invalid("a string is not UTF-8"))
    }

    pub(crate) fn char(&mut self) -> Result<char, WireError> {
        let invalid = WireError::Invalid("a character is not UTF-8");
        let len = match self.rest.first().ok_or(WireError::Truncated)? {
            0x00..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Err(invalid),
        };
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| invalid)?;
        text.chars().next().ok_or(invalid)
    }

    /// A byte that is 0 or 1, for `what`.
    pub(crate) fn bit(&mut self, what: &'static str) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unsigned(bytes: &[u8], bits: u32) -> Result<u64, WireError> {
        Reader::new(bytes).unsigned(bits)
    }

    #[test]
    fn numbers_are_bounded_by_their_type() {
        assert_eq!(unsigned(&[0xc8, 0x01], 16), Ok(200));
        assert_eq!(unsigned(&[0xff, 0xff, 0x03], 16), Ok(0xffff));
        assert!(matches!(unsigned(&[0xff, 0xff, 0x04], 16), Err(WireError::Invalid(_))));
        assert!(matches!(unsigned(&[0x80, 0x80, 0x80, 0x00], 16), Err(WireError::Invalid(_))));
        assert_eq!(unsigned(&[0x80, 0x80], 16), Err(WireError::Truncated));
        assert_eq!(Reader::new(&[0x7f]).signed(16), Ok(-1));
        assert_eq!(Reader::new(&[0x80, 0x80, 0x7e]).signed(16), Ok(-32768));
        assert!(matches!(Reader::new(&[0x80, 0x80, 0x7d]).signed(16), Err(WireError::Invalid(_))));
        assert!(matches!(Reader::new(&[0xff, 0xff, 0x02]).signed(16), Err(WireError::Invalid(_))));
    }

    proptest! {
        #[test]
        fn numbers_are_read_back(value: u64, signed: i64, small: i16, c: char) {
            let mut out = BytesMut::new();
            put_unsigned(&mut out, value);
            put_signed(&mut out, signed);
            put_signed(&mut out, i64::from(small));
            put_char(&mut out, c);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.unsigned(64), Ok(value));
            prop_assert_eq!(reader.signed(64), Ok(signed));
            prop_assert_eq!(reader.signed(16), Ok(i64::from(small)));
            prop_assert_eq!(reader.char(), Ok(c));
            prop_assert_eq!(reader.remaining(), 0);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            for bits in [8, 16, 32, 64] {
                let _ = Reader::new(&bytes).unsigned(bits);
                let _ = Reader::new(&bytes).signed(bits);
            }
            let _ = Reader::new(&bytes).char();
            let _ = Reader::new(&bytes).str();
        }
    }
}
