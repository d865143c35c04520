//! `lath get`: hosts, inventories, links and claims, as tools of 1.x see them.

use clap::Args;
use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{ClaimsEntry, Link};
use serde_json::json;

use super::{Lattice, PatienceArgs};
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::output::{NOTHING, table};

/// Arguments of `lath get hosts`.
#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath get inventory`.
#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// The host: its id, the beginning of its id, or its name; all when not given
    #[arg(value_name = "HOST")]
    host: Option<String>,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath get links` and `lath link query`.
#[derive(Debug, Args)]
pub(crate) struct LinksArgs {
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath get claims`.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    #[command(flatten)]
    patience: PatienceArgs,
}

pub(super) async fn hosts(args: HostsArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let hosts = lattice.hosts().await?;
    call.out.print_bare(&json!({ "success": true, "hosts": hosts }), || {
        let rows = hosts.iter().map(|host| {
            vec![host.id.clone(), host.friendly_name.clone(), host.uptime_human.clone(), host.version.clone()]
        });
        table(call.out.headers, &["HOST ID", "NAME", "UPTIME", "VERSION"], rows.collect())
    })?;
    Ok(Exit::Done)
}

pub(super) async fn inventory(args: InventoryArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let inventories = match &args.host {
        Some(host) => vec![lattice.inventory(&lattice.host(host).await?).await?],
        None => lattice.inventories().await?,
    };
    call.out.print_bare(&json!({ "success": true, "inventories": inventories }), || {
        let mut rows = Vec::new();
        let or_nothing = |text: Option<&String>| text.cloned().unwrap_or_else(|| NOTHING.to_owned());
        for host in &inventories {
            let row = |kind: &str, id: &str, image: &str, instances: String, phase: Option<&String>| {
                let (kind, id, image) = (kind.to_owned(), id.to_owned(), image.to_owned());
                vec![host.friendly_name.clone(), kind, id, image, instances, or_nothing(phase)]
            };
            for it in &host.components {
                let count = it.max_instances.to_string();
                rows.push(row("component", &it.id, &it.image_ref, count, it.phase.as_ref()));
            }
            for it in &host.providers {
                let image = or_nothing(it.image_ref.as_ref());
                rows.push(row("provider", &it.id, &image, NOTHING.to_owned(), it.phase.as_ref()));
            }
        }
        table(call.out.headers, &["HOST", "KIND", "ID", "IMAGE", "INSTANCES", "PHASE"], rows)
    })?;
    Ok(Exit::Done)
}

pub(super) async fn links(args: LinksArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let links: Vec<Link> = lattice.ask(Control::Links, Vec::new()).await?.response.unwrap_or_default();
    call.out.print_bare(&json!({ "success": true, "links": links }), || {
        let rows = links.iter().map(|link| {
            let package = format!("{}:{}", link.wit_namespace, link.wit_package);
            vec![
                link.source_id.clone(),
                link.target.clone(),
                package,
                link.interfaces.join(","),
                link.name.clone(),
            ]
        });
        table(call.out.headers, &["SOURCE", "TARGET", "PACKAGE", "INTERFACES", "NAME"], rows.collect())
    })?;
    Ok(Exit::Done)
}

pub(super) async fn claims(args: ClaimsArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let claims: Vec<ClaimsEntry> =
        lattice.ask(Control::Claims, Vec::new()).await?.response.unwrap_or_default();
    call.out.print_bare(&json!({ "claims": claims, "success": true }), || {
        let rows = claims.iter().map(|claims| {
            let of = |key: &str| claims.get(key).cloned().unwrap_or_default();
            vec![of("name"), of("version"), of("subject"), of("issuer")]
        });
        table(call.out.headers, &["NAME", "VERSION", "SUBJECT", "ISSUER"], rows.collect())
    })?;
    Ok(Exit::Done)
}
