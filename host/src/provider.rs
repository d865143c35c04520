//! Capability providers: processes beside the host, in the protocol of wasmCloud 1.x (decision 0022).
//!
//! A unit of a provider needs a process of its content, which it may share with units of other revisions, and has a place
//! among the specs of the provider on this host, by which links and calls find their process.
//!
//! Read in this order: `archive`, `programs`, `launch`, `words`, `seal`, `link`, `host_data`, `talk`, `health`,
//! `process`, `actor`, `stop`, `pool`, `place`, `first`, `forward`, `foreign`, `callers`.

mod actor;
mod archive;
mod callers;
mod first;
mod foreign;
mod forward;
mod health;
mod hold;
mod host_data;
mod launch;
mod link;
mod place;
mod pool;
mod process;
mod programs;
mod seal;
mod stop;
mod talk;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use lath_control_api::{
    ComponentId, HostId, Image, LinkSpec, ProviderTarget, Reason, Subjects, Weight, WireId,
};
use lath_host_core::{News, UnitKey};
use lath_wrpc::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use callers::Callers;
pub(crate) use host_data::NatsAccess;
pub use launch::launched;
pub(crate) use pool::Around;
pub(crate) use process::{Called, Process};
pub(crate) use programs::Programs;

use crate::artifact::Artifacts;
use crate::claims::Signed;
use crate::dice::Dice;
use crate::engine::PrepareError;
use crate::prepare::Job;
use crate::secrets::{Reader, Secrets};
use crate::supervisor::Teller;
use foreign::{Foreign, ForeignTask};
use forward::{Forwarder, Onward};
use hold::{Holds, TooMany, Waiting};
use link::{Link, Values};
use place::{Place, Presence, Sources, source_key};
use pool::Lease;
use process::{Recipe, State};
use programs::Installed;

/// The providers of this host.
#[derive(Debug, Clone)]
pub(crate) struct Providers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    around: Arc<Around>,
    programs: Programs,
    artifacts: Artifacts,
    secrets: Secrets,
    subjects: Subjects,
    client: Client,
    places: Mutex<BTreeMap<ComponentId, Standing>>,
    routes: ArcSwap<Routes>,
}

/// A provider's place, and the tasks that serve it. They end with it.
#[derive(Debug)]
struct Standing {
    place: Arc<Place>,
    foreign: Foreign,
    holds: Holds,
    _end: tokio_util::sync::DropGuard,
}

/// Which processes of this host calls of its own components go to.
#[derive(Debug, Default)]
struct Routes {
    contents: BTreeMap<WireId, Arc<Process>>,
    providers: BTreeMap<ComponentId, Shared>,
    dice: Dice,
}

/// The way to the processes of a provider for calls of other apps.
#[derive(Debug)]
struct Shared {
    /// By share: the end of each part of 0 to 99.
    parts: Vec<(u8, Arc<Process>)>,
    holds: Holds,
}

/// What a unit of a provider has when it is ready.
#[derive(Debug)]
pub(crate) struct Provider {
    // Before the lease: the place is left before the process may go.
    presence: Presence,
    _lease: Lease,
    unit: UnitKey,
}

impl Providers {
    pub(crate) fn new(
        around: Arc<Around>,
        programs: Programs,
        artifacts: Artifacts,
        secrets: Secrets,
        subjects: Subjects,
        client: Client,
    ) -> Self {
        let (places, routes) = (Mutex::default(), ArcSwap::default());
        Self {
            inner: Arc::new(Inner { around, programs, artifacts, secrets, subjects, client, places, routes }),
        }
    }

    /// Makes a unit ready: a process of its content runs, is well, and has its links.
    ///
    /// # Errors
    /// The reason tells what is wrong, the message where; of a process that ended, its last words stand there.
    pub(crate) async fn prepare(
        &self,
        unit: UnitKey,
        job: &Job,
        image: &Image,
        teller: &Teller,
    ) -> Result<Arc<Provider>, PrepareError> {
        let no_provider = || PrepareError::new(Reason::ConfigInvalid, "it is no provider");
        let wire = job.spec.wire_id(&unit.id).ok_or_else(no_provider)?;
        let lease = match self.inner.around.share(&wire) {
            Some(lease) => lease,
            None => self.start(&unit, job, image, wire, teller).await?,
        };
        teller.tell(News::Starting).await;
        let process = lease.process();
        process.ready().await?;
        let (place, foreign) = self.place(&unit.id);
        foreign.greet(process).await;
        let sources = self.sources(&unit, job, process.signed.as_deref()).await?;
        let presence = Presence::enter(&place, unit.clone(), process, sources, job.terms.unverified).await?;
        Ok(Arc::new(Provider { presence, _lease: lease, unit }))
    }

