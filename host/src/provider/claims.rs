//! What the maker of a provider archive has signed: a JWT with an nkey of an account.
//!
//! The signature is checked, and the time if the claims have one. Whether the account is to be trusted is nobody's
//! question here: images are pinned by their digest.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The claims, as far as a host has use for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Public key of the account that signed.
    pub(crate) issuer: String,
    /// Public key of the provider.
    pub(crate) subject: String,
    /// Name for people.
    pub(crate) name: Option<String>,
    /// Version for people.
    pub(crate) version: Option<String>,
    /// A number that grows.
    pub(crate) revision: i32,
    /// SHA-256 of the executable of each platform, in hexadecimal digits.
    pub(crate) target_hashes: BTreeMap<String, String>,
    /// The token itself.
    pub(crate) token: String,
}

/// Why claims cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimsError {
    #[error("they are no signed token")]
    NoToken,
    #[error("they cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("they are not signed by their issuer")]
    Forged,
    #[error("they have expired")]
    Expired,
    #[error("they are not valid yet")]
    Early,
}

/// Names are those of the established form.
#[derive(Deserialize)]
struct Token {
    iss: String,
    sub: String,
    #[serde(default)]
    exp: Option<u64>,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(default)]
    wascap: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    ver: Option<String>,
    rev: Option<i32>,
    target_hashes: BTreeMap<String, String>,
}

impl Claims {
    /// Reads and checks a token. `now` is in seconds since 1970.
    pub(crate) fn read(token: &[u8], now: u64) -> Result<Self, ClaimsError> {
        let token = std::str::from_utf8(token).map_err(|_| ClaimsError::NoToken)?.trim();
        let (signed, signature) = token.rsplit_once('.').ok_or(ClaimsError::NoToken)?;
        let (_, payload) = signed.split_once('.').ok_or(ClaimsError::NoToken)?;
        let Token { iss: issuer, sub: subject, exp, nbf, wascap } = part(payload)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| ClaimsError::NoToken)?;
        let key = KeyPair::from_public_key(&issuer).map_err(|_| ClaimsError::Forged)?;
        key.verify(signed.as_bytes(), &signature).map_err(|_| ClaimsError::Forged)?;
        if exp.is_some_and(|end| end < now) {
            return Err(ClaimsError::Expired);
        }
        if nbf.is_some_and(|begin| begin > now) {
            return Err(ClaimsError::Early);
        }
        let Metadata { name, ver: version, rev, target_hashes } = wascap.unwrap_or_default();
        Ok(Self {
            issuer,
            subject,
            name,
            version,
            revision: rev.unwrap_or(0),
            target_hashes,
            token: token.to_owned(),
        })
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, ClaimsError> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ClaimsError::NoToken)?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn signer() -> KeyPair {
        KeyPair::new_account()
    }

    /// Claims as the tools of 1.x make them, with `metadata` among those of the provider.
    pub(crate) fn sign(signer: &KeyPair, metadata: &Value) -> String {
        let mut wascap = json!({ "name": "made up", "ver": "1.0.0", "rev": 7, "vendor": "nobody" });
        wascap.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let subject = KeyPair::new_service().public_key();
        token(signer, &json!({ "iss": signer.public_key(), "sub": subject, "wascap": wascap }))
    }

    fn token(signer: &KeyPair, payload: &Value) -> String {
        let head = BASE64_URL_SAFE_NO_PAD.encode(r#"{"typ":"jwt","alg":"Ed25519"}"#);
        let signed = format!("{head}.{}", BASE64_URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = signer.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn signed_claims_are_read_and_others_refused() {
        let signer = signer();
        let good = sign(&signer, &json!({ "target_hashes": { "x86_64-linux": "AB" } }));
        let claims = Claims::read(format!("{good}\n").as_bytes(), 0).unwrap();
        assert_eq!((claims.issuer, claims.revision), (signer.public_key(), 7));
        assert_eq!(claims.version.as_deref(), Some("1.0.0"));
        assert_eq!(claims.target_hashes["x86_64-linux"], "AB");
        assert!(claims.subject.starts_with('V'));
        let other = KeyPair::new_account();
        let forged = token(&other, &json!({ "iss": signer.public_key(), "sub": "V" }));
        assert!(matches!(Claims::read(forged.as_bytes(), 0), Err(ClaimsError::Forged)));
        for bad in ["", "a", "a.b", "a.b.c", "..", "é.é.é"] {
            assert!(Claims::read(bad.as_bytes(), 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn claims_hold_for_their_time_only() {
        let signer = signer();
        let times = json!({ "iss": signer.public_key(), "sub": "V", "nbf": 100, "exp": 200 });
        let token = token(&signer, &times);
        assert!(matches!(Claims::read(token.as_bytes(), 99), Err(ClaimsError::Early)));
        assert!(Claims::read(token.as_bytes(), 150).is_ok());
        assert!(matches!(Claims::read(token.as_bytes(), 201), Err(ClaimsError::Expired)));
    }
}
