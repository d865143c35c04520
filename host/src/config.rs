//! From what was asked for on the command line to a finished configuration. Past this door nothing is
//! half-checked: every value has its type, every folder exists.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use lath_artifacts::{Patience, Registries, RegistryArgs};
use lath_control_api::{Builtin, BuiltinAliases, Labels, LatticeId};
use lath_control_api_client::{DOMAIN_VARIABLE, JetStreamDomain};
use lath_telemetry::TelemetryArgs;
use lath_wasmcloud::subject::{CONTROL_PREFIX_VARIABLE, ControlPrefix};

use crate::capability::preopens::FilesRoot;

/// Runs a host: a place for the components of a lattice.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// Lattice to join.
    #[arg(short = 'x', long, value_name = "NAME", env = "LATH_LATTICE", default_value = "default")]
    pub lattice: LatticeId,
    /// NATS servers, separated by commas. The host also starts when none of them answers.
    #[arg(long, value_name = "URL", env = "LATH_NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub nats_url: String,
    /// File with NATS credentials.
    #[arg(long, value_name = "FILE", env = "LATH_CREDS")]
    pub creds: Option<PathBuf>,
    /// Folder for the host's key, journal and caches; only one host may use it.
    #[arg(long, value_name = "DIR", env = "LATH_DATA_DIR", default_value = ".lath/host")]
    pub data_dir: PathBuf,
    /// Name for people; made up and kept when not given.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Label that spreads choose by; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// Where the builtin HTTP server listens for apps that name no address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub http_default: SocketAddr,
    /// Image reference, without tag, that stands for a builtin capability; may be given several times.
    #[arg(long = "builtin-alias", value_name = "REF=builtin://NAME", value_parser = alias)]
    pub builtin_aliases: Vec<(String, Builtin)>,
    /// PEM file with certificates that requests of components to the outside trust beside those of the system.
    #[arg(long, value_name = "FILE", env = "LATH_EGRESS_CA")]
    pub egress_ca: Option<PathBuf>,
    /// Folder below which components are given the folders that their manifests grant; none are given when absent.
    #[arg(long, value_name = "DIR", env = "LATH_FILES_ROOT")]
    pub files_root: Option<PathBuf>,
    /// Most that code which was fetched may take of the disk, such as `500Mi` or `4Gi`; what apps use stays.
    #[arg(long, value_name = "SIZE", env = "LATH_CODE_CACHE", default_value = "4Gi", value_parser = size)]
    pub code_cache: u64,
    /// Folder whose files are the secrets of the backend `file`; there is none when not given.
    #[arg(long, value_name = "DIR", env = "LATH_SECRETS_DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Subject below which the other backends of secrets are asked.
    #[arg(long, value_name = "SUBJECT", env = "LATH_SECRETS_TOPIC", default_value = "wasmcloud.secrets", value_parser = topic)]
    pub secrets_topic: String,
    /// How registries are reached.
    #[command(flatten)]
    pub registries: RegistryArgs,
    /// Longest wait for calls in flight when the host stops, such as `30s` or `2m`.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub drain_deadline: Duration,
    /// Longest wait, when the host stops, for other hosts to take over what serves here.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub handover: Duration,
    /// Address that answers `/healthz` and `/readyz`; none when not given.
    #[arg(long, value_name = "ADDR", env = "LATH_HTTP_ADMIN")]
    pub http_admin: Option<SocketAddr>,
    /// File to write when the host is connected and takes commands: JSON with its id, name and process id.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Time between two of the heartbeats that tools of wasmCloud 1.x listen to.
    #[arg(long, value_name = "TIME", env = "LATH_HEARTBEAT_1X", default_value = "30s", value_parser = heartbeat)]
    pub heartbeat_1x: Duration,
    /// JetStream domain that keeps what the lattice keeps; the server's own when not given.
    #[arg(long, value_name = "NAME", env = DOMAIN_VARIABLE)]
    pub js_domain: Option<JetStreamDomain>,
    /// What subjects of the control interface of wasmCloud 1.x begin with.
    #[arg(long, value_name = "PREFIX", env = CONTROL_PREFIX_VARIABLE, default_value_t)]
    pub ctl_topic_prefix: ControlPrefix,
    /// Where spans go.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// Everything that a host is configured with.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Lattice to join.
    pub lattice: LatticeId,
    /// NATS servers, separated by commas.
    pub nats_url: String,
    /// Credentials for NATS.
    pub creds: Option<PathBuf>,
    /// The host's folder; it exists.
    pub data_dir: PathBuf,
    /// Name for people, if one was given.
    pub name: Option<String>,
    /// What spreads choose by.
    pub labels: Labels,
    /// Where routes without an address listen.
    pub http_default: SocketAddr,
    /// References that stand for builtins.
    pub builtins: BuiltinAliases,
    /// Certificates that are trusted outside, beside those of the system.
    pub egress_ca: Option<PathBuf>,
    /// Where the folders are that components may be given.
    pub files: FilesRoot,
    /// Most bytes of code on the disk.
    pub code_cache: u64,
    /// Secrets of the backend `file`, if this host has them; the folder is there.
    pub secrets_dir: Option<PathBuf>,
    /// Subject below which the other backends of secrets are asked.
    pub secrets_topic: String,
    /// Where images come from.
    pub registries: Registries,
    /// Longest wait for calls in flight at the end.
    pub drain_deadline: Duration,
    /// Longest wait for other hosts to take over at the end.
    pub handover: Duration,
    /// Where health is told, if anywhere.
    pub http_admin: Option<SocketAddr>,
    /// File that tells that the host is ready.
    pub ready_file: Option<PathBuf>,
    /// Time between two heartbeats of 1.x.
    pub heartbeat_1x: Duration,
    /// JetStream domain that keeps what the lattice keeps.
    pub js_domain: Option<JetStreamDomain>,
    /// What subjects of the control interface of 1.x begin with.
    pub ctl_topic_prefix: ControlPrefix,
    /// Where spans go.
    pub telemetry: TelemetryArgs,
}

