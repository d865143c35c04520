//! What the makers of components and providers have signed: JWTs with nkeys of accounts, as the tools of wasmCloud 1.x
//! make them.
//!
//! The signature is checked, the time if there is one, and that it is of this code. Whether the account is to be trusted is
//! nobody's question here: images are pinned by their digest.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lath_control_api::Claims;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Largest token of a component, in bytes.
const MAX_TOKEN: usize = 16 << 10;
/// Most characters of a name, version or alias that are told, and most bytes of claims as JSON: an inventory has those of
/// each unit in it, and must fit into messages.
const MAX_TEXT: usize = 128;
const MAX_TOLD: usize = 1 << 10;

/// A signature whose signer was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// What it says.
    pub(crate) claims: Claims,
    /// SHA-256 of the executable of each platform of a provider, in hexadecimal digits.
    pub(crate) target_hashes: BTreeMap<String, String>,
    /// The token itself.
    pub(crate) token: String,
    /// SHA-256 of the component that it is of, in hexadecimal digits.
    hash: Option<String>,
}

/// What tokens are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Component,
    Provider,
}

/// Why a signature cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimsError {
    #[error("they are no signed token")]
    NoToken,
    #[error("they have {0} bytes; at most {MAX_TOKEN} are read")]
    TooLarge(usize),
    #[error("they cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("they are not signed by their issuer")]
    Forged,
    #[error("they are not of a {0}")]
    OtherKind(&'static str),
    #[error("they are of another component, or it was changed after it was signed")]
    OtherCode,
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
    call_alias: Option<String>,
    tags: Option<Vec<String>>,
    hash: Option<String>,
    target_hashes: BTreeMap<String, String>,
    config_schema: Option<serde_json::Value>,
}

impl Signed {
    /// Reads a token and checks who signed it, and that it is of such a thing. Its times are not looked at.
    pub(crate) fn read(token: &[u8], kind: Kind) -> Result<Self, ClaimsError> {
        let token = std::str::from_utf8(token).map_err(|_| ClaimsError::NoToken)?.trim();
        let (signed, signature) = token.rsplit_once('.').ok_or(ClaimsError::NoToken)?;
        let (_, payload) = signed.split_once('.').ok_or(ClaimsError::NoToken)?;
        let Token { iss: issuer, sub: subject, exp: expires, nbf: not_before, wascap } = part(payload)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| ClaimsError::NoToken)?;
        let key = KeyPair::from_public_key(&issuer).map_err(|_| ClaimsError::Forged)?;
        key.verify(signed.as_bytes(), &signature).map_err(|_| ClaimsError::Forged)?;
        // Any account signs tokens for users of NATS as well: those are in everybody's hands, and stand for nothing here.
        let (wanted, what) = match kind {
            Kind::Component => (KeyPairType::Module, "component"),
            Kind::Provider => (KeyPairType::Service, "provider"),
        };
        let is_of = |key: &KeyPair, kind: KeyPairType| key.key_pair_type() == kind;
        let named = KeyPair::from_public_key(&subject).map_err(|_| ClaimsError::OtherKind(what))?;
        if !is_of(&key, KeyPairType::Account) || !is_of(&named, wanted) {
            return Err(ClaimsError::OtherKind(what));
        }
        let Metadata { name, ver, rev, call_alias, tags, hash, target_hashes, config_schema } =
            wascap.unwrap_or_default();
        let mut claims = Claims {
            issuer,
            subject,
            name,
            version: ver,
            revision: rev.unwrap_or(0),
            call_alias,
            tags: tags.unwrap_or_default(),
            not_before,
            expires,
            config_schema: config_schema.map(|schema| schema.to_string()),
        };
        bound(&mut claims);
        Ok(Self { claims, target_hashes, token: token.to_owned(), hash })
    }

    /// Whether it holds at this time, in seconds since 1970.
    pub(crate) fn holds_at(&self, now: u64) -> Result<(), ClaimsError> {
        if self.claims.expires.is_some_and(|end| end < now) {
            return Err(ClaimsError::Expired);
        }
        if self.claims.not_before.is_some_and(|begin| begin > now) {
            return Err(ClaimsError::Early);
        }
        Ok(())
    }

    /// The signature in a component, if there is one that is of it. Another is as good as none, and is logged: what runs is
    /// pinned by its digest, and need not be signed. Its times are looked at when it is used.
    pub(crate) fn of_component(bytes: &[u8]) -> Option<Self> {
        let found = lath_artifacts::signature(bytes)?;
        let judged = match found.token.len() {
            bytes if bytes > MAX_TOKEN => Err(ClaimsError::TooLarge(bytes)),
            _ => Self::read(found.token, Kind::Component).and_then(|signed| match &signed.hash {
                Some(hash) if hash.eq_ignore_ascii_case(&found.hash) => Ok(signed),
                Some(_) | None => Err(ClaimsError::OtherCode),
            }),
        };
        judged
            .inspect_err(
                |error| tracing::warn!(%error, "the claims of a component cannot be used, and are left out"),
            )
            .ok()
    }
}

