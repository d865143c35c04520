//! Putting code into a registry: a component in the form that other tools for WebAssembly read, a provider in that of `wash`.

use bytes::Bytes;
use lath_control_api::Digest;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response};

use super::Registries;
use super::address::Endpoint;
use super::attempts::Attempts;
use super::auth::Action;
use super::wire::Request;
use crate::MAX_BYTES;
use crate::component::recognise;
use crate::fault::{Fault, RegistryError};
use crate::form::Form;
use crate::manifest::{self, Descriptor, ImageManifest};
use crate::reference::Reference;

/// What pushing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the image's manifest.
    pub manifest: Digest,
    /// Digest of the code.
    pub code: Digest,
    /// Whether the reference stood for the same image before.
    pub unchanged: bool,
}

impl Registries {
    /// Puts a component or a provider where `reference` says.
    ///
    /// The same bytes give the same manifest, so that pushing them again changes nothing. Mirrors are not asked.
    ///
    /// # Errors
    /// [`RegistryError`]; `Unsupported` when the bytes are neither.
    pub async fn push(&self, reference: &Reference, code: Bytes) -> Result<Pushed, RegistryError> {
        if code.len() as u64 > MAX_BYTES {
            let message = format!("the code has {} bytes; at most {MAX_BYTES} are taken", code.len());
            return Err(RegistryError::new(Fault::TooLarge, message));
        }
        let digest = Digest::of(&code);
        let (config, config_type, layer_type) = if Form::of(&code).is_provider() {
            // What it is stands in the archive; other tools write an empty object, too.
            (Bytes::from_static(b"{}"), manifest::PROVIDER_CONFIG, manifest::PROVIDER_LAYER)
        } else {
            let shape = recognise(&code).map_err(|what| {
                let message = format!("the file is neither a component nor a provider: it is {what}");
                RegistryError::new(Fault::Unsupported, message)
            })?;
            (manifest::config(&digest, &shape).into(), manifest::WASM_CONFIG, manifest::WASM_LAYER)
        };
        let image = ImageManifest::of_code(described(config_type, &config), described(layer_type, &code));
        let image = serde_json::to_vec(&image).map_err(|error| {
            RegistryError::new(Fault::Failed, format!("the manifest cannot be written: {error}"))
        })?;
        let settings = &self.inner.settings;
        let endpoint = Endpoint::origin(reference, settings);
        self.in_time(reference, async {
            let mut attempts = Attempts::at(endpoint, settings.patience);
            loop {
                let pushed = self.put_all(attempts.endpoint(), reference, &[&code, &config], &image).await;
                match pushed {
                    Ok(unchanged) => {
                        return Ok(Pushed { manifest: Digest::of(&image), code: digest, unchanged });
                    }
                    Err(error) => attempts.after(error).await?,
                }
            }
        })
        .await
    }

    /// Puts blobs, then the manifest that names them; true when all was there before.
    async fn put_all(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        blobs: &[&Bytes],
        image: &[u8],
    ) -> Result<bool, RegistryError> {
        if self.has_manifest(endpoint, reference, image).await? {
            return Ok(true);
        }
        for blob in blobs {
            self.put_blob(endpoint, blob).await?;
        }
        self.put_manifest(endpoint, reference, image).await.map(|()| false)
    }

    async fn has_manifest(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        image: &[u8],
    ) -> Result<bool, RegistryError> {
        let url = endpoint.url(&format!("manifests/{}", reference.pin()))?;
        let request = Request::get(url).by(Method::HEAD).accepting(manifest::ACCEPTED);
        let told = |response: &Response| super::told_digest(response.headers());
        match self.send(endpoint, &request, Action::Push).await {
            Ok(response) => Ok(told(&response) == Some(Digest::of(image))),
            Err(error) if error.fault == Fault::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put_blob(&self, endpoint: &Endpoint, blob: &Bytes) -> Result<(), RegistryError> {
        let digest = Digest::of(blob);
        let there = Request::get(endpoint.url(&format!("blobs/{digest}"))?).by(Method::HEAD);
        match self.send(endpoint, &there, Action::Push).await {
            Ok(_) => return Ok(()),
            Err(error) if error.fault == Fault::NotFound => {}
            Err(error) => return Err(error),
        }
        let begin = Request::get(endpoint.url("blobs/uploads/")?).by(Method::POST).carrying(Bytes::new());
        let begun = self.send(endpoint, &begin, Action::Push).await?;
        let to = begun.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let mut url = to.and_then(|to| begun.url().join(to).ok()).ok_or_else(|| {
            let message = format!("{endpoint} takes an upload and does not say where");
            RegistryError::new(Fault::Failed, message)
        })?;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let put = Request::get(url)
            .by(Method::PUT)
            .with(CONTENT_TYPE, "application/octet-stream")
            .carrying(blob.clone());
        self.send(endpoint, &put, Action::Push).await.map(drop)
    }

    async fn put_manifest(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        image: &[u8],
    ) -> Result<(), RegistryError> {
        let url = endpoint.url(&format!("manifests/{}", reference.pin()))?;
        let put = Request::get(url)
            .by(Method::PUT)
            .with(CONTENT_TYPE, manifest::OCI_MANIFEST)
            .carrying(Bytes::copy_from_slice(image));
        let refused = |error: RegistryError| {
            match error.fault {
            Fault::Failed => error.with_help(format!(
                "some registries refuse images with the configuration {} or {}; ask whether this one takes OCI artifacts",
                manifest::WASM_CONFIG, manifest::PROVIDER_CONFIG
            )),
            _ => error,
        }
        };
        self.send(endpoint, &put, Action::Push).await.map(drop).map_err(refused)
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        platform: None,
    }
}
