//! Bytes to values, from peers that may be wrong or hostile.
//!
//! Every element of every type takes at least one byte, so a count is believed only up to the bytes that are
//! left; the memory of what is made is counted before it is made. Types decide everything, the bytes nothing.

use wasmtime::component::types::{FixedLengthList, Flags, List, Map, Record, Variant};
use wasmtime::component::{Type, Val};

use super::wire::{Reader, WireError};
use super::{MAX_DEPTH, MAX_MEMORY, Unsupported};

/// Why bytes are not the values of the types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end in the middle of a value.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// They hold something that the types do not allow.
    #[error("{0}")]
    Invalid(&'static str),
    /// There are bytes after the last value: the peer has another version of the interface.
    #[error("{0} bytes are left after the last value")]
    Trailing(usize),
    /// The values would take more memory than is allowed.
    #[error("the values take more than {MAX_MEMORY} bytes of memory")]
    TooLarge,
    /// A type without a form on the wire.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

impl From<WireError> for DecodeError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Truncated => Self::Truncated,
            WireError::Invalid(why) => Self::Invalid(why),
        }
    }
}

/// The values of a tuple of `types`.
///
/// # Errors
/// When the bytes are not exactly such a tuple.
pub fn decode(bytes: &[u8], types: &[Type]) -> Result<Vec<Val>, DecodeError> {
    let mut decoder = Decoder { reader: Reader::new(bytes), memory: MAX_MEMORY };
    let values = types.iter().map(|ty| decoder.value(ty, 0)).collect::<Result<Vec<_>, _>>()?;
    match decoder.reader.remaining() {
        0 => Ok(values),
        left => Err(DecodeError::Trailing(left)),
    }
}

/// The value of a tuple of one string, for callers that know no types.
///
/// # Errors
/// When the bytes are not exactly that.
pub fn decode_string(bytes: &[u8]) -> Result<String, DecodeError> {
    let reader = &mut Reader::new(bytes);
    let text = reader.str()?.to_owned();
    match reader.remaining() {
        0 => Ok(text),
        left => Err(DecodeError::Trailing(left)),
    }
}

struct Decoder<'a> {
    reader: Reader<'a>,
    /// Bytes of memory that may still be taken.
    memory: usize,
}

