//! Manifests of images: which of their forms are taken, and which layer is the code.
//!
//! Bytes to values and back; nothing is fetched here. Whatever could be read in two ways is refused.

use std::collections::BTreeMap;

use lath_control_api::Digest;
use serde::{Deserialize, Serialize};

use crate::component::Shape;

/// Largest manifest that is read, in bytes. That of a component has less than a kilobyte.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
/// Largest configuration that is read, in bytes.
pub(crate) const MAX_CONFIG: u64 = 1 << 20;
/// Most images that an index may list.
const MAX_ENTRIES: usize = 1_000;

/// The forms of a manifest, for the `Accept` of a request.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
/// The form that is pushed.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The configuration that is pushed: the Wasm OCI artifact layout.
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The configuration of a provider that is pushed, as `wash` has it.
pub(crate) const PROVIDER_CONFIG: &str = "application/vnd.wasmcloud.provider.archive.config";
/// The layer of a provider that is pushed.
pub(crate) const PROVIDER_LAYER: &str = "application/vnd.wasmcloud.provider.archive.layer.v1+par";
/// The layer that is pushed.
pub(crate) const WASM_LAYER: &str = "application/wasm";

/// What a layer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A WebAssembly component, as it is.
    Component,
    /// A provider: mostly an archive of native programs for several processors, else one such program as it is.
    ProviderArchive,
}

/// Media types of layers that hold code. The tar type is what older tools wrote above a bare component.
const LAYERS: &[(&str, Format)] = &[
    (WASM_LAYER, Format::Component),
    ("application/vnd.module.wasm.content.layer.v1+wasm", Format::Component),
    ("application/vnd.oci.image.layer.v1.tar", Format::Component),
    (PROVIDER_LAYER, Format::ProviderArchive),
];

/// Something that a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is said to be.
    pub media_type: String,
    /// What its bytes must be.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// What it runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `wasm` for components.
    #[serde(default)]
    pub architecture: String,
    /// `wasip1` or `wasip2` for components.
    #[serde(default)]
    pub os: String,
}

/// The manifest of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    schema_version: u32,
    /// Its own form; older tools leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the image says about itself.
    pub config: Descriptor,
    /// What it holds.
    pub layers: Vec<Descriptor>,
    /// Remarks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Image(ImageManifest),
    Index(Vec<Descriptor>),
}

/// The fields by which the forms are told apart.
#[derive(Deserialize)]
struct Outline {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u32>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

impl Document {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Why it is none that is taken, in words.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let outline: Outline = read(bytes)?;
        match (outline.schema_version, outline.layers.is_some(), outline.manifests.is_some()) {
            (Some(2), true, true) => Err("it is an image and a list of images at once".to_owned()),
            (Some(2), true, false) => read(bytes).map(Self::Image),
            (Some(2), false, true) => {
                let index: Index = read(bytes)?;
                if index.manifests.len() > MAX_ENTRIES {
                    return Err(format!(
                        "it lists {} images, and {MAX_ENTRIES} are read",
                        index.manifests.len()
                    ));
                }
                Ok(Self::Index(index.manifests))
            }
            (Some(2), false, false) => Err("it has neither layers nor a list of images".to_owned()),
            (Some(1), ..) => Err("it has the first schema of Docker, which holds no components".to_owned()),
            (Some(_) | None, ..) => Err("it is not a manifest of schema version 2".to_owned()),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read as a manifest: {error}"))
}

/// The image of an index that runs on hosts: the only one, or the only one for WebAssembly.
pub(crate) fn choose(entries: &[Descriptor]) -> Result<&Descriptor, String> {
    let for_wasm = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|on| on.architecture == "wasm");
    let mut fitting = entries.iter().filter(for_wasm);
    match (fitting.next(), fitting.next(), entries) {
        (Some(one), None, _) | (None, None, [one]) => Ok(one),
        (Some(_), Some(_), _) => {
            Err("it lists several images for WebAssembly; name one by its digest".to_owned())
        }
        (None, _, _) => {
            let offered = entries.iter().filter_map(|entry| entry.platform.as_ref());
            let offered: Vec<_> =
                offered.take(8).map(|on| format!("{}/{}", on.os, on.architecture)).collect();
            Err(format!("none of its {} images is for WebAssembly: {}", entries.len(), offered.join(", ")))
        }
    }
}

impl ImageManifest {
    /// The layer with the code, and what it holds.
    ///
    /// # Errors
    /// Why no layer is that, in words.
    pub fn code(&self) -> Result<(&Descriptor, Format), String> {
        let [layer] = self.layers.as_slice() else {
            let types: Vec<_> = self.layers.iter().take(4).map(|layer| shown(&layer.media_type)).collect();
            return Err(format!(
                "it has {} layers ({}), and code is in an image with one layer",
                self.layers.len(),
                types.join(", ")
            ));
        };
        let known = LAYERS.iter().find(|(media_type, _)| *media_type == layer.media_type);
        let (_, format) = known.ok_or_else(|| {
            format!(
                "its layer is {}; a component is {WASM_LAYER}, and a provider {PROVIDER_LAYER}",
                shown(&layer.media_type)
            )
        })?;
        Ok((layer, *format))
    }

