//! Docker's configuration file: which credentials it has for a registry, and how a login is written into it.
//!
//! Fields that are not about logins are kept as they are.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::credentials::{Credential, Helper};
use crate::reference::RegistryName;

/// Largest configuration that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What the file says about credentials.
#[derive(Debug, Default)]
pub(crate) struct DockerConfig(Map<String, Value>);

/// Where credentials of a registry are.
#[derive(Debug)]
pub(crate) enum Place {
    Helper(Helper),
    File(Credential),
    Nowhere,
}

#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where a login was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the file, readable for its owner alone and not encrypted.
    File(PathBuf),
    /// With a credential helper.
    Helper(String),
}

/// Why a login could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Nobody said where the configuration is, and there is no home.
    #[error("there is no place for logins: neither DOCKER_CONFIG nor HOME is set")]
    NoPlace,
    /// The file cannot be read or written.
    #[error("{}: {cause}", .file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The helper did not take it.
    #[error("{0}")]
    Helper(String),
}

impl DockerConfig {
    /// Reads the file. One that is not there says nothing.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_BYTES => {
                return Err(format!("it has more than {MAX_BYTES} bytes"));
            }
            Ok(_) => std::fs::read(path).map_err(|error| error.to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.to_string()),
        };
        // The parser's own words could quote a secret; the place is enough.
        let wrong = |error: serde_json::Error| {
            format!("it is not a configuration as JSON: see line {}, column {}", error.line(), error.column())
        };
        serde_json::from_slice(&bytes).map(Self).map_err(wrong)
    }

    /// Where the credentials of `registry` are: a helper named for it, the helper for all, the file.
    pub(crate) fn find(&self, registry: &RegistryName) -> Result<Place, String> {
        let key = registry.credential_key();
        match self.helper(registry)? {
            Some(helper) => Ok(Place::Helper(helper)),
            None => self.login(key).map(|found| found.map_or(Place::Nowhere, Place::File)),
        }
    }

    fn helper(&self, registry: &RegistryName) -> Result<Option<Helper>, String> {
        let helpers = self.0.get("credHelpers").and_then(Value::as_object);
        let own = helpers.and_then(|helpers| {
            helpers.get(registry.credential_key()).or_else(|| helpers.get(registry.as_str()))
        });
        let name = own.or_else(|| self.0.get("credsStore")).and_then(Value::as_str);
        name.filter(|name| !name.is_empty()).map(Helper::new).transpose()
    }

    /// What the file itself has for a key, however the key was written.
    pub(crate) fn login(&self, key: &str) -> Result<Option<Credential>, String> {
        let Some(logins) = self.0.get("auths").and_then(Value::as_object) else { return Ok(None) };
        let found = logins
            .get(key)
            .or_else(|| logins.iter().find(|(other, _)| bare(other) == bare(key)).map(|(_, login)| login));
        let Some(login) = found else { return Ok(None) };
        let login = Login::deserialize(login)
            .map_err(|_| format!("the login of {} is not an object of texts", bare(key)))?;
        login.credential().map_err(|problem| format!("the login of {} {problem}", bare(key)))
    }

    /// The file's content with a login of `registry`, or what holds it instead.
    fn with(mut self, registry: &RegistryName, credential: &Credential) -> Result<Self, String> {
        let Credential::Basic { user, secret } = credential else {
            return Err("only a user and a password can be kept".to_owned());
        };
        let auth = STANDARD.encode(format!("{user}:{}", secret.reveal()));
        let logins = self.0.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        let logins = logins.as_object_mut().ok_or("`auths` is not an object")?;
        logins.insert(registry.credential_key().to_owned(), serde_json::json!({ "auth": auth }));
        Ok(self)
    }

    /// Keeps a login where Docker would: with the helper that the file names for the registry, else in the file.
    pub(crate) async fn keep(
        path: &Path,
        registry: &RegistryName,
        credential: &Credential,
        patience: std::time::Duration,
    ) -> Result<Kept, LoginError> {
        let wrong = |cause: String| LoginError::File { file: path.to_owned(), cause };
        let config = Self::read(path).map_err(wrong)?;
        if let Some(helper) = config.helper(registry).map_err(wrong)? {
            helper.store(registry, credential, patience).await.map_err(LoginError::Helper)?;
            return Ok(Kept::Helper(helper.program()));
        }
        let config = config.with(registry, credential).map_err(wrong)?;
        let text = serde_json::to_vec_pretty(&config.0).map_err(|error| wrong(error.to_string()))?;
        write(path, &text).map_err(|error| wrong(error.to_string()))?;
        Ok(Kept::File(path.to_owned()))
    }
}