    async fn start(
        &self,
        unit: &UnitKey,
        job: &Job,
        image: &Image,
        wire: WireId,
        teller: &Teller,
    ) -> Result<Lease, PrepareError> {
        let program = self.program(image, teller).await?;
        teller.tell(News::Linking).await;
        let signed = program.signed.as_ref().map(|signed| signed.token.as_str());
        let reader = Reader { app: &unit.app, id: &unit.id, signed };
        let secrets = self.inner.secrets.resolve(&job.spec.secrets, reader).await?;
        let mut links = Vec::new();
        for link in &job.spec.incoming {
            let source = self.inner.secrets.resolve(&link.source_secrets, reader).await?;
            let target = self.inner.secrets.resolve(&link.target_secrets, reader).await?;
            links.push(Link::incoming(link, source, target));
        }
        let recipe = Recipe {
            identity: job.identity.clone(),
            limits: job.spec.limits,
            wire,
            config: job.spec.config.clone(),
            secrets,
            links,
            program,
        };
        self.inner.around.lease(recipe).await
    }

    async fn program(&self, image: &Image, teller: &Teller) -> Result<Arc<Installed>, PrepareError> {
        if let Some(held) = self.inner.programs.held(&image.digest) {
            return Ok(held);
        }
        teller.tell(News::Fetching).await;
        let bytes = self.inner.artifacts.get(image).await?;
        teller.tell(News::Compiling).await;
        self.inner.programs.install(&image.digest, bytes).await
    }

    /// The links of a spec that begin at the provider, with their secrets.
    async fn sources(
        &self,
        unit: &UnitKey,
        job: &Job,
        signed: Option<&Signed>,
    ) -> Result<Sources, PrepareError> {
        let signed = signed.map(|signed| signed.token.as_str());
        let reader = Reader { app: &unit.app, id: &unit.id, signed };
        let resolve = async |link: &LinkSpec| -> Result<(Values, Values), PrepareError> {
            let source = self.inner.secrets.resolve(&link.source_secrets, reader).await?;
            Ok((source, self.inner.secrets.resolve(&link.target_secrets, reader).await?))
        };
        let mut sources = Sources::new();
        for spec in &job.spec.links {
            let (source, target) = resolve(spec).await?;
            let link = Link::outgoing(spec, source, target);
            sources.insert(source_key(&unit.id, &link), link);
        }
        Ok(sources)
    }

    fn place(&self, provider: &ComponentId) -> (Arc<Place>, Foreign) {
        let mut places = self.places();
        let standing = places.entry(provider.clone()).or_insert_with(|| self.establish(provider));
        (Arc::clone(&standing.place), standing.foreign.clone())
    }

    fn establish(&self, provider: &ComponentId) -> Standing {
        let (wanted, receiver) = watch::channel(place::Wanted::default());
        let (followed, forwarded) = watch::channel(0);
        let end = CancellationToken::new();
        let around = &self.inner.around;
        let holds = Holds::default();
        let onward = Onward {
            nats: around.nats.clone(),
            lattice: around.lattice.clone(),
            provider: provider.clone(),
            known: first::Known::default(),
        };
        let (client, holding) = (self.inner.client.clone(), holds.clone());
        let forwarder = Forwarder { onward, client, holds: holding, wanted: receiver.clone(), followed };
        tokio::spawn(forwarder.run(end.clone()));
        let task = ForeignTask {
            nats: around.nats.clone(),
            subjects: self.inner.subjects.clone(),
            host: around.host.clone(),
            provider: provider.clone(),
            secrets: self.inner.secrets.clone(),
            wanted: receiver,
            holds: holds.clone(),
            links: BTreeMap::new(),
        };
        let foreign = Foreign::begin(task, end.clone());
        let place = Arc::new(Place::new(forwarded, wanted));
        Standing { place, foreign, holds, _end: end.drop_guard() }
    }

    /// Sets the shares of all specs of providers, and where calls of this host's components go.
    pub(crate) fn share(&self, weights: &BTreeMap<ComponentId, BTreeMap<UnitKey, Weight>>) {
        let mut places = self.places();
        let none = BTreeMap::new();
        let mut routes = Routes::default();
        for (provider, standing) in &*places {
            standing.place.share(weights.get(provider).unwrap_or(&none));
            let processes = standing.place.processes();
            routes.contents.extend(processes.into_iter().map(|process| (process.wire.clone(), process)));
            let shared = Shared { parts: standing.place.parts(), holds: standing.holds.clone() };
            routes.providers.insert(provider.clone(), shared);
        }
        // Whoever prepares a unit holds its place, and takes it under this lock.
        places.retain(|_, standing| !standing.place.is_empty() || Arc::strong_count(&standing.place) > 1);
        drop(places);
        self.inner.routes.store(Arc::new(routes));
    }

