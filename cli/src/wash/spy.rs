//! `lath spy`: the calls to a component, and from it to what it is linked with, as they pass by on NATS.
//!
//! Nothing is changed and no call is slowed down. Calls between components of one host do not travel, so they are not
//! seen, and neither are answers: 1.x hosts send those to inboxes that nobody else knows.

use std::collections::BTreeSet;

use clap::Args;
use futures::StreamExt as _;
use futures::stream::select_all;
use lath_control_api::{ComponentId, LatticeId};
use lath_control_api_client::async_nats::Message;
use lath_wasmcloud::Link;
use lath_wasmcloud::subject::Control;
use lath_wrpc::{SOURCE_ID, Seen, look};
use serde::Serialize;

use super::{Lattice, PatienceArgs};
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::links;
use crate::output::{Output, clean};

/// Arguments of `lath spy`.
#[derive(Debug, Args)]
pub(crate) struct SpyArgs {
    /// The id of the component or provider
    #[arg(value_name = "ID")]
    component_id: ComponentId,
    /// End after so many calls [default: until Ctrl-C]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// A call that passed by.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Observed {
    timestamp: String,
    from: String,
    to: String,
    operation: String,
    /// The revision whose own members are preferred, `app@revision`: Lath's alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    message: String,
    /// Bytes of parameters in the call's first message.
    bytes: usize,
}

pub(super) async fn spy(args: SpyArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let spied = &args.component_id;
    let watched = linked(&lattice, spied).await?;
    let broken = |error: &dyn std::error::Error| Failure::new(Exit::Unreachable, error.to_string());
    let mut subscriptions = Vec::new();
    for id in &watched {
        let subject = Seen::all_of(&lattice.session.target.lattice, id);
        subscriptions.push(lattice.nats().subscribe(subject).await.map_err(|error| broken(&error))?);
    }
    lattice.nats().flush().await.map_err(|error| broken(&error))?;
    begin(&call.out, spied, &watched)?;
    let mut calls = select_all(subscriptions);
    let mut left = std::pin::pin!(tokio::signal::ctrl_c());
    let mut more = args.count.unwrap_or(u64::MAX);
    while more > 0 {
        let message = tokio::select! {
            _ = &mut left => return Ok(Exit::Interrupted),
            message = calls.next() => message,
        };
        let Some(message) = message else {
            return Err(Failure::new(Exit::Unreachable, "the connection to NATS is closed"));
        };
        let timestamp = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.6f %:z").to_string();
        if let Some(seen) = observed(&lattice.session.target.lattice, spied, &message, timestamp) {
            show(&call.out, &seen)?;
            more -= 1;
        }
    }
    Ok(Exit::Done)
}

/// The component, and all that it is linked with, in either direction.
async fn linked(lattice: &Lattice, spied: &ComponentId) -> Result<BTreeSet<ComponentId>, Failure> {
    let by_hand: Vec<Link> = lattice.ask(Control::Links, Vec::new()).await?.response.unwrap_or_default();
    let by_hand = by_hand
        .into_iter()
        .filter_map(|link| Some((link.source_id.parse().ok()?, link.target.parse().ok()?)));
    // A lattice of 1.x has no apps of ours, and whatever keeps them from being read keeps nobody from looking on.
    let of_apps = links::ends(&lattice.session).await.unwrap_or_default();
    let other = |(source, target): (ComponentId, ComponentId)| match (source == *spied, target == *spied) {
        (true, _) => Some(target),
        (false, true) => Some(source),
        (false, false) => None,
    };
    let others = by_hand.chain(of_apps).filter_map(other);
    Ok(others.chain([spied.clone()]).collect())
}

fn begin(out: &Output, spied: &ComponentId, watched: &BTreeSet<ComponentId>) -> Result<(), Failure> {
    let others: Vec<&str> = watched.iter().filter(|id| *id != spied).map(ComponentId::as_str).collect();
    if !others.is_empty() {
        out.say(&format!("linked with it: {}", others.join(", ")));
    }
    if out.format.is_machine() { Ok(()) } else { out.write(&format!("Spying on component {spied}\n\n")) }
}

fn observed(
    lattice: &LatticeId,
    spied: &ComponentId,
    message: &Message,
    timestamp: String,
) -> Option<Observed> {
    let seen = Seen::read(lattice, &message.subject)?;
    let source = message.headers.as_ref().and_then(|headers| headers.get_last(SOURCE_ID));
    let from = match source {
        Some(source) => source.to_string(),
        None if seen.id == spied.as_str() => "linked component".to_owned(),
        None => spied.to_string(),
    };
    let is_its = seen.id == spied.as_str() || from == spied.as_str();
    is_its.then(|| Observed {
        timestamp,
        from,
        operation: seen.operation(),
        message: look::parameters(seen.instance.as_deref(), &seen.func, &message.payload),
        bytes: message.payload.len(),
        to: seen.id,
        revision: seen.revision,
    })
}

/// One call: to programs a line of JSON, to people as `wash` shows it.
fn show(out: &Output, seen: &Observed) -> Result<(), Failure> {
    if out.format.is_machine() {
        let line = serde_json::to_string(seen)
            .map_err(|error| Failure::new(Exit::Failed, format!("a call cannot be shown: {error}")))?;
        return out.write(&format!("{line}\n"));
    }
    let Observed { timestamp, from, to, operation, message, .. } = seen;
    let [from, to, operation, message] = [from, to, operation, message].map(|text| clean(text));
    out.write(&format!(
        "\n[{timestamp}]\nFrom: {from:<25} To: {to:<25}\n\nOperation: {operation}\nMessage: {message}\n"
    ))
}