/// Longest name for people, in bytes.
const MAX_NAME: usize = 63;

impl HostConfig {
    /// Checks the arguments and creates the data folder.
    ///
    /// # Errors
    /// Names the argument that cannot be used, and why.
    pub fn new(args: HostArgs) -> Result<Self> {
        if args.http_default.port() == 0 {
            bail!(
                "--http-default {} has no port; other hosts and people must know where it listens",
                args.http_default
            );
        }
        if let Some(name) = args.name.as_deref().filter(|name| !is_name(name)) {
            bail!("--name `{}` is not valid: 1 to {MAX_NAME} printable characters", name.escape_debug());
        }
        let labels = labels(args.labels)?;
        let mut builtins = BuiltinAliases::default();
        builtins.0.extend(args.builtin_aliases);
        let registries = Registries::new(&args.registries, Patience::TRANSFER)?;
        let files = match &args.files_root {
            Some(path) => FilesRoot::open(path)
                .with_context(|| format!("--files-root {} cannot be used as a folder", path.display()))?,
            None => FilesRoot::default(),
        };
        let data_dir = folder(&args.data_dir)?;
        let secrets_dir = args.secrets_dir.as_deref().map(folder_of_secrets).transpose()?;
        Ok(Self {
            lattice: args.lattice,
            nats_url: args.nats_url,
            creds: args.creds,
            data_dir,
            name: args.name,
            labels,
            http_default: args.http_default,
            builtins,
            egress_ca: args.egress_ca,
            files,
            code_cache: args.code_cache,
            secrets_dir,
            secrets_topic: args.secrets_topic,
            registries,
            drain_deadline: args.drain_deadline,
            handover: args.handover,
            http_admin: args.http_admin,
            ready_file: args.ready_file,
            heartbeat_1x: args.heartbeat_1x,
            js_domain: args.js_domain,
            ctl_topic_prefix: args.ctl_topic_prefix,
            telemetry: args.telemetry,
        })
    }
}

