//! What the image references of a manifest stand for, decided once, when a revision is made.

use std::collections::BTreeMap;

use lath_control_api::{ApiError, BuiltinAliases, ComponentName, Digest, ErrorCode};
use lath_control_api_client::StoreError;
use lath_manager_planner::record::Resolved;
use lath_manifests::Manifest;
use lath_manifests::manifest::{ImageRef, Source};

use crate::context::Context;

/// Whether code must be in the lattice's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Hosts are about to fetch it.
    Required,
    /// It is only talked about.
    Optional,
}

/// Resolves every image of `manifest`. `pushed` says what the caller has put into the lattice's store.
///
/// # Errors
/// Names the first image that cannot be had, and why.
pub(super) async fn resolve(
    context: &Context,
    manifest: &Manifest,
    pushed: &BTreeMap<String, Digest>,
    presence: Presence,
) -> Result<BTreeMap<String, Resolved>, ApiError> {
    let aliases = aliases(context);
    let mut images = BTreeMap::new();
    for component in &manifest.components {
        // What is shared from another app is judged when the manifest is expanded.
        let Source::Image(image) = &component.source else { continue };
        let reference = image.to_string();
        if images.contains_key(&reference) {
            continue;
        }
        if let Some(builtin) = aliases.resolve(&reference) {
            images.insert(reference, Resolved::Builtin { builtin });
            continue;
        }
        match image {
            ImageRef::File(_) => {
                let digest = pushed.get(&reference).ok_or_else(|| not_pushed(&component.name, &reference))?;
                if presence == Presence::Required {
                    in_store(context, &component.name, &reference, digest).await?;
                }
                images.insert(reference, Resolved::Code { digest: digest.clone() });
            }
            // Whoever expands the manifest knows what builtins there are and says so.
            ImageRef::Builtin(_) => {}
            ImageRef::Oci(_) => return Err(from_registry(&component.name, &reference)),
        }
    }
    Ok(images)
}

/// What every host takes as a builtin, and what any host adds to it.
fn aliases(context: &Context) -> BuiltinAliases {
    let mut all = BuiltinAliases::default();
    for (_, host) in context.observed.snapshot().state.hosts() {
        all.0.extend(host.summary.builtins.0.clone());
    }
    all
}

async fn in_store(
    context: &Context,
    component: &ComponentName,
    reference: &str,
    digest: &Digest,
) -> Result<(), ApiError> {
    match context.components.exists(digest).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message =
                format!("the code of `{component}` ({reference}, {digest}) is not in the lattice's store");
            Err(ApiError::new(ErrorCode::ImageUnavailable, message)
                .with_help("deploy with `lath deploy`, which puts the files there first"))
        }
        Err(error) => Err(unavailable(&error)),
    }
}

fn unavailable(error: &StoreError) -> ApiError {
    ApiError::new(ErrorCode::StoreUnavailable, error.to_string())
        .with_help("check NATS and JetStream: lath doctor")
}

fn not_pushed(component: &ComponentName, reference: &str) -> ApiError {
    let message = format!("the file of `{component}` ({reference}) was not put into the lattice's store");
    ApiError::new(ErrorCode::ImageUnavailable, message)
        .with_help("deploy with `lath deploy` on the machine that has the file")
}

fn from_registry(component: &ComponentName, reference: &str) -> ApiError {
    let message =
        format!("`{component}` wants `{reference}` from a registry, and registries are not supported yet");
    ApiError::new(ErrorCode::ImageUnsupported, message).with_help(
        "download the component and name it as `file://PATH`; hosts have builtin://http-server built in",
    )
}
