//! The control interface of wasmCloud 1.x, as far as it changes the lattice: links, named configs, what is started
//! by hand, and the claims of all that runs. Hosts answer for themselves; see `docs/decisions/0020-control-v1.md`.
//!
//! One manager answers each request, whether it acts or not: a request changes records by compare-and-set, and what
//! follows for hosts is an ordinary deploy. Answers have the form and the words of 1.x. A request that cannot be read
//! gets a refusal that says why, and changes nothing. Requests to hosts that Lath does not know are left to others:
//! hosts of 1.x may be in the same lattice.

mod claims;
mod configs;
mod links;
mod manifest;
mod mirror;
mod providers;
mod records;
mod roll;
mod scale;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::future::join_all;
use lath_artifacts::{Given, Login};
use lath_control_api::{AppName, ComponentId, HostId, annotation};
use lath_control_api_client::async_nats::Message;
use lath_manager_planner::{AppSpec, DesiredRecord};
use lath_wasmcloud::subject::Control as Asked;
use lath_wasmcloud::{RegistryCredentials, Reply, STANDING_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::change;
use crate::context::Context;
use crate::failpoint::Failpoint;
use crate::records::Slot;
use crate::requests::Requests;

use links::Copy;
use mirror::Mirror;
pub(crate) use records::Kept;
use records::{Judged, Started};

/// Largest request that is read, in bytes.
const MAX_REQUEST: usize = 1 << 20;
/// Time for what was begun to be finished at the end.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Answers requests of tools of 1.x.
#[derive(Debug)]
pub(crate) struct ControlV1 {
    shared: Arc<Shared>,
    requests: Vec<Requests>,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    context: Arc<Context>,
    kept: Kept,
    mirror: Mirror,
    /// One at a time rolls out what was started under one id.
    turns: Mutex<BTreeMap<ComponentId, Weak<Semaphore>>>,
    /// What goes on after an answer.
    work: TaskTracker,
}

/// An answer; none where 1.x, or whoever else the request concerns, is silent.
type Answer = Option<Vec<u8>>;

impl ControlV1 {
    /// Begins to take requests.
    ///
    /// # Errors
    /// When the connection is closed, or the store cannot be used.
    pub(crate) async fn listen(context: Arc<Context>) -> anyhow::Result<Self> {
        let (connection, subjects) = (context.client.connection().clone(), context.client.subjects().clone());
        let kept = context.kept.clone();
        let mirror = Mirror::new(&connection, subjects.lattice());
        let prefix = context.topics.control.of(subjects.lattice().as_str());
        let registry = format!("registry.{}", context.identity.run);
        let groups = [
            // Groups of 1.x: its hosts and our managers share the work.
            ("link.*", "link"),
            ("config.>", "config"),
            ("component.*.*", "component"),
            ("provider.*.*", "provider"),
            // Hosts of 1.x, which answer for what runs on them, are in this one too.
            ("claims.get", "claims"),
            // Logins are for every manager. Hosts answer.
            ("registry.put", registry.as_str()),
        ];
        let mut requests = Vec::new();
        for (rest, group) in groups {
            requests.push(
                Requests::listen(&context, format!("{prefix}{rest}"), format!("{prefix}{group}")).await?,
            );
        }
        let (turns, work) = (Mutex::default(), TaskTracker::new());
        Ok(Self { shared: Arc::new(Shared { context, kept, mirror, turns, work }), requests })
    }

    /// Answers until `shutdown`, then finishes what was taken on.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { shared, requests } = self;
        shared.work.spawn(Arc::clone(&shared).finish_old_work());
        shared.work.spawn(Arc::clone(&shared).copy_claims(shutdown.clone()));
        let answering = requests.into_iter().map(|requests| {
            let shared = Arc::clone(&shared);
            requests.run(shutdown.clone(), move |request| Arc::clone(&shared).answer(request))
        });
        join_all(answering).await;
        shared.work.close();
        if tokio::time::timeout(LAST_WORK, shared.work.wait()).await.is_err() {
            tracing::warn!("a start by hand is not finished; the next manager that starts does it");
        }
    }
}

