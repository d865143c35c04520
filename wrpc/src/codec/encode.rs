//! Values to bytes.
//!
//! A value that does not fit its type is an error that names both; nothing is guessed. No byte is written for
//! what the types do not say.

use bytes::{BufMut as _, Bytes, BytesMut};
use wasmtime::component::types::{Enum, Flags, Record, Variant};
use wasmtime::component::{Type, Val};

use super::wire::{put_bytes, put_char, put_len, put_signed, put_unsigned};
use super::{MAX_DEPTH, Unsupported};

/// Why values have no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// There are more or fewer values than types.
    #[error("there are {values} values for {types} types")]
    Count {
        /// How many values there are.
        values: usize,
        /// How many types there are.
        types: usize,
    },
    /// A value is not of its type.
    #[error("a value is not a `{expected}`")]
    Mismatch {
        /// The kind of the type.
        expected: &'static str,
    },
    /// A record field, case, enum name or flag that the type does not have.
    #[error("the type has no `{0}`")]
    UnknownName(String),
    /// A list or string of 4 GiB or more.
    #[error("a list or string is too long")]
    TooLong,
    /// A type without a form on the wire.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// The bytes of a tuple of values.
///
/// # Errors
/// When the values do not fit the types.
pub fn encode(values: &[Val], types: &[Type]) -> Result<Bytes, EncodeError> {
    if values.len() != types.len() {
        return Err(EncodeError::Count { values: values.len(), types: types.len() });
    }
    let mut out = BytesMut::with_capacity(64);
    for (value, ty) in values.iter().zip(types) {
        put(&mut out, value, ty, 0)?;
    }
    Ok(out.freeze())
}

fn mismatch(expected: &'static str) -> EncodeError {
    EncodeError::Mismatch { expected }
}

fn put(out: &mut BytesMut, value: &Val, ty: &Type, depth: usize) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH {
        return Err(Unsupported { kind: "nested deeper than 100" }.into());
    }
    let inner = depth + 1;
    match (ty, value) {
        (Type::Bool, Val::Bool(value)) => out.put_u8(u8::from(*value)),
        (Type::U8, Val::U8(value)) => out.put_u8(*value),
        (Type::S8, Val::S8(value)) => out.put_i8(*value),
        (Type::U16, Val::U16(value)) => put_unsigned(out, u64::from(*value)),
        (Type::U32, Val::U32(value)) => put_unsigned(out, u64::from(*value)),
        (Type::U64, Val::U64(value)) => put_unsigned(out, *value),
        (Type::S16, Val::S16(value)) => put_signed(out, i64::from(*value)),
        (Type::S32, Val::S32(value)) => put_signed(out, i64::from(*value)),
        (Type::S64, Val::S64(value)) => put_signed(out, *value),
        (Type::Float32, Val::Float32(value)) => out.put_f32_le(*value),
        (Type::Float64, Val::Float64(value)) => out.put_f64_le(*value),
        (Type::Char, Val::Char(value)) => put_char(out, *value),
        (Type::String, Val::String(value)) => {
            countable(value.len())?;
            put_bytes(out, value.as_bytes());
        }
        (Type::List(list), Val::List(values)) => {
            countable(values.len())?;
            put_len(out, values.len());
            put_elements(out, values, &list.ty(), inner)?;
        }
        (Type::FixedLengthList(list), Val::FixedLengthList(values)) => {
            if values.len() as u64 != u64::from(list.len()) {
                return Err(mismatch("list of a fixed length"));
            }
            put_elements(out, values, &list.ty(), inner)?;
        }
        (Type::Map(map), Val::Map(entries)) => {
            countable(entries.len())?;
            put_len(out, entries.len());
            let (key_type, value_type) = (map.key(), map.value());
            for (key, value) in entries {
                put(out, key, &key_type, inner)?;
                put(out, value, &value_type, inner)?;
            }
        }
        (Type::Record(record), Val::Record(fields)) => put_record(out, record, fields, inner)?,
        (Type::Tuple(tuple), Val::Tuple(values)) => {
            let types = tuple.types();
            if types.len() != values.len() {
                return Err(mismatch("tuple"));
            }
            for (value, ty) in values.iter().zip(types) {
                put(out, value, &ty, inner)?;
            }
        }
        (Type::Variant(variant), Val::Variant(name, payload)) => {
            put_variant(out, variant, name, payload.as_deref(), inner)?;
        }
        (Type::Enum(names), Val::Enum(name)) => put_enum(out, names, name)?,
        (Type::Option(option), Val::Option(value)) => {
            out.put_u8(u8::from(value.is_some()));
            if let Some(value) = value {
                put(out, value, &option.ty(), inner)?;
            }
        }
        (Type::Result(result), Val::Result(value)) => {
            let (tag, ty, value) = match value {
                Ok(value) => (0, result.ok(), value),
                Err(value) => (1, result.err(), value),
            };
            out.put_u8(tag);
            put_payload(out, value.as_deref(), ty.as_ref(), inner)?;
        }
        (Type::Flags(flags), Val::Flags(set)) => put_flags(out, flags, set)?,
        (ty, _) => {
            super::supported(ty)?;
            return Err(mismatch(kind(ty)));
        }
    }
    Ok(())
}

