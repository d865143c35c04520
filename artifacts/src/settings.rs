//! How registries are reached: arguments that hosts, managers and commands share, and how long anything is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Certificate;

use crate::reference::{BadReference, RegistryName};

/// Where help shows these arguments.
const HEADING: &str = "Registries";

/// Arguments about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct RegistryArgs {
    /// Registry that is spoken to without TLS; may be given several times.
    #[arg(id = "registry_insecure", long = "registry-insecure", help_heading = HEADING, env = "LATH_REGISTRY_INSECURE", hide_env_values = true)]
    #[arg(value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub insecure: Vec<RegistryName>,
    /// Registry that is asked before another one; may be given several times, also for the same.
    #[arg(id = "registry_mirror", long = "registry-mirror", help_heading = HEADING, env = "LATH_REGISTRY_MIRRORS", hide_env_values = true)]
    #[arg(value_name = "REGISTRY=MIRROR[/PATH]", value_delimiter = ',')]
    pub mirrors: Vec<Mirror>,
    /// Certificates of authorities to trust for registries, as PEM; may be given several times.
    #[arg(id = "registry_ca", long = "registry-ca", help_heading = HEADING, env = "LATH_REGISTRY_CA", hide_env_values = true)]
    #[arg(value_name = "FILE", value_delimiter = ',')]
    pub ca: Vec<PathBuf>,
    /// Docker's configuration, with logins and credential helpers [default: $DOCKER_CONFIG/config.json, ~/.docker/config.json]
    #[arg(id = "registry_auth", long = "registry-auth", help_heading = HEADING, env = "LATH_REGISTRY_AUTH", hide_env_values = true)]
    #[arg(value_name = "FILE")]
    pub auth: Option<PathBuf>,
}

impl RegistryArgs {
    /// The same arguments for a program that is started elsewhere: files are named from the root.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        // A path that cannot be made absolute is refused by whoever opens it.
        let whole =
            |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).into_os_string();
        let insecure = self.insecure.iter().map(|name| ("--registry-insecure", name.as_str().into()));
        let mirrors = self.mirrors.iter().map(|mirror| ("--registry-mirror", mirror.to_string().into()));
        let ca = self.ca.iter().map(|file| ("--registry-ca", whole(file)));
        let auth = self.auth.iter().map(|file| ("--registry-auth", whole(file)));
        let all = insecure.chain(mirrors).chain(ca).chain(auth);
        all.flat_map(|(flag, value): (&str, OsString)| [flag.into(), value]).collect()
    }
}

/// A registry that has what another one has, maybe below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What references name.
    pub of: RegistryName,
    /// What is asked first.
    pub at: RegistryName,
    /// In front of the repository there.
    pub path: Option<Box<str>>,
}

impl FromStr for Mirror {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let wrong = |problem: &str| BadReference::new(text, problem);
        let (of, at) =
            text.split_once('=').ok_or_else(|| wrong("is not a mirror: REGISTRY=MIRROR[/PATH]"))?;
        let (at, path) = at.split_once('/').map_or((at, None), |(at, path)| (at, Some(path)));
        if let Some(path) = path {
            // The grammar of references knows what a repository is.
            format!("{at}/{path}/any")
                .parse::<crate::Reference>()
                .map_err(|_| wrong("has a path that cannot be in front of a repository"))?;
        }
        Ok(Self { of: of.parse()?, at: at.parse()?, path: path.map(Into::into) })
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.of, self.at)?;
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

/// How long anything is waited for, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub idle: Duration,
    /// For all of one operation, with its tries.
    pub total: Duration,
    /// For a credential helper.
    pub helper: Duration,
    /// Before the second try; doubles with each.
    pub pause: Duration,
    /// Longest pause that a registry may ask for; when it wants a longer one, it is told at once.
    pub longest_pause: Duration,
    /// Tries of what may come right within seconds, of the registry itself. A mirror gets one.
    pub tries: u32,
}

impl Patience {
    /// For fetching and pushing code.
    pub const TRANSFER: Self = Self {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(15),
        total: Duration::from_secs(300),
        helper: Duration::from_secs(10),
        pause: Duration::from_millis(250),
        longest_pause: Duration::from_secs(20),
        tries: 3,
    };
    /// For small questions that somebody waits for.
    pub const QUESTION: Self = Self {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(8),
        total: Duration::from_secs(20),
        longest_pause: Duration::from_secs(5),
        ..Self::TRANSFER
    };
}

