//! The envelope of every answer of the control interface.

use serde::{Deserialize, Serialize};

/// An answer: data, a word that something was done, or why it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// Whether the request was taken. What goes on afterwards is told by events.
    pub success: bool,
    /// For people: empty beside data, else what was done or the outermost cause of a failure.
    pub message: String,
    /// The data that was asked for; left out when there are none, never `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<T>,
}

impl<T> Reply<T> {
    /// Data that were asked for.
    pub const fn data(response: T) -> Self {
        Self { success: true, message: String::new(), response: Some(response) }
    }

    /// Something was done, or begun.
    pub fn done(message: impl Into<String>) -> Self {
        Self { success: true, message: message.into(), response: None }
    }

    /// Nothing was done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { success: false, message: message.into(), response: None }
    }
}