/// List elements; bytes take the short way.
fn put_elements(out: &mut BytesMut, values: &[Val], ty: &Type, depth: usize) -> Result<(), EncodeError> {
    if !matches!(ty, Type::U8) {
        return values.iter().try_for_each(|value| put(out, value, ty, depth));
    }
    let start = out.len();
    out.extend(values.iter().map_while(|value| match value {
        Val::U8(byte) => Some(*byte),
        _ => None,
    }));
    if out.len() - start == values.len() { Ok(()) } else { Err(mismatch("u8")) }
}

fn put_record(
    out: &mut BytesMut,
    record: &Record,
    values: &[(String, Val)],
    depth: usize,
) -> Result<(), EncodeError> {
    let fields = record.fields();
    if fields.len() != values.len() {
        return Err(mismatch("record"));
    }
    for (field, (name, value)) in fields.zip(values) {
        if field.name != name {
            return Err(EncodeError::UnknownName(name.clone()));
        }
        put(out, value, &field.ty, depth)?;
    }
    Ok(())
}

fn put_variant(
    out: &mut BytesMut,
    variant: &Variant,
    name: &str,
    payload: Option<&Val>,
    depth: usize,
) -> Result<(), EncodeError> {
    let case = variant.cases().enumerate().find(|(_, case)| case.name == name);
    let (index, case) = case.ok_or_else(|| EncodeError::UnknownName(name.to_owned()))?;
    put_len(out, index);
    put_payload(out, payload, case.ty.as_ref(), depth)
}

fn put_payload(
    out: &mut BytesMut,
    payload: Option<&Val>,
    ty: Option<&Type>,
    depth: usize,
) -> Result<(), EncodeError> {
    match (payload, ty) {
        (Some(payload), Some(ty)) => put(out, payload, ty, depth),
        (None, None) => Ok(()),
        (Some(_), None) | (None, Some(_)) => Err(mismatch("payload of its case")),
    }
}

fn put_enum(out: &mut BytesMut, names: &Enum, name: &str) -> Result<(), EncodeError> {
    let index = names.names().position(|known| known == name);
    put_len(out, index.ok_or_else(|| EncodeError::UnknownName(name.to_owned()))?);
    Ok(())
}

fn put_flags(out: &mut BytesMut, flags: &Flags, set: &[String]) -> Result<(), EncodeError> {
    let names = flags.names();
    let mut bits = vec![0_u8; names.len().div_ceil(8)];
    let mut found = 0;
    for (index, name) in names.enumerate() {
        let times = set.iter().filter(|flag| *flag == name).count();
        found += times;
        if let Some(byte) = bits.get_mut(index / 8).filter(|_| times > 0) {
            *byte |= 1 << (index % 8);
        }
    }
    if found != set.len() {
        let unknown = set.iter().find(|flag| flags.names().all(|name| name != flag.as_str()));
        return Err(EncodeError::UnknownName(unknown.cloned().unwrap_or_default()));
    }
    out.extend_from_slice(&bits);
    Ok(())
}

pub(super) fn countable(len: usize) -> Result<(), EncodeError> {
    u32::try_from(len).map(drop).map_err(|_| EncodeError::TooLong)
}

/// The kind of a type, for messages.
fn kind(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(_) => "list",
        Type::FixedLengthList(_) => "list of a fixed length",
        Type::Map(_) => "map",
        Type::Record(_) => "record",
        Type::Tuple(_) => "tuple",
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Option(_) => "option",
        Type::Result(_) => "result",
        Type::Flags(_) => "flags",
        Type::Own(_) | Type::Borrow(_) => "resource",
        Type::Future(_) => "future",
        Type::Stream(_) => "stream",
        Type::ErrorContext => "error-context",
    }
}