/// Finished settings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) insecure: BTreeSet<RegistryName>,
    pub(crate) mirrors: BTreeMap<RegistryName, Vec<Mirror>>,
    pub(crate) authorities: Vec<Certificate>,
    /// Where logins and helpers are; nothing when nobody said and there is no home.
    pub(crate) docker_config: Option<PathBuf>,
    pub(crate) patience: Patience,
}

/// Why registries cannot be used with these arguments.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file of authorities cannot be read.
    #[error("--registry-ca {}: {cause}", .file.display())]
    Authority {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A registry is its own mirror.
    #[error("--registry-mirror {0}: a registry cannot be its own mirror")]
    OwnMirror(Mirror),
}

impl Settings {
    pub(crate) fn new(args: &RegistryArgs, patience: Patience) -> Result<Self, SettingsError> {
        let mut mirrors: BTreeMap<_, Vec<Mirror>> = BTreeMap::new();
        for mirror in &args.mirrors {
            if mirror.of == mirror.at {
                return Err(SettingsError::OwnMirror(mirror.clone()));
            }
            mirrors.entry(mirror.of.clone()).or_default().push(mirror.clone());
        }
        let mut authorities = Vec::new();
        for file in &args.ca {
            authorities.append(&mut authorities_in(file)?);
        }
        Ok(Self {
            insecure: args.insecure.iter().cloned().collect(),
            mirrors,
            authorities,
            docker_config: args.auth.clone().or_else(usual_docker_config),
            patience,
        })
    }
}

fn authorities_in(file: &Path) -> Result<Vec<Certificate>, SettingsError> {
    let wrong = |cause: String| SettingsError::Authority { file: file.to_owned(), cause };
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(wrong("it holds no certificate as PEM".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Where Docker keeps its configuration.
fn usual_docker_config() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        registries: RegistryArgs,
    }

    #[test]
    fn flags_have_the_names_that_messages_tell() {
        let line =
            ["lath", "--registry-insecure", "localhost:5000,b.test", "--registry-mirror", "a.test=b.test"];
        let more = ["--registry-ca", "ca.pem", "--registry-auth", "config.json"];
        let parsed = <Line as clap::Parser>::try_parse_from(line.into_iter().chain(more)).unwrap().registries;
        assert_eq!(parsed.insecure.len(), 2);
        assert_eq!((parsed.mirrors.len(), parsed.ca.len()), (1, 1));
        assert_eq!(parsed.auth, Some("config.json".into()));
        let again = std::iter::once("lath".into()).chain(parsed.to_args());
        let again = <Line as clap::Parser>::try_parse_from(again).unwrap().registries;
        assert_eq!((&again.insecure, &again.mirrors), (&parsed.insecure, &parsed.mirrors));
        assert!(again.ca.iter().chain(&again.auth).all(|file| file.is_absolute()));
    }

    #[test]
    fn mirrors_name_both_ends() {
        let mirror: Mirror = "ghcr.io=mirror.test:5000/cache/ghcr".parse().unwrap();
        assert_eq!((mirror.at.as_str(), mirror.path.as_deref()), ("mirror.test:5000", Some("cache/ghcr")));
        assert_eq!(mirror.to_string(), "ghcr.io=mirror.test:5000/cache/ghcr");
        for bad in
            ["ghcr.io", "=m.test", "ghcr.io=", "ghcr.io=m.test/", "ghcr.io=m.test/A", "ghcr.io=https://m"]
        {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
        let own = RegistryArgs { mirrors: vec!["a.test=a.test".parse().unwrap()], ..Default::default() };
        let error = Settings::new(&own, Patience::TRANSFER).unwrap_err();
        assert!(error.to_string().contains("a.test=a.test"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = RegistryArgs { ca: vec![file.path().to_owned()], ..Default::default() };
        let error = Settings::new(&args, Patience::TRANSFER).unwrap_err().to_string();
        assert!(error.contains("--registry-ca") && error.contains("no certificate"), "{error}");
        let args = RegistryArgs { ca: vec!["/nowhere/ca.pem".into()], ..Default::default() };
        assert!(
            Settings::new(&args, Patience::TRANSFER).unwrap_err().to_string().contains("/nowhere/ca.pem")
        );
    }
}
