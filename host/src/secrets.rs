//! Secrets: from what a spec names to the values, for as long as what was given them runs.
//!
//! A backend is asked over NATS, in the protocol of 1.x, except for one that this host has itself: files of a folder. Values
//! never stand in a log, an event, the inventory or an error; their types hide them.

mod files;
mod nats;
mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use lath_control_api::{Reason, SecretRef};
use lath_wasmcloud::SecretValue;
use tokio::sync::Semaphore;

use crate::engine::PrepareError;
use files::Files;
pub(crate) use nats::Backends;
pub(crate) use token::{Reader, Signer};

/// The backend that is a folder of this host.
pub(crate) const FILE: &str = "file";
/// Questions to backends at the same time.
const PARALLEL: usize = 16;
/// Largest secret, in bytes: what is told to a provider stands in one line.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Where secrets come from.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    backends: Backends,
    files: Option<Files>,
    permits: Arc<Semaphore>,
}

/// Why a secret cannot be had; the text names it, and never holds its value.
#[derive(Debug, thiserror::Error)]
#[error("secret `{name}` cannot be had from the backend `{backend}`: {why}")]
struct SecretError {
    name: String,
    backend: String,
    why: String,
}

impl Secrets {
    /// Backends are asked through `backends`; `folder` is the one that this host has itself.
    pub(crate) fn new(backends: Backends, folder: Option<PathBuf>) -> Self {
        Self { backends, files: folder.map(Files::new), permits: Arc::new(Semaphore::new(PARALLEL)) }
    }

    /// The values of these secrets by the names under which their reader finds them. Backends are told who
    /// the reader is, and may give secrets to some only.
    ///
    /// # Errors
    /// [`Reason::SecretUnavailable`] with the name and the backend of the first that cannot be had.
    pub(crate) async fn resolve(
        &self,
        secrets: &[SecretRef],
        reader: Reader<'_>,
    ) -> Result<BTreeMap<String, SecretValue>, PrepareError> {
        let values = join_all(secrets.iter().map(|secret| self.one(secret, reader))).await;
        let mut found = BTreeMap::new();
        for (secret, value) in secrets.iter().zip(values) {
            let value = value.map_err(|why| {
                let (name, backend) = (secret.name.clone(), secret.backend.clone());
                let error = SecretError { name, backend, why };
                PrepareError::new(Reason::SecretUnavailable, error.to_string())
            })?;
            found.insert(secret.name.clone(), value);
        }
        Ok(found)
    }

    async fn one(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<SecretValue, String> {
        let _permit = self.permits.acquire().await.map_err(|_| "the host is stopping".to_owned())?;
        let value = match &self.files {
            Some(files) if secret.backend == FILE => files.get(secret).await?,
            None if secret.backend == FILE => {
                return Err("this host has no folder of secrets; start it with --secrets-dir".to_owned());
            }
            Some(_) | None => self.backends.get(secret, reader).await?,
        };
        let bytes = match &value {
            SecretValue::String(text) => text.len(),
            SecretValue::Bytes(bytes) => bytes.len(),
        };
        if bytes > MAX_BYTES {
            return Err(format!("it has {bytes} bytes; at most {MAX_BYTES} are taken"));
        }
        Ok(value)
    }
}
