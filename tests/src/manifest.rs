//! Manifests of test apps, made from what a test wants to vary. Only forms that every lattice accepts: broken ones
//! are written out by the tests that need them. An app is a value; each change gives another one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary;

/// The built component of that name, such as `http-hello-v1`.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    let file = binary::workspace().join("target/components").join(format!("{name}.wasm"));
    assert!(file.is_file(), "{} is missing; run `cargo xtask components`", file.display());
    file
}

/// An app: a capability `http` and what is behind it.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub name: String,
    components: Vec<Component>,
    /// Settings of the way from `http` to the first component.
    route: BTreeMap<String, String>,
    rollout: BTreeMap<String, String>,
    scaling: Scaling,
    /// Components that run elsewhere than the others.
    places: BTreeMap<String, Scaling>,
    /// What its components may reach that have no list of their own.
    allowed_hosts: Option<String>,
    /// The app whose `http` stands in the place of one of its own.
    server_of: Option<String>,
}

/// Where the components of an app run.
#[derive(Debug, Clone)]
pub enum Scaling {
    /// On every host.
    Everywhere,
    /// On one host of those whose labels fit.
    OnOne(BTreeMap<String, String>),
}

#[derive(Debug, Clone)]
struct Component {
    name: String,
    image: String,
    config: BTreeMap<String, String>,
    probe: BTreeMap<String, Value>,
    /// Component that answers `lath:demo/greeter`.
    greeter: Option<String>,
    /// How calls reach it.
    transport: Option<String>,
    /// Other links.
    links: Vec<Link>,
    allowed_hosts: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    limits: BTreeMap<String, Value>,
}

#[derive(Debug, Clone)]
struct Link {
    /// Its name, unless it has the default one.
    name: Option<String>,
    /// Namespace, package, interface.
    interface: [String; 3],
    /// The component that it leads to.
    target: String,
}

impl App {
    /// One component, `hello`, that says its config and version.
    #[must_use]
    pub fn hello(name: &str, address: SocketAddr) -> Self {
        Self::new(name, address, vec![Component::new("hello", "http-hello-v1")])
    }

    /// One component, `misbehave`, that does by path what a host must survive.
    #[must_use]
    pub fn misbehave(name: &str, address: SocketAddr) -> Self {
        Self::new(name, address, vec![Component::new("misbehave", "misbehave-v1")])
    }

    /// Two linked components: `front` asks `greeter`.
    #[must_use]
    pub fn greeting(name: &str, address: SocketAddr) -> Self {
        let front = Component::new("front", "http-front-v1");
        let front = Component { greeter: Some("greeter".to_owned()), ..front };
        Self::new(name, address, vec![front, Component::new("greeter", "greeter-v1")])
    }

    /// Components, each with the name of a built one as its code, of which each asks the next one to greet; the last
    /// one asks nobody.
    #[must_use]
    pub fn chain(name: &str, address: SocketAddr, components: &[(&str, &str)]) -> Self {
        let next = components.iter().skip(1).map(|(next, _)| Some((*next).to_owned())).chain([None]);
        let components = components.iter().zip(next);
        let components = components
            .map(|((name, guest_name), greeter)| Component { greeter, ..Component::new(name, guest_name) });
        Self::new(name, address, components.collect())
    }

    /// Components with these names and codes; requests go to the first.
    #[must_use]
    pub fn of(name: &str, address: SocketAddr, components: &[(&str, &str)]) -> Self {
        let components = components.iter().map(|(name, guest_name)| Component::new(name, guest_name));
        Self::new(name, address, components.collect())
    }

    /// With a link of `component`, such as `wasi:http/handler`, to `target`.
    #[must_use]
    pub fn link(self, component: &str, interface: [&str; 3], target: &str) -> Self {
        let link = Link { name: None, interface: interface.map(str::to_owned), target: target.to_owned() };
        self.change(component, |component| component.links.push(link))
    }

    /// The same of a link that is called `name`.
    #[must_use]
    pub fn link_named(self, name: &str, component: &str, interface: [&str; 3], target: &str) -> Self {
        let (interface, target) = (interface.map(str::to_owned), target.to_owned());
        let link = Link { name: Some(name.to_owned()), interface, target };
        self.change(component, |component| component.links.push(link))
    }

    fn new(name: &str, address: SocketAddr, components: Vec<Component>) -> Self {
        let route = BTreeMap::from([("address".to_owned(), address.to_string())]);
        // Waves go by quickly, unless a test is about them.
        let rollout = BTreeMap::from([("min_healthy_time".to_owned(), "500ms".to_owned())]);
        let (places, allowed_hosts, server_of) = (BTreeMap::new(), None, None);
        let name = name.to_owned();
        Self {
            name,
            components,
            route,
            rollout,
            scaling: Scaling::Everywhere,
            places,
            allowed_hosts,
            server_of,
        }
    }

    /// With a `transport` of the link by which `component` asks its greeter.
    #[must_use]
    pub fn transport(self, component: &str, transport: &str) -> Self {
        self.change(component, |component| component.transport = Some(transport.to_owned()))
    }

