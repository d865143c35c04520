//! Gathers diagnostics while a manifest is read and checked.
//!
//! No rule lives here. Reading never stops at a problem: it is put down with its place, and the next value is looked at.

use std::ops::Range;

use crate::code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{NodeId, Tree};
use crate::limits::MAX_DIAGNOSTICS;
use crate::position::Span;
use crate::problem::{Place, Problem};
use crate::suggest;

/// A value of the document, or its key, as something to point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) span: Span,
    pub(crate) node: NodeId,
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

/// The problems found so far.
#[derive(Debug)]
pub(crate) struct Report<'t> {
    pub(crate) tree: &'t Tree,
    found: Vec<Diagnostic>,
    errors: usize,
    /// What is left of the searches for near words; each may go through every name of the manifest.
    searches: usize,
}

/// More than this is not kept, so that a hostile file costs little memory.
const MAX_FOUND: usize = 5 * MAX_DIAGNOSTICS;

impl<'t> Report<'t> {
    pub(crate) const fn new(tree: &'t Tree) -> Self {
        Self { tree, found: Vec::new(), errors: 0, searches: 2 * MAX_DIAGNOSTICS }
    }

    /// The place of a value.
    pub(crate) fn at(&self, node: NodeId) -> At {
        At { span: self.tree.span(node), node }
    }

    /// Puts down a problem; `text` is what the label says at the place to blame.
    pub(crate) fn add(&mut self, at: At, text: &str, mut diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.full() {
            return;
        }
        let others = std::mem::take(&mut diagnostic.labels);
        diagnostic = diagnostic.label(at.span, text);
        diagnostic.labels.extend(others);
        diagnostic.pointer = self.tree.pointer(at.node);
        self.found.push(diagnostic);
    }

    /// Puts down what is wrong with the value at `at`, or with a part of it.
    pub(crate) fn problem(&mut self, at: At, problem: Problem) {
        let at = match &problem.place {
            Place::Name | Place::Value => at,
            Place::Part(part) => self.part(at, part),
        };
        self.add(at, "", Diagnostic::error(problem.code, problem.message).help(problem.help));
    }

    /// The place of some bytes of the text at `at`; all of it where the file does not have the text as it is read.
    pub(crate) fn part(&self, at: At, part: &Range<usize>) -> At {
        // Columns are counted from the beginning of the text, which is not done for what nobody will see.
        if self.full() {
            return at;
        }
        self.tree.part(at.node, part).map_or(at, |span| At { span, ..at })
    }

    /// True when nothing more is kept, so that words and places need not be made.
    pub(crate) const fn full(&self) -> bool {
        self.found.len() >= MAX_FOUND
    }

    /// The name of the manifest that was probably meant by `word`. Only a help hangs on it, so after many searches it
    /// finds nothing; what decides between error and warning asks [`suggest::closest`] about its short list.
    pub(crate) fn suggest<'a>(
        &mut self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        self.searches = self.searches.checked_sub(1)?;
        suggest::closest(word, candidates)
    }

    /// True when something was put down for which the manifest is refused.
    pub(crate) const fn refused(&self) -> bool {
        self.errors > 0
    }

    /// Everything found, in the order of the file.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        finish(self.found)
    }
}

/// Sorts diagnostics by place and cuts the list at its bound, saying so.
pub(crate) fn finish(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    // One mistake in a value that aliases repeat is one mistake.
    found.dedup();
    if found.len() > MAX_DIAGNOSTICS {
        let refused = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        // Errors come first when not all fit: a list of warnings alone would hide why it was refused.
        found.sort_by_key(|diagnostic| diagnostic.severity);
        let left_out = found.len() - MAX_DIAGNOSTICS;
        found.truncate(MAX_DIAGNOSTICS);
        found.sort_by(|a, b| a.order().cmp(&b.order()));
        let message = format!("{left_out} more problems are not listed");
        let last = if refused { Diagnostic::error } else { Diagnostic::warning };
        found.push(last(code::TRUNCATED, message).help("mend the ones above first"));
    }
    found
}

/// Text of the file in a message: short, and without characters that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}
