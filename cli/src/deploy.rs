//! `lath deploy`: checks a manifest, puts the files that it names into the lattice's store, asks for the rollout.
//!
//! The manifest is sent as it was written. Files go by digest, so a file that is there already is not sent again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use lath_control_api::app::DeployRequest;
use lath_control_api::{AppVerb, Bucket, Digest, ErrorCode, Revision};
use lath_control_api_client::{ComponentStore, Put, StoreError};
use lath_manifests::manifest::{ImageRef, Source};
use lath_manifests::{Diagnostic, Label, Manifest, Severity};

use crate::args::{CauseArgs, WaitArgs, revision_or_none};
use crate::call::Call;
use crate::change::{Work, cause};
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::manifest_file::ManifestFile;
use crate::output::{clean, tell};
use crate::render;
use crate::wait::Change;

/// Largest file that is pushed. Components are a few megabytes; this is where a mistaken path is likelier.
const MAX_FILE: u64 = 256 << 20;

/// Arguments of `lath deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Manifest; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Refuse when the deployed revision is another one; 0 stands for none
    #[arg(long, value_name = "REV", value_parser = revision_or_none)]
    if_revision: Option<Revision>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cause: CauseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// A file that a manifest names as an image.
struct Local {
    reference: String,
    path: PathBuf,
    digest: Digest,
    bytes: Bytes,
}

/// Deploys a manifest.
pub(crate) async fn deploy(args: DeployArgs, call: &Call) -> Result<Exit, Failure> {
    let dot = call.out.glyphs.pick("·", "-");
    let file = ManifestFile::read(&args.file)?;
    let refused = |found: Vec<Diagnostic>| {
        annotate(&found, &file);
        file.refused(&found, dot)
    };
    let loaded = file.load().map_err(refused)?;
    let locals = read_images(&file, &loaded.manifest).map_err(refused)?;
    let session = call.session().await?;
    let mut work = Work::begin(call, &session, &loaded.manifest.name, Change::Deploy, args.wait).await;
    if !loaded.warnings.is_empty() {
        annotate(&loaded.warnings, &file);
        work.warn(file.drawn(&loaded.warnings, dot));
    }
    if !args.dry_run {
        push(&session, &locals, &mut work).await?;
    }
    let ask = DeployRequest {
        manifest: file.text().into_owned(),
        pushed: locals.into_iter().map(|local| (local.reference, local.digest)).collect(),
        cause: cause(args.cause),
        if_revision: args.if_revision,
        dry_run: args.dry_run,
        rollout: BTreeMap::new(),
        plan: None,
    };
    let reply = session.change(AppVerb::Deploy, &ask).await.map_err(|failure| redraw(failure, &file, dot))?;
    work.finish(reply, args.dry_run).await
}

/// In a job of GitHub Actions the pull request shows each diagnostic beside its line.
fn annotate(diagnostics: &[Diagnostic], file: &ManifestFile) {
    if Call::env("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        tell(render::workflow_commands(diagnostics, &file.name).trim_end());
    }
}

/// Reads every file that the manifest names as an image, each once; all that cannot be read are told together.
fn read_images(file: &ManifestFile, manifest: &Manifest) -> Result<Vec<Local>, Vec<Diagnostic>> {
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
        return Err(format!("it has {} bytes, and at most {MAX_FILE} are pushed", size.len()));
    }
    std::fs::read(path).map(Bytes::from).map_err(|error| error.to_string())
}

fn unavailable(file: &ManifestFile, index: usize, path: &Path, cause: &str) -> Diagnostic {
    let pointer = format!("/spec/components/{index}/properties/image");
    let span = file.locate(&pointer);
    let label = |span| Label { file: None, span, text: cause.to_owned() };
    Diagnostic {
        code: ErrorCode::ImageUnavailable.as_str().into(),
        severity: Severity::Error,
        message: format!("image file {} cannot be read: {cause}", path.display()),
        labels: span.map(label).into_iter().collect(),
        pointer,
        help: Some(
            "relative paths start at the manifest's folder; build the component first if it is not there"
                .into(),
        ),
        notes: Vec::new(),
    }
}

async fn push(session: &Session, locals: &[Local], work: &mut Work<'_>) -> Result<(), Failure> {
    if locals.is_empty() {
        return Ok(());
    }
    let name = session.control.subjects().bucket(Bucket::Components);
    let failed = |error: StoreError| {
        Failure::coded(ErrorCode::StoreUnavailable, error.to_string())
            .help("the NATS server needs JetStream (`nats-server -js`); see `lath doctor`")
    };
    let store = ComponentStore::open(session.control.connection(), &name).await.map_err(failed)?;
    for local in locals {
        let size = size(local.bytes.len());
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

/// A manifest that the manager refuses, drawn over the source here.
fn redraw(failure: Failure, file: &ManifestFile, dot: &str) -> Failure {
    if failure.code.as_deref() != Some(ErrorCode::InvalidManifest.as_str()) {
        return failure;
    }
    let found = failure.details.as_deref().map(|details| details.get("diagnostics").unwrap_or(details));
    let found: Option<Vec<Diagnostic>> = found.and_then(|found| serde_json::from_value(found.clone()).ok());
    match found {
        Some(found) if !found.is_empty() => file.refused(&found, dot),
        Some(_) | None => failure,
    }
}

/// `312 KiB`.
fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
