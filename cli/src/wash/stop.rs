//! `lath stop component|provider|host`.

use std::time::Duration;

use clap::Args;
use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{EventData, StopHost, StopProvider};
use serde_json::json;

use super::start::scale_command;
use super::{Lattice, PatienceArgs};
use crate::call::Call;
use crate::failure::{Exit, Failure};

/// Longest wait for the end of what is stopped.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// Arguments of `lath stop component`.
#[derive(Debug, Args)]
pub(crate) struct StopComponentArgs {
    /// The component's id
    #[arg(value_name = "ID")]
    component_id: String,
    /// The host; the one that runs it when not given
    #[arg(long, value_name = "HOST")]
    host_id: Option<String>,
    /// Do not wait for the end
    #[arg(long)]
    skip_wait: bool,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath stop provider`.
#[derive(Debug, Args)]
pub(crate) struct StopProviderArgs {
    /// The provider's id
    #[arg(value_name = "ID")]
    provider_id: String,
    /// The host; the one that runs it when not given
    #[arg(long, value_name = "HOST")]
    host_id: Option<String>,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath stop host`.
#[derive(Debug, Args)]
pub(crate) struct StopHostArgs {
    /// The host: its id, the beginning of its id, or its name
    #[arg(value_name = "HOST")]
    host_id: String,
    /// Most time that its end may take, in milliseconds
    #[arg(long, value_name = "MS")]
    host_timeout: Option<u64>,
    #[command(flatten)]
    patience: PatienceArgs,
}

impl Lattice {
    /// The host that runs a component.
    pub(super) async fn running_component(&self, id: &str) -> Result<String, Failure> {
        let running =
            self.inventories().await?.into_iter().find(|host| host.components.iter().any(|it| it.id == id));
        running.map(|host| host.host_id).ok_or_else(|| nobody("component", id))
    }
}

pub(super) async fn component(args: StopComponentArgs, call: &Call) -> Result<Exit, Failure> {
    let StopComponentArgs { component_id: id, host_id, skip_wait, patience } = args;
    let lattice = Lattice::open(call, patience).await?;
    let host = match &host_id {
        Some(host) => lattice.host(host).await?,
        None => lattice.running_component(&id).await?,
    };
    let inventory = lattice.inventory(&host).await?;
    let running =
        inventory.components.iter().find(|it| it.id == id).ok_or_else(|| nobody("component", &id))?;
    let (image, runs) = (running.image_ref.clone(), running.max_instances > 0);
    let events = lattice.events().await?;
    lattice.tell(Control::ScaleComponent(&host), &scale_command(&host, &image, &id, 0, Vec::new())).await?;
    if runs && !skip_wait {
        let stopped = |event: &EventData| match event {
            EventData::ComponentScaled { component_id, max_instances: 0, .. } if *component_id == id => {
                Some(Ok(()))
            }
            _ => None,
        };
        events.until(STOP_WITHIN, &host, &format!("component [{id}]"), stopped).await?;
    }
    let result = format!("Component [{id}] stopped");
    let said = json!({ "success": true, "result": result, "component_id": id, "host_id": host });
    call.out.print_bare(&said, || format!("{result}\n"))?;
    Ok(Exit::Done)
}

pub(super) async fn provider(args: StopProviderArgs, call: &Call) -> Result<Exit, Failure> {
    let StopProviderArgs { provider_id: id, host_id, patience } = args;
    let lattice = Lattice::open(call, patience).await?;
    let named = match &host_id {
        Some(host) => Some(lattice.host(host).await?),
        None => None,
    };
    let host = match &named {
        Some(host) => host.clone(),
        None => {
            let all = lattice.inventories().await?;
            let running = all.into_iter().find(|host| host.providers.iter().any(|it| it.id == id));
            running.map(|host| host.host_id).ok_or_else(|| nobody("provider", &id))?
        }
    };
    let ask = StopProvider { host_id: host.clone(), provider_id: id.clone() };
    lattice.tell(Control::StopProvider(&host), &ask).await?;
    let result = format!("Provider [{id}] stopped successfully");
    // `wash` tells the host only when it was given.
    let said = json!({ "result": result, "host_id": named, "provider_id": id, "success": true });
    call.out.print_bare(&said, || format!("{result}\n"))?;
    Ok(Exit::Done)
}

pub(super) async fn host(args: StopHostArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let host = lattice.host(&args.host_id).await?;
    let ask = StopHost { host_id: host.clone(), timeout: args.host_timeout };
    lattice.tell(Control::StopHost(&host), &ask).await?;
    let result = format!("Host {host} acknowledged stop request");
    call.out.print_bare(&json!({ "success": true, "result": result }), || format!("{result}\n"))?;
    Ok(Exit::Done)
}

fn nobody(kind: &str, id: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("No host found running {kind} [{id}]")).help("lath get inventory")
}
