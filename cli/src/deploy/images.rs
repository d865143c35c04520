//! The files that a manifest names as images: read, known by their digest, and put into the lattice's store.
//!
//! Nothing is sent while reading: a plan needs digests only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lath_artifacts::Form;
use lath_control_api::{Bucket, Digest, ErrorCode};
use lath_control_api_client::{ComponentStore, Put, StoreError};
use lath_manifests::manifest::{ImageRef, Kind, Source};
use lath_manifests::{Diagnostic, Label, Manifest, Severity};

use crate::connect::Session;
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::output::clean;
use crate::work::Work;

/// Largest file that is pushed. Components have a few megabytes and providers up to a hundred; beyond this a mistaken path is
/// likelier.
const MAX_FILE: u64 = 256 << 20;

/// A file that a manifest names as an image.
pub(crate) struct Local {
    reference: String,
    path: PathBuf,
    digest: Digest,
    bytes: Bytes,
}

impl Local {
    /// The manifest's reference, and what it stands for.
    pub(super) fn resolved(&self) -> (String, Digest) {
        (self.reference.clone(), self.digest.clone())
    }
}

/// Reads every file that the manifest names as an image, each once; all that cannot be read are told together.
pub(super) fn read_images(file: &ManifestFile, manifest: &Manifest) -> Result<Vec<Local>, Vec<Diagnostic>> {
    let mut read: BTreeMap<String, Local> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, component) in manifest.components.iter().enumerate() {
        let Source::Image(image @ ImageRef::File(path)) = &component.source else { continue };
        let reference = image.to_string();
        if read.contains_key(&reference) {
            continue;
        }
        let path = file.folder.join(path);
        match read_file(&path) {
            Ok(bytes) if is_of_the_other_kind(component.kind, &bytes) => {
                found.push(mixed_up(file, index, component.kind, &path, &bytes));
            }
            Ok(bytes) => {
                let local = Local { digest: Digest::of(&bytes), reference: reference.clone(), path, bytes };
                read.insert(reference, local);
            }
            Err(cause) => found.push(unavailable(file, index, &path, &cause)),
        }
    }
    if found.is_empty() { Ok(read.into_values().collect()) } else { Err(found) }
}

fn read_file(path: &Path) -> Result<Bytes, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !size.is_file() {
        return Err("it is not a file".into());
    }
    if size.len() > MAX_FILE {
        return Err(format!("it has {} bytes; an image may have at most {} MiB", size.len(), MAX_FILE >> 20));
    }
    std::fs::read(path).map(Bytes::from).map_err(|error| error.to_string())
}

/// Whether these bytes are plainly for a component of the other type. What cannot be told by their beginning hosts find out.
fn is_of_the_other_kind(kind: Kind, bytes: &[u8]) -> bool {
    let form = Form::of(bytes);
    match kind {
        Kind::Component => form.is_provider(),
        Kind::Capability => form == Form::WebAssembly,
    }
}

fn mixed_up(file: &ManifestFile, index: usize, kind: Kind, path: &Path, bytes: &[u8]) -> Diagnostic {
    let (is, help) = match kind {
        Kind::Component => ("component", "write `type: capability`, or name WebAssembly as its image"),
        Kind::Capability => {
            ("capability", "write `type: component`, or name a provider archive or program as its image")
        }
    };
    let form = Form::of(bytes);
    let code = ErrorCode::ImageUnsupported;
    let message = format!("image file {} is {form}, and this is a {is}", path.display());
    diagnostic(file, index, code, message, (&form.to_string(), help))
}

fn unavailable(file: &ManifestFile, index: usize, path: &Path, cause: &str) -> Diagnostic {
    let message = format!("image file {} cannot be read: {cause}", path.display());
    let help = "relative paths start at the manifest's folder; build the component first if it is not there";
    diagnostic(file, index, ErrorCode::ImageUnavailable, message, (cause, help))
}

