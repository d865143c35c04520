//! The backend `file`: each secret is a file of a folder of this host.
//!
//! The key is a path below the folder, in plain names. With a field, the file is a JSON object of texts.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use lath_control_api::SecretRef;
use lath_wasmcloud::SecretValue;

use super::MAX_BYTES;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Files(Arc<Path>);

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder.into())
    }

    /// The value of a secret, or why there is none, in words without it.
    pub(super) async fn get(&self, secret: &SecretRef) -> Result<SecretValue, String> {
        if secret.version.is_some() {
            return Err("files have no versions; leave `version` out".to_owned());
        }
        let path = self.path(&secret.key)?;
        let field = secret.field.clone();
        let read = move || read(&path).and_then(|bytes| value(bytes, field.as_deref()));
        tokio::task::spawn_blocking(read).await.map_err(|_| "the host is stopping".to_owned())?
    }

    fn path(&self, key: &str) -> Result<PathBuf, String> {
        let relative = Path::new(key);
        let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if key.is_empty() || !plain {
            return Err(format!("`{}` is no path of plain names below --secrets-dir", shown(key)));
        }
        Ok(self.0.join(relative))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let metadata: Metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    if metadata.permissions().mode() & 0o007 != 0 {
        let path = path.display();
        return Err(format!("every user of the machine may use {path}; run `chmod o-rwx {path}`"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Text where it is text, without the line feed that editors put at the end; else bytes.
fn value(bytes: Vec<u8>, field: Option<&str>) -> Result<SecretValue, String> {
    if let Some(field) = field {
        let no_object = || "it is no JSON object, and a field of it is asked for".to_owned();
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&bytes).map_err(|_| no_object())?;
        return match object.get(field) {
            Some(serde_json::Value::String(text)) => Ok(SecretValue::String(text.clone())),
            Some(_) => Err(format!("its field `{}` is no text", shown(field))),
            None => Err(format!("it has no field `{}`", shown(field))),
        };
    }
    Ok(match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            SecretValue::String(text)
        }
        Err(no_text) => SecretValue::Bytes(no_text.into_bytes()),
    })
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn secret(key: &str, field: Option<&str>) -> SecretRef {
        SecretRef {
            name: "password".into(),
            backend: "file".into(),
            key: key.into(),
            field: field.map(str::to_owned),
            version: None,
            properties: std::collections::BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn a_file_is_a_secret_and_nothing_outside_of_the_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8], mode: u32| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("db/password", b"hush\n", 0o600);
        put("key", &[0xff, 0], 0o640);
        put("both.json", br#"{"user":"ann","n":1}"#, 0o600);
        put("open", b"hush", 0o644);
        let files = Files::new(folder.path().to_owned());
        let get = |key: &str, field: Option<&str>| {
            let (files, secret) = (files.clone(), secret(key, field));
            async move { files.get(&secret).await }
        };
        assert_eq!(get("db/password", None).await.unwrap(), SecretValue::String("hush".into()));
        assert_eq!(get("key", None).await.unwrap(), SecretValue::Bytes(vec![0xff, 0]));
        assert_eq!(get("both.json", Some("user")).await.unwrap(), SecretValue::String("ann".into()));
        for (key, field, word) in [
            ("open", None, "chmod"),
            ("nothing", None, "No such file"),
            ("db", None, "is no file"),
            ("../key", None, "plain names"),
            ("/etc/hostname", None, "plain names"),
            ("", None, "plain names"),
            ("both.json", Some("n"), "no text"),
            ("both.json", Some("x"), "no field"),
            ("db/password", Some("x"), "no JSON"),
        ] {
            let error = get(key, field).await.unwrap_err();
            assert!(error.contains(word) && !error.contains("hush"), "{key}: {error}");
        }
    }
}
