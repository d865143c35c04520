//! The encoding of component values, in one page: what every type is on the wire.
//!
//! | WIT type | bytes |
//! |---|---|
//! | `bool`, `u8`, `s8` | one byte |
//! | `u16` `u32` `u64` | unsigned LEB128 |
//! | `s16` `s32` `s64` | signed LEB128 |
//! | `f32`, `f64` | little endian IEEE 754 |
//! | `char` | its UTF-8 bytes |
//! | `string` | length in bytes as LEB128, UTF-8 |
//! | `list<T>`, `map<K, V>` | count as LEB128, elements (entries as pairs) |
//! | `list<T, N>` | the N elements |
//! | record, tuple | the fields in order |
//! | variant, enum | case as LEB128, payload if the case has one |
//! | option, result | 0 or 1, payload if there is one |
//! | flags | as many bytes as the flags need, bit *i* is flag *i* |
//!
//! Parameters are one tuple, results another. Resources, streams, futures and error contexts have no form here:
//! [`supported`] tells so before anything runs, and streams of `wrpc:http` are handled in `http.rs`. The rule of
//! both directions: no count is trusted before the bytes for it are there, nothing is allocated beyond
//! [`MAX_MEMORY`], and no input panics.

mod decode;
mod encode;
mod whole;
pub(crate) mod wire;

pub use decode::{DecodeError, decode, decode_string};
pub use encode::{EncodeError, encode};
pub use whole::{Whole, WholeReader, decode_whole, encode_whole};

use wasmtime::component::Type;

/// Deepest nesting of a type. The toolchain's own limit is 100.
pub const MAX_DEPTH: usize = 100;

/// Memory that decoded values may take, in bytes, counted as the values lie in memory. A byte of a `list<u8>`
/// becomes a whole value, so that a list of 16 MiB already takes hundreds of megabytes.
pub const MAX_MEMORY: usize = 512 << 20;

/// A type that cannot cross the lattice in a custom interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("values of type `{kind}` cannot be sent to another host")]
pub struct Unsupported {
    /// The kind of the type, such as `stream`.
    pub kind: &'static str,
}

/// Whether values of this type have a form on the wire.
///
/// # Errors
/// Names the first kind of type inside that has none.
pub fn supported(ty: &Type) -> Result<(), Unsupported> {
    check(ty, 0)
}

fn check(ty: &Type, depth: usize) -> Result<(), Unsupported> {
    if depth > MAX_DEPTH {
        return Err(Unsupported { kind: "nested deeper than 100" });
    }
    let all = |types: &mut dyn Iterator<Item = Type>| -> Result<(), Unsupported> {
        types.map(|ty| check(&ty, depth + 1)).find(Result::is_err).unwrap_or(Ok(()))
    };
    match ty {
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => Ok(()),
        Type::List(list) => all(&mut [list.ty()].into_iter()),
        Type::FixedLengthList(list) => all(&mut [list.ty()].into_iter()),
        Type::Map(map) => all(&mut [map.key(), map.value()].into_iter()),
        Type::Record(record) => all(&mut record.fields().map(|field| field.ty)),
        Type::Tuple(tuple) => all(&mut tuple.types()),
        Type::Variant(variant) => all(&mut variant.cases().filter_map(|case| case.ty)),
        Type::Option(option) => all(&mut [option.ty()].into_iter()),
        Type::Result(result) => all(&mut result.ok().into_iter().chain(result.err())),
        Type::Own(_) | Type::Borrow(_) => Err(Unsupported { kind: "resource" }),
        Type::Future(_) => Err(Unsupported { kind: "future" }),
        Type::Stream(_) => Err(Unsupported { kind: "stream" }),
        Type::ErrorContext => Err(Unsupported { kind: "error-context" }),
    }
}
