//! The scalers that wadm would have for a manifest, by the names and ids that it gives them.
//!
//! An id is the SHA-256 of everything that decides what a scaler does, except numbers and values: tools recognise a
//! scaler by it, before and after a move from wadm.

use lath_control_api::{ComponentName, Digest};
use lath_manifests::Manifest;
use lath_manifests::manifest::{Component, ConfigUse, ImageRef, Link, Scaling, SecretUse, Source};

/// What a scaler is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// Instances of a component, or a capability on hosts.
    Places(ComponentName),
    /// A link between two of them.
    Link {
        /// Where it begins.
        source: ComponentName,
        /// Where it ends.
        target: ComponentName,
    },
}

/// A scaler of wadm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scaler {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) work: Work,
}

/// All scalers of a manifest.
pub(super) fn of(manifest: &Manifest) -> Vec<Scaler> {
    let of_component = |component: &Component| {
        let links = component.links.iter().filter_map(|link| of_link(manifest, component, link));
        of_places(manifest, component).into_iter().chain(links).collect::<Vec<_>>()
    };
    manifest.components.iter().flat_map(of_component).collect()
}

fn of_places(manifest: &Manifest, component: &Component) -> Option<Scaler> {
    let kind = match component.scaling {
        Scaling::Spread { .. } => "SpreadScaler",
        Scaling::Daemon { .. } => "DaemonScaler",
        Scaling::None => return None,
    };
    let Source::Image(image) = &component.source else { return None };
    let name = component.id.to_string();
    let image = match image {
        // The only spelling that 1.x has.
        ImageRef::Builtin(name) => format!("wasmcloud+builtin://{name}"),
        ImageRef::File(_) | ImageRef::Oci(_) => image.to_string(),
    };
    let mut parts = vec![kind, manifest.name.as_str(), component.name.as_str(), &name, &image];
    parts.extend(keys(&component.config, &component.secrets));
    let work = Work::Places(component.name.clone());
    Some(Scaler { id: id(&parts), kind, work, name })
}

fn of_link(manifest: &Manifest, component: &Component, link: &Link) -> Option<Scaler> {
    const KIND: &str = "LinkScaler";
    let target = manifest.component(&link.target)?;
    let (source, to, by) = (component.id.to_string(), target.id.to_string(), link.name.to_string());
    let mut parts = vec![KIND, manifest.name.as_str(), &by, &source, &to];
    parts.extend([link.namespace.as_str(), link.package.as_str()]);
    parts.extend(link.interfaces.iter().map(String::as_str));
    parts.extend(keys(&link.source_config, &link.source_secrets));
    parts.extend(keys(&link.target_config, &link.target_secrets));
    let name = format!("{source} -({}:{})-> {to}", link.namespace, link.package);
    let work = Work::Link { source: component.name.clone(), target: target.name.clone() };
    Some(Scaler { id: id(&parts), kind: KIND, name, work })
}

fn keys<'a>(config: &'a [ConfigUse], secrets: &'a [SecretUse]) -> impl Iterator<Item = &'a str> {
    let config = config.iter().map(|config| config.key.as_str());
    config.chain(secrets.iter().map(|secret| secret.store_key.as_str()))
}

fn id(parts: &[&str]) -> String {
    Digest::of(parts.concat().as_bytes()).hex().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest and the ids are those of the recorded conversation.
    #[test]
    fn scalers_have_the_names_and_ids_that_wadm_gives_them() {
        let manifest =
            br#"{"apiVersion":"core.oam.dev/v1beta1","kind":"Application","metadata":{"name":"hello",
            "annotations":{"description":"x","version":"v0.0.1"}},"spec":{"components":[
            {"name":"http","type":"component","properties":{"image":"file:///srv/components/hello-v1.wasm"},
             "traits":[{"type":"spreadscaler","properties":{"instances":100}}]},
            {"name":"httpserver","type":"capability","properties":{"image":"wasmcloud+builtin://http-server"},
             "traits":[{"type":"link","properties":{"namespace":"wasi","package":"http",
             "interfaces":["incoming-handler"],"source":{"config":[{"name":"default-http",
             "properties":{"address":"127.0.0.1:8003"}}]},"target":{"name":"http"}}}]}]}}"#;
        let manifest = lath_manifests::load(manifest).unwrap().manifest;
        let found: Vec<_> =
            of(&manifest).into_iter().map(|scaler| (scaler.kind, scaler.name, scaler.id)).collect();
        let told = |kind, name: &str, id: &str| (kind, name.to_owned(), id.to_owned());
        let expected = [
            told(
                "SpreadScaler",
                "hello-http",
                "854edbbb1216824b7967257af50a92a37b5662699f616496a6908476439c5014",
            ),
            told(
                "SpreadScaler",
                "hello-httpserver",
                "916a25a13156fb2abb5bff1c580f2c9dbc9d92f5553057648f1ba8ac66a04aed",
            ),
            told(
                "LinkScaler",
                "hello-httpserver -(wasi:http)-> hello-http",
                "96182673d04bc73eda51b22250469c690373ab96ab176695c8b9190543f5740d",
            ),
        ];
        assert_eq!(found, expected);
    }
}
