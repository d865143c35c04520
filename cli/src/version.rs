//! `lath version`: what this binary is.

use lath_control_api::Subjects;

use crate::failure::{Exit, Failure};
use crate::output::{Document, Output};

/// Prints version and control API of this binary. No network.
pub(crate) fn version(out: &Output) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let body = serde_json::json!({ "version": version, "api": Subjects::API });
    let document = Document::new("Version", &body).names([version]);
    out.print(&document, |_wide| format!("lath {version} (control API {})\n", Subjects::API))?;
    Ok(Exit::Done)
}
