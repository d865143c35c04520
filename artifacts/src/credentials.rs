//! Credentials, and the helper programs that keep them. No secret can be printed by accident: nothing here shows one.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::reference::RegistryName;

/// Most that a helper may write, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
/// How helpers say that they have none; Docker's own tools compare the same text.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user of credentials that are a token.
const TOKEN_USER: &str = "<token>";

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a registry is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password or an access token.
    Basic {
        /// Name of the user.
        user: String,
        /// Password or access token.
        secret: Secret,
    },
    /// A token that is exchanged for others.
    IdentityToken(Secret),
    /// A token that is shown as it is.
    RegistryToken(Secret),
}

impl Credential {
    /// A user with a password or an access token.
    #[must_use]
    pub fn basic(user: impl Into<String>, secret: impl Into<Box<str>>) -> Self {
        Self::Basic { user: user.into(), secret: Secret(secret.into()) }
    }

    pub(crate) fn identity_token(token: impl Into<Box<str>>) -> Self {
        Self::IdentityToken(Secret(token.into()))
    }

    pub(crate) fn registry_token(token: impl Into<Box<str>>) -> Self {
        Self::RegistryToken(Secret(token.into()))
    }
}

/// A program that keeps credentials: `docker-credential-NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Helper(Box<str>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helper {
    /// The helper with this name.
    ///
    /// # Errors
    /// When it is a path or otherwise no name.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() <= 64 && name.chars().all(fits) {
            Ok(Self(name.into()))
        } else {
            Err("names a credential helper with other characters than letters, digits, `-`, `_`, `.`"
                .to_owned())
        }
    }

    /// What is run.
    pub(crate) fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }

    /// The credentials of a registry, if it has some.
    ///
    /// # Errors
    /// What went wrong, in words without what the helper wrote.
    pub(crate) async fn get(
        &self,
        registry: &RegistryName,
        patience: Duration,
    ) -> Result<Option<Credential>, String> {
        let key = registry.credential_key();
        let (good, written) = self.run("get", key.as_bytes(), patience).await?;
        if !good {
            let none = String::from_utf8_lossy(&written).trim() == NOT_FOUND;
            return if none { Ok(None) } else { Err(self.failed("get", key)) };
        }
        let answer: Answer = serde_json::from_slice(&written)
            .map_err(|_| format!("{} wrote something else than credentials", self.program()))?;
        Ok(match (answer.username.as_str(), answer.secret) {
            (_, secret) if secret.is_empty() => None,
            (TOKEN_USER, secret) => Some(Credential::identity_token(secret)),
            (_, secret) => Some(Credential::basic(answer.username, secret)),
        })
    }

    /// Has credentials kept.
    pub(crate) async fn store(
        &self,
        registry: &RegistryName,
        credential: &Credential,
        patience: Duration,
    ) -> Result<(), String> {
        let key = registry.credential_key();
        let Credential::Basic { user, secret } = credential else {
            return Err("only a user and a password can be kept".to_owned());
        };
        let entry = serde_json::json!({ "ServerURL": key, "Username": user, "Secret": secret.reveal() });
        let (good, _) = self.run("store", entry.to_string().as_bytes(), patience).await?;
        if good { Ok(()) } else { Err(self.failed("store", key)) }
    }

    /// Runs the program; whether it ended well, and what it wrote.
    async fn run(&self, verb: &str, input: &[u8], patience: Duration) -> Result<(bool, Vec<u8>), String> {
        let program = self.program();
        let mut child = Command::new(&program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the credential helper {program} cannot be run: {error}"))?;
        let talk = async {
            if let Some(mut stdin) = child.stdin.take() {
                // A helper that does not read its input still may answer.
                let _unread = stdin.write_all(input).await;
            }
            let mut written = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                stdout.take(MAX_ANSWER).read_to_end(&mut written).await?;
            }
            child.wait().await.map(|status| (status.success(), written))
        };
        match tokio::time::timeout(patience, talk).await {
            Ok(ended) => ended.map_err(|error| format!("{program} cannot be read: {error}")),
            Err(_) => Err(format!("{program} did not end within {} s", patience.as_secs_f32())),
        }
    }

    fn failed(&self, verb: &str, key: &str) -> String {
        format!("{0} failed; try it by hand: echo {key} | {0} {verb}", self.program())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credential::basic("me", "hunter2"));
        assert!(shown.contains("me") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_helper_is_a_name_and_never_a_path() {
        assert!(Helper::new("ecr-login").is_ok());
        for bad in ["../evil", "a/b", "a b", "a;b"] {
            assert!(Helper::new(bad).is_err(), "{bad}");
        }
    }
}
