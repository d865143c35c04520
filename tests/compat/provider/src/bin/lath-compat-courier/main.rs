//! A provider on the published SDK that stands between components and what is outside: it publishes and subscribes on NATS for
//! them, and sends their HTTP requests.
//!
//! Config: `cluster_uris`, the NATS server; `name`, by which it signs requests. Links from it, for messages: `subscriptions`, subjects with commas between, each
//! perhaps with `|` and a queue group behind it; and `report`, the file in which it notes how each message was taken.

mod messages;
mod requests;

mod bindings {
    wit_bindgen_wrpc::generate!({
        world: "courier",
        path: "wit",
        generate_all,
    });
}

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use tokio::task::JoinHandle;
use wasmcloud_provider_sdk::{
    LinkConfig, LinkDeleteInfo, Provider, ProviderInitConfig, get_connection, run_provider,
    serve_provider_exports,
};
use wrpc_interface_http::bindings::exports::wrpc::http::outgoing_handler;

/// Subscriptions of links by target and link name.
type Subscriptions = BTreeMap<(String, String), Vec<JoinHandle<()>>>;

#[derive(Clone, Default)]
struct Courier {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    name: Mutex<String>,
    nats: Mutex<Option<client_nats::Client>>,
    subscriptions: Mutex<Subscriptions>,
}

// On several threads the published transport loses a message now and then (`tests/values.rs` says how).
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let courier = Courier::default();
    let shutdown = run_provider(courier.clone(), "courier").await?;
    let connection = get_connection();
    let client = connection.get_wrpc_client(connection.provider_key()).await?;
    let serving = serve_provider_exports(&client, courier, shutdown, |client, courier| async move {
        let mut served = bindings::serve(client, courier.clone()).await?;
        served.extend(outgoing_handler::serve_interface(client, courier).await?);
        Ok(served)
    });
    serving.await.context("cannot serve")
}

impl Courier {
    fn nats(&self) -> Result<client_nats::Client> {
        self.shared.nats.lock().unwrap().clone().context("the config has no `cluster_uris`")
    }
}

impl Provider for Courier {
    async fn init(&self, config: impl ProviderInitConfig) -> Result<()> {
        let name = config.get_config().get("name").cloned();
        *self.shared.name.lock().unwrap() = name.unwrap_or_else(|| "courier".to_owned());
        if let Some(server) = config.get_config().get("cluster_uris") {
            let connected = client_nats::connect(server).await.context("no NATS server")?;
            *self.shared.nats.lock().unwrap() = Some(connected);
        }
        Ok(())
    }

    async fn receive_link_config_as_source(&self, link: LinkConfig<'_>) -> Result<()> {
        let setting = |name: &str| link.config.get(name).with_context(|| format!("the link has no `{name}`"));
        let (subscriptions, report) = (setting("subscriptions")?, setting("report")?);
        let place = (link.target_id.to_owned(), link.link_name.to_owned());
        let held = messages::subscribe(&self.nats()?, &place.0, subscriptions, report).await?;
        let before = self.shared.subscriptions.lock().unwrap().insert(place, held);
        before.into_iter().flatten().for_each(|subscription| subscription.abort());
        Ok(())
    }

    async fn delete_link_as_source(&self, link: impl LinkDeleteInfo) -> Result<()> {
        let place = (link.get_target_id().to_owned(), link.get_link_name().to_owned());
        let held = self.shared.subscriptions.lock().unwrap().remove(&place);
        held.into_iter().flatten().for_each(|subscription| subscription.abort());
        Ok(())
    }
}
