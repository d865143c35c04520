//! Keys between a host and one start of a provider, and secrets of links that are sealed with them: `xkv1` of nkeys.

use std::collections::BTreeMap;

use lath_wasmcloud::SecretValue;
use nkeys::XKey;

/// A fresh pair of keys: the host's and the provider's.
pub(crate) struct Keys {
    host: XKey,
    provider: XKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// Why something cannot be sealed. Only by a defect of the system's source of random numbers.
#[derive(Debug, thiserror::Error)]
#[error("a key cannot be used: {0}")]
pub(crate) struct SealError(String);

impl Keys {
    pub(crate) fn new() -> Self {
        Self { host: XKey::new(), provider: XKey::new() }
    }

    /// What the provider knows the host by.
    pub(crate) fn host_public(&self) -> String {
        self.host.public_key()
    }

    /// What links are put to.
    pub(crate) fn provider_public(&self) -> String {
        self.provider.public_key()
    }

    /// What the provider opens secrets with. Only for its standard input.
    pub(crate) fn provider_seed(&self) -> Result<String, SealError> {
        self.provider.seed().map_err(|error| SealError(error.to_string()))
    }

    /// Seals the secrets of a link for the provider; none are `null`.
    pub(crate) fn seal(&self, secrets: &BTreeMap<String, SecretValue>) -> Result<Option<Vec<u8>>, SealError> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let json = serde_json::to_vec(secrets).map_err(|error| SealError(error.to_string()))?;
        let sealed = self.host.seal(&json, &self.provider);
        sealed.map(Some).map_err(|error| SealError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_opens_what_was_sealed_for_it() {
        let keys = Keys::new();
        assert_eq!(keys.seal(&BTreeMap::new()).unwrap(), None);
        let secrets = BTreeMap::from([("password".to_owned(), SecretValue::String("hush".to_owned()))]);
        let sealed = keys.seal(&secrets).unwrap().unwrap();
        assert!(sealed.starts_with(b"xkv1"));
        let provider = XKey::from_seed(&keys.provider_seed().unwrap()).unwrap();
        let host = XKey::from_public_key(&keys.host_public()).unwrap();
        let opened = provider.open(&sealed, &host).unwrap();
        assert_eq!(opened, br#"{"password":{"kind":"String","value":"hush"}}"#);
        assert!(XKey::new().open(&sealed, &host).is_err());
    }
}
