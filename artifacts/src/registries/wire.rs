//! Single requests: connections, redirects, and what a failed one means.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Method, Response, Url, redirect};

use super::address::{Endpoint, OrdinaryAddresses, Reach, onward};
use crate::fault::{Fault, RegistryError};
use crate::reference::RegistryName;
use crate::settings::{Patience, Settings};

/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 3;

/// Bodies above this many bytes have all the time that an operation has, smaller ones what a question has.
const SMALL_BODY: usize = 1 << 20;

/// The connections, and the rules for them.
#[derive(Debug)]
pub(super) struct Wire {
    named: Client,
    elsewhere: Client,
    insecure: BTreeSet<RegistryName>,
    patience: Patience,
}

/// One request. It can be sent several times.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Request {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None }
    }

    pub(super) fn by(self, method: Method) -> Self {
        Self { method, ..self }
    }

    pub(super) fn accepting(self, types: &'static str) -> Self {
        self.with(ACCEPT, types)
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub(super) fn carrying(self, body: Bytes) -> Self {
        Self { body: Some(body), ..self }
    }
}

impl Wire {
    pub(super) fn new(settings: &Settings) -> Result<Self, RegistryError> {
        // Refused only when the program has chosen it before.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let unusable = |error: reqwest::Error| {
            let message = format!("connections to registries cannot be set up: {}", causes(&error));
            RegistryError::new(Fault::Unreachable, message).with_help("install the system's certificates")
        };
        let elsewhere = client(settings, |builder| builder.dns_resolver(OrdinaryAddresses));
        Ok(Self {
            named: client(settings, |builder| builder).map_err(unusable)?,
            elsewhere: elsewhere.map_err(unusable)?,
            insecure: settings.insecure.clone(),
            patience: settings.patience,
        })
    }

    /// Sends a request to a registry itself. `authorization` is shown there and nowhere else.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request = request.clone();
        for _ in 0..=MOST_REDIRECTS {
            let own = endpoint.holds(&request.url);
            let reach = onward(endpoint, &request.url, &self.insecure)?;
            let response = self.once(endpoint, &request, authorization.filter(|_| own), reach).await?;
            let onward = is_redirect(&request, &response).then(|| next(endpoint, &request, &response));
            match onward {
                Some(url) => request.url = url?,
                None => return Ok(response),
            }
        }
        let message = format!("{endpoint} sends its clients on more than {MOST_REDIRECTS} times");
        Err(RegistryError::new(Fault::Failed, message))
    }

    /// Asks where tokens are given out. Whether `authorization` may be shown there is decided before.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let reach = onward(endpoint, &request.url, &self.insecure)?;
        self.once(endpoint, request, authorization, reach).await
    }

    async fn once(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        authorization: Option<&HeaderValue>,
        reach: Reach,
    ) -> Result<Response, RegistryError> {
        let client = match reach {
            Reach::Named => &self.named,
            Reach::Elsewhere => &self.elsewhere,
        };
        let mut builder = client.request(request.method.clone(), request.url.clone());
        builder = builder.headers(request.headers.clone());
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let patience = match &request.body {
            Some(body) if body.len() > SMALL_BODY => self.patience.total,
            Some(_) | None => self.patience.idle.max(self.patience.connect),
        };
        match tokio::time::timeout(patience, builder.send()).await {
            Ok(answer) => answer.map_err(|error| broken(endpoint, &request.url, &error)),
            Err(_) => {
                let message = format!("{endpoint} did not answer within {} s", patience.as_secs_f32());
                Err(RegistryError::new(Fault::TooSlow, message))
            }
        }
    }
}

fn client(
    settings: &Settings,
    more: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, reqwest::Error> {
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("lath/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // Tries are counted in one place, and not here.
            .retry(reqwest::retry::never())
            .connect_timeout(settings.patience.connect);
        more(builder)
    };
    let system_and_own = builder().tls_certs_merge(settings.authorities.clone()).build();
    // A machine without certificates of its own still reaches registries that need none of them.
    system_and_own.or_else(|_| builder().tls_certs_only(settings.authorities.clone()).build())
}

fn is_redirect(request: &Request, response: &Response) -> bool {
    let follows = matches!(request.method, Method::GET | Method::HEAD);
    follows && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn next(endpoint: &Endpoint, request: &Request, response: &Response) -> Result<Url, RegistryError> {
    let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
    to.and_then(|to| request.url.join(to).ok()).ok_or_else(|| {
        let message = format!("{endpoint} sends its clients on and does not say where");
        RegistryError::new(Fault::Failed, message)
    })
}

/// What a request without an answer means. Addresses are not shown whole: theirs may hold a signature.
fn broken(endpoint: &Endpoint, url: &Url, error: &reqwest::Error) -> RegistryError {
    let host = url.host_str().unwrap_or_default();
    let place = if endpoint.holds(url) { endpoint.to_string() } else { format!("{endpoint}, at {host}") };
    if let Some(tls) = tls_error(error) {
        return untrusted(endpoint, &place, tls);
    }
    let message = format!("{place}: {}", causes(error));
    if error.is_connect() || error.is_timeout() || error.is_builder() {
        RegistryError::new(Fault::Unreachable, message)
    } else {
        RegistryError::new(Fault::CutShort, message)
    }
}

fn untrusted(endpoint: &Endpoint, place: &str, error: &rustls::Error) -> RegistryError {
    let found = RegistryError::new(Fault::Untrusted, format!("{place}: {error}"));
    match error {
        rustls::Error::InvalidMessage(_) => found.with_help(format!(
            "if it speaks HTTP without TLS and that is wanted, say so: --registry-insecure {}",
            endpoint.registry
        )),
        _ => found,
    }
}

/// The TLS failure in an error, which is wrapped in others more than once.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(one) = next {
        if let Some(tls) = one.downcast_ref() {
            return Some(tls);
        }
        // The source of an IO error is that of what it wraps, not what it wraps.
        next = match one.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => one.source(),
        };
    }
    None
}

/// The words of everything below `error`, the outermost first, each once and without addresses.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(one) = next {
        let text = one.to_string();
        if !words.iter().any(|before| before.contains(&text)) {
            words.push(text);
        }
        next = one.source();
    }
    if words.is_empty() { "it broke off".to_owned() } else { words.join(": ") }
}
