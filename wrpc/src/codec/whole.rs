//! Values of known types, straight to bytes and back: no dynamic value is made in between.
//!
//! The bytes are those of [`encode`](super::encode) and [`decode`](super::decode) for the same types; a `list<u8>` is
//! copied once instead of becoming a value for each byte.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::DecodeError;
use super::encode::{EncodeError, countable};
use super::wire::{Reader, put_bytes};

/// Bytes that are read front to back.
#[derive(Debug)]
pub struct WholeReader<'a>(Reader<'a>);

/// A value, or a tuple of them, with a form of its own on the wire.
pub trait Whole: Sized {
    /// Writes it.
    ///
    /// # Errors
    /// When a list or string has 4 GiB or more.
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError>;

    /// Reads it.
    ///
    /// # Errors
    /// When the bytes are none of its values, or end before it does.
    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError>;

    /// About how many bytes it takes, so that room is made once.
    fn size(&self) -> usize {
        8
    }
}

/// The bytes of `values`: a tuple of parameters or of results.
///
/// # Errors
/// As [`Whole::put`].
pub fn encode_whole<T: Whole>(values: &T) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::with_capacity(values.size());
    values.put(&mut out)?;
    Ok(out.freeze())
}

/// The values that `bytes` are.
///
/// # Errors
/// When the bytes are not exactly such values.
pub fn decode_whole<T: Whole>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut from = WholeReader(Reader::new(bytes));
    let values = T::read(&mut from)?;
    match from.0.remaining() {
        0 => Ok(values),
        left => Err(DecodeError::Trailing(left)),
    }
}

/// No value: that of a function without parameters or results, or of a case without payload.
impl Whole for () {
    fn put(&self, _: &mut BytesMut) -> Result<(), EncodeError> {
        Ok(())
    }

    fn read(_: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl<A: Whole> Whole for (A,) {
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.0.put(out)
    }

    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        Ok((A::read(from)?,))
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

impl<A: Whole, B: Whole> Whole for (A, B) {
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.0.put(out)?;
        self.1.put(out)
    }

    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        Ok((A::read(from)?, B::read(from)?))
    }

    fn size(&self) -> usize {
        self.0.size().saturating_add(self.1.size())
    }
}

impl Whole for Vec<u8> {
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        countable(self.len())?;
        put_bytes(out, self);
        Ok(())
    }

    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        Ok(from.0.bytes()?.to_vec())
    }

    fn size(&self) -> usize {
        self.len().saturating_add(8)
    }
}

impl Whole for String {
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        countable(self.len())?;
        put_bytes(out, self.as_bytes());
        Ok(())
    }

    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        Ok(from.0.str()?.to_owned())
    }

    fn size(&self) -> usize {
        self.len().saturating_add(8)
    }
}

impl<T: Whole> Whole for Option<T> {
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(u8::from(self.is_some()));
        self.as_ref().map_or(Ok(()), |value| value.put(out))
    }

    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        let some = from.0.bit("an option is neither 0 nor 1")?;
        some.then(|| T::read(from)).transpose()
    }

    fn size(&self) -> usize {
        self.as_ref().map_or(1, |value| value.size().saturating_add(1))
    }
}

impl<T: Whole, E: Whole> Whole for Result<T, E> {
    fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(u8::from(self.is_err()));
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn read(from: &mut WholeReader<'_>) -> Result<Self, DecodeError> {
        if from.0.bit("a result is neither 0 nor 1")? {
            Ok(Err(E::read(from)?))
        } else {
            Ok(Ok(T::read(from)?))
        }
    }

    fn size(&self) -> usize {
        let inner = match self {
            Ok(value) => value.size(),
            Err(error) => error.size(),
        };
        inner.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Widest = (String, Result<Option<Vec<u8>>, String>);

    #[test]
    fn each_value_has_its_bytes() {
        let written = |value: Widest| encode_whole(&value).unwrap();
        assert_eq!(*written(("ab".into(), Ok(Some(vec![7, 0, 255])))), [2, b'a', b'b', 0, 1, 3, 7, 0, 255]);
        assert_eq!(*written((String::new(), Ok(None))), [0, 0, 0]);
        assert_eq!(*written((String::new(), Err("no".into()))), [0, 1, 2, b'n', b'o']);
        assert_eq!(*encode_whole(&(Ok::<(), String>(()),)).unwrap(), [0]);
        assert!(encode_whole(&()).unwrap().is_empty());
        let long = vec![1_u8; 200];
        assert_eq!(encode_whole(&(long.clone(),)).unwrap()[..2], [0xc8, 0x01]);
        assert_eq!(decode_whole::<(Vec<u8>,)>(&encode_whole(&(long.clone(),)).unwrap()), Ok((long,)));
    }

    #[test]
    fn bytes_that_are_no_value_are_refused() {
        assert_eq!(decode_whole::<(Vec<u8>,)>(&[3, 1, 2]), Err(DecodeError::Truncated));
        assert_eq!(decode_whole::<(Vec<u8>,)>(&[]), Err(DecodeError::Truncated));
        assert_eq!(decode_whole::<(Vec<u8>,)>(&[1, 1, 2, 3]), Err(DecodeError::Trailing(2)));
        assert_eq!(decode_whole::<()>(&[0]), Err(DecodeError::Trailing(1)));
        assert!(matches!(decode_whole::<(Option<String>,)>(&[2]), Err(DecodeError::Invalid(_))));
        assert!(matches!(decode_whole::<(String,)>(&[1, 0xff]), Err(DecodeError::Invalid(_))));
        // A length that no bytes follow takes no memory.
        assert_eq!(decode_whole::<(Vec<u8>,)>(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(key: String, value: Result<Option<Vec<u8>>, String>) {
            let values: Widest = (key, value);
            prop_assert_eq!(decode_whole::<Widest>(&encode_whole(&values).unwrap()), Ok(values));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Ok(values) = decode_whole::<Widest>(&bytes) {
                prop_assert_eq!(decode_whole::<Widest>(&encode_whole(&values).unwrap()), Ok(values));
            }
        }
    }
}