    /// The manifest of code as it is pushed: the same bytes give the same manifest.
    pub(crate) fn of_code(config: Descriptor, layer: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            config,
            layers: vec![layer],
            annotations: BTreeMap::new(),
        }
    }
}

/// The configuration of a component as it is pushed.
///
/// Its date is a fixed one, so that pushing the same bytes again changes nothing.
pub(crate) fn config(layer: &Digest, shape: &Shape) -> Vec<u8> {
    let config = serde_json::json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": shape,
    });
    config.to_string().into_bytes()
}

/// Whether a media type may stand above a manifest.
pub(crate) fn is_manifest_type(media_type: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    ACCEPTED.split(", ").any(|accepted| accepted.trim() == bare)
        || bare == OCI_INDEX
        || bare == "application/json"
}

/// Text of somebody else for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> serde_json::Value {
        serde_json::json!({ "mediaType": media_type, "digest": Digest::of(b"a"), "size": 1 })
    }

    fn image(layers: &[&str]) -> Vec<u8> {
        let layers: Vec<_> = layers.iter().map(|layer| descriptor(layer)).collect();
        let image = serde_json::json!({ "schemaVersion": 2, "config": descriptor("c"), "layers": layers });
        image.to_string().into_bytes()
    }

    fn code(layers: &[&str]) -> Result<Format, String> {
        let Document::Image(image) = Document::parse(&image(layers)).unwrap() else { panic!("no image") };
        image.code().map(|(_, format)| format)
    }

    #[test]
    fn every_established_layer_is_taken() {
        for (layer, format) in LAYERS {
            assert_eq!(code(&[layer]), Ok(*format));
        }
    }

    #[test]
    fn xo08_other_layers_are_refused() {
        assert!(code(&[]).unwrap_err().contains("0 layers"));
        assert!(code(&[WASM_LAYER, WASM_LAYER]).unwrap_err().contains("2 layers"));
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert!(code(&[gzip]).unwrap_err().contains(gzip));
    }

    #[test]
    fn xo05_what_can_be_read_in_two_ways_is_refused() {
        let both = serde_json::json!({
            "schemaVersion": 2, "config": descriptor("c"), "layers": [descriptor(WASM_LAYER)],
            "manifests": [descriptor(OCI_MANIFEST)],
        });
        assert!(Document::parse(both.to_string().as_bytes()).unwrap_err().contains("at once"));
        let many: Vec<_> = (0..10_000).map(|_| descriptor(OCI_MANIFEST)).collect();
        let many = serde_json::json!({ "schemaVersion": 2, "manifests": many });
        assert!(Document::parse(many.to_string().as_bytes()).unwrap_err().contains("10000 images"));
        for bad in ["", "{}", "[]", "<html>", r#"{"schemaVersion":1}"#, r#"{"schemaVersion":3,"layers":[]}"#]
        {
            assert!(Document::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Document::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn xo06_xo07_sizes_and_digests_must_be_such() {
        for (field, value) in [
            ("size", serde_json::json!(-1)),
            ("size", serde_json::json!(1.5)),
            ("digest", serde_json::json!(format!("sha512:{}", "a".repeat(128)))),
            ("digest", serde_json::json!("sha256:abc")),
        ] {
            let mut layer = descriptor(WASM_LAYER);
            layer[field] = value;
            let bad = serde_json::json!({ "schemaVersion": 2, "config": descriptor("c"), "layers": [layer] });
            assert!(Document::parse(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_index_gives_the_image_for_webassembly() {
        let entry = |architecture: &str| Descriptor {
            media_type: OCI_MANIFEST.to_owned(),
            digest: Digest::of(architecture.as_bytes()),
            size: 1,
            platform: Some(Platform { architecture: architecture.to_owned(), os: "linux".to_owned() }),
        };
        let (amd64, wasm) = (entry("amd64"), entry("wasm"));
        assert_eq!(choose(&[amd64.clone(), wasm.clone()]), Ok(&wasm));
        assert_eq!(choose(std::slice::from_ref(&amd64)), Ok(&amd64));
        assert!(choose(&[amd64.clone(), amd64]).unwrap_err().contains("linux/amd64"));
        assert!(choose(&[wasm.clone(), wasm]).unwrap_err().contains("several"));
        assert!(choose(&[]).is_err());
    }

    #[test]
    fn what_is_pushed_is_what_is_taken() {
        let layer = Descriptor {
            media_type: WASM_LAYER.to_owned(),
            digest: Digest::of(b"code"),
            size: 4,
            platform: None,
        };
        let image = ImageManifest::of_code(layer.clone(), layer.clone());
        let bytes = serde_json::to_vec(&image).unwrap();
        assert_eq!(Document::parse(&bytes), Ok(Document::Image(image.clone())));
        assert_eq!(image.code(), Ok((&layer, Format::Component)));
        assert!(is_manifest_type(OCI_MANIFEST) && is_manifest_type("application/json; charset=utf-8"));
        assert!(!is_manifest_type("text/html"));
    }
}