/// Whether a text can be a host's name for people.
pub(crate) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// Labels of the command line over those by which a host says what it is, as in 1.x.
fn labels(pairs: Vec<(String, String)>) -> Result<Labels> {
    use std::env::consts::{ARCH, FAMILY, OS};

    let mut given = BTreeMap::new();
    for (key, value) in pairs {
        if given.insert(key.clone(), value).is_some() {
            bail!("--label {} is given twice", key.escape_debug());
        }
    }
    let own = [("arch", ARCH), ("os", OS), ("osfamily", FAMILY)];
    let own = own.map(|(key, value)| (format!("{}{key}", Labels::BUILTIN), value.to_owned()));
    let mut labels = Labels(own.into());
    labels.0.extend(given);
    labels.check().context("--label")?;
    Ok(labels)
}

fn folder(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("cannot create the data folder {}", path.display()))?;
    path.canonicalize().with_context(|| format!("cannot use the data folder {}", path.display()))
}

fn folder_of_secrets(path: &Path) -> Result<PathBuf> {
    let folder =
        path.canonicalize().with_context(|| format!("--secrets-dir {} cannot be used", path.display()))?;
    if !folder.is_dir() {
        bail!("--secrets-dir {} is no folder", path.display());
    }
    Ok(folder)
}

/// Reads a subject without wildcards.
fn topic(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let valid = text.split('.').all(|token| !token.is_empty() && token.bytes().all(plain));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("a subject is tokens of A-Z a-z 0-9 - _ with dots between them".to_owned())
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a label is KEY=VALUE".to_owned()),
    }
}

fn alias(text: &str) -> Result<(String, Builtin), String> {
    let (reference, builtin) = text.rsplit_once('=').ok_or("an alias is REF=builtin://NAME")?;
    let name = builtin.strip_prefix("builtin://").unwrap_or(builtin);
    let known = Builtin::ALL.map(|builtin| builtin.to_string()).join(", ");
    let builtin =
        Builtin::named(name).ok_or_else(|| format!("there is no builtin `{name}`, only {known}"))?;
    Ok((reference.to_owned(), builtin))
}

/// Reads `500ms`, `30s`, `2m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || "a time is a whole number with ms, s, m or h, such as 30s".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// A time between heartbeats: a second at least.
fn heartbeat(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time >= Duration::from_secs(1) { Ok(time) } else { Err("at least 1s".to_owned()) }
}

/// Reads `500Mi` or `4Gi`, as sizes stand in manifests.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a whole number with Mi or Gi, such as 4Gi".to_owned();
    let units = [("Mi", 1 << 20), ("Gi", 1 << 30)];
    let parts = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, bytes): (&str, u64) = parts.ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(bytes).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(size("500Mi"), Ok(500 << 20));
        assert_eq!(size("4Gi"), Ok(4 << 30));
        for wrong in ["", "4", "Gi", "-1Gi", "1.5Gi", "4GB", "0Mi", "18446744073709551615Gi"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "1d", "99999999999999999999h", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn aliases_name_a_builtin() {
        let (reference, builtin) = alias("registry.test:5000/http=builtin://http-server").unwrap();
        assert_eq!((reference.as_str(), builtin), ("registry.test:5000/http", Builtin::HttpServer));
        assert!(alias("x=builtin://nope").unwrap_err().contains("http-server"));
        assert!(alias("x").is_err());
    }

    #[test]
    fn a_subject_has_no_wildcards() {
        assert_eq!(topic("wasmcloud.secrets").as_deref(), Ok("wasmcloud.secrets"));
        for wrong in ["", ".", "a.", "a..b", "a.*", "a.>", "a b"] {
            assert!(topic(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_given_once() {
        let twice = vec![("zone".into(), "a".into()), ("zone".into(), "b".into())];
        assert!(labels(twice).unwrap_err().to_string().contains("zone"));
        let wrong = vec![("zone".into(), "x".repeat(Labels::MAX_TEXT + 1))];
        assert!(format!("{:#}", labels(wrong).unwrap_err()).contains("--label: label `zone`"));
    }
}
