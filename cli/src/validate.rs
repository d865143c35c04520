//! `lath validate`: checks manifests offline.
//!
//! No network. The diagnostics are this command's data, so they go to standard output.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lath_manifests::{Diagnostic, Severity};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::manifest_file::ManifestFile;
use crate::output::{Document, Output};
use crate::render;

/// Arguments of `lath validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Manifests; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print what a pull request shows beside the lines
    #[arg(long, value_enum, value_name = "FOR")]
    annotations: Option<Annotations>,
}

/// Who reads the annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Annotations {
    /// GitHub Actions.
    Github,
}

/// What was found in a file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    diagnostics: Vec<Diagnostic>,
    #[serde(skip)]
    drawn: String,
}

/// Checks every file, also after one that is wrong.
pub(crate) fn validate(args: &ValidateArgs, out: &Output) -> Result<Exit, Failure> {
    let dot = out.glyphs.pick("·", "-");
    let checked: Vec<Checked> = args.files.iter().map(|path| check(path, dot)).collect::<Result<_, _>>()?;
    if args.annotations.is_some() {
        let commands = checked.iter().map(|one| render::workflow_commands(&one.diagnostics, &one.file));
        out.write(&commands.collect::<String>())?;
    } else {
        let document = Document::new("ValidationResult", &serde_json::json!({ "files": checked }))
            .listing("ValidatedFile", &checked)
            .names(checked.iter().filter(|one| one.valid).map(|one| one.file.clone()));
        out.print(&document, |_wide| checked.iter().map(|one| text(one, out)).collect())?;
    }
    Ok(if checked.iter().all(|one| one.valid) { Exit::Done } else { Exit::Invalid })
}

fn check(path: &std::path::Path, dot: &str) -> Result<Checked, Failure> {
    let file = ManifestFile::read(path)?;
    let (app, diagnostics) = match file.load() {
        Ok(loaded) => (Some(loaded.manifest.name.to_string()), loaded.warnings),
        Err(found) => (None, found),
    };
    let valid = !diagnostics.iter().any(|one| one.severity == Severity::Error) && app.is_some();
    let drawn = if diagnostics.is_empty() { String::new() } else { file.drawn(&diagnostics, dot) };
    Ok(Checked { file: file.name, valid, app, diagnostics, drawn })
}

fn text(checked: &Checked, out: &Output) -> String {
    let mark = out.glyphs.pick("✔", "OK");
    let drawn = if checked.drawn.is_empty() { String::new() } else { format!("{}\n", checked.drawn) };
    match &checked.app {
        Some(app) => format!("{drawn}{mark} {} is valid: app {app}\n", checked.file),
        None => format!("{drawn}\n"),
    }
}