impl Decoder<'_> {
    fn value(&mut self, ty: &Type, depth: usize) -> Result<Val, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(Unsupported { kind: "nested deeper than 100" }.into());
        }
        let inner = depth + 1;
        Ok(match ty {
            Type::Bool => Val::Bool(self.reader.bit("a bool is neither 0 nor 1")?),
            Type::U8 => Val::U8(self.reader.byte()?),
            Type::S8 => Val::S8(i8::from_le_bytes(self.reader.array()?)),
            Type::U16 => Val::U16(fit(self.reader.unsigned(16)?)?),
            Type::U32 => Val::U32(fit(self.reader.unsigned(32)?)?),
            Type::U64 => Val::U64(self.reader.unsigned(64)?),
            Type::S16 => Val::S16(fit(self.reader.signed(16)?)?),
            Type::S32 => Val::S32(fit(self.reader.signed(32)?)?),
            Type::S64 => Val::S64(self.reader.signed(64)?),
            Type::Float32 => Val::Float32(f32::from_le_bytes(self.reader.array()?)),
            Type::Float64 => Val::Float64(f64::from_le_bytes(self.reader.array()?)),
            Type::Char => Val::Char(self.reader.char()?),
            Type::String => {
                let text = self.reader.str()?;
                self.take_memory(text.len())?;
                Val::String(text.to_owned())
            }
            Type::List(list) => self.list(list, inner)?,
            Type::FixedLengthList(list) => self.fixed_list(list, inner)?,
            Type::Map(map) => self.map(map, inner)?,
            Type::Record(record) => self.record(record, inner)?,
            Type::Tuple(tuple) => {
                let types = tuple.types();
                self.take_memory(types.len().saturating_mul(size_of::<Val>()))?;
                Val::Tuple(types.map(|ty| self.value(&ty, inner)).collect::<Result<_, _>>()?)
            }
            Type::Variant(variant) => self.variant(variant, inner)?,
            Type::Enum(names) => {
                let index = self.reader.length()?;
                let name =
                    names.names().nth(index).ok_or(DecodeError::Invalid("an enum has no such case"))?;
                self.take_memory(name.len())?;
                Val::Enum(name.to_owned())
            }
            Type::Option(option) => {
                let some = self.reader.bit("an option is neither 0 nor 1")?;
                Val::Option(self.boxed(some.then(|| option.ty()).as_ref(), inner)?)
            }
            Type::Result(result) => {
                if self.reader.bit("a result is neither 0 nor 1")? {
                    Val::Result(Err(self.boxed(result.err().as_ref(), inner)?))
                } else {
                    Val::Result(Ok(self.boxed(result.ok().as_ref(), inner)?))
                }
            }
            Type::Flags(flags) => self.flags(flags)?,
            Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                super::supported(ty)?;
                return Err(DecodeError::Invalid("a type has no form on the wire"));
            }
        })
    }

    fn list(&mut self, list: &List, depth: usize) -> Result<Val, DecodeError> {
        let count = self.reader.length()?;
        Ok(Val::List(self.elements(count, &list.ty(), depth)?))
    }

    fn fixed_list(&mut self, list: &FixedLengthList, depth: usize) -> Result<Val, DecodeError> {
        let count = usize::try_from(list.len()).map_err(|_| DecodeError::TooLarge)?;
        Ok(Val::FixedLengthList(self.elements(count, &list.ty(), depth)?))
    }

    fn elements(&mut self, count: usize, ty: &Type, depth: usize) -> Result<Vec<Val>, DecodeError> {
        self.believe(count, size_of::<Val>())?;
        if matches!(ty, Type::U8) {
            return Ok(self.reader.take(count)?.iter().copied().map(Val::U8).collect());
        }
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.value(ty, depth)?);
        }
        Ok(values)
    }

    fn map(&mut self, map: &Map, depth: usize) -> Result<Val, DecodeError> {
        let count = self.reader.length()?;
        self.believe(count, 2 * size_of::<Val>())?;
        let (key_type, value_type) = (map.key(), map.value());
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((self.value(&key_type, depth)?, self.value(&value_type, depth)?));
        }
        Ok(Val::Map(entries))
    }

    fn record(&mut self, record: &Record, depth: usize) -> Result<Val, DecodeError> {
        let fields = record.fields();
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            self.take_memory(size_of::<(String, Val)>() + field.name.len())?;
            values.push((field.name.to_owned(), self.value(&field.ty, depth)?));
        }
        Ok(Val::Record(values))
    }

    fn variant(&mut self, variant: &Variant, depth: usize) -> Result<Val, DecodeError> {
        let index = self.reader.length()?;
        let case = variant.cases().nth(index).ok_or(DecodeError::Invalid("a variant has no such case"))?;
        self.take_memory(case.name.len())?;
        Ok(Val::Variant(case.name.to_owned(), self.boxed(case.ty.as_ref(), depth)?))
    }

    fn boxed(&mut self, ty: Option<&Type>, depth: usize) -> Result<Option<Box<Val>>, DecodeError> {
        let Some(ty) = ty else { return Ok(None) };
        self.take_memory(size_of::<Val>())?;
        Ok(Some(Box::new(self.value(ty, depth)?)))
    }

    fn flags(&mut self, flags: &Flags) -> Result<Val, DecodeError> {
        let names = flags.names();
        let count = names.len();
        let bits = self.reader.take(count.div_ceil(8))?;
        let is_set = |index: usize| bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        if (count..bits.len() * 8).any(is_set) {
            return Err(DecodeError::Invalid("a bit is set that is no flag"));
        }
        let mut set = Vec::new();
        for (_, name) in names.enumerate().filter(|(index, _)| is_set(*index)) {
            self.take_memory(size_of::<String>() + name.len())?;
            set.push(name.to_owned());
        }
        Ok(Val::Flags(set))
    }

    /// Believes a count of elements when the bytes and the memory for them are there.
    fn believe(&mut self, count: usize, element: usize) -> Result<(), DecodeError> {
        if count > self.reader.remaining() {
            return Err(DecodeError::Truncated);
        }
        self.take_memory(count.saturating_mul(element))
    }

    fn take_memory(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(DecodeError::TooLarge)?;
        Ok(())
    }
}

fn fit<W, N: TryFrom<W>>(wide: W) -> Result<N, DecodeError> {
    N::try_from(wide).map_err(|_| DecodeError::Invalid("a number is too large for its type"))
}