impl Shared {
    /// What a manager that died has left: copies that are missing, and starts that were taken on and not deployed.
    async fn finish_old_work(self: Arc<Self>) {
        match self.kept.everything().await {
            Ok(everything) => {
                self.mirror.repair(&everything).await;
                let pending = everything.started.into_iter().filter(|(_, started)| started.pending);
                for (id, _) in pending {
                    Arc::clone(&self).roll(id, None).await;
                }
            }
            Err(error) => tracing::warn!(error, "what was started by hand cannot be looked at"),
        }
    }

    async fn answer(self: Arc<Self>, request: Message) {
        let prefix = self.context.topics.control.of(self.lattice());
        let payload = request.payload.as_ref();
        let asked = request.subject.strip_prefix(prefix.as_str()).and_then(Asked::read);
        let answer = match asked {
            Some(_) if payload.len() > MAX_REQUEST => {
                let bytes = payload.len();
                failed(format!("the request has {bytes} bytes, and at most {MAX_REQUEST} are read"))
            }
            Some(Asked::PutLink) => {
                let is_standing =
                    request.headers.as_ref().is_some_and(|headers| headers.get(STANDING_HEADER).is_some());
                let copy = if is_standing { Copy::Standing } else { Copy::Missing };
                Arc::clone(&self).put_link(payload, copy).await
            }
            Some(asked) => Arc::clone(&self).obey(asked, payload).await,
            None => failed("unsupported subject"),
        };
        let inbox = |reply: &String| reply.starts_with("_INBOX") || reply.starts_with("_R_.");
        let (Some(reply), Some(json)) = (request.reply.map(|reply| reply.to_string()).filter(inbox), answer)
        else {
            return;
        };
        let connection = self.context.client.connection();
        let (bytes, limit) = (json.len(), connection.max_payload());
        let json = if bytes > limit {
            let why = format!("the answer has {bytes} bytes, and the NATS server takes at most {limit}");
            failed(why).unwrap_or_default()
        } else {
            json
        };
        Failpoint::AnswerSend.before();
        if let Err(error) = connection.nats().publish(reply, json.into()).await {
            tracing::debug!(%error, "an answer to a tool of 1.x could not be sent");
        }
        Failpoint::AnswerSend.after();
    }

    async fn obey(self: Arc<Self>, asked: Asked<'_>, payload: &[u8]) -> Answer {
        match asked {
            Asked::DeleteLink => self.delete_link(payload).await,
            Asked::Links => self.links().await,
            Asked::PutConfig(name) => self.put_config(name, payload).await,
            Asked::DeleteConfig(name) => self.delete_config(name).await,
            Asked::Config(name) => self.config(name).await,
            Asked::ScaleComponent(host) => self.scale(host, payload).await,
            Asked::UpdateComponent(host) => self.update(host, payload).await,
            Asked::StartProvider(host) => self.start_provider(host, payload).await,
            Asked::StopProvider(host) => self.stop_provider(host, payload).await,
            Asked::PutRegistries => self.put_registries(payload),
            Asked::Claims => self.claims(),
            Asked::Ping
            | Asked::Inventory(_)
            | Asked::StopHost(_)
            | Asked::AuctionComponent
            | Asked::AuctionProvider
            | Asked::PutLabel(_)
            | Asked::DeleteLabel(_)
            | Asked::PutLink => None,
        }
    }

    fn put_registries(&self, payload: &[u8]) -> Answer {
        let ask: BTreeMap<String, RegistryCredentials> = serde_json::from_slice(payload).ok()?;
        let logins = ask.into_iter().map(|(registry, it)| {
            let (password, token) = (it.password.map(Given), it.token.map(Given));
            (registry, Login { user: it.username, password, token })
        });
        if let Err(why) = self.context.registries.put_logins(logins) {
            tracing::warn!(why, "logins of a tool of 1.x are not taken");
        }
        // Hosts answer.
        None
    }

    fn lattice(&self) -> &str {
        self.context.client.subjects().lattice().as_str()
    }

    /// The host, when it is one of Lath.
    fn host(&self, id: &str) -> Option<HostId> {
        let id: HostId = id.parse().ok()?;
        self.context.observed.snapshot().state.host(&id).map(|_| id)
    }

