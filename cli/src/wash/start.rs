//! `lath start component|provider`, `lath scale component`, `lath update component`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{
    AuctionAck, AuctionComponent, AuctionProvider, EventData, ProviderAuctionAck, ScaleComponent,
    StartProvider, Texts, UpdateComponent,
};
use serde_json::json;

use super::{Lattice, PatienceArgs, encode, pair};
use crate::call::Call;
use crate::failure::{Exit, Failure};

/// Where something is started, and how long that may take.
#[derive(Debug, Args)]
struct WhereArgs {
    /// The host: its id, the beginning of its id, or its name; when not given, one that bids for it
    #[arg(long, value_name = "HOST", conflicts_with = "constraint")]
    host_id: Option<String>,
    /// Label that the host must have; may be given several times
    #[arg(short = 'c', long, value_name = "KEY=VALUE", value_parser = pair)]
    constraint: Vec<(String, String)>,
    /// Name of a config of the lattice; may be given several times
    #[arg(long, value_name = "NAME")]
    config: Vec<String>,
    /// Longest wait for hosts to bid, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    auction_timeout_ms: u64,
    /// Longest wait for the start, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    start_timeout_ms: u64,
    /// Do not wait for the start
    #[arg(long)]
    skip_wait: bool,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath start component`.
#[derive(Debug, Args)]
pub(crate) struct StartComponentArgs {
    /// The image: REGISTRY/REPOSITORY:TAG, or file:// and an absolute path
    #[arg(value_name = "REF")]
    component_ref: String,
    /// The id that it gets
    #[arg(value_name = "ID")]
    component_id: String,
    /// Most instances at once
    #[arg(long, value_name = "N", default_value_t = 1, alias = "max-concurrent")]
    max_instances: u32,
    #[command(flatten)]
    place: WhereArgs,
}

/// Arguments of `lath start provider`.
#[derive(Debug, Args)]
pub(crate) struct StartProviderArgs {
    /// The provider: REGISTRY/REPOSITORY:TAG, file:// and an absolute path, or such as wasmcloud+builtin://http-server
    #[arg(value_name = "REF")]
    provider_ref: String,
    /// The id that it gets
    #[arg(value_name = "ID")]
    provider_id: String,
    #[command(flatten)]
    place: WhereArgs,
}

/// Arguments of `lath scale component`.
#[derive(Debug, Args)]
pub(crate) struct ScaleComponentArgs {
    /// The host: its id, the beginning of its id, or its name
    #[arg(value_name = "HOST")]
    host_id: String,
    /// The image
    #[arg(value_name = "REF")]
    component_ref: String,
    /// The component's id
    #[arg(value_name = "ID")]
    component_id: String,
    /// Most instances at once; 0 stops it
    #[arg(long, value_name = "N", default_value_t = 1, alias = "max-concurrent")]
    max_instances: u32,
    /// Mark that is kept and told with it; may be given several times
    #[arg(short = 'a', long, value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// Name of a config of the lattice; may be given several times
    #[arg(long, value_name = "NAME")]
    config: Vec<String>,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// What can be updated by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum UpdateCommand {
    /// A component: another image for one that was started by hand
    Component(UpdateArgs),
}

/// Arguments of `lath update component`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The component's id
    #[arg(value_name = "ID")]
    component_id: String,
    /// The new image
    #[arg(value_name = "REF")]
    new_component_ref: String,
    /// The host; the one that runs it when not given
    #[arg(long, value_name = "HOST")]
    host_id: Option<String>,
    #[command(flatten)]
    patience: PatienceArgs,
}

pub(super) async fn component(args: StartComponentArgs, call: &Call) -> Result<Exit, Failure> {
    let StartComponentArgs { component_ref, component_id, max_instances, place } = args;
    let lattice = Lattice::open(call, place.patience).await?;
    let constraints: Texts = place.constraint.iter().cloned().collect();
    let host = match &place.host_id {
        Some(host) => lattice.host(host).await?,
        None => {
            let (image, component_id) = (component_ref.clone(), component_id.clone());
            let ask = encode(&AuctionComponent { component_ref: image, component_id, constraints })?;
            let window = Duration::from_millis(place.auction_timeout_ms);
            let bids: Vec<AuctionAck> = lattice.gather(Control::AuctionComponent, ask, window).await?;
            first(bids.into_iter().map(|bid| bid.host_id), "component", &component_ref)?
        }
    };
    let events = lattice.events().await?;
    let ask = scale_command(&host, &component_ref, &component_id, max_instances, place.config);
    lattice.tell(Control::ScaleComponent(&host), &ask).await?;
    let what = format!("component [{component_id}] (ref: [{component_ref}])");
    let result = if place.skip_wait {
        format!("Start component [{component_ref}] request received on host [{host}]")
    } else {
        let within = Duration::from_millis(place.start_timeout_ms);
        events.until(within, &host, &what, |event| scaled(event, &component_id, &component_ref)).await?;
        format!("Component [{component_id}] (ref: [{component_ref}]) started on host [{host}]")
    };
    let said = json!({
        "host_id": host, "component_ref": component_ref, "component_id": component_id, "result": result, "success": true,
    });
    call.out.print_bare(&said, || format!("{result}\n"))?;
    Ok(Exit::Done)
}

pub(super) async fn provider(args: StartProviderArgs, call: &Call) -> Result<Exit, Failure> {
    let StartProviderArgs { provider_ref, provider_id, place } = args;
    let lattice = Lattice::open(call, place.patience).await?;
    let constraints: Texts = place.constraint.iter().cloned().collect();
    let host = match &place.host_id {
        Some(host) => lattice.host(host).await?,
        None => {
            let (image, provider_id) = (provider_ref.clone(), provider_id.clone());
            let ask = encode(&AuctionProvider { provider_ref: image, provider_id, constraints })?;
            let window = Duration::from_millis(place.auction_timeout_ms);
            let bids: Vec<ProviderAuctionAck> = lattice.gather(Control::AuctionProvider, ask, window).await?;
            first(bids.into_iter().map(|bid| bid.host_id), "provider", &provider_ref)?
        }
    };
    let events = lattice.events().await?;
    let ask = StartProvider {
        provider_id: provider_id.clone(),
        provider_ref: provider_ref.clone(),
        host_id: host.clone(),
        config: place.config,
        annotations: None,
    };
    lattice.tell(Control::StartProvider(&host), &ask).await?;
    let result = if place.skip_wait {
        format!("Start provider [{provider_ref}] request received on host [{host}]")
    } else {
        let within = Duration::from_millis(place.start_timeout_ms);
        let what = format!("provider [{provider_id}] (ref: [{provider_ref}])");
        events.until(within, &host, &what, |event| started(event, &provider_id)).await?;
        format!("Provider [{provider_id}] (ref: [{provider_ref}]) started on host [{host}]")
    };
    let said = json!({
        "host_id": host, "provider_ref": provider_ref, "provider_id": provider_id, "result": result, "success": true,
    });
    call.out.print_bare(&said, || format!("{result}\n"))?;
    Ok(Exit::Done)
}

pub(super) async fn scale(args: ScaleComponentArgs, call: &Call) -> Result<Exit, Failure> {
    let ScaleComponentArgs {
        host_id,
        component_ref,
        component_id,
        max_instances,
        annotations,
        config,
        patience,
    } = args;
    let lattice = Lattice::open(call, patience).await?;
    let host = lattice.host(&host_id).await?;
    let annotations: BTreeMap<String, String> = annotations.into_iter().collect();
    let ask = ScaleComponent {
        annotations: Some(annotations).filter(|marks| !marks.is_empty()),
        ..scale_command(&host, &component_ref, &component_id, max_instances, config)
    };
    let message = lattice.tell(Control::ScaleComponent(&host), &ask).await?;
    let result = format!(
        "Request to scale component {component_ref} to {max_instances} max concurrent instances received"
    );
    let said = json!({ "result": result, "host_id": host, "component_id": component_id, "success": true });
    call.out.print_bare(&said, || format!("{result}\n"))?;
    if !message.is_empty() {
        call.out.say(&message);
    }
    Ok(Exit::Done)
}

pub(super) async fn update(command: UpdateCommand, call: &Call) -> Result<Exit, Failure> {
    let UpdateCommand::Component(UpdateArgs { component_id, new_component_ref, host_id, patience }) = command;
    let lattice = Lattice::open(call, patience).await?;
    let host = match &host_id {
        Some(host) => lattice.host(host).await?,
        None => lattice.running_component(&component_id).await?,
    };
    let ask = UpdateComponent { component_id, annotations: None, host_id: host.clone(), new_component_ref };
    let message = lattice.tell(Control::UpdateComponent(&host), &ask).await?;
    let result = format!("Host [{host}]: {message}");
    call.out.print_bare(&json!({ "result": result, "success": true }), || format!("{result}\n"))?;
    Ok(Exit::Done)
}

/// The command that sets the number of instances.
pub(super) fn scale_command(
    host: &str,
    image: &str,
    id: &str,
    count: u32,
    config: Vec<String>,
) -> ScaleComponent {
    ScaleComponent {
        component_ref: image.to_owned(),
        component_id: id.to_owned(),
        annotations: None,
        count,
        component_limits: None,
        host_id: host.to_owned(),
        config,
        allow_update: false,
    }
}

/// What an event says of a component that was scaled.
pub(super) fn scaled(event: &EventData, id: &str, image: &str) -> Option<Result<(), String>> {
    match event {
        EventData::ComponentScaled { component_id, image_ref, .. }
            if component_id == id && image_ref == image =>
        {
            Some(Ok(()))
        }
        EventData::ComponentScaleFailed { component_id, image_ref, error, .. }
            if component_id == id && image_ref == image =>
        {
            Some(Err(error.clone()))
        }
        _ => None,
    }
}

fn started(event: &EventData, id: &str) -> Option<Result<(), String>> {
    match event {
        EventData::ProviderStarted { provider_id, .. } if provider_id == id => Some(Ok(())),
        EventData::ProviderStartFailed { provider_id, error, .. } if provider_id == id => {
            Some(Err(error.clone()))
        }
        _ => None,
    }
}

/// The first host that has bid.
fn first(bids: impl Iterator<Item = String>, kind: &str, image: &str) -> Result<String, Failure> {
    bids.min().ok_or_else(|| {
        Failure::new(Exit::Conflict, format!("No suitable hosts found to start the {kind} {image}"))
            .help("lath get hosts shows labels; a host that runs it already does not bid: lath get inventory")
    })
}
