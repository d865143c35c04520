//! Application manifests: the bytes of one become a valid [`Manifest`], or every [`Diagnostic`] at once.
//!
//! No files, clock, network or environment: the caller has the bytes and gets data. The way of the data is the order
//! of the modules: bytes to a tree with places (`document`), to what the file says (`draft`), to what it means
//! (`validate`, [`manifest`]). Each rule is one function, each bound is in [`limits`], each code in [`code`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod code;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod migrate;
pub mod rollout;
pub mod schema;

mod diagnostic;
mod document;
mod draft;
mod label;
mod position;
mod problem;
mod read;
mod report;
mod suggest;
mod units;
mod validate;

pub use diagnostic::{Diagnostic, Label, Severity};
pub use manifest::Manifest;
pub use position::{Span, locate};

/// A manifest that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it means.
    pub manifest: Manifest,
    /// What it probably does not mean, in the order of the file. All of severity warning.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a manifest from YAML or JSON.
///
/// Time and memory are bounded by [`limits`], whatever the bytes are.
///
/// # Errors
/// Every problem of the file in its order, warnings among them, at most [`limits::MAX_DIAGNOSTICS`] and one that
/// counts the rest. At least one is of severity error.
pub fn load(bytes: &[u8]) -> Result<Loaded, Vec<Diagnostic>> {
    let tree = document::parse(bytes).map_err(report::finish)?;
    let mut report = report::Report::new(&tree);
    let manifest = draft::read(&mut report).and_then(|draft| validate::validate(&mut report, &draft));
    match manifest {
        Some(manifest) => Ok(Loaded { manifest, warnings: report.finish() }),
        None => Err(refusal(report)),
    }
}

fn refusal(report: report::Report<'_>) -> Vec<Diagnostic> {
    let explained = report.refused();
    let mut found = report.finish();
    if !explained {
        let message = "the manifest was refused and no rule says why; please report this as a bug";
        found.push(Diagnostic::error(code::INTERNAL, message).help("send the manifest with the report"));
    }
    found
}
