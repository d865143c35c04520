//! Who asks for a secret, in the form that backends of 1.x check: signed tokens of the host and of what reads the secret.
//!
//! 1.x gives secrets to signed code only. Here code is pinned by its digest and need not be signed, so the host vouches for
//! what is not: the key in the token follows from lattice and id, so that a backend's policy can name it.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lath_control_api::{AppName, ComponentId, HostId, LatticeId};
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How long a token holds, in seconds: a request takes some of them.
const VALID: u64 = 600;
/// How far the clock of a backend may be behind, in seconds.
const SKEW: u64 = 60;
/// Version of the form.
const FORM: u32 = 3;

/// Who reads a secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) id: &'a ComponentId,
    /// The token that its maker has signed, if it is signed.
    pub(crate) signed: Option<&'a str>,
}

/// Signs for this host.
#[derive(Clone)]
pub(crate) struct Signer {
    account: Arc<KeyPair>,
    host: HostId,
    name: Arc<str>,
    lattice: LatticeId,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with a key of this run of the host.
    pub(crate) fn new(host: HostId, name: &str, lattice: LatticeId) -> Self {
        Self { account: Arc::new(KeyPair::new_account()), host, name: name.into(), lattice }
    }

    /// The token of the host.
    pub(super) fn host(&self) -> Result<String, String> {
        self.sign(self.host.as_str(), &json!({ "name": &*self.name, "labels": {} }))
    }

    /// The token of what reads the secret: its maker's, or else the host's word for it.
    pub(super) fn reader(&self, reader: Reader<'_>) -> Result<String, String> {
        if let Some(signed) = reader.signed {
            return Ok(signed.to_owned());
        }
        let hash = Sha256::digest(reader.id.as_str());
        let hash: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        self.sign(&self.key_of(reader), &json!({ "name": reader.id, "hash": hash, "prov": false }))
    }

    /// The key by which a backend knows what is not signed: the same on every host of the lattice.
    pub(super) fn key_of(&self, reader: Reader<'_>) -> String {
        let seed = Sha256::digest(format!("lath/{}/{}", self.lattice, reader.id));
        KeyPair::new_from_raw(KeyPairType::Module, seed.into())
            .map_or_else(|_| String::new(), |pair| pair.public_key())
    }

    fn sign(&self, subject: &str, metadata: &Value) -> Result<String, String> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "jti": format!("{:016X}", crate::random::number()),
            "iat": since,
            "nbf": since.saturating_sub(SKEW),
            "exp": since + VALID,
            "iss": self.account.public_key(),
            "sub": subject,
            "wascap": metadata,
            "wascap_revision": FORM,
        });
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&json!({ "typ": "jwt", "alg": "Ed25519" })), part(&claims));
        let signature = self.account.sign(signed.as_bytes()).map_err(|error| error.to_string())?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_signed_has_the_same_key_on_every_host() {
        let (app, id) = ("shop".parse().unwrap(), "shop-cart".parse().unwrap());
        let reader = Reader { app: &app, id: &id, signed: None };
        let signer = |letter: &str, lattice: &str| {
            Signer::new(format!("N{}", letter.repeat(55)).parse().unwrap(), "host", lattice.parse().unwrap())
        };
        let key = signer("A", "one").key_of(reader);
        assert!(key.starts_with('M') && key == signer("B", "one").key_of(reader));
        assert_ne!(key, signer("A", "two").key_of(reader));
        let token = signer("A", "one").reader(reader).unwrap();
        use crate::claims::{Kind, Signed};
        let expired = Signed::read(token.as_bytes(), Kind::Component).unwrap().holds_at(u64::MAX / 2);
        assert_eq!(expired.unwrap_err().to_string(), "they have expired");
        let signed = Reader { signed: Some("a.b.c"), ..reader };
        assert_eq!(signer("A", "one").reader(signed).unwrap(), "a.b.c");
    }
}
