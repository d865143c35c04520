//! What the image references of a manifest stand for, decided once, when a revision is made.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use lath_artifacts::{FORM_BYTES, Form, Format, Reference, Registries};
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
/// Names the first image that cannot be had, or is not what its component says it is, and why.
pub(super) async fn resolve(
    context: &Context,
    manifest: &Manifest,
    known: &BTreeMap<String, Digest>,
    presence: Presence,
) -> Result<BTreeMap<String, Resolved>, ApiError> {
    let aliases = aliases(context);
    let mut images = BTreeMap::new();
    let mut asked: BTreeMap<(String, Kind), Asked> = BTreeMap::new();
    for component in &manifest.components {
        // What is shared from another app has been looked at already.
        let Source::Image(image) = &component.source else { continue };
        let reference = image.to_string();
        if let Some(builtin) = aliases.resolve(&reference) {
            images.insert(reference, Resolved::Builtin { builtin });
            continue;
        }
        match image {
            ImageRef::File(_) => {
                let digest = known.get(&reference).ok_or_else(|| not_pushed(&component.name, &reference))?;
                if presence == Presence::Required {
                    in_store(context, component, &reference, digest).await?;
                }
                images.insert(reference, Resolved::Code { digest: digest.clone() });
            }
            // Whoever expands the manifest knows what builtins there are and says so.
            ImageRef::Builtin(_) => {}
            ImageRef::Oci(_) => match known.get(&reference) {
                Some(digest) => drop(images.insert(reference, Resolved::Code { digest: digest.clone() })),
                None => drop(asked.insert((reference, component.kind), Asked::of(component, image)?)),
            },
        }
    }
    let answers = asked.into_iter().map(|((reference, _), asked)| async move {
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
    kind: Kind,
    reference: Reference,
}

impl Asked {
    fn of(component: &Component, image: &ImageRef) -> Result<Self, ApiError> {
        let reference = Reference::of(image).ok_or_else(|| {
            let message = format!("`{}` has the image `{image}`, which no registry can have", component.name);
            ApiError::new(ErrorCode::ImageUnsupported, message).with_help("write REGISTRY/REPOSITORY:TAG")
        })?;
        Ok(Self { component: component.name.clone(), kind: component.kind, reference })
    }

    /// The digest of the code that it stands for now.
    async fn answer(&self, registries: &Registries) -> Result<Digest, ApiError> {
        let resolved = registries.resolve(&self.reference).await.map_err(|error| {
            let error = ApiError::from(error);
            ApiError { message: format!("the image of `{}`: {}", self.component, error.message), ..error }
        })?;
        match (resolved.format, self.kind) {
            (Format::Component, Kind::Component) | (Format::ProviderArchive, Kind::Capability) => {
                Ok(resolved.code.digest)
            }
            (Format::ProviderArchive, Kind::Component) => {
                Err(mixed_up(&self.component, self.kind, &self.reference.to_string(), "a provider"))
            }
            (Format::Component, Kind::Capability) => {
                Err(mixed_up(&self.component, self.kind, &self.reference.to_string(), "WebAssembly"))
            }
        }
    }
}

/// Refuses code that is plainly of the other kind than the component that it is for. What cannot be told by its beginning is
/// left to the hosts.
///
/// # Errors
/// Says what it is, and what the component's `type` would have to be.
fn suits(component: &ComponentName, kind: Kind, reference: &str, beginning: &[u8]) -> Result<(), ApiError> {
    let form = Form::of(beginning);
    match (form, kind) {
        (Form::Archive | Form::Executable, Kind::Component) | (Form::WebAssembly, Kind::Capability) => {
            Err(mixed_up(component, kind, reference, &form.to_string()))
        }
        (Form::WebAssembly | Form::Other, Kind::Component)
        | (Form::Archive | Form::Executable | Form::Other, Kind::Capability) => Ok(()),
    }
}

fn mixed_up(component: &ComponentName, kind: Kind, reference: &str, found: &str) -> ApiError {
    let (is, help) = match kind {
        Kind::Component => ("component", "write `type: capability`, or name WebAssembly as its image"),
        Kind::Capability => {
            ("capability", "write `type: component`, or name a provider archive or program as its image")
        }
    };
    let message = format!("`{component}` is a {is}, and its image `{reference}` is {found}");
    ApiError::new(ErrorCode::ImageUnsupported, message).with_help(help)
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
    component: &Component,
    reference: &str,
    digest: &Digest,
) -> Result<(), ApiError> {
    match context.components.beginning(digest, FORM_BYTES).await {
        Ok(beginning) => suits(&component.name, component.kind, reference, &beginning),
        Err(StoreError::NotFound { .. }) => {
            let message = format!(
                "the code of `{}` ({reference}, {digest}) is not in the lattice's store",
                component.name
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_other_kind_is_named() {
        let name = "kv".parse().unwrap();
        let (wasm, elf, gzip) =
            (b"\0asm\x0d\0\x01\0".as_slice(), b"\x7fELF".as_slice(), b"\x1f\x8b\x08".as_slice());
        for (kind, good, bad) in
            [(Kind::Component, [wasm, b"junk"], [elf, gzip]), (Kind::Capability, [elf, gzip], [wasm, wasm])]
        {
            for bytes in good {
                suits(&name, kind, "file:///a", bytes).unwrap();
            }
            for bytes in bad {
                let error = suits(&name, kind, "file:///a", bytes).unwrap_err();
                assert_eq!(error.code, ErrorCode::ImageUnsupported);
                assert!(error.message.starts_with("`kv` is a c") && error.help.is_some(), "{error}");
            }
        }
        assert!(suits(&name, Kind::Capability, "a", b"").is_ok(), "hosts say what is wrong with it");
    }
}