    /// The app whose manifest has a component of this id: what it is, is not for strokes to say.
    async fn claimed(&self, id: &ComponentId) -> Option<AppName> {
        for (app, slot) in &self.context.records.apps().slots {
            let Slot::Sound(stored) = slot else { continue };
            let specs = change::specs(&self.context, &stored.value).await;
            let claims = |spec: &Arc<AppSpec>| {
                spec.components.values().any(|plan| plan.id == *id) && !is_by_hand(spec)
            };
            if specs.iter().any(claims) {
                return Some(app.clone());
            }
        }
        None
    }

    /// Whether what an app is to be was started by hand.
    async fn is_by_hand(&self, record: &DesiredRecord) -> bool {
        // Of one that failed at first and was taken back: what that was.
        let tried = || record.history.first().and_then(|newest| newest.revision);
        let Some(revision) = record.revision.or_else(tried) else { return false };
        let known = self.context.records.revisions.get(&record.app, revision).await;
        known.is_ok_and(|known| known.spec.as_ref().is_ok_and(|spec| is_by_hand(spec)))
    }

    /// Whether the host serves a component or capability of this id.
    fn serves(&self, host: &HostId, id: &ComponentId) -> bool {
        let snapshot = self.context.observed.snapshot();
        let inventory = snapshot.state.host(host).and_then(|known| known.inventory.as_ref());
        let mut components =
            inventory.into_iter().flat_map(|inventory| &inventory.apps).flat_map(|app| &app.components);
        components.any(|component| component.id == *id && component.units.iter().any(|unit| unit.serving))
    }

    /// Rolls out again what was started under these ids, in the background. That it is to be done is on record before
    /// this returns.
    async fn roll_all(self: &Arc<Self>, ids: BTreeSet<ComponentId>) {
        for id in ids {
            let noted = self.kept.change_started(&id, |there| match there {
                Some(there) => Judged::Put(Started { pending: true, ..there.clone() }, true),
                None => Judged::Keep(false),
            });
            match noted.await {
                Ok(true) => drop(self.work.spawn(Arc::clone(self).roll(id, None))),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%id, error, "a change is not rolled out to what was started by hand")
                }
            }
        }
    }
}

/// Whether a revision is one that managers make of commands of the control interface.
pub(crate) fn is_by_hand(spec: &AppSpec) -> bool {
    spec.components.values().any(|plan| plan.spec.annotations.contains_key(annotation::BY_HAND))
}

/// Refusal of a stroke at what a manifest says.
fn claimed_by(id: &ComponentId, app: &AppName) -> Answer {
    failed(format!(
        "component {id} belongs to the app {app}: change its manifest and deploy it, or use `lath scale {app}`"
    ))
}

/// Reads a request, or says why it cannot be read.
fn read<T: DeserializeOwned>(payload: &[u8], what: &str) -> Result<T, Answer> {
    // A list would be read as the fields in their order, and an empty one as a request that asks for nothing.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(failed(format!("failed to deserialize {what}: it is no JSON object")));
    }
    serde_json::from_slice(payload).map_err(|error| failed(format!("failed to deserialize {what}: {error}")))
}

/// Reads an id, or says that it is none.
fn component_id(text: &str) -> Result<ComponentId, Answer> {
    text.trim().parse().map_err(|error: lath_control_api::IdError| failed(error.to_string()))
}

fn data<T: Serialize>(value: T) -> Answer {
    encode(&Reply::data(value))
}

fn done(message: impl Into<String>) -> Answer {
    encode(&Reply::<()>::done(message))
}

fn failed(message: impl Into<String>) -> Answer {
    encode(&Reply::<()>::failed(message))
}

fn encode<T: Serialize>(reply: &Reply<T>) -> Answer {
    match serde_json::to_vec(reply) {
        Ok(json) => Some(json),
        Err(error) => {
            tracing::error!(%error, "an answer to a tool of 1.x has no JSON form");
            Some(br#"{"success":false,"error":"the answer has no JSON form"}"#.to_vec())
        }
    }
}
