//! `lath host show`: one host, as it says itself and as the manager knows it.

use clap::Args;
use lath_control_api::app::KnownHost;
use lath_control_api::{HostInventory, HostSummary, Timestamp};
use serde::Serialize;

use super::find::find;
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::hosts::labels;
use crate::inventory;
use crate::output::{Document, Output, clean};
use crate::words;

/// Arguments of `lath host show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The host: its name, its id, or the beginning of its id
    host: String,
}

/// The document: what the manager knows, and what the host answers; one of both may be missing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<KnownHost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inventory: Option<HostInventory>,
    /// Why the host itself has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<String>,
}

/// Shows a host.
pub(super) async fn show(args: ShowArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let found = find(&session, &args.host).await?;
    let answer = session.control.inventory(&found.host, session.patience).await;
    let (inventory, silent) = match answer {
        Ok(inventory) => (Some(inventory), None),
        // Nothing at all is known of it, so there is nothing to show.
        Err(error) if found.known.is_none() => return Err(session.failed_host(error, &found.name)),
        Err(error) => (None, Some(session.failed_host(error, &found.name).message)),
    };
    if let Some(silent) = &silent {
        call.out.say(&format!("warning: {silent}; what follows is what the manager last heard"));
    }
    let shown = Shown { known: found.known.map(|known| *known), inventory, silent };
    let document = Document::new("Host", &shown).names([found.name]);
    call.out.print(&document, |wide| text(&shown, words::now(), &call.out, wide))?;
    Ok(Exit::Done)
}

fn text(shown: &Shown, now: Timestamp, out: &Output, wide: bool) -> String {
    let own = shown.inventory.as_ref().map(|inventory| &inventory.summary);
    let Some(summary) = own.or_else(|| shown.known.as_ref().map(|known| &known.summary)) else {
        return String::new();
    };
    let mut text = head(summary, shown.known.as_ref(), now);
    for listener in shown.inventory.iter().flat_map(|inventory| &inventory.listeners) {
        text.push_str(&format!("  {:<9}{}\n", "listens", listener.address));
        text.extend(listener.routes.iter().map(|route| format!("  {:<9}{}\n", "", clean(route))));
    }
    if let Some(inventory) = &shown.inventory {
        text.push('\n');
        text.push_str(&inventory::units_table(inventory, now, out, wide));
    }
    text
}

fn head(summary: &HostSummary, known: Option<&KnownHost>, now: Timestamp) -> String {
    let state = match known {
        Some(known) if known.lost => "Lost",
        Some(_) | None => words::host_state(summary.state),
    };
    let heard = known.map_or_else(
        || "by itself: no manager answers".to_owned(),
        |known| format!("{} ago by the manager", words::age(known.silent_ms)),
    );
    let facts = [
        ("id", summary.host.to_string()),
        ("heard", heard),
        ("age", words::since(summary.started, now)),
        ("version", clean(&summary.version)),
        ("labels", labels(&summary.labels)),
        ("http", summary.http_default.map(|address| address.to_string()).unwrap_or_default()),
    ];
    let facts = facts.iter().filter(|(_, value)| !value.is_empty());
    let facts: String = facts.map(|(name, value)| format!("  {name:<9}{value}\n")).collect();
    format!("{}  {state}\n{facts}", clean(&summary.name))
}
