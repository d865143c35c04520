//! A manifest on disk or standard input: read once, then its text is what is checked, drawn and sent.
//!
//! No rule of manifests is here, and nothing is changed in the text.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use lath_control_api::ErrorCode;
use lath_manifests::{Diagnostic, Loaded, Severity, Span};

use crate::failure::{At, Exit, Failure};
use crate::render::{self, Ink};

/// More than this is not even read: no manifest is so large, and the rules say which size is too large.
const MAX_READ: u64 = 64 << 20;

/// The bytes of a manifest and what people call it.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    /// As it was named on the command line; `<stdin>` for `-`.
    pub(crate) name: String,
    /// The folder that relative `file://` images start at.
    pub(crate) folder: PathBuf,
    bytes: Vec<u8>,
}

impl ManifestFile {
    /// Reads a file, or standard input when `path` is `-`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            let read = std::io::stdin().take(MAX_READ).read_to_end(&mut bytes);
            read.map_err(|error| unreadable("<stdin>", &error))?;
            return Ok(Self { name: "<stdin>".into(), folder: PathBuf::new(), bytes });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
        file.take(MAX_READ).read_to_end(&mut bytes).map_err(|error| unreadable(&name, &error))?;
        // Of `shop.yaml` it is the empty path, which joins to the file's path itself.
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { name, folder, bytes })
    }

    /// A manifest that somebody else has kept; `name` is what people call it.
    pub(crate) fn of_text(name: String, text: String) -> Self {
        Self { name, folder: PathBuf::new(), bytes: text.into_bytes() }
    }

    /// The rules' verdict.
    pub(crate) fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        lath_manifests::load(&self.bytes)
    }

    /// The text; what is not text is shown as such.
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Where the value at a JSON pointer stands, if there is one.
    pub(crate) fn locate(&self, pointer: &str) -> Option<Span> {
        lath_manifests::locate(&self.bytes, pointer).ok().flatten()
    }

    /// Diagnostics drawn over the text, with their tally.
    pub(crate) fn drawn(&self, diagnostics: &[Diagnostic], dot: &str) -> String {
        let drawn = render::draw(diagnostics, &self.name, &self.text(), Ink::Coloured);
        format!("{drawn}\n{}", render::tally(diagnostics, &self.name, dot))
    }

    /// The failure of a command that needed a valid manifest: the first error for machines, all drawn for people.
    pub(crate) fn refused(&self, diagnostics: &[Diagnostic], dot: &str) -> Failure {
        let first = diagnostics.iter().find(|one| one.severity == Severity::Error);
        let message = first.map_or_else(|| "the manifest is not valid".to_owned(), |one| one.message.clone());
        let at = first.and_then(|one| Some((one, one.labels.first()?))).map(|(one, label)| {
            Box::new(At {
                file: self.name.clone(),
                line: label.span.line,
                column: label.span.column,
                pointer: one.pointer.clone(),
            })
        });
        let code = first.map_or(ErrorCode::InvalidManifest.as_str(), |one| &one.code);
        Failure {
            code: Some(code.into()),
            at,
            help: first.and_then(|one| one.help.as_deref()).map(Into::into),
            details: Some(Box::new(serde_json::json!({ "file": self.name, "diagnostics": diagnostics }))),
            drawn: Some(self.drawn(diagnostics, dot).into()),
            ..Failure::new(Exit::Invalid, message)
        }
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    let failure = Failure::coded(ErrorCode::BadRequest, format!("cannot read {name}: {error}"));
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure { exit: Exit::NotFound, ..failure }
            .help("name an existing manifest file, or `-` for standard input"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let failure = ManifestFile::read(Path::new("/nowhere/app.yaml")).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(failure.message.contains("/nowhere/app.yaml"));
    }

    #[test]
    fn machines_get_the_first_error_with_its_place() {
        let file = ManifestFile {
            name: "a.yaml".into(),
            folder: ".".into(),
            bytes: b"apiVersion: core.oam.dev/v1beta1\nkind: Applicaton\nmetadata: {name: a}\nspec: {components: []}\n"
                .to_vec(),
        };
        let failure = file.refused(&file.load().unwrap_err(), "·");
        assert_eq!((failure.exit, failure.code.as_deref()), (Exit::Invalid, Some("E0315")));
        let at = failure.at.unwrap();
        assert_eq!((at.file.as_str(), at.line, at.column), ("a.yaml", 2, 7));
    }
}
