//! The app of these tests as a manifest: a front that asks the provider, and a component that the provider calls.

use std::path::PathBuf;

use crate::lattice::{Lattice, guest};

#[derive(Clone, Default)]
pub(crate) struct App {
    /// Settings of the provider, in a mapping of YAML.
    pub(crate) config: String,
    /// Settings for the provider of the link from the front.
    pub(crate) link: String,
    /// A second link from the front, under this name.
    pub(crate) second: Option<&'static str>,
    /// The file in which the provider notes its own calls, when it makes any.
    pub(crate) report: Option<PathBuf>,
    /// Which version of the component that the provider calls.
    pub(crate) called: &'static str,
    /// Lines of policies, and the secrets of the provider.
    pub(crate) policies: String,
    pub(crate) secrets: String,
    pub(crate) front: Front,
    /// The image of what answers HTTP, instead of the usual one.
    pub(crate) front_image: Option<String>,
    /// The image of the provider, instead of the executable.
    pub(crate) image: Option<String>,
}

/// What answers HTTP, by what it has of the provider.
#[derive(Clone, Copy, Default)]
pub(crate) enum Front {
    #[default]
    Greetings,
    /// Keys and values.
    Keeper,
    /// Containers and objects.
    Blobber,
}

impl Front {
    /// The component, and the interfaces that its link carries. Of objects it is the one that manifests of 1.x name.
    fn parts(self) -> (String, &'static str) {
        let (component, link) = match self {
            Self::Greetings => ("http-front-v1", "namespace: lath, package: demo, interfaces: [greeter]"),
            Self::Keeper => {
                ("keeper-v1", "namespace: wasi, package: keyvalue, interfaces: [store, atomics, batch]")
            }
            Self::Blobber => ("blobber-v1", "namespace: wasi, package: blobstore, interfaces: [blobstore]"),
        };
        (guest(component), link)
    }
}

/// The provider on the SDK.
pub(crate) fn provider() -> String {
    format!("file://{}", env!("CARGO_BIN_EXE_lath-compat-provider"))
}

impl App {
    /// Writes the manifest; where it is.
    pub(crate) fn write(&self, lattice: &Lattice) -> String {
        let file = lattice.folder.path().join("app.yaml");
        std::fs::write(&file, self.yaml(lattice)).unwrap();
        file.to_str().unwrap().to_owned()
    }

    pub(crate) fn deploy(&self, lattice: &Lattice) -> String {
        lattice.does(&["deploy", &self.write(lattice)])
    }

    fn yaml(&self, lattice: &Lattice) -> String {
        let Self { config, link, policies, secrets, .. } = self;
        let called = if self.called.is_empty() { "greeter-v1" } else { self.called };
        let (front, carried) = self.front.parts();
        let front = self.front_image.clone().unwrap_or(front);
        let second = self.second.map_or_else(String::new, |name| {
            format!(
                "        - type: link
          properties: {{ name: {name}, namespace: lath, package: demo, interfaces: [greeter], target: {{ name: greeter, config: [{{ name: second, properties: {{ word: Second }} }}] }} }}\n"
            )
        });
        let source = self.report.as_ref().map_or_else(String::new, |report| {
            format!(
                "        - type: link
          properties: {{ namespace: lath, package: demo, interfaces: [greeter], target: {{ name: called }}, source: {{ config: [{{ name: report, properties: {{ report: '{}' }} }}] }} }}\n",
                report.display()
            )
        });
        format!(
            "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{ name: shop }}
spec:
  policies:
    - name: rollout
      type: policy.rollout.lath/v1
      properties: {{ min_healthy_time: 500ms }}
{policies}  components:
    - name: front
      type: component
      properties: {{ image: '{front}' }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 20 }}
        - type: link
          properties: {{ {carried}, target: {{ name: greeter, config: [{{ name: link, properties: {{ {link} }} }}] }} }}
{second}    - name: called
      type: component
      properties: {{ image: '{}' }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 20 }}
    - name: greeter
      type: capability
      properties:
        image: '{}'
        config: [{{ name: own, properties: {{ {config} }} }}]
{secrets}      traits:
        - type: spreadscaler
          properties: {{ instances: 1 }}
{source}    - name: http
      type: capability
      properties: {{ image: 'builtin://http-server' }}
      traits:
        - type: link
          properties: {{ namespace: wasi, package: http, interfaces: [incoming-handler], target: {{ name: front }}, source: {{ config: [{{ name: route, properties: {{ address: '{}' }} }}] }} }}
",
            guest(called),
            self.image.clone().unwrap_or_else(provider),
            lattice.http,
        )
    }
}
