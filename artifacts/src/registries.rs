//! The front door: resolve, inspect, fetch, push, log in. Which registry is asked, in which order, and how often.

mod address;
mod attempts;
mod auth;
mod body;
mod challenge;
mod logins;
mod push;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lath_control_api::Digest;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tokio::fs::File;

use crate::MAX_BYTES;
use crate::credentials::Credential;
use crate::docker_config::{DockerConfig, Kept, LoginError, Place};
use crate::fault::{Fault, RegistryError};
use crate::manifest::{self, Descriptor, Document, Format, ImageManifest, shown};
use crate::reference::{Reference, RegistryName};
use crate::settings::{Patience, RegistryArgs, Settings, SettingsError};
use address::Endpoint;
use attempts::Attempts;
use auth::{Action, Tokens};
use wire::{Request, Wire};

pub use logins::{Given, Login};
pub use push::Pushed;

/// Every registry, as these settings let them be reached. A clone shares connections and tokens.
#[derive(Debug, Clone)]
pub struct Registries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Made at the first use: hosts that need no registry need no certificates either.
    wire: OnceLock<Result<Wire, RegistryError>>,
    tokens: Tokens,
    /// Logins that were given while the process runs. They go before those of files, and with the process.
    logins: Mutex<BTreeMap<RegistryName, Credential>>,
}

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Digest of the image's manifest.
    pub manifest: Digest,
    /// The layer with the code; its digest is that of the bytes that run.
    pub code: Descriptor,
    /// What the layer holds.
    pub format: Format,
}

