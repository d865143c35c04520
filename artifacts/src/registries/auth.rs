//! Answering a challenge: by a password, or by a token for one repository and one action.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::address::{Endpoint, is_own_domain};
use super::challenge::{Challenge, challenge};
use super::wire::Request;
use super::{Registries, body};
use crate::credentials::Credential;
use crate::fault::{Fault, RegistryError};
use crate::manifest::shown;

/// Largest answer with a token, in bytes.
const MAX_TOKEN: u64 = 64 << 10;
/// How long a token is good when its giver does not say: what the token specification has.
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// Longest time that anything is shown again without asking.
const LONGEST_LIFE: Duration = Duration::from_secs(3_600);
/// Most authorizations that are kept; beyond it they are asked for again.
const MOST_KEPT: usize = 1_024;

/// What is to be done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Pull,
    Push,
}

/// Authorizations that were good a moment ago.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<Key, (HeaderValue, Instant)>>);

type Key = (String, String, Action);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(super) fn known(&self, endpoint: &Endpoint, action: Action) -> Option<HeaderValue> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = kept.get(&key(endpoint, action))?;
        (Instant::now() < *until).then(|| value.clone())
    }

    fn keep(&self, endpoint: &Endpoint, action: Action, value: HeaderValue, life: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|_, (_, until)| now < *until);
        if kept.len() < MOST_KEPT {
            // A little less, so that it is not refused on its way.
            kept.insert(key(endpoint, action), (value, now + life.min(LONGEST_LIFE).mul_f32(0.9)));
        }
    }
}

fn key(endpoint: &Endpoint, action: Action) -> Key {
    (endpoint.registry.to_string(), endpoint.repository().to_owned(), action)
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registries {
    /// What to show after `refusal`, made of `credential` or of nothing.
    pub(super) async fn authorise(
        &self,
        endpoint: &Endpoint,
        action: Action,
        refusal: &Response,
        credential: Option<&Credential>,
    ) -> Result<HeaderValue, RegistryError> {
        let (value, life) = match (challenge(refusal.headers()), credential) {
            (None, _) => return Err(denied(endpoint, "refuses, and does not say what it wants")),
            (Some(_), Some(Credential::RegistryToken(token))) => {
                (secret(&format!("Bearer {}", token.reveal()))?, LONGEST_LIFE)
            }
            (Some(Challenge::Basic), Some(Credential::Basic { user, secret: password })) => {
                (basic(user, password.reveal())?, LONGEST_LIFE)
            }
            (Some(Challenge::Basic), None) => return Err(no_login(endpoint)),
            (Some(Challenge::Basic), Some(Credential::IdentityToken(_))) => {
                return Err(denied(endpoint, "wants a password, and the login is a token"));
            }
            (Some(Challenge::Bearer { realm, service }), credential) => {
                self.token(endpoint, action, (&realm, service.as_deref()), credential).await?
            }
        };
        self.inner.tokens.keep(endpoint, action, value.clone(), life);
        Ok(value)
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        action: Action,
        (realm, service): (&str, Option<&str>),
        credential: Option<&Credential>,
    ) -> Result<(HeaderValue, Duration), RegistryError> {
        let url: Url = realm.parse().map_err(|_| {
            denied(endpoint, format!("gives out tokens at `{}`, which is no address", shown(realm)))
        })?;
        let host = url.host_str().unwrap_or_default();
        if credential.is_some() && !is_own_domain(&endpoint.registry, host) {
            let why = format!("gives out tokens at {}, and its credentials are not shown there", shown(host));
            return Err(denied(endpoint, why)
                .with_help("name the registry by a host of the domain that gives out its tokens"));
        }
        let (request, authorization) = ask_for_token(endpoint, action, url, service, credential)?;
        let response = self.wire()?.ask(endpoint, &request, authorization.as_ref()).await?;
        let response = body::judge(endpoint, response).await.map_err(|error| match error.fault {
            Fault::Denied if credential.is_none() => no_login(endpoint),
            _ => error.at("token"),
        })?;
        let bytes = body::bounded(response, MAX_TOKEN, self.idle()).await?;
        let wrong =
            || RegistryError::new(Fault::Failed, format!("{endpoint}: what gives out its tokens gave none"));
        let given: Given = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let token = given.token.or(given.access_token).filter(|token| !token.is_empty()).ok_or_else(wrong)?;
        let life = given.expires_in.map_or(USUAL_LIFE, Duration::from_secs);
        Ok((secret(&format!("Bearer {token}"))?, life))
    }
}

/// The question for a token: by `GET` with a password or without, by `POST` with an identity token.
fn ask_for_token(
    endpoint: &Endpoint,
    action: Action,
    mut url: Url,
    service: Option<&str>,
    credential: Option<&Credential>,
) -> Result<(Request, Option<HeaderValue>), RegistryError> {
    let actions = match action {
        Action::Pull => "pull",
        Action::Push => "pull,push",
    };
    let repository = endpoint.repository();
    let mut fields: Vec<(&str, String)> = Vec::new();
    fields.extend(service.map(|service| ("service", service.to_owned())));
    if !repository.is_empty() {
        fields.push(("scope", format!("repository:{repository}:{actions}")));
    }
    match credential {
        Some(Credential::IdentityToken(token)) => {
            fields.push(("grant_type", "refresh_token".to_owned()));
            fields.push(("client_id", "lath".to_owned()));
            fields.push(("refresh_token", token.reveal().to_owned()));
            let mut form = url.clone();
            form.query_pairs_mut().clear().extend_pairs(fields);
            let body = form.query().unwrap_or_default().to_owned();
            let request = Request::get(url)
                .by(Method::POST)
                .with(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .carrying(body.into());
            Ok((request, None))
        }
        other => {
            url.query_pairs_mut().extend_pairs(fields);
            let authorization = match other {
                Some(Credential::Basic { user, secret }) => Some(basic(user, secret.reveal())?),
                Some(Credential::IdentityToken(_) | Credential::RegistryToken(_)) | None => None,
            };
            Ok((Request::get(url), authorization))
        }
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, RegistryError> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// A header's value that is never shown.
fn secret(text: &str) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        RegistryError::new(Fault::Credentials, "a token has characters that no header can have")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn denied(endpoint: &Endpoint, why: impl fmt::Display) -> RegistryError {
    RegistryError::new(Fault::Denied, format!("{endpoint} {why}"))
}

fn no_login(endpoint: &Endpoint) -> RegistryError {
    denied(endpoint, "wants a login, and none is configured")
        .with_help(format!("log in: lath login {}", endpoint.registry))
}
