//! The way to a lattice: which server and why that one, the connection, and requests whose failures say what to do.
//!
//! Nothing is printed and no state is kept here. A password in a URL never gets into a message.

use std::fmt;
use std::time::Duration;

use lath_control_api::{AppVerb, ErrorCode, LatticeId};
use lath_control_api_client::{
    ConnectError, ConnectOptions, Connection, ControlClient, DOMAIN_VARIABLE, DomainError, JetStreamDomain,
    Patience, RequestError, connect,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::GlobalArgs;
use crate::call::Call;
use crate::failure::{Exit, Failure};

/// Server that is used when nothing names one.
pub(crate) const DEFAULT_URL: &str = "nats://127.0.0.1:4222";
/// A server of this machine or network answers far sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Where a setting came from, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of the command.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
    /// Nothing was said.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "from {flag}"),
            Self::Variable(name) => write!(f, "from the environment variable {name}"),
            Self::Default => f.write_str("the default; --server or LATH_SERVER name another"),
        }
    }
}

/// Which lattice on which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The lattice.
    pub(crate) lattice: LatticeId,
    /// NATS servers, separated by commas.
    pub(crate) url: String,
    /// Who said so.
    pub(crate) origin: Origin,
}

impl Target {
    /// The target of this call, from flags and environment.
    pub(crate) fn choose(global: &GlobalArgs, env: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let set = &|name: &str| env(name).filter(|value| !value.is_empty());
        let (url, origin) = match &global.server {
            Some(url) => (url.clone(), Origin::Flag("--server")),
            None => server_of(set),
        };
        Ok(Self { lattice: lattice(global, set)?, url, origin })
    }

    /// The server without user and password.
    pub(crate) fn shown_url(&self) -> String {
        self.url.split(',').map(|url| without_user(url.trim())).collect::<Vec<_>>().join(",")
    }
}

/// A URL without user and password, for messages.
pub(crate) fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (_, None) => url.to_owned(),
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
    }
}

/// The lattice of this call; `default` when nothing names one.
pub(crate) fn lattice(
    global: &GlobalArgs,
    env: impl Fn(&str) -> Option<String>,
) -> Result<LatticeId, Failure> {
    match (&global.lattice, env("WASMCLOUD_LATTICE").filter(|name| !name.is_empty())) {
        (Some(lattice), _) => Ok(lattice.clone()),
        (None, Some(name)) => Ok(name
            .parse()
            .map_err(|error| Failure::from(error).note("from the environment variable WASMCLOUD_LATTICE"))?),
        (None, None) => Ok("default".parse()?),
    }
}

fn server_of(set: impl Fn(&str) -> Option<String>) -> (String, Origin) {
    for name in ["LATH_SERVER", "LATH_NATS_URL", "NATS_URL"] {
        if let Some(url) = set(name) {
            return (url, Origin::Variable(name));
        }
    }
    match set("WASMCLOUD_CTL_HOST") {
        Some(host) => {
            let port = set("WASMCLOUD_CTL_PORT").unwrap_or_else(|| "4222".into());
            (format!("nats://{host}:{port}"), Origin::Variable("WASMCLOUD_CTL_HOST"))
        }
        None => (DEFAULT_URL.into(), Origin::Default),
    }
}

/// A lattice that can be talked to.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Where it is.
    pub(crate) target: Target,
    /// Requests and events.
    pub(crate) control: ControlClient,
    /// Longest wait for one answer.
    pub(crate) patience: Duration,
}

impl Session {
    /// Connects, or says what was tried.
    pub(crate) async fn open(global: &GlobalArgs, target: Target) -> Result<Self, Failure> {
        let mut options = ConnectOptions::new(&target.url, "lath");
        options.credentials.clone_from(&global.creds);
        options.domain = Call::env(DOMAIN_VARIABLE).as_deref().map(domain).transpose()?;
        options.patience = Patience::FailFast(CONNECT_WITHIN.min(global.request_timeout));
        match connect(options).await {
            Ok(connection) => Ok(Self::over(connection, target, global.request_timeout)),
            Err(error) => Err(no_server(&target, &error)),
        }
    }

    fn over(connection: Connection, target: Target, patience: Duration) -> Self {
        let control = ControlClient::new(connection, target.lattice.clone());
        Self { target, control, patience }
    }

