//! Labels of a host, changed while it runs.

use serde::{Deserialize, Serialize};

/// The request `label.put`. Keys that begin with `hostcore.`, in whatever case, are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutLabel {
    /// The label.
    pub key: String,
    /// Its value; it may be empty.
    pub value: String,
}

/// The request `label.del`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteLabel {
    /// The label.
    pub key: String,
}
