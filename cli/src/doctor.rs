//! `lath doctor`: looks at every part between this machine and the hosts, and says how to mend what is wrong.
//!
//! Nothing is changed. A check that cannot be made because of an earlier one is left out, not failed.

use std::time::Duration;

use lath_control_api::app::{KnownHost, ListRequest, ManagerInfo};
use lath_control_api::{AppVerb, Bucket, Subjects, Timestamp};
use serde::Serialize;

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::gather::{Gathered, KnownBy, gather, known_hosts};
use crate::output::{Document, Output, clean};
use crate::render::count;
use crate::words;

/// Clocks further apart than this make histories hard to read; nothing else rests on them.
const SKEW: Duration = Duration::from_secs(2);
/// A host says every five seconds that it lives; this is three times missed.
const QUIET: u64 = 15_000;

/// What a check has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    level: Level,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    #[serde(skip)]
    exit: Option<Exit>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Good,
    Warning,
    Bad,
}

impl Check {
    fn good(text: impl Into<String>) -> Self {
        Self { level: Level::Good, text: text.into(), fix: None, exit: None }
    }

    fn warning(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into(), fix: Some(fix.into()), exit: None }
    }

    fn bad(failure: Failure) -> Self {
        let notes: String = failure.notes.iter().map(|note| format!("; {note}")).collect();
        Self {
            level: Level::Bad,
            text: format!("{}{notes}", failure.message),
            fix: failure.help.map(Into::into),
            exit: Some(failure.exit),
        }
    }
}

/// Looks at everything.
pub(crate) async fn doctor(call: &Call) -> Result<Exit, Failure> {
    let checks = match call.session().await {
        Ok(session) => look(&session).await,
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        Err(failure) => vec![Check::bad(failure)],
    };
    let exit = checks.iter().find_map(|check| check.exit).unwrap_or(Exit::Done);
    let body = serde_json::json!({ "healthy": exit == Exit::Done, "checks": checks });
    let document = Document::new("DoctorReport", &body).listing("Check", &checks);
    call.out.print(&document, |_wide| checks.iter().map(|check| text(check, &call.out)).collect())?;
    Ok(exit)
}

fn text(check: &Check, out: &Output) -> String {
    let mark = match check.level {
        Level::Good => out.glyphs.pick("✔", "OK"),
        Level::Warning => out.glyphs.pick("⚠", "!!"),
        Level::Bad => out.glyphs.pick("✖", "XX"),
    };
    let fix = check.fix.as_ref().map(|fix| format!("  = help: {}\n", clean(fix))).unwrap_or_default();
    format!("{mark} {}\n{fix}", clean(&check.text))
}

async fn look(session: &Session) -> Vec<Check> {
    let mut checks = vec![nats(session).await];
    checks.extend(jetstream(session).await);
    checks.push(manager(session).await);
    let known = known_hosts(session).await.ok().flatten().unwrap_or_default();
    checks.extend(known.iter().filter_map(quiet));
    match gather(session).await {
        Ok(mut gathered) => {
            // What is known to be lost was said above.
            gathered
                .silent
                .retain(|one| !known.iter().any(|host| host.lost && host.summary.host == one.host));
            checks.extend(hosts(&gathered, session.target.lattice.as_str()));
        }
        Err(failure) => checks.push(Check::bad(failure)),
    }
    checks
}

async fn nats(session: &Session) -> Check {
    let connection = session.control.connection();
    let server = connection.server().unwrap_or_else(|| session.target.shown_url());
    match connection.round_trip(session.patience).await {
        Some(trip) => {
            let micros = trip.as_micros();
            Check::good(format!("NATS {server} answers in {}.{} ms", micros / 1000, micros % 1000 / 100))
        }
        None => Check::warning(
            format!("NATS {server} did not return a message within {} ms", session.patience.as_millis()),
            "look at the load of the server and the way to it",
        ),
    }
}

async fn jetstream(session: &Session) -> Vec<Check> {
    let context = session.control.connection().jetstream(session.patience);
    if let Err(error) = context.query_account().await {
        let check =
            Check::bad(Failure::new(Exit::Unreachable, format!("JetStream cannot be used: {error}")).help(
                "start the NATS server with JetStream (`nats-server -js`) and allow it for this account",
            ));
        return vec![check];
    }
    let mut checks = vec![Check::good("JetStream is enabled")];
    let subjects = Subjects::new(session.target.lattice.clone());
    let mut missing = Vec::new();
    let mut single = Vec::new();
    let mut clustered = false;
    for bucket in [Bucket::Apps, Bucket::Revisions, Bucket::Lease, Bucket::Components] {
        let name = subjects.bucket(bucket);
        let prefix = if bucket == Bucket::Components { "OBJ" } else { "KV" };
        match context.get_stream(format!("{prefix}_{name}")).await {
            Ok(stream) => {
                let info = stream.cached_info();
                clustered |= info.cluster.as_ref().is_some_and(|cluster| cluster.name.is_some());
                if info.config.num_replicas < 2 {
                    single.push(name);
                }
            }
            Err(_) => missing.push(name),
        }
    }
    if !missing.is_empty() {
        checks.push(Check::warning(
            format!("not there yet: {}", missing.join(", ")),
            "the manager makes them when it first starts, the CLI the last one at the first push of a file",
        ));
    }
    if clustered && !single.is_empty() {
        checks.push(Check::warning(
            format!("one copy only in a cluster: {}", single.join(", ")),
            "raise the replicas of these streams to 3 with the nats CLI",
        ));
    }
    checks
}

