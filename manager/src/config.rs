//! Raw settings to finished settings: past [`ManagerConfig::new`] nothing is half-checked.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lath_artifacts::{Patience, Registries, RegistryArgs};
use lath_control_api::LatticeId;
use lath_control_api_client::{ConnectOptions, DOMAIN_VARIABLE, JetStreamDomain};
use lath_wasmcloud::subject::{CONTROL_PREFIX_VARIABLE, ControlPrefix, WADM_PREFIX_VARIABLE, WadmPrefix};

/// Arguments of `lath manager`.
#[derive(Debug, Clone, clap::Args)]
pub struct ManagerArgs {
    /// Lattice to manage.
    #[arg(short = 'x', long, env = "LATH_LATTICE", default_value = "default", value_name = "NAME")]
    pub lattice: LatticeId,
    /// NATS servers, separated by commas.
    #[arg(long, env = "LATH_NATS_URL", default_value = "nats://127.0.0.1:4222", value_name = "URL")]
    pub nats_url: String,
    /// File with NATS credentials.
    #[arg(long, env = "LATH_CREDS", value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// Certificates of authorities to trust for NATS, as PEM.
    #[arg(long, env = "LATH_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// Address of the HTTP interface; port 0 takes any free port.
    #[arg(long, env = "LATH_MANAGER_HTTP", default_value = "127.0.0.1:8480", value_name = "ADDR")]
    pub http: SocketAddr,
    /// Folder for this manager's own id, so that it is the same manager after a restart.
    #[arg(long, visible_alias = "data", env = "LATH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Name for people.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// File that is written when the manager is ready, with its addresses as JSON.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Take components from files of this machine when a manifest that is deployed by name has `file:///…` images, as
    /// hosts of wasmCloud do with the option of this name. Whoever may deploy can have components read from any path.
    #[arg(long, env = "LATH_ALLOW_FILE_LOAD")]
    pub allow_file_load: bool,
    /// Do not answer to the API of wadm: another manager of this lattice does.
    #[arg(long, env = "LATH_NO_WADM")]
    pub no_wadm: bool,
    /// JetStream domain that keeps what the lattice keeps; the server's own when not given.
    #[arg(long, value_name = "NAME", env = DOMAIN_VARIABLE)]
    pub js_domain: Option<JetStreamDomain>,
    /// What subjects of the control interface of wasmCloud 1.x begin with.
    #[arg(long, value_name = "PREFIX", env = CONTROL_PREFIX_VARIABLE, default_value_t)]
    pub ctl_topic_prefix: ControlPrefix,
    /// What subjects of the API of wadm begin with.
    #[arg(long, value_name = "PREFIX", env = WADM_PREFIX_VARIABLE, default_value_t)]
    pub api_prefix: WadmPrefix,
    /// How registries are reached.
    #[command(flatten)]
    pub registries: RegistryArgs,
}

/// Finished settings of a manager.
#[derive(Debug)]
pub(crate) struct ManagerConfig {
    pub(crate) lattice: LatticeId,
    pub(crate) nats: ConnectOptions,
    pub(crate) http: SocketAddr,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) allow_file_load: bool,
    pub(crate) wadm: bool,
    pub(crate) topics: Topics,
    pub(crate) registries: Registries,
    pub(crate) identity: Identity,
}

/// What subjects of 1.x begin with.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(crate) control: ControlPrefix,
    pub(crate) wadm: WadmPrefix,
}

/// Which manager this is.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Stays the same over restarts with the same data folder: a lease under it is this manager's own.
    pub(crate) id: String,
    /// One run of the process.
    pub(crate) run: String,
    /// For people.
    pub(crate) name: String,
    /// Held for as long as the process lives, so that no two run with one id.
    _lock: Option<File>,
}

impl ManagerConfig {
    pub(crate) fn new(args: ManagerArgs) -> anyhow::Result<Self> {
        let identity = Identity::load(args.data_dir.as_deref(), args.name)?;
        let mut nats = ConnectOptions::new(&args.nats_url, &format!("lath manager {}", identity.name));
        nats.credentials = args.creds;
        nats.root_certificates = args.nats_ca;
        nats.domain = args.js_domain;
        let registries = Registries::new(&args.registries, Patience::QUESTION)?;
        Ok(Self {
            lattice: args.lattice,
            nats: nats.in_background(),
            http: args.http,
            ready_file: args.ready_file,
            allow_file_load: args.allow_file_load,
            wadm: !args.no_wadm,
            topics: Topics { control: args.ctl_topic_prefix, wadm: args.api_prefix },
            registries,
            identity,
        })
    }
}

impl Identity {
    fn load(folder: Option<&Path>, name: Option<String>) -> anyhow::Result<Self> {
        let run = ulid::Ulid::generate().to_string();
        let (id, lock) = match folder {
            Some(folder) => {
                let lock = lock(folder)?;
                (kept_id(folder, &run)?, Some(lock))
            }
            None => (run.clone(), None),
        };
        let name = name.unwrap_or_else(|| format!("manager-{}", id.get(20..).unwrap_or(&id).to_lowercase()));
        Ok(Self { id, run, name, _lock: lock })
    }
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    let path = folder.join("manager.lock");
    let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("the data folder {} is in use by another manager", folder.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The id in the folder; `new` becomes it when there is none, or none that can be read.
fn kept_id(folder: &Path, new: &str) -> anyhow::Result<String> {
    let path = folder.join("manager.id");
    if let Ok(text) = std::fs::read_to_string(&path) {
        let text = text.trim();
        if text.parse::<ulid::Ulid>().is_ok() {
            return Ok(text.to_owned());
        }
    }
    write_whole(&path, new.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(new.to_owned())
}

/// Writes a file so that nobody ever sees a part of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xl08_a_manager_keeps_its_id_and_its_folder_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::load(Some(folder.path()), None).unwrap();
        let error = Identity::load(Some(folder.path()), None).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        let (id, run) = (first.id.clone(), first.run.clone());
        drop(first);
        let again = Identity::load(Some(folder.path()), None).unwrap();
        assert_eq!(again.id, id);
        assert_ne!(again.run, run);
    }

    #[test]
    fn a_damaged_id_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manager.id"), "garbage").unwrap();
        let id = Identity::load(Some(folder.path()), None).unwrap().id;
        assert!(id.parse::<ulid::Ulid>().is_ok());
    }
}
