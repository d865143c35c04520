//! `lath inventory`: everything that runs, as the hosts themselves say it.
//!
//! No desired state is looked at here: `status` compares, this command reports.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use lath_control_api::{
    AppName, CallCounts, ComponentId, ComponentName, Digest, Epoch, Generation, HostId, HostInventory,
    HostState, Labels, LinkInventory, ListenerInventory, Phase, Reason, Revision, Role, Step, Timestamp,
    UnitInventory, Weight, WireId,
};
use serde::Serialize;

use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::gather::{Gathered, KnownBy, Silent, gather};
use crate::hosts::labels;
use crate::output::{Document, NOTHING, Output, table};
use crate::words;

/// Arguments of `lath inventory`.
#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// What a line stands for
    #[arg(long, value_enum, default_value_t)]
    by: By,
}

/// How units are brought together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum By {
    /// A line for each host.
    #[default]
    Host,
    /// A line for each app and revision.
    App,
    /// A line for each component on each host.
    Component,
}

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    known_by: KnownBy,
    hosts: Vec<HostHead>,
    units: Vec<Unit>,
    silent: Vec<Silent>,
}

/// A host that answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HostHead {
    host: HostId,
    name: String,
    state: HostState,
    version: String,
    started: Timestamp,
    labels: Labels,
    listeners: Vec<ListenerInventory>,
}

/// Whether something is invoked code, or a capability: built into the host or a process beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Component,
    Capability,
}

/// One spec of a component or capability on a host.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unit {
    host: HostId,
    host_name: String,
    app: AppName,
    component: ComponentName,
    id: ComponentId,
    kind: Kind,
    revision: Revision,
    epoch: Epoch,
    generation: Generation,
    step: Step,
    /// False while the host serves from its journal and no manager has spoken since.
    confirmed: bool,
    role: Role,
    serving: bool,
    weight: Weight,
    image: String,
    digest: Option<Digest>,
    content: Digest,
    phase: Phase,
    reason: Reason,
    message: String,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try: Option<Timestamp>,
    max_instances: u32,
    calls: CallCounts,
    /// What the process of a provider is called on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<WireId>,
    /// Links to and from providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkInventory>,
}

/// Reports what runs where.
pub(crate) async fn inventory(args: InventoryArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let gathered = gather(&session).await?;
    for remark in gathered.remarks() {
        call.out.say(&format!("warning: {remark}"));
    }
    let inventory = flatten(gathered, args.by);
    let names =
        inventory.units.iter().map(|unit| format!("{}/{}@{}", unit.app, unit.component, unit.host_name));
    let document = Document::new("Inventory", &inventory).listing("Unit", &inventory.units).names(names);
    call.out.print(&document, |wide| match args.by {
        By::Host => by_host(&inventory, words::now(), &call.out),
        By::App => by_app(&inventory.units, &call.out),
        By::Component => by_component(&inventory.units, words::now(), &call.out, wide),
    })?;
    Ok(Exit::Done)
}

/// What one host runs, a line for each unit.
pub(crate) fn units_table(host: &HostInventory, now: Timestamp, out: &Output, wide: bool) -> String {
    by_component(&units_of(host), now, out, wide)
}

fn flatten(gathered: Gathered, by: By) -> Inventory {
    let mut units: Vec<Unit> = gathered.hosts.iter().flat_map(units_of).collect();
    // Hosts are in order already, and so are apps on each of them.
    match by {
        By::Host => {}
        By::App => {
            units.sort_by(|a, b| (&a.app, a.revision, &a.component).cmp(&(&b.app, b.revision, &b.component)))
        }
        By::Component => units.sort_by(|a, b| (&a.app, &a.component).cmp(&(&b.app, &b.component))),
    }
    let hosts = gathered.hosts.into_iter().map(head).collect();
    Inventory { known_by: gathered.known_by, hosts, units, silent: gathered.silent }
}

fn head(host: HostInventory) -> HostHead {
    HostHead {
        host: host.summary.host,
        name: host.summary.name,
        state: host.summary.state,
        version: host.summary.version,
        started: host.summary.started,
        labels: host.summary.labels,
        listeners: host.listeners,
    }
}

fn units_of(host: &HostInventory) -> Vec<Unit> {
    let apps = host.apps.iter();
    let components = apps.flat_map(|app| app.components.iter().map(move |component| (app, component)));
    let units = components
        .flat_map(|(app, component)| component.units.iter().map(move |unit| (app, component, unit)));
    units
        .map(|(app, component, unit)| Unit {
            host: host.summary.host.clone(),
            host_name: host.summary.name.clone(),
            app: app.app.clone(),
            component: component.component.clone(),
            id: component.id.clone(),
            kind: kind(host, unit),
            revision: unit.revision,
            epoch: app.fence.epoch,
            generation: app.fence.generation,
            step: app.fence.step,
            confirmed: app.confirmed,
            role: unit.role,
            serving: unit.serving,
            weight: unit.weight,
            image: unit.image.clone(),
            digest: unit.digest.clone(),
            content: unit.content.clone(),
            phase: unit.phase,
            reason: unit.reason,
            message: unit.message.clone(),
            since: unit.since,
            next_try: unit.next_try,
            max_instances: unit.max_instances,
            calls: unit.calls.clone(),
            process: unit.process.clone(),
            links: unit.links.clone(),
        })
        .collect()
}

