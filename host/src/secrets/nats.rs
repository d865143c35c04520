//! Backends that are asked over NATS, as hosts of 1.x ask them: sealed for the backend, and the answer for this request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use lath_control_api::SecretRef;
use lath_wasmcloud::SecretValue;
use nkeys::XKey;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::token::{Reader, Signer};
use crate::engine::bounded;

/// Version of the protocol.
const VERSION: &str = "v1alpha1";
/// Header with the key that a request was sealed with.
const HOST_XKEY: &str = "WasmCloud-Host-Xkey";
/// Header with the key that an answer was sealed with; errors are not sealed.
const RESPONSE_XKEY: &str = "Server-Response-Xkey";
/// Type of what the policy of a manifest says to a backend.
const PROPERTIES: &str = "properties.secret.wasmcloud.dev/v1alpha1";
/// Longest wait for an answer of a backend.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Asks backends.
#[derive(Debug, Clone)]
pub(crate) struct Backends {
    nats: async_nats::Client,
    topic: Arc<str>,
    signer: Signer,
    /// Public keys of backends that have been asked.
    keys: Arc<Mutex<BTreeMap<String, String>>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    string_secret: Option<String>,
    #[serde(default)]
    binary_secret: Option<Vec<u8>>,
}

impl Backends {
    /// Backends below `topic`, in the name of the host that `signer` signs for.
    pub(crate) fn new(nats: async_nats::Client, topic: &str, signer: Signer) -> Self {
        Self { nats, topic: topic.into(), signer, keys: Arc::default() }
    }

    /// The value of a secret, or why there is none, in words without it.
    pub(super) async fn get(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<SecretValue, String> {
        let backend = &secret.backend;
        if !is_token(backend) {
            return Err("a backend is called by letters, digits, `-` and `_`".to_owned());
        }
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(backend).cloned();
        if let Some(key) = known {
            match self.ask(secret, reader, &key).await {
                Err(Failure::Answered(why)) => return Err(why),
                // It may have another key since it was started again.
                Err(Failure::Unsealed(_)) => {}
                Ok(value) => return Ok(value),
            }
        }
        let key = self.key(backend).await?;
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(backend.clone(), key.clone());
        self.ask(secret, reader, &key).await.map_err(|(Failure::Answered(why) | Failure::Unsealed(why))| why)
    }

    async fn key(&self, backend: &str) -> Result<String, String> {
        let subject = format!("{}.{VERSION}.{backend}.server_xkey", self.topic);
        let answer = self.request(subject, None, Bytes::new()).await?;
        let key = std::str::from_utf8(&answer.payload).map(str::trim).unwrap_or_default().to_owned();
        XKey::from_public_key(&key).map_err(|_| "it has told no key of its own".to_owned())?;
        Ok(key)
    }

    async fn ask(&self, secret: &SecretRef, reader: Reader<'_>, key: &str) -> Result<SecretValue, Failure> {
        let answered = Failure::Answered;
        let policy = json!({ "type": PROPERTIES, "properties": secret.properties }).to_string();
        let request = json!({
            "key": secret.key,
            "field": secret.field,
            "version": secret.version,
            "context": {
                "entity_jwt": self.signer.reader(reader).map_err(answered)?,
                "host_jwt": self.signer.host().map_err(answered)?,
                "application": { "name": reader.app, "policy": policy },
            },
        });
        let own = XKey::new();
        let backend = XKey::from_public_key(key).map_err(|error| Failure::Unsealed(error.to_string()))?;
        let sealed = own.seal(request.to_string().as_bytes(), &backend);
        let sealed = sealed.map_err(|error| Failure::Unsealed(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(HOST_XKEY, own.public_key().as_str());
        let subject = format!("{}.{VERSION}.{}.get", self.topic, secret.backend);
        let answer = self.request(subject, Some(headers), sealed.into()).await.map_err(answered)?;
        let sender = answer.headers.as_ref().and_then(|headers| headers.get(RESPONSE_XKEY));
        let opened = match sender {
            Some(sender) => {
                let broken = |_| Failure::Unsealed("its answer is not sealed for this host".to_owned());
                let sender = XKey::from_public_key(sender.as_str()).map_err(broken)?;
                Bytes::from(own.open(&answer.payload, &sender).map_err(broken)?)
            }
            None => answer.payload,
        };
        let sealed = sender.is_some();
        read(&opened, sealed).map_err(|why| {
            let asked_as = match reader.signed {
                Some(_) => String::new(),
                None => format!(" (asked for {} as {})", reader.id, self.signer.key_of(reader)),
            };
            let why = format!("{why}{asked_as}");
            if sealed { Failure::Answered(why) } else { Failure::Unsealed(why) }
        })
    }

    async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<async_nats::Message, String> {
        let asked = async {
            match headers {
                Some(headers) => self.nats.request_with_headers(subject, headers, payload).await,
                None => self.nats.request(subject, payload).await,
            }
        };
        match timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(format!("no such backend listens below `{}`", self.topic))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it has not answered within {} s", ANSWER_WITHIN.as_secs())),
        }
    }
}

/// Why a question came to nothing.
enum Failure {
    /// The backend has said so, or nobody has answered.
    Answered(String),
    /// It may be a matter of the backend's key.
    Unsealed(String),
}

/// Reads an answer. What is not sealed can only be an error: a value must not travel in clear.
fn read(answer: &[u8], sealed: bool) -> Result<SecretValue, String> {
    // What cannot be read may be a value, so it is not shown.
    let Answer { secret, error } =
        serde_json::from_slice(answer).map_err(|_| "its answer makes no sense".to_owned())?;
    if let Some(error) = error.filter(|error| !error.is_null()) {
        let text = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        return Err(format!("it says: {}", bounded(&text)));
    }
    match secret {
        Some(_) if !sealed => Err("it has sent the secret unsealed".to_owned()),
        Some(Secret { string_secret: Some(text), .. }) => Ok(SecretValue::String(text)),
        Some(Secret { binary_secret: Some(bytes), .. }) => Ok(SecretValue::Bytes(bytes)),
        Some(Secret { .. }) | None => Err("it has answered without a secret".to_owned()),
    }
}

/// Whether a text is one token of a subject.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_sealed_and_errors_do_not_hold_them() {
        let string = br#"{"secret":{"version":"1","string_secret":"hush","binary_secret":null}}"#;
        assert_eq!(read(string, true), Ok(SecretValue::String("hush".into())));
        let bytes = br#"{"secret":{"version":"1","binary_secret":[1,2]}}"#;
        assert_eq!(read(bytes, true), Ok(SecretValue::Bytes(vec![1, 2])));
        for (answer, sealed, word) in [
            (&string[..], false, "unsealed"),
            (&br#"{"error":"Unauthorized"}"#[..], false, "Unauthorized"),
            (br#"{"error":{"UpstreamError":"down"}}"#, false, "down"),
            (br#"{"secret":{"version":"1"}}"#, true, "without"),
            (b"hush", true, "no sense"),
        ] {
            let error = read(answer, sealed).unwrap_err();
            assert!(error.contains(word) && !error.contains("hush"), "{error}");
        }
    }
}