/// What is wrong with the image of a component, at its place.
fn diagnostic(
    file: &ManifestFile,
    index: usize,
    code: ErrorCode,
    message: String,
    (label, help): (&str, &str),
) -> Diagnostic {
    let pointer = format!("/spec/components/{index}/properties/image");
    let span = file.locate(&pointer);
    let label = |span| Label { file: None, span, text: label.to_owned() };
    Diagnostic {
        code: code.as_str().into(),
        severity: Severity::Error,
        message,
        labels: span.map(label).into_iter().collect(),
        pointer,
        help: Some(help.into()),
        notes: Vec::new(),
    }
}

/// Puts the files into the lattice's store, where nobody looks on.
pub(super) async fn push_quietly(session: &Session, locals: &[Local]) -> Result<(), Failure> {
    if locals.is_empty() {
        return Ok(());
    }
    let store = open(session).await?;
    for local in locals {
        store.put(&local.digest, local.bytes.clone()).await.map_err(failed)?;
    }
    Ok(())
}

async fn open(session: &Session) -> Result<ComponentStore, Failure> {
    let name = session.control.subjects().bucket(Bucket::Components);
    ComponentStore::open(session.control.connection(), &name).await.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn failed(error: StoreError) -> Failure {
    Failure::coded(ErrorCode::StoreUnavailable, error.to_string())
        .help("the NATS server needs JetStream (`nats-server -js`); see `lath doctor`")
}

/// Puts the files into the lattice's store. A file that is there already is not sent again.
pub(super) async fn push(session: &Session, locals: &[Local], work: &mut Work<'_>) -> Result<(), Failure> {
    if locals.is_empty() {
        return Ok(());
    }
    let store = open(session).await?;
    for local in locals {
        let size = size(local.bytes.len() as u64);
        let shown = clean(&local.path.display().to_string());
        work.paint(&format!("pushing {shown} ({size})"));
        let put = store.put(&local.digest, local.bytes.clone()).await.map_err(failed)?;
        let word = match put {
            Put::Stored => "pushed",
            Put::AlreadyThere => "already there:",
        };
        work.early(format!("{word} {shown} ({size}, sha256:{})", local.digest.short()));
    }
    Ok(())
}

/// `312 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [0, 1023, 1024, 320_000, 1_572_864].map(size),
            ["0 B", "1023 B", "1 KiB", "312 KiB", "1.5 MiB"]
        );
    }

    #[test]
    fn every_missing_image_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.yaml");
        let component = |name: &str| {
            format!(
                "    - name: {name}\n      type: component\n      properties:\n        image: file://{name}.wasm\n      traits:\n        - type: spreadscaler\n          properties: {{instances: 1}}\n"
            )
        };
        let head = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: shop, annotations: {}}\nspec:\n  components:\n";
        std::fs::write(&path, format!("{head}{}{}{}", component("a"), component("b"), component("c")))
            .unwrap();
        std::fs::write(folder.path().join("b.wasm"), b"code").unwrap();
        let file = ManifestFile::read(&path).unwrap();
        let manifest = file.load().unwrap().manifest;
        let found = read_images(&file, &manifest).err().unwrap();
        let failure = file.refused(&found, "-");
        assert_eq!((failure.exit, failure.code.as_deref()), (Exit::Invalid, Some("E0501")));
        assert_eq!(failure.at.unwrap().line, 9);
        assert_eq!(found.len(), 2);

        for name in ["a", "c"] {
            std::fs::write(folder.path().join(format!("{name}.wasm")), b"code").unwrap();
        }
        let locals = read_images(&file, &manifest).ok().unwrap();
        assert_eq!(locals.len(), 3);
        assert!(locals.iter().all(|local| local.digest == Digest::of(b"code")));

        std::fs::write(folder.path().join("c.wasm"), b"\x7fELF").unwrap();
        let found = read_images(&file, &manifest).err().unwrap();
        let failure = file.refused(&found, "-");
        assert_eq!((failure.exit, failure.code.as_deref()), (Exit::Invalid, Some("E0502")));
        assert!(failure.message.contains("c.wasm is a program"), "{}", failure.message);
    }
}
