//! The apps of a soak as values: each change gives another one. A variant says by its `look` how its answers can be
//! told from those of every other; its manifest carries its number, by which a revision is found again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Answer, Load};

/// Annotation with the number of a variant.
pub(super) const NUMBER: &str = "soak.lath.dev/number";

/// Which app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shop {
    /// Ten instances of one component, shared out over all hosts.
    Ten,
    /// Two linked components on every host: the link is a call within the process.
    Near,
    /// Two linked components and the way in, each on a host of its own: calls go over NATS.
    Far,
}

impl Shop {
    pub(super) const ALL: [Self; 3] = [Self::Ten, Self::Near, Self::Far];

    /// Its name in the lattice.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ten => "ten",
            Self::Near => "near",
            Self::Far => "far",
        }
    }

    /// By its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shop| shop.name() == name)
    }

    /// Place in lists.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Ten => 0,
            Self::Near => 1,
            Self::Far => 2,
        }
    }

    /// Whether there is a component behind the first.
    pub(super) const fn is_linked(self) -> bool {
        match self {
            Self::Ten => false,
            Self::Near | Self::Far => true,
        }
    }

    /// The `Host` of its requests.
    pub(super) fn host(self) -> String {
        format!("{}.test", self.name())
    }

    /// The `Host` of the route that comes and goes.
    pub(super) fn other_host(self) -> String {
        format!("other.{}.test", self.name())
    }
}

/// What a component is made of.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Built guest without its version, such as `http-front`.
    guest: &'static str,
    /// What its code calls itself: `v1` or `v2`.
    version: &'static str,
    pub(super) file: PathBuf,
    /// Word in its config by which answers are told apart.
    pub(super) mark: String,
    /// Other settings.
    pub(super) config: BTreeMap<String, String>,
}

impl Part {
    fn of(guest: &'static str) -> Self {
        let file = crate::guest(&format!("{guest}-v1"));
        Self { guest, version: "v1", file, mark: "0".to_owned(), config: BTreeMap::new() }
    }

    /// The other version of its code, with a digest that no host has seen.
    pub(super) fn renew(&mut self, folder: &Path, number: u32) {
        self.version = if self.version == "v1" { "v2" } else { "v1" };
        self.file = super::guests::fresh(folder, &format!("{}-{}", self.guest, self.version), number);
    }
}

/// One way to be of an app.
#[derive(Debug, Clone)]
pub(super) struct Variant {
    pub(super) shop: Shop,
    /// Tells it from all others.
    pub(super) number: u32,
    address: SocketAddr,
    hosts: usize,
    /// What takes the requests.
    pub(super) front: Part,
    /// What the front asks, where the app is linked.
    pub(super) back: Part,
    /// Concurrent calls of each component, in all or on each host.
    pub(super) instances: u32,
    /// Number of the host, from 0, of the component behind the link, for [`Shop::Far`].
    pub(super) back_zone: usize,
    /// The component is wanted where there is no host.
    pub(super) nowhere: bool,
    /// Requests to the other host are taken, too.
    pub(super) other_route: bool,
    /// Setting of the link from the way in.
    pub(super) timeout_ms: u32,
    /// What a revision must answer before it gets traffic.
    pub(super) probe: &'static str,
    /// Properties of the rollout policy.
    pub(super) policy: BTreeMap<&'static str, String>,
}

impl Variant {
    /// The first one.
    pub(super) fn first(shop: Shop, address: SocketAddr, hosts: usize) -> Self {
        let front = if shop.is_linked() { "http-front" } else { "http-hello" };
        Self {
            shop,
            number: 0,
            address,
            hosts,
            front: Part::of(front),
            back: Part::of("greeter"),
            instances: if shop == Shop::Ten { 10 } else { 50 },
            back_zone: 2 % hosts,
            nowhere: false,
            other_route: false,
            timeout_ms: 30_000,
            probe: "/healthz",
            policy: Self::usual_policy(),
        }
    }

    /// How its answers look.
    pub(super) fn look(&self) -> String {
        let part = |part: &Part| format!("{}/{}", part.version, part.mark);
        if self.shop.is_linked() {
            format!("{} > {}", part(&self.front), part(&self.back))
        } else {
            part(&self.front)
        }
    }

