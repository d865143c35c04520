//! YAML or JSON bytes become a tree of values, each with its place, or diagnostics that say why not.
//!
//! Nothing here knows what a manifest is. The tree comes from the events of `granit-parser`, the parser inside
//! `serde-saphyr`, because serde stops at the first problem and a manifest's problems are all reported at once.
//! Every bound of [`crate::limits`] on size is held here, before memory is spent: an alias is a second reference to
//! the node of its anchor, and only its count grows.

mod build;
mod scalar;

use std::ops::Range;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_BYTES;
use crate::position::Span;

/// A node of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As written; its type is decided by the field that reads it.
    Number(Box<str>),
    Text(Box<str>),
    List(Vec<NodeId>),
    /// In the order of the file; no key twice.
    Map(Vec<(Key, NodeId)>),
}

impl Value {
    /// What people call a value of this kind.
    pub(crate) const fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: Box<str>,
    pub(crate) span: Span,
}

#[derive(Debug)]
struct Node {
    value: Value,
    span: Span,
    parent: Option<NodeId>,
    /// Nodes below and including this one, aliases written out.
    size: usize,
    /// Levels of lists and mappings below and including this one.
    height: usize,
    /// Bytes from `span.start` to the text of this node, where the file has it on one line and byte by byte.
    verbatim: Option<u8>,
}

/// A document that was read.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

static NULL: Value = Value::Null;

impl Tree {
    pub(crate) const fn root(&self) -> NodeId {
        self.root
    }

    pub(crate) fn value(&self, id: NodeId) -> &Value {
        self.nodes.get(id.0).map_or(&NULL, |node| &node.value)
    }

    pub(crate) fn span(&self, id: NodeId) -> Span {
        self.nodes.get(id.0).map_or_else(Span::default, |node| node.span)
    }

    /// The place of some bytes of a text. `None` when they are not in the file as they are in the text, as with
    /// escapes, or line breaks.
    pub(crate) fn part(&self, id: NodeId, part: &Range<usize>) -> Option<Span> {
        let node = self.nodes.get(id.0)?;
        let (Value::Text(text), Some(skipped)) = (&node.value, node.verbatim) else { return None };
        let before = text.get(..part.start).filter(|_| text.get(part.clone()).is_some())?;
        let first = node.span.start + usize::from(skipped);
        let columns = u32::from(skipped).saturating_add(to_u32(before.chars().count()));
        Some(Span {
            start: first + part.start,
            end: first + part.end,
            line: node.span.line,
            column: node.span.column.saturating_add(columns),
        })
    }

    /// The JSON pointer to a node. That of an alias is that of its anchor.
    pub(crate) fn pointer(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut child = id;
        while let Some(parent) = self.nodes.get(child.0).and_then(|node| node.parent) {
            steps.push(self.step(parent, child));
            child = parent;
        }
        steps.iter().rev().fold(String::new(), |pointer, step| pointer + "/" + step)
    }

    fn step(&self, parent: NodeId, child: NodeId) -> String {
        match self.value(parent) {
            Value::Map(entries) => entries
                .iter()
                .find(|(_, id)| *id == child)
                .map(|(key, _)| key.text.replace('~', "~0").replace('/', "~1"))
                .unwrap_or_default(),
            Value::List(items) => items.iter().position(|id| *id == child).unwrap_or_default().to_string(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => String::new(),
        }
    }

    /// The node at a JSON pointer.
    pub(crate) fn resolve(&self, pointer: &str) -> Option<NodeId> {
        let mut id = self.root;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            id = match self.value(id) {
                Value::Map(entries) => entries.iter().find(|(key, _)| *key.text == *step)?.1,
                Value::List(items) => *items.get(step.parse::<usize>().ok()?)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => return None,
            };
        }
        (pointer.is_empty() || pointer.starts_with('/')).then_some(id)
    }

    /// The value as JSON, for free-form properties. Numbers that JSON cannot hold become text.
    pub(crate) fn to_json(&self, id: NodeId) -> serde_json::Value {
        match self.value(id) {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => number_to_json(text),
            Value::Text(text) => (**text).into(),
            Value::List(items) => items.iter().map(|item| self.to_json(*item)).collect(),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|(key, item)| (key.text.to_string(), self.to_json(*item)));
                serde_json::Value::Object(pairs.collect())
            }
        }
    }
}

fn number_to_json(text: &str) -> serde_json::Value {
    if let Some(number) = parse_integer(text) {
        return match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => text.into(),
        };
    }
    let float = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    float.map_or_else(|| text.into(), serde_json::Value::Number)
}

/// A whole number in any of the notations of YAML; `None` for fractions, exponents and what is beyond 128 bits.
pub(crate) fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .iter()
        .find_map(|(prefix, radix)| digits.strip_prefix(prefix).map(|rest| (rest, *radix)))
        .unwrap_or((digits, 10));
    // `from_str_radix` takes a sign of its own, which would let `--1` pass.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads one document.
///
/// # Errors
/// One diagnostic when the bytes are no text, no YAML, or too much of it; several for keys that are repeated or not
/// text and for tags, since reading goes on after those.
pub(crate) fn parse(bytes: &[u8]) -> Result<Tree, Vec<Diagnostic>> {
    let text = decode(bytes).map_err(|diagnostic| vec![*diagnostic])?;
    let skipped = bytes.len() - text.len();
    build::build(text, skipped)
}

fn decode(bytes: &[u8]) -> Result<&str, Box<Diagnostic>> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the manifest has {} bytes; the limit is {MAX_BYTES} (512 KiB)", bytes.len());
        let help = "keep large data in a store or an image, and refer to it from the manifest";
        return Err(Box::new(Diagnostic::error(code::TOO_LARGE, message).help(help)));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(encoding(end_of("", 0), "the manifest is UTF-16 text"));
    }
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let skipped = bytes.len() - body.len();
    let text = match str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let valid = body.get(..error.valid_up_to()).unwrap_or_default();
            let span = end_of(&String::from_utf8_lossy(valid), skipped);
            return Err(encoding(span, "the manifest is not UTF-8 text"));
        }
    };
    match text.find('\0') {
        Some(at) => {
            let span = end_of(text.get(..at).unwrap_or_default(), skipped);
            Err(encoding(span, "the manifest contains a NUL byte"))
        }
        None => Ok(text),
    }
}

fn encoding(span: Span, message: &str) -> Box<Diagnostic> {
    let message = format!("{message} (at byte {})", span.start);
    Box::new(Diagnostic::error(code::ENCODING, message).label(span, "").help("save the file as UTF-8"))
}

/// The place of the byte that follows `before`.
fn end_of(before: &str, skipped: usize) -> Span {
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let start = before.len() + skipped;
    Span { start, end: start + 1, line: to_u32(line), column: to_u32(column) }
}

/// Lines and columns of a file within [`MAX_BYTES`] always fit.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
