//! Providers: processes beside a host that give components a capability, and what host and provider tell each other.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Texts;
use crate::link::ProviderLink;

/// The request `provider.auction`: who could run this? Only hosts that can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionProvider {
    /// The image.
    #[serde(default)]
    pub provider_ref: String,
    /// The id that it would have.
    pub provider_id: String,
    /// Labels that a host must have, each with just this value.
    pub constraints: Texts,
}

/// A host's answer to an auction of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuctionAck {
    /// The host that could run it.
    pub host_id: String,
    /// The image that was asked for.
    pub provider_ref: String,
    /// The id that was asked for.
    pub provider_id: String,
    /// The labels that were asked for.
    pub constraints: Texts,
}

/// The request `provider.start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartProvider {
    /// The provider's id in the lattice.
    pub provider_id: String,
    /// The image: a provider archive in a registry or a file, or `wasmcloud+builtin://` and a name.
    #[serde(default)]
    pub provider_ref: String,
    /// The host that is asked: events repeat it.
    #[serde(default)]
    pub host_id: String,
    /// Names of configs; of equal keys the later config's counts. Names that begin with `SECRET` are secrets.
    #[serde(default)]
    pub config: Vec<String>,
    /// Marks of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Texts>,
}

/// The request `provider.stop`, which is answered when the provider has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopProvider {
    /// The host that is asked.
    #[serde(default)]
    pub host_id: String,
    /// Which provider.
    #[serde(alias = "provider_ref")]
    pub provider_id: String,
}

/// A provider in an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderDescription {
    /// Its id.
    pub id: String,
    /// Its image, without what stood before `://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// Its name by its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its revision by its claims, or 0.
    #[serde(default)]
    pub revision: i32,
    /// Marks of whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Texts>,
    /// How far what does not run has come, as Lath's own inventory says it; 1.x does not list such at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why it does not run, a word for scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a provider reads from its standard input: one line, this as JSON in base64. Newer hosts may say more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostData {
    /// The host's public key.
    #[serde(default)]
    pub host_id: String,
    /// The lattice. No prefix of subjects, whatever it is called.
    #[serde(default)]
    pub lattice_rpc_prefix: String,
    /// Always `default`.
    #[serde(default)]
    pub link_name: String,
    /// User of the NATS server, or empty.
    #[serde(default)]
    pub lattice_rpc_user_jwt: String,
    /// The user's secret, or empty.
    #[serde(default)]
    pub lattice_rpc_user_seed: String,
    /// The NATS server.
    #[serde(default)]
    pub lattice_rpc_url: String,
    /// The provider's id in the lattice.
    #[serde(default)]
    pub provider_key: String,
    /// Always empty, and without it nothing is read.
    pub env_values: Texts,
    /// Different for every start.
    #[serde(default)]
    pub instance_id: String,
    /// Links that are there at the start.
    pub link_definitions: Vec<ProviderLink>,
    /// Always empty.
    #[serde(default)]
    pub cluster_issuers: Vec<String>,
    /// Values of its configs.
    #[serde(default)]
    pub config: Texts,
    /// Its secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretValue>,
    /// Key that seals secrets of links.
    #[serde(default)]
    pub host_xkey_public_key: String,
    /// Key that opens them, for this start alone.
    #[serde(default)]
    pub provider_xkey_private_key: String,
    /// Longest wait for an answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_rpc_timeout_ms: Option<u64>,
    /// Whether its log is JSON.
    #[serde(default)]
    pub structured_logging: bool,
    /// `error`, `warn`, `info`, `debug`, `trace` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
    /// Where traces, metrics and logs go.
    #[serde(default)]
    pub otel_config: OtelConfig,
}

/// A secret, in clear.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
pub enum SecretValue {
    /// A text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets do not get into logs.
        f.write_str(match self {
            Self::String(_) => "String(…)",
            Self::Bytes(_) => "Bytes(…)",
        })
    }
}

/// Where a provider sends its telemetry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtelConfig {
    /// All three kinds, where nothing else is said of one.
    pub enable_observability: bool,
    /// Traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_traces: Option<bool>,
    /// Metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_metrics: Option<bool>,
    /// Logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_logs: Option<bool>,
    /// Where all of it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observability_endpoint: Option<String>,
    /// Where traces go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces_endpoint: Option<String>,
    /// Where metrics go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_endpoint: Option<String>,
    /// Where logs go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_endpoint: Option<String>,
    /// `Http` or `Grpc`.
    pub protocol: String,
    /// Certificates to trust, as paths.
    pub additional_ca_paths: Vec<String>,
    /// The least that is traced.
    pub trace_level: String,
    /// Which traces are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces_sampler: Option<String>,
    /// A number for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces_sampler_arg: Option<String>,
    /// Most that waits to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batch_queue_size: Option<u64>,
    /// Most that is sent at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_exports: Option<u64>,
}

impl Default for OtelConfig {
    fn default() -> Self {
        Self {
            enable_observability: false,
            enable_traces: None,
            enable_metrics: None,
            enable_logs: None,
            observability_endpoint: None,
            traces_endpoint: None,
            metrics_endpoint: None,
            logs_endpoint: None,
            protocol: "Http".to_owned(),
            additional_ca_paths: Vec::new(),
            trace_level: "info".to_owned(),
            traces_sampler: None,
            traces_sampler_arg: None,
            max_batch_queue_size: None,
            concurrent_exports: None,
        }
    }
}

/// A provider's answer to the question how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReply {
    /// Whether it can do its work.
    pub healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a host tells a provider that is to end. It answers with the words `shutting down` when it has done its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutDownProvider {
    /// Its host: a provider of the same id on another host goes on.
    pub host_id: String,
}

/// A provider's answer to a link that was put or deleted as a request. An addition of Lath to the protocol: the SDK of 1.x
/// answers nothing, and its hosts ask for no answer.
///
/// A provider that wants a bad link to fail the change that brings it answers on the reply subject of `linkdefs.put`,
/// within a second; one without a reply subject is put by a host of 1.x.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkVerdict {
    /// Whether it took the link.
    pub accepted: bool,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