fn kind(host: &HostInventory, unit: &UnitInventory) -> Kind {
    match (&unit.process, host.summary.builtins.resolve(&unit.image)) {
        (Some(_), _) | (None, Some(_)) => Kind::Capability,
        (None, None) => Kind::Component,
    }
}

fn by_host(inventory: &Inventory, now: Timestamp, out: &Output) -> String {
    let rows = inventory.hosts.iter().map(|host| {
        let of_kind = |kind: Kind| {
            let units = inventory.units.iter().filter(|unit| unit.host == host.host && unit.kind == kind);
            or_nothing(units.map(short).collect::<Vec<_>>().join(" "))
        };
        vec![
            host.name.clone(),
            words::host_state(host.state).to_owned(),
            words::since(host.started, now),
            labels(&host.labels),
            of_kind(Kind::Component),
            of_kind(Kind::Capability),
        ]
    });
    let silent = inventory.silent.iter().map(|silent| {
        let nothing = || NOTHING.to_owned();
        vec![silent.name.clone(), "NoAnswer".into(), nothing(), nothing(), nothing(), nothing()]
    });
    let rows = rows.chain(silent).collect();
    table(out.headers, &["HOST", "STATE", "AGE", "LABELS", "COMPONENTS", "CAPABILITIES"], rows)
}

/// `shop/cart@7`, with the phase behind it unless it runs.
fn short(unit: &Unit) -> String {
    let name = format!("{}/{}@{}", unit.app, unit.component, unit.revision);
    if unit.phase.is_running() && unit.serving { name } else { format!("{name}({})", standing(unit)) }
}

/// The phase; a unit that is ready and takes no calls is `prepared`.
fn standing(unit: &Unit) -> String {
    if unit.phase.is_running() && !unit.serving { "prepared".into() } else { words::phase(unit.phase) }
}

fn by_app(units: &[Unit], out: &Output) -> String {
    let mut lines: BTreeMap<(&AppName, Revision), Vec<&Unit>> = BTreeMap::new();
    for unit in units {
        lines.entry((&unit.app, unit.revision)).or_default().push(unit);
    }
    let rows = lines.into_iter().map(|((app, revision), units)| {
        let join = |mut texts: Vec<String>| {
            texts.sort();
            texts.dedup();
            texts.join(" ")
        };
        let started: u64 = units.iter().map(|unit| unit.calls.started).sum();
        let bad: u64 = units.iter().map(|unit| unit.calls.failures()).sum();
        vec![
            app.to_string(),
            revision.to_string(),
            join(units.iter().map(|unit| unit.generation.to_string()).collect()),
            join(units.iter().map(|unit| unit.component.to_string()).collect()),
            join(units.iter().map(|unit| unit.host_name.clone()).collect()),
            join(units.iter().map(|unit| standing(unit)).collect()),
            started.to_string(),
            bad.to_string(),
        ]
    });
    let titles = ["APP", "REV", "GENERATION", "COMPONENTS", "HOSTS", "PHASES", "CALLS", "FAILED"];
    table(out.headers, &titles, rows.collect())
}

fn by_component(units: &[Unit], now: Timestamp, out: &Output, wide: bool) -> String {
    let mut titles = vec![
        "APP",
        "COMPONENT",
        "HOST",
        "REV",
        "PHASE",
        "SINCE",
        "CALLS",
        "FAILED",
        "IN FLIGHT",
        "DIGEST",
        "REASON",
    ];
    if wide {
        titles.extend(["GENERATION", "ROLE", "WEIGHT", "ID", "IMAGE"]);
    }
    let rows = units.iter().map(|unit| {
        let reason = [words::reason(unit.reason), unit.message.clone(), words::links(&unit.links)];
        let reason: Vec<String> = reason.into_iter().filter(|part| !part.is_empty()).collect();
        let mut row = vec![
            unit.app.to_string(),
            unit.component.to_string(),
            unit.host_name.clone(),
            unit.revision.to_string(),
            standing(unit),
            words::since(unit.since, now),
            unit.calls.started.to_string(),
            unit.calls.failures().to_string(),
            unit.calls.in_flight.to_string(),
            unit.digest.as_ref().map_or_else(|| NOTHING.to_owned(), |digest| digest.short().to_owned()),
            reason.join(": "),
        ];
        if wide {
            row.extend([
                unit.generation.to_string(),
                words::stable(&unit.role),
                unit.weight.percent().to_string(),
                unit.id.to_string(),
                unit.image.clone(),
            ]);
        }
        row
    });
    table(out.headers, &titles, rows.collect())
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { NOTHING.into() } else { text }
}

#[cfg(test)]
mod tests;