    /// With another built component as the code of `component`.
    #[must_use]
    pub fn image(self, component: &str, guest_name: &str) -> Self {
        self.file(component, &guest(guest_name))
    }

    /// With a file as the code of `component`.
    #[must_use]
    pub fn file(self, component: &str, file: &Path) -> Self {
        self.change(component, |component| component.image = format!("file://{}", file.display()))
    }

    /// With what a registry has under `reference` as the code of `component`.
    #[must_use]
    pub fn reference(self, component: &str, reference: &str) -> Self {
        self.change(component, |component| component.image = reference.to_owned())
    }

    /// With a setting of `component`.
    #[must_use]
    pub fn config(self, component: &str, key: &str, value: &str) -> Self {
        self.change(component, |component| drop(component.config.insert(key.to_owned(), value.to_owned())))
    }

    /// With what `component` may reach outside, in place of what its app may.
    #[must_use]
    pub fn allowed_hosts(self, component: &str, entries: &[&str]) -> Self {
        let entries = entries.iter().map(|entry| (*entry).to_owned()).collect();
        self.change(component, |component| component.allowed_hosts = Some(entries))
    }

    /// With what all components may reach outside that have no list of their own.
    #[must_use]
    pub fn allowed_hosts_of_all(self, entries: &str) -> Self {
        Self { allowed_hosts: Some(entries.to_owned()), ..self }
    }

    /// With a limit of `component`: a number, or a text with a unit.
    #[must_use]
    pub fn limit(self, component: &str, limit: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.change(component, |component| drop(component.limits.insert(limit.to_owned(), value)))
    }

    /// With a request that `component` must answer before it gets traffic.
    #[must_use]
    pub fn probe(self, component: &str, path: &str) -> Self {
        self.probe_setting(component, "path", path)
    }

    /// With a setting of the question that `component` must answer.
    #[must_use]
    pub fn probe_setting(self, component: &str, setting: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.change(component, |component| drop(component.probe.insert(setting.to_owned(), value)))
    }

    /// With an environment variable of `component`.
    #[must_use]
    pub fn env(self, component: &str, name: &str, value: &str) -> Self {
        self.change(component, |component| drop(component.env.insert(name.to_owned(), value.to_owned())))
    }

    /// Taking only requests whose path is below `path`.
    #[must_use]
    pub fn below(mut self, path: &str) -> Self {
        self.route.insert("path".to_owned(), path.to_owned());
        self
    }

