//! Logins that are given while the process runs, as tools of wasmCloud 1.x do. They are kept in memory alone.

use std::sync::PoisonError;

use super::Registries;
use crate::credentials::Credential;
use crate::reference::RegistryName;

/// Most registries that logins are kept of.
const MOST: usize = 1_024;

/// A login that was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// With a password: a user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Given>,
    /// In place of both.
    pub token: Option<Given>,
}

/// A password or token. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Given(pub String);

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Registries {
    /// Takes logins in, each in place of what its registry had. One that is neither a user with a password nor a token
    /// takes the registry's login away. All are taken, or none.
    ///
    /// # Errors
    /// Names the registry that is none, or says that there are too many.
    pub fn put_logins(&self, given: impl IntoIterator<Item = (String, Login)>) -> Result<(), String> {
        let mut named: Vec<(RegistryName, Option<Credential>)> = Vec::new();
        for (registry, login) in given {
            let name = registry.parse().map_err(|error: crate::BadReference| error.to_string())?;
            named.push((name, credential(login)));
        }
        let mut kept = self.inner.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = kept.clone();
        for (registry, credential) in named {
            match credential {
                Some(credential) => drop(next.insert(registry, credential)),
                None => drop(next.remove(&registry)),
            }
        }
        if next.len() > MOST {
            return Err(format!("logins of {} registries; {MOST} are kept at most", next.len()));
        }
        *kept = next;
        Ok(())
    }
}

fn credential(login: Login) -> Option<Credential> {
    match login {
        Login { user: Some(user), password: Some(Given(password)), .. } => {
            Some(Credential::basic(user, password))
        }
        Login { user: None, password: None, token: Some(Given(token)) } => {
            Some(Credential::registry_token(token))
        }
        Login { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Patience, RegistryArgs};

    fn login(user: &str, password: &str) -> Login {
        Login { user: Some(user.to_owned()), password: Some(Given(password.to_owned())), token: None }
    }

    #[tokio::test]
    async fn logins_are_taken_all_or_none_and_are_not_shown() {
        let args = RegistryArgs { auth: Some("/nowhere/config.json".into()), ..Default::default() };
        let registries = Registries::new(&args, Patience::QUESTION).unwrap();
        let registry: RegistryName = "r.test:5000".parse().unwrap();
        registries.put_logins([("r.test:5000".to_owned(), login("me", "hunter2"))]).unwrap();
        let found = registries.credential(&registry).await.unwrap();
        assert_eq!(found, Some(Credential::basic("me", "hunter2")));
        assert!(!format!("{:?}", login("me", "hunter2")).contains("hunter2"));
        let wrong = [("r.test:5000".to_owned(), login("you", "x")), ("a b".to_owned(), login("you", "x"))];
        assert!(registries.put_logins(wrong).unwrap_err().contains("a b"));
        assert_eq!(registries.credential(&registry).await.unwrap(), found);
        registries.put_logins([("r.test:5000".to_owned(), Login::default())]).unwrap();
        assert_eq!(registries.credential(&registry).await.unwrap(), None);
    }
}
