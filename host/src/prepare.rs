//! Making one unit ready for calls, step by step, beside everything that runs.
//!
//! Each step is told before it begins, so that people see what a slow one is. Nothing here touches what serves;
//! dropping the future undoes it.

mod ends;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{
    Builtin, ComponentId, ComponentSpec, Image, LinkSpec, Reason, WitInterface, Workload,
};
use lath_host_core::{LinkTerms, News, UnitKey};
use tokio::sync::Semaphore;

use ends::Ends;

use crate::artifact::Artifacts;
use crate::capability::bound::{Bindings, Capabilities};
use crate::engine::{Beside, Code, Engine, PrepareError, Prepared, Targets, UnitIdentity};
use crate::ingress::{Claim, Ingress};
use crate::provider::{Callers, Provider, Providers};
use crate::secrets::{Reader, Secrets};
use crate::supervisor::Teller;

/// First instances and probes at the same time: they are the guests' work, and traffic comes first.
const STARTING: usize = 8;
/// Interfaces of `wasi:http` whose links lead to a handler, on whichever side of it they stand.
const HTTP_HANDLER: [&str; 4] = ["incoming-handler", "handler", "outgoing-handler", "client"];

/// What a preparation makes.
#[derive(Debug, Clone)]
pub(crate) enum Product {
    /// A component to call.
    Component(Arc<Prepared>),
    /// A process of a provider.
    Provider(Arc<Provider>),
    /// Addresses of an HTTP server, held so that nobody else takes them.
    HttpServer(Vec<Claim>),
}

impl Product {
    /// The component, where it is one.
    pub(crate) const fn component(&self) -> Option<&Arc<Prepared>> {
        match self {
            Self::Component(unit) => Some(unit),
            Self::Provider(_) | Self::HttpServer(_) => None,
        }
    }

    /// The provider, where it is one.
    pub(crate) const fn provider(&self) -> Option<&Arc<Provider>> {
        match self {
            Self::Provider(provider) => Some(provider),
            Self::Component(_) | Self::HttpServer(_) => None,
        }
    }
}

/// What is to be prepared.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) unit: UnitKey,
    pub(crate) identity: UnitIdentity,
    pub(crate) spec: Arc<ComponentSpec>,
    /// What others of its app need of it.
    pub(crate) needs: Needs,
    /// How its links are put to providers.
    pub(crate) terms: LinkTerms,
    /// What this host has of its app; none: it is not known.
    pub(crate) neighbours: Option<Neighbours>,
}

/// Components of one app on this host, as seen by one of its revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Neighbours {
    /// Those that the revision has here.
    pub(crate) with: BTreeSet<ComponentId>,
    /// Those that only other revisions have here: they go, or stay with calls that are not the revision's.
    pub(crate) without: BTreeSet<ComponentId>,
}

/// What routes and links of an app need a component to export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) http: bool,
    pub(crate) interfaces: Vec<WitInterface>,
}

impl Needs {
    /// Adds what a spec of the same app needs of the component with this id.
    pub(crate) fn add(&mut self, spec: &ComponentSpec, id: &ComponentId) {
        self.http |= spec.routes.iter().any(|route| route.target == *id);
        for link in spec.links.iter().filter(|link| link.target == *id) {
            for interface in interfaces(link) {
                let of_http = (&*interface.namespace, &*interface.package) == ("wasi", "http");
                if of_http && HTTP_HANDLER.contains(&&*interface.interface) {
                    self.http = true;
                } else if !self.interfaces.contains(&interface) {
                    self.interfaces.push(interface);
                }
            }
        }
    }
}

fn interfaces(link: &LinkSpec) -> impl Iterator<Item = WitInterface> {
    link.interfaces.iter().map(|interface| WitInterface {
        namespace: link.namespace.clone(),
        package: link.package.clone(),
        interface: interface.clone(),
    })
}

/// Where what units need comes from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) engine: Engine,
    pub(crate) artifacts: Artifacts,
    pub(crate) secrets: Secrets,
    pub(crate) providers: Providers,
    pub(crate) callers: Callers,
}

/// Prepares units.
#[derive(Debug, Clone)]
pub(crate) struct Preparer {
    sources: Sources,
    ingress: Ingress,
    targets: Targeting,
    capabilities: Capabilities,
    http_default: SocketAddr,
    starting: Arc<Semaphore>,
    ends: Ends,
}

/// The way out for linked calls; a newtype because a trait object has no `Debug`.
#[derive(Clone)]
struct Targeting(Arc<dyn Targets>);

impl std::fmt::Debug for Targeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Targeting")
    }
}

impl Preparer {
    pub(crate) fn new(
        sources: Sources,
        ingress: Ingress,
        targets: Arc<dyn Targets>,
        capabilities: Capabilities,
        http_default: SocketAddr,
    ) -> Self {
        let starting = Arc::new(Semaphore::new(STARTING));
        let ends = Ends::default();
        Self { sources, ingress, targets: Targeting(targets), capabilities, http_default, starting, ends }
    }