async fn manager(session: &Session) -> Check {
    let info: ManagerInfo = match session.ask(AppVerb::Ping, &ListRequest {}).await {
        Ok(info) => info,
        Err(failure) => return Check::bad(failure),
    };
    let lattice = &session.target.lattice;
    let ours = env!("CARGO_PKG_VERSION");
    let role = if info.acting { "it acts" } else { "another one acts" };
    let text = format!(
        "manager {} (version {}) answers for lattice `{lattice}`; {role}, epoch {}",
        info.manager, info.version, info.epoch
    );
    if !info.apis.iter().any(|api| api == Subjects::API) {
        return Check::warning(
            format!("{text}; it does not speak {}", Subjects::API),
            "use the same version on both sides",
        );
    }
    if info.version != ours {
        return Check::warning(
            format!("{text}; this is version {ours}"),
            "use the same version on both sides",
        );
    }
    match skew(info.time) {
        Some(skew) => Check::warning(
            format!("{text}; its clock differs by {skew}"),
            "run a time service on both machines",
        ),
        None => Check::good(text),
    }
}

fn skew(theirs: Timestamp) -> Option<String> {
    let now = words::now();
    let apart = now.since(theirs).max(theirs.since(now));
    (apart > SKEW).then(|| crate::progress::took(apart))
}

fn quiet(host: &KnownHost) -> Option<Check> {
    let name = &host.summary.name;
    let heard = words::age(host.silent_ms);
    if host.lost {
        return Some(Check::warning(
            format!("host {name} is lost: last heard {heard} ago; its work is placed elsewhere"),
            "start it again, or leave it out",
        ));
    }
    (host.silent_ms > QUIET).then(|| {
        Check::warning(format!("host {name} was last heard {heard} ago"), "look at its machine and its log")
    })
}

fn hosts(gathered: &Gathered, lattice: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    let number = gathered.hosts.len();
    if number == 0 {
        let help = format!("lath host --lattice {lattice}");
        checks.push(Check::warning("no host answers, so nothing can run", help));
    } else {
        let names: Vec<&str> = gathered.hosts.iter().map(|host| host.summary.name.as_str()).take(8).collect();
        let more = number.saturating_sub(names.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        checks.push(Check::good(format!(
            "{} with an inventory: {}{more}",
            count(number, "host"),
            names.join(", ")
        )));
    }
    let ours = env!("CARGO_PKG_VERSION");
    for host in gathered.hosts.iter().filter(|host| host.summary.version != ours) {
        let text =
            format!("host {} runs version {}, and this is {ours}", host.summary.name, host.summary.version);
        checks.push(Check::warning(text, "use the same version everywhere"));
    }
    for silent in &gathered.silent {
        let text = format!("host {} did not answer: {}", silent.name, silent.cause);
        checks.push(Check::warning(text, "look at its machine and its log"));
    }
    let unconfirmed = gathered.hosts.iter().flat_map(|host| host.apps.iter().map(move |app| (host, app)));
    for (host, app) in unconfirmed.filter(|(_, app)| !app.confirmed && !app.components.is_empty()) {
        let text = format!(
            "host {} serves app {} from its journal; no manager has confirmed it",
            host.summary.name, app.app
        );
        checks.push(Check::warning(text, "start a manager"));
    }
    if gathered.known_by == KnownBy::Ping && number > 0 {
        checks
            .push(Check::warning("without a manager, hosts that are down are not known", "start a manager"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, Glyphs};

    #[test]
    fn checks_say_how_to_mend() {
        let out = Output { format: Format::Table, headers: true, glyphs: Glyphs::Unicode, quiet: false };
        let checks = [
            Check::good("JetStream is enabled"),
            Check::warning("host a is lost", "start it again"),
            Check::bad(
                Failure::new(Exit::Unreachable, "nobody manages lattice `eu`")
                    .note("connected to x")
                    .help("lath up -d"),
            ),
        ];
        let text: String = checks.iter().map(|check| text(check, &out)).collect();
        insta::assert_snapshot!(text, @r"
        ✔ JetStream is enabled
        ⚠ host a is lost
          = help: start it again
        ✖ nobody manages lattice `eu`; connected to x
          = help: lath up -d
        ");
    }

    #[test]
    fn clocks_that_agree_are_not_mentioned() {
        assert_eq!(skew(words::now()), None);
        assert!(skew(Timestamp(0)).is_some());
    }

    #[test]
    fn a_lattice_without_hosts_is_told_how_to_get_one() {
        let none = Gathered { known_by: KnownBy::Manager, hosts: Vec::new(), silent: Vec::new() };
        let checks = hosts(&none, "eu");
        assert_eq!(checks[0].fix.as_deref(), Some("lath host --lattice eu"));
    }
}