/// Leaves out what is too much to be told.
fn bound(claims: &mut Claims) {
    let texts = [&mut claims.name, &mut claims.version, &mut claims.call_alias];
    for text in texts.into_iter().flatten().filter(|text| text.chars().count() > MAX_TEXT) {
        *text = text.chars().take(MAX_TEXT).collect();
    }
    let bytes = |claims: &Claims| serde_json::to_vec(claims).map_or(usize::MAX, |json| json.len());
    if bytes(claims) > MAX_TOLD {
        claims.config_schema = None;
    }
    if bytes(claims) > MAX_TOLD {
        claims.tags.clear();
    }
}

/// The time by which signatures hold, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, ClaimsError> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ClaimsError::NoToken)?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};
    use sha2::Digest as _;

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
        let read = |token: &str| Signed::read(token.as_bytes(), Kind::Provider);
        let good = sign(&signer, &json!({ "target_hashes": { "x86_64-linux": "AB" } }));
        let Signed { claims, target_hashes, .. } = read(&format!("{good}\n")).unwrap();
        assert_eq!((claims.issuer, claims.revision), (signer.public_key(), 7));
        assert_eq!(claims.version.as_deref(), Some("1.0.0"));
        assert_eq!(target_hashes["x86_64-linux"], "AB");
        assert!(claims.subject.starts_with('V'));
        assert!(matches!(Signed::read(good.as_bytes(), Kind::Component), Err(ClaimsError::OtherKind(_))));
        let other = KeyPair::new_account();
        let forged = token(&other, &json!({ "iss": signer.public_key(), "sub": "V" }));
        assert!(matches!(read(&forged), Err(ClaimsError::Forged)));
        let user = KeyPair::new_user().public_key();
        for subject in ["a.b *", user.as_str()] {
            let of_another = token(&signer, &json!({ "iss": signer.public_key(), "sub": subject }));
            assert!(matches!(read(&of_another), Err(ClaimsError::OtherKind("provider"))), "{subject}");
        }
        for bad in ["", "a", "a.b", "a.b.c", "..", "é.é.é"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn claims_hold_for_their_time_only() {
        let signer = signer();
        let subject = KeyPair::new_service().public_key();
        let times = json!({ "iss": signer.public_key(), "sub": subject, "nbf": 100, "exp": 200 });
        let signed = Signed::read(token(&signer, &times).as_bytes(), Kind::Provider).unwrap();
        assert!(matches!(signed.holds_at(99), Err(ClaimsError::Early)));
        assert!(signed.holds_at(150).is_ok());
        assert!(matches!(signed.holds_at(201), Err(ClaimsError::Expired)));
    }

    #[test]
    fn what_is_told_of_claims_is_bounded() {
        let signer = signer();
        let tags = vec!["x".repeat(100); 20];
        let long =
            json!({ "name": "é".repeat(1_000), "tags": tags, "config_schema": { "a": "b".repeat(2_000) } });
        let Signed { claims, .. } = Signed::read(sign(&signer, &long).as_bytes(), Kind::Provider).unwrap();
        assert!(serde_json::to_vec(&claims).unwrap().len() <= MAX_TOLD);
        assert_eq!(claims.name.unwrap().chars().count(), MAX_TEXT);
    }

    /// A component with this token in it, whose hash is told as `hash`, or as it is.
    pub(crate) fn component(signer: &KeyPair, hash: Option<&str>, more: &Value) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        let digest = sha2::Sha256::digest(&bytes);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut payload = json!({
            "iss": signer.public_key(),
            "sub": KeyPair::new_module().public_key(),
            "wascap_revision": 3,
            "wascap": { "name": "cart", "hash": hash.unwrap_or(&digest), "tags": ["a", "b"], "prov": false },
        });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = token(signer, &payload);
        let name = "wasmcloud_jwt";
        let mut section = vec![u8::try_from(name.len()).unwrap()];
        section.extend(name.as_bytes());
        section.extend(token.as_bytes());
        bytes.push(0);
        let mut length = section.len();
        while length >= 0x80 {
            bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).unwrap());
        bytes.extend(section);
        bytes
    }

    #[test]
    fn xw20_a_component_is_as_it_were_not_signed_when_its_signature_does_not_hold() {
        let signer = signer();
        let good = Signed::of_component(&component(&signer, None, &json!({}))).unwrap();
        assert_eq!((good.claims.name.as_deref(), good.claims.tags.len()), (Some("cart"), 2));
        // One of older tools, which is not bound to its component by the hash.
        let unbound = component(&signer, Some(""), &json!({ "wascap_revision": 2 }));
        let other_code = component(&signer, Some("00"), &json!({}));
        let other_key = component(&signer, None, &json!({ "iss": KeyPair::new_account().public_key() }));
        let of_user = component(&signer, None, &json!({ "sub": KeyPair::new_user().public_key() }));
        let of_provider = component(&signer, None, &json!({ "sub": KeyPair::new_service().public_key() }));
        let large = component(&signer, None, &json!({ "jti": "x".repeat(MAX_TOKEN) }));
        for bad in [unbound, other_code, other_key, of_user, of_provider, large] {
            assert!(Signed::of_component(&bad).is_none());
        }
    }
}