/// An image as its registry describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// What the image says about itself, where that is an object.
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Registries {
    /// Registries that are reached as `args` say.
    ///
    /// # Errors
    /// Names the argument that cannot be used.
    pub fn new(args: &RegistryArgs, patience: Patience) -> Result<Self, SettingsError> {
        let settings = Settings::new(args, patience)?;
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                wire: OnceLock::new(),
                tokens: Tokens::default(),
                logins: Mutex::default(),
            }),
        })
    }

    /// What `reference` stands for now. A mirror is believed like the registry that it stands for.
    ///
    /// # Errors
    /// [`RegistryError`]; the message names every place that was asked.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        self.in_time(reference, async {
            let (digest, image, _) = self.image(reference).await?;
            let unsupported =
                |why: String| RegistryError::new(Fault::Unsupported, format!("{reference}: {why}"));
            let (code, format) = image.code().map_err(unsupported)?;
            if code.size > MAX_BYTES {
                let message = format!(
                    "{reference}: its code has {} bytes, and at most {MAX_BYTES} are taken",
                    code.size
                );
                return Err(RegistryError::new(Fault::TooLarge, message));
            }
            Ok(Resolved { manifest: digest, code: code.clone(), format })
        })
        .await
    }

    /// What the registry tells about an image.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn inspect(&self, reference: &Reference) -> Result<Inspected, RegistryError> {
        self.in_time(reference, async {
            let (digest, manifest, endpoint) = self.image(reference).await?;
            let config = self.small_blob(&endpoint, &manifest.config).await;
            let config = config.map_err(|error| error.at(reference))?;
            Ok(Inspected { digest, manifest, config: serde_json::from_slice(&config).ok() })
        })
        .await
    }

    /// Writes the bytes with this digest into `file`, which is empty, and says how many they are.
    ///
    /// `reference` tells only where to ask. Nothing in the file may be used when this fails.
    ///
    /// # Errors
    /// [`RegistryError`]; the message names every place that was asked.
    pub async fn fetch(
        &self,
        reference: &Reference,
        digest: &Digest,
        file: &mut File,
    ) -> Result<u64, RegistryError> {
        self.in_time(reference, async {
            let mut attempts = self.attempts(reference);
            loop {
                match self.blob(attempts.endpoint(), digest, file).await {
                    Ok(size) => return Ok(size),
                    Err(error) => attempts.after(error).await?,
                }
                body::empty(file).await?;
            }
        })
        .await
    }

    /// Whether `credential` is good for `registry`; nothing is kept. False when the registry wants none.
    ///
    /// # Errors
    /// [`RegistryError`], of which `Denied` means that the credential is not good.
    pub async fn check_login(
        &self,
        registry: &RegistryName,
        credential: &Credential,
    ) -> Result<bool, RegistryError> {
        self.in_time(registry, async {
            let endpoint = Endpoint::root(registry, &self.inner.settings);
            let request = Request::get(endpoint.url("")?);
            let wire = self.wire()?;
            let first = wire.send(&endpoint, &request, None).await?;
            if first.status().is_success() {
                return Ok(false);
            }
            let authorization = self.authorise(&endpoint, Action::Pull, &first, Some(credential)).await?;
            let second = wire.send(&endpoint, &request, Some(&authorization)).await?;
            body::judge(&endpoint, second).await.map(|_| true)
        })
        .await
    }

    /// Keeps a login where Docker would, for this user.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn keep_login(
        &self,
        registry: &RegistryName,
        credential: &Credential,
    ) -> Result<Kept, LoginError> {
        let settings = &self.inner.settings;
        let path = settings.docker_config.as_deref().ok_or(LoginError::NoPlace)?;
        DockerConfig::keep(path, registry, credential, settings.patience.helper).await
    }

    /// The image's manifest with its digest, and who had it.
    async fn image(&self, reference: &Reference) -> Result<(Digest, ImageManifest, Endpoint), RegistryError> {
        let mut attempts = self.attempts(reference);
        loop {
            match self.image_at(attempts.endpoint(), reference).await {
                Ok((digest, image)) => return Ok((digest, image, attempts.endpoint().clone())),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn image_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<(Digest, ImageManifest), RegistryError> {
        let unsupported =
            |why: String| RegistryError::new(Fault::Unsupported, format!("{reference} at {endpoint}: {why}"));
        let (digest, document) = self.manifest(endpoint, reference.pin(), reference.digest()).await?;
        let entries = match document {
            Document::Image(image) => return Ok((digest, image)),
            Document::Index(entries) => entries,
        };
        let chosen = manifest::choose(&entries).map_err(unsupported)?.digest.clone();
        match self.manifest(endpoint, chosen.as_str(), Some(&chosen)).await? {
            (digest, Document::Image(image)) => Ok((digest, image)),
            (_, Document::Index(_)) => Err(unsupported("it is a list of lists of images".to_owned())),
        }
    }

    async fn manifest(
        &self,
        endpoint: &Endpoint,
        pin: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, Document), RegistryError> {
        let what = format!("{endpoint}, manifest {}/{pin}", endpoint.repository());
        let request = Request::get(endpoint.url(&format!("manifests/{pin}"))?).accepting(manifest::ACCEPTED);
        let response = self.send(endpoint, &request, Action::Pull).await.map_err(|error| error.at(&what))?;
        let told = told_digest(response.headers());
        check_type(response.headers()).map_err(|error| error.at(&what))?;
        let bytes = body::bounded(response, manifest::MAX_MANIFEST, self.idle()).await;
        let bytes = bytes.map_err(|error| error.at(&what))?;
        let found = Digest::of(&bytes);
        if let Some(other) = expected.or(told.as_ref()).filter(|digest| **digest != found) {
            let message = format!("{what}: it should be {other} and is {found}");
            return Err(RegistryError::new(Fault::DigestMismatch, message));
        }
        let unreadable = |why: String| RegistryError::new(Fault::Unsupported, format!("{what}: {why}"));
        Document::parse(&bytes).map(|document| (found, document)).map_err(unreadable)
    }

    async fn small_blob(&self, endpoint: &Endpoint, blob: &Descriptor) -> Result<Bytes, RegistryError> {
        let request = Request::get(endpoint.url(&format!("blobs/{}", blob.digest))?);
        let response = self.send(endpoint, &request, Action::Pull).await?;
        let bytes = body::bounded(response, manifest::MAX_CONFIG, self.idle()).await?;
        let found = Digest::of(&bytes);
        if found == blob.digest {
            return Ok(bytes);
        }
        let message = format!("{endpoint}: its configuration should be {} and is {found}", blob.digest);
        Err(RegistryError::new(Fault::DigestMismatch, message))
    }

    async fn blob(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        file: &mut File,
    ) -> Result<u64, RegistryError> {
        let what = format!("{endpoint}, {}/{digest}", endpoint.repository());
        let request = Request::get(endpoint.url(&format!("blobs/{digest}"))?);
        let response = self.send(endpoint, &request, Action::Pull).await.map_err(|error| error.at(&what))?;
        let (found, size) =
            body::into_file(response, file, MAX_BYTES, self.idle()).await.map_err(|error| error.at(&what))?;
        if found == *digest {
            return Ok(size);
        }
        let message = format!("{what}: the registry sent other bytes, {found}");
        Err(RegistryError::new(Fault::DigestMismatch, message))
    }

    /// Sends a request, with credentials when the registry asks for them, and judges the answer's status.
    async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        action: Action,
    ) -> Result<Response, RegistryError> {
        let wire = self.wire()?;
        let known = self.inner.tokens.known(endpoint, action);
        let response = wire.send(endpoint, request, known.as_ref()).await?;
        if response.status() != reqwest::StatusCode::UNAUTHORIZED {
            return body::judge(endpoint, response).await;
        }
        let credential = self.credential(&endpoint.registry).await?;
        let authorization = self.authorise(endpoint, action, &response, credential.as_ref()).await?;
        let response = wire.send(endpoint, request, Some(&authorization)).await?;
        body::judge(endpoint, response).await
    }

    /// What this user has for a registry.
    async fn credential(&self, registry: &RegistryName) -> Result<Option<Credential>, RegistryError> {
        let settings = &self.inner.settings;
        if let Some(given) = self.inner.logins.lock().unwrap_or_else(PoisonError::into_inner).get(registry) {
            return Ok(Some(given.clone()));
        }
        let Some(path) = settings.docker_config.clone() else { return Ok(None) };
        let wrong = |why: String| {
            let message =
                format!("the credentials of {registry} could not be had: {}: {why}", path.display());
            RegistryError::new(Fault::Credentials, message)
        };
        let file = path.clone();
        let config = tokio::task::spawn_blocking(move || DockerConfig::read(&file))
            .await
            .map_err(|error| wrong(error.to_string()))?;
        match config.and_then(|config| config.find(registry).map(|place| (config, place))).map_err(wrong)? {
            (_, Place::File(credential)) => Ok(Some(credential)),
            (_, Place::Nowhere) => Ok(None),
            (config, Place::Helper(helper)) => {
                match helper.get(registry, settings.patience.helper).await.map_err(wrong)? {
                    Some(credential) => Ok(Some(credential)),
                    // What was logged in before the helper was set up.
                    None => config.login(registry.credential_key()).map_err(wrong),
                }
            }
        }
    }

    fn wire(&self) -> Result<&Wire, RegistryError> {
        let made = self.inner.wire.get_or_init(|| Wire::new(&self.inner.settings));
        made.as_ref().map_err(Clone::clone)
    }

    fn attempts(&self, reference: &Reference) -> Attempts {
        Attempts::new(reference, &self.inner.settings)
    }

    fn idle(&self) -> Duration {
        self.inner.settings.patience.idle
    }

    /// Bounds a whole operation with its tries. `what` it is about is told when the time is over.
    async fn in_time<T>(
        &self,
        what: &impl fmt::Display,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let total = self.inner.settings.patience.total;
        let late = || {
            RegistryError::new(Fault::TooSlow, format!("{what}: not done after {} s", total.as_secs_f32()))
        };
        tokio::time::timeout(total, work).await.unwrap_or_else(|_| Err(late()))
    }
}

/// The digest that the registry itself gives, when it is one that we compute.
fn told_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// A page of a proxy or a login form comes with a good status; it is no manifest.
fn check_type(headers: &HeaderMap) -> Result<(), RegistryError> {
    match headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        Some(other) if !manifest::is_manifest_type(other) => {
            let message = format!("the answer is {}, which is no manifest", shown(other));
            Err(RegistryError::new(Fault::Failed, message)
                .with_help("look whether a proxy or a login page stands before the registry"))
        }
        Some(_) | None => Ok(()),
    }
}