    /// Resolves when links and subscriptions of every provider are as was wanted last.
    pub(crate) async fn settled(&self) {
        let places: Vec<Arc<Place>> =
            self.places().values().map(|standing| Arc::clone(&standing.place)).collect();
        for place in places {
            place.settled().await;
        }
    }

    /// Begins a call of a link to a provider on a process of this host; none when it has none.
    pub(crate) fn local(&self, link: &LinkSpec) -> Option<Called> {
        let routes = self.inner.routes.load();
        let process = match link.provider.as_ref()? {
            ProviderTarget::Process { wire_id } => routes.contents.get(wire_id)?,
            ProviderTarget::Elsewhere => {
                let (parts, dice) = (&routes.providers.get(&link.target)?.parts, routes.dice.roll());
                let (_, process) = parts.iter().find(|(end, _)| dice < *end).or_else(|| parts.last())?;
                process
            }
        };
        (!process.state().borrow().is_over()).then(|| Called::begin(process))
    }

    /// A call of a link from `source` that waits, because the link changes at a provider of this host.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) fn wait(&self, source: &ComponentId, link: &LinkSpec) -> Result<Option<Waiting>, TooMany> {
        if link.provider != Some(ProviderTarget::Elsewhere) {
            return Ok(None);
        }
        let routes = self.inner.routes.load();
        routes.providers.get(&link.target).map_or(Ok(None), |shared| shared.holds.wait(source.as_str()))
    }

    /// Ends every process by then. Units that still have one find it gone.
    pub(crate) async fn stop(&self, until: Instant) {
        self.inner.around.stop(until).await;
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<ComponentId, Standing>> {
        self.inner.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider {
    /// The process that it has.
    pub(crate) const fn process(&self) -> &Arc<Process> {
        self.presence.process()
    }

    /// It is wanted again.
    pub(crate) fn reopen(&self) {
        self.presence.come_back();
    }

    /// It gives its links up; resolves when no call has passed to its process for `quiet`, or after `within`.
    pub(crate) async fn drain(&self, quiet: Duration, within: Duration) {
        self.presence.give_links_up();
        self.presence.place().settled().await;
        let calls = &self.process().calls;
        let silent = async {
            tokio::time::sleep(quiet).await;
            while !calls.are_quiet(quiet) {
                tokio::time::sleep(quiet / 5).await;
            }
        };
        let _or_late = tokio::time::timeout(within, silent).await;
    }

    /// It takes no calls of its own any more; resolves when none can come.
    pub(crate) async fn close(&self) {
        self.presence.go();
        self.presence.place().settled().await;
    }

    /// Why it does not serve as it is wanted, if it has been refused a link.
    pub(crate) fn refused(&self) -> Option<News> {
        let message = self.presence.place().refused(&self.unit)?;
        Some(News::Unhealthy { reason: Reason::LinkRefused, message })
    }

    fn news(&self, state: &State) -> News {
        match state {
            State::Ended(PrepareError { reason, message }) => {
                News::Failed { reason: *reason, message: message.clone() }
            }
            State::Ailing(reason, message) => News::Unhealthy { reason: *reason, message: message.clone() },
            // What was asked to go does not ail. Nobody has it any more, or the host ends.
            State::Gone => News::Healthy,
            State::Starting | State::Up => self.refused().unwrap_or(News::Healthy),
        }
    }

    /// Tells how its process is, as often as that changes.
    pub(crate) async fn watch(self: Arc<Self>, teller: Teller) {
        let mut state = self.process().state();
        let mut verdicts = self.presence.place().verdicts();
        let mut told = News::Healthy;
        loop {
            let now = state.borrow_and_update().clone();
            let news = self.news(&now);
            if news != told {
                told = news.clone();
                teller.tell(news).await;
            }
            if now.is_over() {
                return;
            }
            let over = tokio::select! {
                changed = state.changed() => changed.is_err(),
                changed = verdicts.changed() => changed.is_err(),
            };
            if over {
                return;
            }
        }
    }
}

/// The user that providers reach NATS as, from the host's own credentials.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn access(servers: &str, credentials: Option<&std::path::Path>) -> std::io::Result<NatsAccess> {
    let text = credentials.map(std::fs::read_to_string).transpose()?;
    Ok(NatsAccess::new(servers, text.as_deref()))
}

/// Who the processes of this host are started by.
pub(crate) fn around(
    nats: async_nats::Client,
    subjects: &Subjects,
    host: HostId,
    access: NatsAccess,
    events: crate::control_v1::TellerV1,
) -> Arc<Around> {
    Around::new(nats, subjects.lattice().clone(), host, access, events)
}
