//! What the image references of a manifest stand for, decided once, when a revision is made.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lath_artifacts::{Format, Reference, Registries};
use lath_control_api::{ApiError, BuiltinAliases, ComponentName, Digest, ErrorCode};
use lath_control_api_client::StoreError;
use lath_manager_planner::record::Resolved;
use lath_manifests::Manifest;
use lath_manifests::manifest::{Component, ImageRef, Kind, Source};

use crate::context::Context;

/// Images that registries are asked for at the same time.
const AT_ONCE: usize = 8;

/// Whether code must be in the lattice's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Hosts are about to fetch it.
    Required,
    /// It is only talked about.
    Optional,
}

/// Resolves every image of `manifest`. `known` says what the caller knows images to be: files that it has put into the
/// lattice's store, or, when a revision is deployed again, everything that this revision was made of. A registry is
/// asked for the rest, once for each image, and only here.
///
/// # Errors
/// Names the first image that cannot be had, and why.
pub(super) async fn resolve(
    context: &Context,
    manifest: &Manifest,
    known: &BTreeMap<String, Digest>,
    presence: Presence,
) -> Result<BTreeMap<String, Resolved>, ApiError> {
    let aliases = aliases(context);
    let mut images = BTreeMap::new();
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    for component in &manifest.components {
        // What is shared from another app is judged when the manifest is expanded.
        let Source::Image(image) = &component.source else { continue };
        let reference = image.to_string();
        if images.contains_key(&reference) || asked.contains_key(&reference) {
            continue;
        }
        if let Some(builtin) = aliases.resolve(&reference) {
            images.insert(reference, Resolved::Builtin { builtin });
            continue;
        }
        match image {
            ImageRef::File(_) => {
                let digest = known.get(&reference).ok_or_else(|| not_pushed(&component.name, &reference))?;
                if presence == Presence::Required {
                    in_store(context, &component.name, &reference, digest).await?;
                }
                images.insert(reference, Resolved::Code { digest: digest.clone() });
            }
            // Whoever expands the manifest knows what builtins there are and says so.
            ImageRef::Builtin(_) => {}
            ImageRef::Oci(_) => match known.get(&reference) {
                Some(digest) => drop(images.insert(reference, Resolved::Code { digest: digest.clone() })),
                None => drop(asked.insert(reference, Asked::of(component, image)?)),
            },
        }
    }
    let answers = asked.into_iter().map(|(reference, asked)| async move {
        let digest = asked.answer(&context.registries).await?;
        Ok::<_, ApiError>((reference, Resolved::Code { digest }))
    });
    let answers = stream::iter(answers).buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
    images.extend(answers);
    Ok(images)
}

/// An image that a registry is asked for.
struct Asked {
    component: ComponentName,
    reference: Reference,
}

impl Asked {
    fn of(component: &Component, image: &ImageRef) -> Result<Self, ApiError> {
        if component.kind == Kind::Capability {
            return Err(external(&component.name, &image.to_string()));
        }
        let reference = Reference::of(image).ok_or_else(|| {
            let message = format!("`{}` has the image `{image}`, which no registry can have", component.name);
            ApiError::new(ErrorCode::ImageUnsupported, message).with_help("write REGISTRY/REPOSITORY:TAG")
        })?;
        Ok(Self { component: component.name.clone(), reference })
    }

    /// The digest of the code that it stands for now.
    async fn answer(&self, registries: &Registries) -> Result<Digest, ApiError> {
        let resolved = registries.resolve(&self.reference).await.map_err(|error| {
            let error = ApiError::from(error);
            ApiError { message: format!("the image of `{}`: {}", self.component, error.message), ..error }
        })?;
        match resolved.format {
            Format::Component => Ok(resolved.code.digest),
            Format::ProviderArchive => Err(external(&self.component, &self.reference.to_string())),
        }
    }
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

fn external(component: &ComponentName, reference: &str) -> ApiError {
    let message = format!(
        "`{component}` wants the provider `{reference}`, and external providers cannot be deployed yet"
    );
    ApiError::new(ErrorCode::ImageUnsupported, message).with_help(
        "use a builtin such as `builtin://http-server`, or make it `type: component` if it is WebAssembly",
    )
}
