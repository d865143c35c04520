//! An app with the courier as a manifest: a front that takes HTTP and has it carry messages or requests, and perhaps a
//! component that takes messages from it.

use std::path::PathBuf;

use crate::lattice::{Lattice, guest};

#[derive(Clone, Default)]
pub(crate) struct CourierApp {
    /// The component that takes HTTP.
    pub(crate) front: &'static str,
    /// Which interfaces of the courier it is linked to; none when empty.
    pub(crate) link: &'static str,
    /// Where it may send requests.
    pub(crate) allowed: Vec<String>,
    /// By what name the courier signs requests.
    pub(crate) name: &'static str,
    /// The component that takes messages.
    pub(crate) taker: Option<Taker>,
}

#[derive(Clone)]
pub(crate) struct Taker {
    pub(crate) guest: &'static str,
    /// What it gets: subjects with commas between.
    pub(crate) subscriptions: &'static str,
    /// The file in which the courier notes how each message was taken.
    pub(crate) report: PathBuf,
}

/// To send messages.
pub(crate) const CONSUMER: &str = "namespace: wasmcloud, package: messaging, interfaces: [consumer]";
/// To send requests.
pub(crate) const OUTGOING: &str = "namespace: wasi, package: http, interfaces: [outgoing-handler]";

impl CourierApp {
    pub(crate) fn deploy(&self, lattice: &Lattice) -> String {
        let file = lattice.folder.path().join("courier.yaml");
        std::fs::write(&file, self.yaml(lattice)).unwrap();
        lattice.does(&["deploy", file.to_str().unwrap()])
    }

    fn yaml(&self, lattice: &Lattice) -> String {
        let link = |what: &str| match what {
            "" => String::new(),
            what => format!(
                "        - type: link
          properties: {{ {what}, target: {{ name: courier }} }}\n"
            ),
        };
        let allowed: Vec<String> = self.allowed.iter().map(|entry| format!("'{entry}'")).collect();
        let (taker, takes) = self.taker.as_ref().map_or_else(Default::default, |taker| {
            let Taker { guest: name, subscriptions, report } = taker;
            let component = format!(
                "    - name: taker
      type: component
      properties: {{ image: '{}' }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 20 }}
{}",
                guest(name),
                link(CONSUMER),
            );
            let settings = format!("subscriptions: '{subscriptions}', report: '{}'", report.display());
            let takes = format!(
                "        - type: link
          properties: {{ namespace: wasmcloud, package: messaging, interfaces: [handler], target: {{ name: taker }}, source: {{ config: [{{ name: takes, properties: {{ {settings} }} }}] }} }}\n"
            );
            (component, takes)
        });
        let Lattice { nats, http, .. } = lattice;
        let name = if self.name.is_empty() { "courier" } else { self.name };
        format!(
            "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: mail }}
spec:
  policies:
    - name: rollout
      type: policy.rollout.lath/v1
      properties: {{ min_healthy_time: 500ms }}
  components:
    - name: front
      type: component
      properties: {{ image: '{}' }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 20 }}
        - type: grants
          properties: {{ allowed_hosts: [{}] }}
{}{taker}    - name: courier
      type: capability
      properties:
        image: 'file://{}'
        config: [{{ name: own, properties: {{ cluster_uris: '{nats}', name: {name} }} }}]
      traits:
        - type: spreadscaler
          properties: {{ instances: 1 }}
{takes}    - name: http
      type: capability
      properties: {{ image: 'builtin://http-server' }}
      traits:
        - type: link
          properties: {{ namespace: wasi, package: http, interfaces: [incoming-handler], target: {{ name: front }}, source: {{ config: [{{ name: route, properties: {{ address: '{http}' }} }}] }} }}
",
            guest(self.front),
            allowed.join(", "),
            link(self.link),
            env!("CARGO_BIN_EXE_lath-compat-courier"),
        )
    }
}
