//! Claims: what makers have signed of what runs, as hosts tell it in their inventories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{Claims, UnitInventory};
use lath_manager_planner::ObservedState;
use lath_wasmcloud::{ClaimsEntry, StoredClaims, Tags};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Answer, Shared, data};

/// How often it is looked for claims that are not in the bucket of 1.x yet.
const LOOK: Duration = Duration::from_secs(5);

/// What 1.x makes a difference between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Component,
    Provider,
}

/// What is signed of all that runs, by public key. Where one key stands for several versions, the newest counts.
fn signed(state: &ObservedState) -> BTreeMap<&str, (Kind, &Claims)> {
    let mut found: BTreeMap<&str, (Kind, &Claims)> = BTreeMap::new();
    for unit in units(state) {
        let Some(claims) = &unit.claims else { continue };
        let kind = if unit.process.is_some() { Kind::Provider } else { Kind::Component };
        let newer = |(_, known): &(Kind, &Claims)| known.revision < claims.revision;
        if found.get(claims.subject.as_str()).is_none_or(newer) {
            found.insert(&claims.subject, (kind, claims));
        }
    }
    found
}

fn units(state: &ObservedState) -> impl Iterator<Item = &UnitInventory> {
    let inventories = state.hosts().filter_map(|(_, host)| host.inventory.as_ref());
    let components = inventories.flat_map(|inventory| &inventory.apps).flat_map(|app| &app.components);
    components.flat_map(|component| &component.units)
}

/// The answer's form: everything is text, and keys and revision stand under short and long names.
fn entry(kind: Kind, claims: &Claims) -> ClaimsEntry {
    let revision = claims.revision.to_string();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut entry = vec![
        ("iss", claims.issuer.clone()),
        ("issuer", claims.issuer.clone()),
        ("name", text(&claims.name)),
        ("rev", revision.clone()),
        ("revision", revision),
        ("sub", claims.subject.clone()),
        ("subject", claims.subject.clone()),
        ("version", text(&claims.version)),
    ];
    match kind {
        Kind::Component => {
            entry.push(("call_alias", text(&claims.call_alias)));
            entry.push(("tags", claims.tags.join(",")));
        }
        Kind::Provider => entry.push(("config_schema", text(&claims.config_schema))),
    }
    entry.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn stored(kind: Kind, claims: &Claims) -> StoredClaims {
    let Claims { issuer, subject, name, version, revision, call_alias, tags, config_schema, .. } =
        claims.clone();
    let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
    let revision = revision.to_string();
    match kind {
        Kind::Component => {
            let (call_alias, tags) = (call_alias.unwrap_or_default(), Tags::List(tags));
            StoredClaims::Component { call_alias, issuer, name, revision, subject, tags, version }
        }
        Kind::Provider => StoredClaims::Provider { issuer, name, revision, subject, version, config_schema },
    }
}

impl Shared {
    pub(super) fn claims(&self) -> Answer {
        let snapshot = self.context.observed.snapshot();
        let all: Vec<_> =
            signed(&snapshot.state).into_values().map(|(kind, claims)| entry(kind, claims)).collect();
        data(all)
    }

    /// Copies claims for readers of 1.x, until `shutdown`. As in 1.x they stay there when nothing that they are of runs
    /// any more.
    pub(super) async fn copy_claims(self: Arc<Self>, shutdown: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut copied: BTreeMap<String, StoredClaims> = BTreeMap::new();
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            if !self.context.client.connection().is_up() {
                continue;
            }
            let snapshot = self.context.observed.snapshot();
            let signed = signed(&snapshot.state);
            copied.retain(|subject, _| signed.contains_key(subject.as_str()));
            for (subject, (kind, claims)) in signed {
                let claims = stored(kind, claims);
                if copied.get(subject) == Some(&claims) {
                    continue;
                }
                let put = shutdown.run_until_cancelled(self.mirror.put_claims(subject, &claims)).await;
                // What cannot be written now is tried again at the next look, with the rest.
                if put != Some(true) {
                    break;
                }
                copied.insert(subject.to_owned(), claims);
            }
        }
    }
}