    /// Taking only requests to `host`.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.route.insert("host".to_owned(), host.to_owned());
        self
    }

    /// With the `http` of another app in the place of its own, at the address that that one has.
    #[must_use]
    pub fn server_of(mut self, app: &str) -> Self {
        self.route.remove("address");
        self.server_of = Some(app.to_owned());
        self
    }

    /// Answering at another address.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.route.insert("address".to_owned(), address.to_string());
        self
    }

    /// With a property of its rollout policy.
    #[must_use]
    pub fn rollout(mut self, key: &str, value: &str) -> Self {
        self.rollout.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Running there.
    #[must_use]
    pub fn scaling(self, scaling: Scaling) -> Self {
        Self { scaling, ..self }
    }

    /// With one component, or `http`, running on one host with the label `key=value`.
    #[must_use]
    pub fn place(mut self, component: &str, key: &str, value: &str) -> Self {
        let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        self.places.insert(component.to_owned(), Scaling::OnOne(labels));
        self
    }

    /// With another name for `component`, and the links to it changed with it.
    #[must_use]
    pub fn renamed(mut self, component: &str, name: &str) -> Self {
        for one in &mut self.components {
            if one.greeter.as_deref() == Some(component) {
                one.greeter = Some(name.to_owned());
            }
        }
        self.change(component, |component| name.clone_into(&mut component.name))
    }

    /// With a setting of the way from `http` to the first component.
    #[must_use]
    pub fn route(mut self, key: &str, value: &str) -> Self {
        self.route.insert(key.to_owned(), value.to_owned());
        self
    }

    fn change(mut self, name: &str, change: impl FnOnce(&mut Component)) -> Self {
        let component = self.components.iter_mut().find(|component| component.name == name);
        change(component.unwrap_or_else(|| panic!("the app has no component `{name}`")));
        self
    }

    /// Writes the manifest into `folder` and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.yaml", self.name));
        std::fs::write(&path, self.yaml()).expect("cannot write a manifest");
        path
    }

    /// The manifest.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut yaml = format!(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: {}\nspec:\n",
            quoted(&self.name)
        );
        if !self.rollout.is_empty() || self.allowed_hosts.is_some() {
            yaml.push_str("  policies:\n");
        }
        if let Some(entries) = &self.allowed_hosts {
            yaml.push_str("    - name: grants\n      type: policy.grants.lath/v1\n");
            let _ = writeln!(yaml, "      properties: {{ allowed_hosts: {} }}", quoted(entries));
        }
        if !self.rollout.is_empty() {
            yaml.push_str("    - name: rollout\n      type: policy.rollout.lath/v1\n");
            let _ = writeln!(yaml, "      properties: {}", flow(&self.rollout));
        }
        yaml.push_str("  components:\n");
        for component in &self.components {
            self.write_component(&mut yaml, component);
        }
        self.write_http(&mut yaml);
        yaml
    }

    fn write_component(&self, yaml: &mut String, component: &Component) {
        let Component { name, image, config, probe, greeter, transport, links, allowed_hosts, env, limits } =
            component;
        let _ = writeln!(yaml, "    - name: {}\n      type: component\n      properties:", quoted(name));
        let _ = writeln!(yaml, "        image: {}", quoted(image));
        if !config.is_empty() {
            let settings = quoted(&format!("{name}-settings"));
            let _ = writeln!(yaml, "        config: [{{ name: {settings}, properties: {} }}]", flow(config));
        }
        yaml.push_str("      traits:\n");
        self.write_scaler(yaml, name);
        write_trait(yaml, "probe", probe);
        write_trait(yaml, "limits", limits);
        if allowed_hosts.is_some() || !env.is_empty() {
            yaml.push_str("        - type: grants\n          properties:\n");
        }
        if let Some(entries) = allowed_hosts {
            let entries: Vec<String> = entries.iter().map(|entry| quoted(entry)).collect();
            let _ = writeln!(yaml, "            allowed_hosts: [{}]", entries.join(", "));
        }
        if !env.is_empty() {
            let _ = writeln!(yaml, "            env: {}", flow(env));
        }
        if let Some(target) = greeter {
            write_link(yaml, None, ["lath", "demo", "greeter"], target, None);
            if let Some(transport) = transport {
                let _ = writeln!(yaml, "            transport: {}", quoted(transport));
            }
        }
        for Link { name, interface, target } in links {
            write_link(yaml, name.as_deref(), interface.each_ref().map(String::as_str), target, None);
        }
    }

    fn write_http(&self, yaml: &mut String) {
        yaml.push_str("    - name: http\n      type: capability\n      properties:\n");
        let front = &self.components.first().expect("an app has a component").name;
        if let Some(app) = &self.server_of {
            let _ = writeln!(yaml, "        application: {{ name: {}, component: http }}", quoted(app));
            yaml.push_str("      traits:\n");
            write_link(yaml, None, ["wasi", "http", "incoming-handler"], front, Some(&self.route));
            return;
        }
        yaml.push_str("        image: builtin://http-server\n");
        if let Some(mode) = ["path", "host"].into_iter().find(|key| self.route.contains_key(*key)) {
            let _ = writeln!(
                yaml,
                "        config: [{{ name: server, properties: {{ routing_mode: {mode} }} }}]"
            );
        }
        yaml.push_str("      traits:\n");
        self.write_scaler(yaml, "http");
        write_link(yaml, None, ["wasi", "http", "incoming-handler"], front, Some(&self.route));
    }

    fn write_scaler(&self, yaml: &mut String, component: &str) {
        match self.places.get(component).unwrap_or(&self.scaling) {
            Scaling::Everywhere => {
                yaml.push_str("        - type: daemonscaler\n          properties: { instances: 50 }\n");
            }
            Scaling::OnOne(labels) => {
                yaml.push_str(
                    "        - type: spreadscaler\n          properties:\n            instances: 1\n",
                );
                let _ =
                    writeln!(yaml, "            spread: [{{ name: one, requirements: {} }}]", flow(labels));
            }
        }
    }
}

impl Component {
    fn new(name: &str, guest_name: &str) -> Self {
        let image = format!("file://{}", guest(guest_name).display());
        let (name, config) = (name.to_owned(), BTreeMap::new());
        let (links, limits) = (Vec::new(), BTreeMap::new());
        let (probe, env) = (BTreeMap::new(), BTreeMap::new());
        let (greeter, transport, allowed_hosts) = (None, None, None);
        Self { name, image, config, probe, greeter, transport, links, allowed_hosts, env, limits }
    }
}

fn write_trait(yaml: &mut String, kind: &str, properties: &BTreeMap<String, Value>) {
    if properties.is_empty() {
        return;
    }
    let properties: Vec<String> = properties.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let properties = properties.join(", ");
    let _ = writeln!(yaml, "        - type: {kind}\n          properties: {{ {properties} }}");
}

fn write_link(
    yaml: &mut String,
    name: Option<&str>,
    [namespace, package, interface]: [&str; 3],
    target: &str,
    source: Option<&BTreeMap<String, String>>,
) {
    yaml.push_str("        - type: link\n          properties:\n");
    if let Some(name) = name {
        let _ = writeln!(yaml, "            name: {}", quoted(name));
    }
    let _ = writeln!(yaml, "            namespace: {namespace}\n            package: {package}");
    let _ = writeln!(yaml, "            interfaces: [{interface}]");
    let _ = writeln!(yaml, "            target: {{ name: {} }}", quoted(target));
    if let Some(settings) = source {
        let _ = writeln!(
            yaml,
            "            source: {{ config: [{{ name: route, properties: {} }}] }}",
            flow(settings)
        );
    }
}

/// A mapping on one line.
fn flow(map: &BTreeMap<String, String>) -> String {
    let pairs = map.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// Every JSON text is a YAML scalar.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