    /// Does the job, and tells which step begins.
    pub(crate) async fn prepare(&self, job: &Job, teller: &Teller) -> Result<Product, PrepareError> {
        match &job.spec.workload {
            Workload::Component { image } => self.component(job, image, teller).await.map(Product::Component),
            Workload::Provider { image } => {
                let provider = self.sources.providers.prepare(job.unit.clone(), job, image, teller).await?;
                Ok(Product::Provider(provider))
            }
            Workload::Builtin { builtin: Builtin::HttpServer, .. } => {
                teller.tell(News::Linking).await;
                self.http_server(&job.spec).map(Product::HttpServer)
            }
            // No manager places one; it is part of its callers.
            Workload::Builtin { builtin: Builtin::KeyvalueMemory | Builtin::KeyvalueNats, reference } => {
                let message = format!("{reference} is part of the components that link to it");
                Err(PrepareError { reason: Reason::ConfigInvalid, message })
            }
        }
    }

    async fn component(
        &self,
        job: &Job,
        image: &Image,
        teller: &Teller,
    ) -> Result<Arc<Prepared>, PrepareError> {
        let code = match self.sources.engine.cached(&image.digest).await {
            Some(code) => code,
            None => {
                teller.tell(News::Fetching).await;
                let bytes = self.sources.artifacts.get(image).await?;
                teller.tell(News::Compiling).await;
                self.sources.engine.compile(&image.digest, bytes).await?
            }
        };
        teller.tell(News::Linking).await;
        let signed = code.signed().map(|signed| signed.token.as_str());
        let reader = Reader { app: &job.unit.app, id: &job.unit.id, signed };
        let secrets = self.sources.secrets.resolve(&job.spec.secrets, reader).await?;
        let mut bound = self.capabilities.bind(&job.identity, &job.spec).await?;
        bound.give_secrets(secrets);
        match self.sources.callers.put(&job.unit, &job.spec, job.terms).await {
            Ok(links) => bound.hold(links),
            Err(refused) => {
                bound.unbind(&job.identity).await;
                return Err(refused);
            }
        }
        let made = self.make(job, code, bound.clone(), teller).await;
        if made.is_err() {
            bound.unbind(&job.identity).await;
        }
        made
    }

    async fn make(
        &self,
        job: &Job,
        code: Arc<Code>,
        bound: Bindings,
        teller: &Teller,
    ) -> Result<Arc<Prepared>, PrepareError> {
        let unit =
            self.sources.engine.link_bound(code, job.identity.clone(), &job.spec, &self.targets.0, bound)?;
        check_exports(&unit, &job.needs)?;
        self.check_neighbours(&unit, job)?;
        self.ends.meet(&unit)?;
        teller.tell(News::Starting).await;
        let _permit = self.starting.acquire().await;
        unit.try_start().await?;
        if let Some(probe) = &job.spec.probe {
            unit.probe(probe).await?;
        }
        Ok(unit)
    }

    /// Refuses a component whose calls cannot leave the host, where what it calls is not on it.
    fn check_neighbours(&self, unit: &Prepared, job: &Job) -> Result<(), PrepareError> {
        let Some(neighbours) = &job.neighbours else { return Ok(()) };
        // A component of another app may be of any revision.
        let is_here = |target: &ComponentId| {
            neighbours.with.contains(target)
                || !neighbours.without.contains(target)
                    && self.targets.0.beside(unit.caller(), target).is_some()
        };
        match unit.beside.iter().find(|beside| !is_here(&beside.target)) {
            Some(Beside { target, because }) => Err(PrepareError {
                reason: Reason::ImportUnsatisfied,
                message: format!(
                    "{because}, and `{target}` is not on this one: let both components be \
                     on the same hosts, with a `daemonscaler` each or with the same `requirements` and one host for \
                     each"
                ),
            }),
            None => Ok(()),
        }
    }

    fn http_server(&self, spec: &ComponentSpec) -> Result<Vec<Claim>, PrepareError> {
        let mut addresses: Vec<SocketAddr> =
            spec.routes.iter().map(|route| route.address.unwrap_or(self.http_default)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        for route in &spec.routes {
            if route.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
                let message = format!("route {}: a path begins with `/`", route.describe());
                return Err(PrepareError { reason: Reason::ConfigInvalid, message });
            }
        }
        let unbound = addresses.iter().find(|address| address.port() == 0);
        if let Some(address) = unbound {
            let message = format!("address {address} has no port");
            return Err(PrepareError { reason: Reason::ConfigInvalid, message });
        }
        addresses.into_iter().map(|address| self.claim(address)).collect()
    }

    fn claim(&self, address: SocketAddr) -> Result<Claim, PrepareError> {
        self.ingress.claim(address).map_err(|error| PrepareError {
            reason: Reason::AddressUnavailable,
            message: format!("cannot listen on {address}: {error}"),
        })
    }
}

fn check_exports(unit: &Prepared, needs: &Needs) -> Result<(), PrepareError> {
    let missing = |what: String| Err(PrepareError { reason: Reason::ExportMissing, message: what });
    let exports = unit.exports();
    if needs.http && !exports.handles_http {
        return missing(
            "a route or a link leads to it, and it exports neither wasi:http/incoming-handler@0.2 nor \
             wasi:http/handler@0.3"
                .to_owned(),
        );
    }
    let has = |interface: &WitInterface| {
        let found = exports.functions.iter().filter_map(|function| function.instance.as_deref());
        found.filter_map(WitInterface::of_instance).any(|found| found == *interface)
    };
    match needs.interfaces.iter().find(|interface| !has(interface)) {
        Some(interface) => {
            missing(format!("a link of its app goes to {interface}, which it does not export"))
        }
        None => Ok(()),
    }
}