    /// Asks the managers.
    pub(crate) async fn ask<Q, A>(&self, verb: AppVerb, ask: &Q) -> Result<A, Failure>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        self.within(verb, ask, self.patience).await
    }

    /// Asks the managers for a change: a few writes to the store, each of which may be tried again.
    pub(crate) async fn change<Q, A>(&self, verb: AppVerb, ask: &Q) -> Result<A, Failure>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        self.within(verb, ask, self.patience * 3).await
    }

    /// Asks the managers for something that others must be asked for first, for which there is `more` time.
    pub(crate) async fn change_within<Q, A>(
        &self,
        verb: AppVerb,
        ask: &Q,
        more: Duration,
    ) -> Result<A, Failure>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        self.within(verb, ask, self.patience * 3 + more).await
    }

    async fn within<Q, A>(&self, verb: AppVerb, ask: &Q, patience: Duration) -> Result<A, Failure>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let subject = self.control.subjects().app(verb);
        let answer = self.control.request(&subject, ask, patience).await;
        answer.map_err(|error| self.failed(error))
    }

    /// The failure of a request to the managers, with what to do.
    pub(crate) fn failed(&self, error: RequestError) -> Failure {
        let lattice = &self.target.lattice;
        match error {
            RequestError::Refused(refusal) => Failure::from(*refusal),
            RequestError::NoResponders { .. } => {
                Failure::coded(ErrorCode::NoManager, format!("nobody manages lattice `{lattice}`"))
                    .note(self.connected())
                    .help(format!(
                        "start a manager with `lath manager --lattice {lattice}`, a whole lattice with `lath up -d`, or name another lattice with --lattice"
                    ))
            }
            RequestError::TimedOut { waited, .. } => Failure::coded(
                ErrorCode::Unreachable,
                format!("the manager of lattice `{lattice}` did not answer within {} ms", waited.as_millis()),
            )
            .note(self.connected())
            .help("ask again (asking twice is harmless), or see `lath doctor`"),
            RequestError::Disconnected { last } => {
                let failure = Failure::coded(ErrorCode::Unreachable, "the connection to NATS was lost")
                    .note(self.connected())
                    .help("see `lath doctor`");
                match last {
                    Some(last) => failure.note(last),
                    None => failure,
                }
            }
            RequestError::TooLarge { .. } => Failure::coded(ErrorCode::TooLarge, error.to_string()),
            RequestError::Malformed { .. } => Failure::coded(ErrorCode::Internal, error.to_string())
                .help("compare the versions with `lath doctor`"),
            RequestError::Unsteady { .. } | RequestError::Nats(_) => {
                Failure::coded(ErrorCode::Unreachable, error.to_string()).note(self.connected())
            }
        }
    }

    /// The failure of a request to one host, with what to do.
    pub(crate) fn failed_host(&self, error: RequestError, name: &str) -> Failure {
        let silent = |cause: String| {
            Failure::coded(ErrorCode::Unreachable, format!("host `{name}` {cause}"))
                .note(self.connected())
                .help("see whether it runs: lath hosts")
        };
        match error {
            RequestError::NoResponders { .. } => silent("does not take requests".to_owned()),
            RequestError::TimedOut { waited, .. } => {
                silent(format!("did not answer within {} ms", waited.as_millis()))
            }
            RequestError::Refused(refusal) if refusal.code == ErrorCode::UnknownOperation => {
                Failure::from(*refusal).note(format!("host `{name}` runs another version than this command"))
            }
            RequestError::Refused(_)
            | RequestError::Disconnected { .. }
            | RequestError::TooLarge { .. }
            | RequestError::Malformed { .. }
            | RequestError::Unsteady { .. }
            | RequestError::Nats(_) => self.failed(error),
        }
    }

    pub(crate) fn connected(&self) -> String {
        format!("connected to {} ({})", self.target.shown_url(), self.target.origin)
    }
}

/// The JetStream domain of the environment.
fn domain(text: &str) -> Result<JetStreamDomain, Failure> {
    text.parse().map_err(|error: DomainError| {
        Failure::new(Exit::Usage, format!("`{}` cannot be a JetStream domain: {error}", text.escape_debug()))
            .note(format!("from the environment variable {DOMAIN_VARIABLE}"))
    })
}

/// The failure of a connection that was never made.
fn no_server(target: &Target, error: &ConnectError) -> Failure {
    let tried = format!("tried {} ({})", target.shown_url(), target.origin);
    match error {
        ConnectError::NoUrl | ConnectError::InvalidUrl { .. } => {
            Failure::new(Exit::Usage, error.to_string()).note(tried).help("write it as nats://HOST:PORT")
        }
        ConnectError::Credentials { source, .. } => {
            Failure::new(Exit::Usage, error.to_string()).note(source.to_string())
        }
        ConnectError::TooOld { .. } => Failure::coded(ErrorCode::Unreachable, error.to_string())
            .note(tried)
            .help("use a newer nats-server"),
        ConnectError::Unreachable { tried: attempts } => {
            let mut failure =
                Failure::coded(ErrorCode::Unreachable, "no NATS server can be used").note(tried);
            for one in attempts {
                failure = failure.note(format!("{}: {}", one.server, one.cause));
            }
            if attempts.iter().any(|one| one.refused) {
                failure.help("give credentials with --creds or in the URL")
            } else {
                failure.help("`lath up -d` starts a lattice on this machine; --server names another server")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lath_control_api_client::Attempt;

    use super::*;

    fn found(pairs: &'static [(&str, &str)]) -> (String, Origin) {
        server_of(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_server_says_where_it_comes_from() {
        assert_eq!(found(&[]), (DEFAULT_URL.into(), Origin::Default));
        assert_eq!(
            found(&[("NATS_URL", "a"), ("LATH_SERVER", "b")]),
            ("b".into(), Origin::Variable("LATH_SERVER"))
        );
        assert_eq!(
            found(&[("WASMCLOUD_CTL_HOST", "n1"), ("WASMCLOUD_CTL_PORT", "4333")]),
            ("nats://n1:4333".into(), Origin::Variable("WASMCLOUD_CTL_HOST"))
        );
    }

    #[test]
    fn a_missing_server_names_what_was_tried_and_what_starts_one() {
        let target = Target {
            lattice: "default".parse().unwrap(),
            url: "nats://me:secret@127.0.0.1:4222".into(),
            origin: Origin::Default,
        };
        let attempt =
            Attempt { server: "127.0.0.1:4222".into(), cause: "Connection refused".into(), refused: false };
        let failure = no_server(&target, &ConnectError::Unreachable { tried: vec![attempt] });
        assert_eq!(failure.exit, Exit::Unreachable);
        insta::assert_snapshot!(failure, @r"
        error[E0703]: no NATS server can be used
          = note: tried nats://127.0.0.1:4222 (the default; --server or LATH_SERVER name another)
          = note: 127.0.0.1:4222: Connection refused
          = help: `lath up -d` starts a lattice on this machine; --server names another server
        ");
    }
}
