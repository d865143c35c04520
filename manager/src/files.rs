//! Files of this machine that manifests name as images: taken into the lattice's store when that is allowed.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use lath_artifacts::Form;
use lath_control_api::{ApiError, Digest, ErrorCode};
use lath_manifests::Manifest;
use lath_manifests::manifest::{ImageRef, Kind, Source};

use crate::context::Context;

/// Largest file that is taken: larger ones are rather a mistaken path.
const MAX_FILE: u64 = 256 << 20;

/// Puts the files of `manifest` into the store and their digests into `known`. A file that cannot be read leaves what is
/// known of it; that there is nothing is told by whoever resolves the images. Relative paths are nobody's.
///
/// # Errors
/// When a file is not what its component needs, or the store does not take it.
pub(crate) async fn take_in(
    context: &Context,
    manifest: &Manifest,
    known: &mut BTreeMap<String, Digest>,
) -> Result<(), ApiError> {
    if !context.allow_file_load {
        return Ok(());
    }
    for component in &manifest.components {
        let Source::Image(image @ ImageRef::File(path)) = &component.source else { continue };
        if !Path::new(path).is_absolute() {
            continue;
        }
        let reference = image.to_string();
        let bytes = match read(path.clone()).await {
            Ok(bytes) => bytes,
            Err(cause) => {
                tracing::warn!(%reference, %cause, "an image file cannot be read here");
                continue;
            }
        };
        usable(component.kind, &bytes).map_err(|found| {
            let message = format!("the file of `{}` ({reference}) is {found}", component.name);
            ApiError::new(ErrorCode::ImageUnsupported, message).with_help(match component.kind {
                Kind::Component => "build the component for wasm32-wasip2",
                Kind::Capability => "name a provider archive (`.par.gz`), or a program",
            })
        })?;
        let digest = Digest::of(&bytes);
        context.components.put(&digest, bytes).await.map_err(|error| {
            ApiError::new(ErrorCode::StoreUnavailable, error.to_string())
                .with_help("check NATS and JetStream: lath doctor")
        })?;
        known.insert(reference, digest);
    }
    Ok(())
}

/// Refuses bytes that are not what a component or capability is made of: no other file of this machine is given away,
/// whatever a request names.
///
/// # Errors
/// What they are, in words that follow "it is".
pub(crate) fn usable(kind: Kind, bytes: &[u8]) -> Result<(), String> {
    let form = Form::of(bytes);
    match kind {
        Kind::Capability if form.is_provider() => Ok(()),
        Kind::Capability => Err(format!("{form}, and a capability is a provider archive or a program")),
        Kind::Component if form.is_provider() => Err(format!("{form}, and a component is WebAssembly")),
        Kind::Component => lath_artifacts::recognise(bytes).map(drop),
    }
}

/// The bytes of a file.
///
/// # Errors
/// Why it cannot be read, in words.
pub(crate) async fn read(path: String) -> Result<Bytes, String> {
    let read = move || {
        let about = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        if !about.is_file() || about.len() > MAX_FILE {
            return Err(format!("it is no file of at most {} MiB", MAX_FILE >> 20));
        }
        std::fs::read(&path).map(Bytes::from).map_err(|error| error.to_string())
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}