    /// With properties of the policy instead of the usual ones.
    pub(super) fn with_policy(mut self, properties: &[(&'static str, &str)]) -> Self {
        self.policy.extend(properties.iter().map(|(key, value)| (*key, (*value).to_owned())));
        if self.policy.get("strategy").is_none_or(|strategy| strategy != "rolling") {
            // Waves are for rolling alone, and refused elsewhere.
            self.policy.remove("max_parallel");
        }
        self
    }

    /// Hosts of the lattice.
    pub(super) const fn hosts(&self) -> usize {
        self.hosts
    }

    /// What every variant's rollout has unless its kind says otherwise.
    pub(super) fn usual_policy() -> BTreeMap<&'static str, String> {
        let usual = [
            ("strategy", "rolling"),
            ("max_parallel", "1"),
            ("min_healthy_time", "1s"),
            ("healthy_deadline", "20s"),
            ("progress_deadline", "60s"),
            ("drain_deadline", "10s"),
        ];
        usual.map(|(key, value)| (key, value.to_owned())).into()
    }

    /// Sends one request to the host of the second route.
    ///
    /// # Errors
    /// When it has no good answer.
    pub(super) async fn ask_other_host(&self) -> Result<Answer, String> {
        Load::new(self.address, "/?name=Ada").host(&self.shop.other_host()).once().await
    }

    /// Writes the manifest and gives its path.
    pub(super) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}-{}.json", self.shop.name(), self.number));
        std::fs::write(&path, format!("{:#}\n", self.manifest())).expect("cannot write a manifest");
        path
    }

    fn manifest(&self) -> Value {
        let mut components = vec![self.component(self.front_name(), &self.front, true)];
        if self.shop.is_linked() {
            components.push(self.component("greeter", &self.back, false));
        }
        components.push(self.http());
        json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application",
            "metadata": { "name": self.shop.name(), "annotations": { NUMBER: self.number.to_string() } },
            "spec": {
                "policies": [{
                    "name": "rollout", "type": "policy.rollout.lath/v1", "properties": self.policy,
                }],
                "components": components,
            },
        })
    }

    /// The name of the component that takes the requests.
    pub(super) fn front_name(&self) -> &'static str {
        if self.shop.is_linked() { "front" } else { "hello" }
    }

    fn component(&self, name: &str, part: &Part, takes_requests: bool) -> Value {
        let mut config = part.config.clone();
        let mark = match name {
            "greeter" => "word",
            "hello" => "greeting",
            _ => "mark",
        };
        config.insert(mark.to_owned(), part.mark.clone());
        config.insert("account".to_owned(), "yes".to_owned());
        let mut traits = vec![self.scaler(name)];
        if takes_requests {
            traits.push(json!({ "type": "probe", "properties": { "path": self.probe } }));
            if self.shop.is_linked() {
                traits.push(json!({ "type": "link", "properties": {
                    "namespace": "lath", "package": "demo", "interfaces": ["greeter"],
                    "target": { "name": "greeter" },
                }}));
            }
        }
        json!({
            "name": name,
            "type": "component",
            "properties": {
                "image": format!("file://{}", part.file.display()),
                "config": [{ "name": format!("{name}-settings"), "properties": config }],
            },
            "traits": traits,
        })
    }

    fn http(&self) -> Value {
        let route = |name: &str, host: String| {
            json!({ "type": "link", "properties": {
                "name": name, "namespace": "wasi", "package": "http", "interfaces": ["incoming-handler"],
                "target": { "name": self.front_name() },
                "source": { "config": [{ "name": format!("{name}-route"), "properties": {
                    "address": self.address.to_string(), "host": host,
                    "timeout_ms": self.timeout_ms.to_string(),
                }}]},
            }})
        };
        let mut traits = vec![self.scaler("http"), route("main", self.shop.host())];
        if self.other_route {
            traits.push(route("other", self.shop.other_host()));
        }
        json!({
            "name": "http",
            "type": "capability",
            "properties": {
                "image": "builtin://http-server",
                "config": [{ "name": "server", "properties": { "routing_mode": "host" } }],
            },
            "traits": traits,
        })
    }

    fn scaler(&self, component: &str) -> Value {
        let instances = if component == "http" { 1 } else { self.instances };
        let everywhere =
            |instances: u32| json!({ "type": "daemonscaler", "properties": { "instances": instances } });
        let spread = |zones: &[(String, u32)]| {
            let spread = zones.iter().enumerate().map(|(index, (zone, weight))| {
                json!({ "name": format!("s{index}"), "requirements": { "zone": zone }, "weight": weight })
            });
            json!({ "type": "spreadscaler", "properties": {
                "instances": instances, "spread": spread.collect::<Vec<_>>(),
            }})
        };
        let misplaced = self.nowhere && component == self.front_name();
        match (self.shop, component) {
            _ if misplaced => spread(&[("nowhere".to_owned(), 100)]),
            (Shop::Near, _) | (Shop::Ten, "http") => everywhere(instances),
            (Shop::Ten, _) => {
                let weight = 100 / u32::try_from(self.hosts).expect("there are few hosts");
                spread(&(0..self.hosts).map(|host| (zone(host), weight)).collect::<Vec<_>>())
            }
            (Shop::Far, "http") => spread(&[(zone(0), 100)]),
            (Shop::Far, "greeter") => spread(&[(zone(self.back_zone), 100)]),
            (Shop::Far, _) => spread(&[(zone(1 % self.hosts), 100)]),
        }
    }
}

/// Label of a host, by its number from 0.
pub(super) fn zone(host: usize) -> String {
    format!("z{host}")
}

/// How an answer looks; an error when it is not that to the request `id`.
pub(super) fn look_of(shop: Shop, answer: &Answer, id: &str) -> Result<String, String> {
    let field = |name| answer.text(name);
    if field("request_id") != id {
        return Err(format!("the answer to {id} is one to `{}`", field("request_id")));
    }
    if !shop.is_linked() {
        return Ok(format!("{}/{}", field("version"), field("greeting")));
    }
    let text = field("text");
    let Some(word) = text.strip_suffix(id).and_then(|text| text.strip_suffix(", ")) else {
        return Err(format!("the answer to {id} greets somebody else: `{text}`"));
    };
    Ok(format!("{}/{} > {}/{word}", field("version"), field("mark"), field("greeter")))
}
