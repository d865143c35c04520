//! What a process of a provider is told on its standard input, once, at its start.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lath_control_api::{HostId, LatticeId};
use lath_wasmcloud::{HostData, OtelConfig, ProviderLink, uuid};

use super::link::Values;
use super::seal::{Keys, SealError};

/// How long a provider may wait for the host's answer to a request, in milliseconds, as 1.x has it.
const RPC_TIMEOUT_MS: u64 = 2_000;

/// How a provider reaches the lattice's NATS: as this host does.
#[derive(Clone, Default)]
pub(crate) struct NatsAccess {
    /// One server.
    pub(crate) url: String,
    /// JWT and seed of a user, if the server asks for one.
    pub(crate) user: Option<(String, String)>,
}

impl std::fmt::Debug for NatsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsAccess").field("user", &self.user.is_some()).finish_non_exhaustive()
    }
}

impl NatsAccess {
    /// The first of `servers`, and the user in `credentials`, the text of a file with JWT and seed between lines of dashes.
    pub(crate) fn new(servers: &str, credentials: Option<&str>) -> Self {
        let url = servers.split(',').map(str::trim).find(|server| !server.is_empty()).unwrap_or_default();
        let url = if url.contains("://") { url.to_owned() } else { format!("nats://{url}") };
        let user =
            credentials.and_then(|text| Some((between(text, "USER JWT")?, between(text, "USER NKEY SEED")?)));
        Self { url, user }
    }
}

/// What stands in a file of credentials under a heading.
fn between(text: &str, heading: &str) -> Option<String> {
    let (_, after) = text
        .split_once(&format!("BEGIN NATS {heading}"))
        .or_else(|| text.split_once(&format!("BEGIN {heading}")))?;
    let mut lines = after.lines().skip(1).map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with('-')).map(str::to_owned)
}

/// Everything that differs between two starts.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) host: &'a HostId,
    pub(crate) lattice: &'a LatticeId,
    pub(crate) access: &'a NatsAccess,
    pub(crate) key: &'a str,
    pub(crate) keys: &'a Keys,
    pub(crate) config: &'a BTreeMap<String, String>,
    pub(crate) secrets: &'a Values,
    pub(crate) links: Vec<ProviderLink>,
}

impl Start<'_> {
    /// The one line that the process reads.
    ///
    /// # Errors
    /// When a key cannot be written down.
    pub(crate) fn line(self) -> Result<String, SealError> {
        let (jwt, seed) = self.access.user.clone().unwrap_or_default();
        let instance = uuid(u128::from(crate::random::number()) << 64 | u128::from(crate::random::number()));
        let data = HostData {
            host_id: self.host.to_string(),
            lattice_rpc_prefix: self.lattice.to_string(),
            link_name: lath_wasmcloud::DEFAULT_LINK.to_owned(),
            lattice_rpc_user_jwt: jwt,
            lattice_rpc_user_seed: seed,
            lattice_rpc_url: self.access.url.clone(),
            provider_key: self.key.to_owned(),
            env_values: BTreeMap::new(),
            instance_id: instance,
            link_definitions: self.links,
            cluster_issuers: Vec::new(),
            config: self.config.clone(),
            secrets: self.secrets.clone(),
            host_xkey_public_key: self.keys.host_public(),
            provider_xkey_private_key: self.keys.provider_seed()?,
            default_rpc_timeout_ms: Some(RPC_TIMEOUT_MS),
            structured_logging: false,
            log_level: Some("info".to_owned()),
            otel_config: OtelConfig::default(),
        };
        // Maps, lists and texts: serde_json cannot fail on them.
        let json = serde_json::to_vec(&data).unwrap_or_default();
        Ok(format!("{}\r\n", BASE64_STANDARD.encode(json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----\neyJ0.eyJz.c2ln\n------END NATS USER JWT------\n\n\
        ************************* IMPORTANT *************************\n\n\
        -----BEGIN USER NKEY SEED-----\nSUAKEY\n------END USER NKEY SEED------\n";

    #[test]
    fn a_provider_reaches_nats_as_its_host_does() {
        let access = NatsAccess::new(" nats://one:4222,nats://two:4222", Some(CREDENTIALS));
        assert_eq!(access.url, "nats://one:4222");
        assert_eq!(access.user, Some(("eyJ0.eyJz.c2ln".to_owned(), "SUAKEY".to_owned())));
        assert!(!format!("{access:?}").contains("SUAKEY"));
        assert_eq!(NatsAccess::new("one", None).url, "nats://one");
        assert_eq!(NatsAccess::new("one", Some("nothing")).user, None);
    }

    #[test]
    fn the_line_is_what_providers_of_1x_read() {
        let (host, lattice) = (format!("N{}", "A".repeat(55)).parse().unwrap(), "default".parse().unwrap());
        let start = Start {
            host: &host,
            lattice: &lattice,
            access: &NatsAccess::new("nats://127.0.0.1:4222", None),
            key: "shop-kv-0123abcd-AAAAAAAA",
            keys: &Keys::new(),
            config: &BTreeMap::from([("a".to_owned(), "1".to_owned())]),
            secrets: &Values::new(),
            links: Vec::new(),
        };
        let line = start.line().unwrap();
        let json = BASE64_STANDARD.decode(line.strip_suffix("\r\n").unwrap()).unwrap();
        let data: HostData = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            (data.provider_key.as_str(), data.config["a"].as_str()),
            ("shop-kv-0123abcd-AAAAAAAA", "1")
        );
        assert!(
            data.provider_xkey_private_key.starts_with("SX") && data.host_xkey_public_key.starts_with('X')
        );
        assert_eq!(data.instance_id.len(), 36);
    }
}