/// Writes the file so that nobody ever sees a part of it, and nobody else its content.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().ok_or(std::io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
    beside.write_all(text)?;
    beside.as_file().sync_all()?;
    beside.persist(path).map(drop).map_err(|error| error.error)
}

impl Login {
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.registrytoken) {
            return Ok(Some(Credential::registry_token(token)));
        }
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credential::identity_token(token)));
        }
        if let Some(auth) = given(self.auth) {
            let bytes = STANDARD.decode(auth.trim()).map_err(|_| "is not written as base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "is not text")?;
            let (user, secret) = text.split_once(':').ok_or("has no `:` between user and password")?;
            return Ok(Some(Credential::basic(user, secret.trim_end_matches('\0'))));
        }
        match (given(self.username), given(self.password)) {
            (Some(user), Some(secret)) => Ok(Some(Credential::basic(user, secret))),
            (Some(_) | None, _) => Ok(None),
        }
    }
}

/// A key of `auths` without scheme and path, which older tools wrote.
fn bare(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn registry(name: &str) -> RegistryName {
        name.parse().unwrap()
    }

    fn found(text: &str, name: &str) -> Place {
        let (_folder, path) = config(text);
        DockerConfig::read(&path).unwrap().find(&registry(name)).unwrap()
    }

    #[test]
    fn logins_are_found_however_the_key_was_written() {
        let auth = STANDARD.encode("me:pass:word");
        for key in ["r.test:5000", "https://r.test:5000", "https://r.test:5000/v2/", "http://r.test:5000"] {
            let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}}}}"#);
            let Place::File(credential) = found(&text, "r.test:5000") else { panic!("{key}") };
            assert_eq!(credential, Credential::basic("me", "pass:word"));
        }
        let text = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#);
        assert!(matches!(found(&text, "docker.io"), Place::File(_)));
        assert!(matches!(found(&text, "ghcr.io"), Place::Nowhere));
        assert!(matches!(found("{}", "ghcr.io"), Place::Nowhere));
        // What Docker leaves beside a helper.
        assert!(matches!(found(r#"{"auths":{"ghcr.io":{}}}"#, "ghcr.io"), Place::Nowhere));
    }

    #[test]
    fn a_helper_for_the_registry_goes_before_the_helper_for_all() {
        let text = r#"{"credsStore":"all","credHelpers":{"ghcr.io":"own"},"auths":{"ghcr.io":{}}}"#;
        let Place::Helper(helper) = found(text, "ghcr.io") else { panic!("no helper") };
        assert_eq!(helper.program(), "docker-credential-own");
        let Place::Helper(helper) = found(text, "quay.io") else { panic!("no helper") };
        assert_eq!(helper.program(), "docker-credential-all");
    }

    #[test]
    fn a_damaged_file_is_refused_without_its_secrets() {
        let wrong = [
            r#"{"auths":{"ghcr.io":{"auth":"hunter2"#,
            r#"["hunter2"]"#,
            r#"{"auths":{"ghcr.io":{"auth":"hunter2!"}}}"#,
            r#"{"auths":{"ghcr.io":{"auth":["hunter2"]}}}"#,
            r#"{"credHelpers":{"ghcr.io":"../hunter2"}}"#,
        ];
        for text in wrong {
            let (_folder, path) = config(text);
            let error =
                DockerConfig::read(&path).and_then(|config| config.find(&registry("ghcr.io"))).unwrap_err();
            assert!(!error.contains("hunter2!") && !error.contains("\"hunter2"), "{error}");
        }
        assert!(
            matches!(DockerConfig::read(Path::new("/nowhere/config.json")), Ok(config) if config.0.is_empty())
        );
    }

    #[tokio::test]
    async fn a_login_leaves_the_rest_of_the_file_and_is_for_its_owner_alone() {
        let (_folder, path) = config(r#"{"proxies":{"default":{}},"auths":{"quay.io":{"auth":"YTpi"}}}"#);
        let credential = Credential::basic("me", "hunter2");
        let patience = std::time::Duration::from_secs(1);
        let kept = DockerConfig::keep(&path, &registry("ghcr.io"), &credential, patience).await.unwrap();
        assert_eq!(kept, Kept::File(path.clone()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let config = DockerConfig::read(&path).unwrap();
        assert!(config.0.contains_key("proxies"));
        assert_eq!(config.login("quay.io").unwrap(), Some(Credential::basic("a", "b")));
        assert_eq!(config.login("ghcr.io").unwrap(), Some(credential));
    }
}
