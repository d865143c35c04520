//! The example files, and text that is compared with recorded text.
#![expect(clippy::disallowed_methods, reason = "tests read the examples from disk")]

use std::path::{Path, PathBuf};

/// A file of `examples`: its path from there, and its bytes.
pub(crate) struct Example {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The manifests directly in `examples/FOLDER`, by name.
pub(crate) fn examples(folder: &str) -> Vec<Example> {
    let root = root().join("examples").join(folder);
    let mut found: Vec<Example> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "json"))
        .map(|path| Example {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: std::fs::read(&path).unwrap(),
        })
        .collect();
    assert!(!found.is_empty(), "no examples in {}", root.display());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Compares with a recorded file, or writes it when `LATH_BLESS` is set. False when they differ.
pub(crate) fn recorded(path: &str, actual: &str) -> bool {
    let path = root().join(path);
    if std::env::var_os("LATH_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != actual {
        println!("--- {} has recorded\n{expected}--- and now it is\n{actual}", path.display());
    }
    expected == actual
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
