//! What is wrong with a manifest, as data: it crosses the wire and is drawn elsewhere.
//!
//! Nothing is rendered here. Every diagnostic says what, where and one thing to do next.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::position::Span;

/// One problem of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable code, such as `E0312`; [`crate::code::explain`] says what it stands for.
    pub code: Cow<'static, str>,
    /// Whether the manifest is refused for it.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Places in the file, the one that is to blame first. Empty when the file as a whole is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// JSON pointer to the value, such as `/spec/components/0/name`; empty for the whole file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// One thing to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest is accepted, but probably does not say what was meant.
    Warning,
}

/// A place in a file and what is the matter there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Name of the file, where the caller knows one; this crate never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The place.
    #[serde(flatten)]
    pub span: Span,
    /// A few words; may be empty, as the message says it already.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Diagnostic {
    /// A problem that refuses the manifest, without a place yet.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message.into())
    }

    /// A problem that does not, without a place yet.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message.into())
    }

    fn new(code: &'static str, severity: Severity, message: String) -> Self {
        Self {
            code: Cow::Borrowed(code),
            severity,
            message,
            labels: Vec::new(),
            pointer: String::new(),
            help: None,
            notes: Vec::new(),
        }
    }

    /// Adds a place; the first one added is the one to blame.
    pub(crate) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { file: None, span, text: text.into() });
        self
    }

    /// Sets the thing to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds something worth knowing.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Where it stands in an ordered list: by place, then errors first, then by code and message.
    pub(crate) fn order(&self) -> impl Ord + use<'_> {
        let place = self.labels.first().map(|label| (label.span.start, label.span.end));
        (place, self.severity, self.code.as_ref(), self.message.as_str())
    }
}

impl fmt::Display for Diagnostic {
    /// One line, for logs: `E0312 at 31:19: link target …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(label) = self.labels.first() {
            write!(f, " at {}:{}", label.span.line, label.span.column)?;
        }
        write!(f, ": {}", self.message)
    }
}
