//! Where something stands in a file: as bytes for tools, as line and column for people.
//!
//! No YAML here. A [`Span`] is made once, by the reader of the document; everything later only carries it.

use crate::diagnostic::Diagnostic;
use crate::document;

/// A stretch of a file.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Span {
    /// First byte, from 0.
    pub start: usize,
    /// Byte after the last one; equal to `start` where nothing stands.
    pub end: usize,
    /// Line of `start`, from 1.
    pub line: u32,
    /// Column of `start` in characters, from 1.
    pub column: u32,
}

/// Where the value at a JSON pointer, such as `/spec/components/2/traits/0/type`, stands in a manifest.
///
/// For problems that are found after reading, when only the path is known. A value that an alias repeats stands
/// where its anchor is. `None` when there is nothing at that path.
///
/// # Errors
/// What is wrong with the document, when it cannot be read at all.
pub fn locate(bytes: &[u8], pointer: &str) -> Result<Option<Span>, Vec<Diagnostic>> {
    let tree = document::parse(bytes)?;
    Ok(tree.resolve(pointer).map(|id| tree.span(id)))
}
