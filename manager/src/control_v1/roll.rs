//! From records to hosts: the manifest of what was started by hand is made anew and deployed, or its app is deleted.
//!
//! Level-triggered: the record says what should be, whatever asked for a look at it. One look at a time for each id; a
//! record that has changed meanwhile is looked at again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use lath_control_api::app::{AppRequest, Cause, DeployRequest};
use lath_control_api::{AppName, Builtin, ComponentId, Digest, ErrorCode, HostId, Revision};
use lath_control_api_client::Stored;
use lath_manager_planner::DesiredRecord;
use lath_manager_planner::record::{Resolved, Wanted};
use lath_manifests::manifest::ImageRef;
use lath_wasmcloud::{EventData, Texts};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Shared;
use super::manifest::{self, Capability, Reference, Surroundings, is_secret, reference};
use super::providers::start_failed;
use super::records::{Judged, Kind, Started};
use super::scale::scaled;
use crate::api::change;
use crate::files;

/// Looks at one id in a row while its record keeps changing.
const LOOKS: u32 = 16;
/// Longest wait for a host to serve what it was asked to before, and the pause between two looks at it.
const SERVES_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// What a tool has asked for, to tell the lattice what became of it where no host does.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) host: HostId,
    pub(super) app: AppName,
    pub(super) kind: Kind,
    pub(super) image: String,
    pub(super) annotations: Texts,
    pub(super) count: u32,
    /// The record before it; what fails before any host is asked leaves that.
    pub(super) before: Option<Started>,
}

/// What a look has led to.
enum Rolled {
    /// Hosts are told, or will be.
    Changed,
    /// Hosts run it as it is.
    Unchanged,
}

impl Shared {
    /// Makes hosts run what the record of this id says.
    pub(super) async fn roll(self: Arc<Self>, id: ComponentId, mut command: Option<Command>) {
        let turn = self.turn(&id);
        let Ok(_turn) = turn.acquire().await else { return };
        for _ in 0..LOOKS {
            let stored = match self.kept.started(&id).await {
                Ok(stored) => stored,
                Err(error) => return self.tell_failure(&id, command.as_ref(), error).await,
            };
            let rolled = match &stored {
                Some(stored) => self.deploy(&id, stored, command.is_some()).await,
                None => self.delete(&id, command.as_ref()).await,
            };
            match rolled {
                Ok(Rolled::Changed) => {}
                Ok(Rolled::Unchanged) => self.tell_unchanged(&id, command.as_ref()),
                Err(error) => {
                    tracing::warn!(%id, error, "what was started by hand cannot be rolled out");
                    self.take_back(&id, command.as_ref(), stored.as_ref()).await;
                    return self.tell_failure(&id, command.as_ref(), error).await;
                }
            }
            let now = self.kept.started(&id).await.ok().flatten();
            let asked = |stored: &Option<Stored<Started>>| stored.as_ref().map(|stored| stored.value.asked());
            if asked(&now) == asked(&stored) && !now.is_some_and(|now| now.value.pending) {
                return;
            }
            // Whoever has changed it meanwhile tells what becomes of that.
            command = None;
        }
    }

    fn turn(&self, id: &ComponentId) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(id.clone(), Arc::downgrade(&turn));
        turn
    }

    async fn deploy(
        &self,
        id: &ComponentId,
        stored: &Stored<Started>,
        commanded: bool,
    ) -> Result<Rolled, String> {
        let started = &stored.value;
        if started.kind == Kind::Capability
            && self.builtin(&started.image).is_some_and(Builtin::is_in_its_callers)
        {
            // It is in the manifests of its callers.
            return self.nothing_pending(id).await.map(|()| Rolled::Changed);
        }
        let record = self.context.records.read(&started.app).await.map_err(|error| error.to_string())?;
        let record = record.map(|stored| stored.value);
        // One that failed to start is there: it waits for what it lacks, such as a link.
        let gone = record.as_ref().is_none_or(DesiredRecord::is_stopped_on_request);
        if let Some(record) = record.as_ref().filter(|_| !gone)
            && !self.is_by_hand(record).await
        {
            // Its manifest says more than we do.
            self.forget(id).await?;
            return Err(format!("{id} has become a part of the app {}", started.app));
        }
        if gone && started.deployed && !commanded {
            tracing::info!(%id, app = %started.app, "its app was stopped; what was started by hand is forgotten");
            self.forget(id).await?;
            return Ok(Rolled::Changed);
        }
        let links = self.kept.links_of(id.as_str()).await?.links;
        let around = self.surroundings(&links, started).await?;
        let manifest = manifest::write(id, started, &around);
        let mut pushed = match record.as_ref() {
            Some(record) => self.digests(record).await,
            None => BTreeMap::new(),
        };
        self.push_file(started.kind, &started.image, &mut pushed).await?;
        let reply = change::deploy(
            &self.context,
            DeployRequest {
                manifest,
                pushed,
                cause: cause(),
                if_revision: Some(record.as_ref().and_then(|record| record.revision).unwrap_or(Revision(0))),
                dry_run: false,
                rollout: BTreeMap::new(),
                plan: None,
            },
        );
        let reply = match reply.await {
            Ok(reply) => reply,
            // Somebody else has changed the app: the next look judges what is there then.
            Err(error) if error.code == ErrorCode::Conflict => {
                return Box::pin(self.again(id, commanded)).await;
            }
            Err(error) => return Err(error.message),
        };
        self.mirror.put_links(id.as_str(), Some(&started.image), &links).await;
        let mark = self.kept.change_started(id, |there| match there {
            // What has been asked for meanwhile is not deployed yet.
            Some(there) => {
                let pending = there.pending && there.asked() != started.asked();
                let next = Started { deployed: true, pending, ..there.clone() };
                if next == *there { Judged::Keep(()) } else { Judged::Put(next, ()) }
            }
            None => Judged::Keep(()),
        });
        mark.await?;
        Ok(if reply.unchanged { Rolled::Unchanged } else { Rolled::Changed })
    }

    /// One more look after a conflict, and only one: two that fight for an app are two users.
    async fn again(&self, id: &ComponentId, commanded: bool) -> Result<Rolled, String> {
        let record = self.kept.started(id).await?;
        let Some(stored) = record else { return Ok(Rolled::Changed) };
        let app = &stored.value.app;
        let found = self.context.records.read(app).await.map_err(|error| error.to_string())?;
        let theirs = match found {
            Some(found) if found.value.wanted == Wanted::Run => !self.is_by_hand(&found.value).await,
            Some(_) | None => false,
        };
        if theirs || !commanded {
            return Err(format!("the app {app} is being changed by others at the same time; try again"));
        }
        tokio::time::sleep(LOOK * 5).await;
        self.deploy(id, &stored, false).await
    }

    async fn delete(&self, id: &ComponentId, command: Option<&Command>) -> Result<Rolled, String> {
        // Without a command nobody knows of which app this was.
        let Some(command) = command else { return Ok(Rolled::Changed) };
        let record = self.context.records.read(&command.app).await.map_err(|error| error.to_string())?;
        let Some(record) = record.map(|stored| stored.value) else { return Ok(Rolled::Changed) };
        if record.wanted != Wanted::Run || !self.is_by_hand(&record).await {
            return Ok(Rolled::Changed);
        }
        let ask = AppRequest { app: command.app.clone(), cause: cause(), dry_run: false };
        change::delete(&self.context, ask).await.map_err(|error| error.message)?;
        tracing::info!(%id, "what was started by hand is stopped");
        Ok(Rolled::Changed)
    }

    async fn surroundings<'a>(
        &self,
        links: &'a [lath_wasmcloud::Link],
        started: &Started,
    ) -> Result<Surroundings<'a>, String> {
        let mut around = Surroundings { links, ..Surroundings::default() };
        for link in links {
            let Ok(target) = link.target.parse::<ComponentId>() else { continue };
            match self.kept.started(&target).await?.map(|stored| stored.value) {
                Some(Started { kind: Kind::Capability, image, config, .. }) => match self.builtin(&image) {
                    Some(builtin) if builtin.is_in_its_callers() => {
                        around.capabilities.insert(link.target.clone(), Capability { image, config });
                    }
                    Some(_) => {}
                    None => drop(around.providers.insert(link.target.clone())),
                },
                Some(Started { kind: Kind::Component, .. }) => {}
                None if self.is_provider_of_an_app(&target).await => {
                    around.providers.insert(link.target.clone());
                }
                None => {}
            }
        }
        let names: Vec<String> = around.names(started).into_iter().map(str::to_owned).collect();
        for name in names {
            let config = self.kept.config(&name).await?;
            let config = config.ok_or_else(|| match is_secret(&name) {
                true => format!("Secret reference {name} not found in config store"),
                false => format!("Configuration {name} not found in config store"),
            })?;
            if is_secret(&name) {
                Reference::read(&name, &config.values)?;
            }
            around.configs.insert(name, config.values);
        }
        Ok(around)
    }

    /// What the references of the revision that runs stand for: a tag that has moved since changes nothing by itself.
    async fn digests(&self, record: &DesiredRecord) -> BTreeMap<String, Digest> {
        let Some(revision) = record.revision else { return BTreeMap::new() };
        let Ok(known) = self.context.records.revisions.get(&record.app, revision).await else {
            return BTreeMap::new();
        };
        let code = known.record.images.iter().filter_map(|(image, resolved)| match resolved {
            Resolved::Code { digest } => Some((image.clone(), digest.clone())),
            Resolved::Builtin { .. } => None,
        });
        code.collect()
    }

    /// Puts a file of this machine into the lattice's store, where hosts get it.
    async fn push_file(
        &self,
        kind: Kind,
        image: &str,
        pushed: &mut BTreeMap<String, Digest>,
    ) -> Result<(), String> {
        let Ok(parsed @ ImageRef::File(_)) = reference(image).parse::<ImageRef>() else { return Ok(()) };
        let (ImageRef::File(path), key) = (&parsed, parsed.to_string()) else { return Ok(()) };
        if pushed.contains_key(&key) {
            return Ok(());
        }
        let what = match kind {
            Kind::Component => "component",
            Kind::Capability => "provider",
        };
        if !self.context.allow_file_load {
            return Err(format!(
                "unable to start {what} from file, file loading is disabled: start the manager with --allow-file-load, or use `lath deploy`"
            ));
        }
        let bytes = code_in(kind, path).await.map_err(|error| format!("failed to fetch {what}: {error}"))?;
        let digest = Digest::of(&bytes);
        self.context.components.put(&digest, bytes).await.map_err(|error| error.to_string())?;
        pushed.insert(key, digest);
        Ok(())
    }

    async fn nothing_pending(&self, id: &ComponentId) -> Result<(), String> {
        let mark = self.kept.change_started(id, |there| match there.filter(|there| there.pending) {
            Some(there) => Judged::Put(Started { pending: false, ..there.clone() }, ()),
            None => Judged::Keep(()),
        });
        mark.await
    }

    /// Forgets what was started by hand and whose app people have stopped or deleted since.
    pub(super) async fn forget_what_is_gone(&self, id: &ComponentId) -> Result<(), String> {
        let Some(started) = self.kept.started(id).await?.filter(|stored| stored.value.deployed) else {
            return Ok(());
        };
        let record =
            self.context.records.read(&started.value.app).await.map_err(|error| error.to_string())?;
        if record.is_some_and(|record| record.value.wanted == Wanted::Run) {
            Ok(())
        } else {
            self.forget(id).await
        }
    }

    async fn forget(&self, id: &ComponentId) -> Result<(), String> {
        self.kept.change_started(id, |_| Judged::Delete(())).await
    }

    /// Nothing was asked of any host: the record is again what it was before the command.
    async fn take_back(&self, id: &ComponentId, command: Option<&Command>, tried: Option<&Stored<Started>>) {
        let (Some(command), Some(tried)) = (command, tried) else { return };
        let back = self.kept.change_started(id, |there| match (there, &command.before) {
            (Some(there), Some(before)) if there.asked() == tried.value.asked() => {
                Judged::Put(Started { pending: false, ..before.clone() }, ())
            }
            (Some(there), None) if there.asked() == tried.value.asked() => Judged::Delete(()),
            (Some(_) | None, _) => Judged::Keep(()),
        });
        if let Err(error) = back.await {
            tracing::warn!(%id, error, "a start that failed stays on record");
        }
    }

    async fn tell_failure(&self, id: &ComponentId, command: Option<&Command>, error: String) {
        let Some(Command { host, kind, image, annotations, count, .. }) = command else { return };
        let event = match kind {
            Kind::Capability => start_failed(host, id, image, error),
            Kind::Component => EventData::ComponentScaleFailed {
                annotations: annotations.clone(),
                component_id: id.to_string(),
                error,
                host_id: host.to_string(),
                image_ref: image.clone(),
                max_instances: *count,
                public_key: None,
            },
        };
        self.tell_for(host, event).await;
    }

    /// A host has nothing to tell of what it runs already, and whoever has asked waits for a word.
    fn tell_unchanged(self: &Arc<Self>, id: &ComponentId, command: Option<&Command>) {
        let Some(Command { host, kind: Kind::Component, image, annotations, count, .. }) = command else {
            return;
        };
        let event = scaled(id, host, image, annotations.clone(), *count);
        let (shared, host, id) = (Arc::clone(self), host.clone(), id.clone());
        self.work.spawn(async move {
            // It may be on its way still, or what we know of the host may be a moment old. What fails, the host tells.
            let deadline = Instant::now() + SERVES_WITHIN;
            while !shared.serves(&host, &id) {
                if Instant::now() >= deadline {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
            shared.tell_for(&host, event).await;
        });
    }
}

fn cause() -> Cause {
    Cause { by: "control interface v1".to_owned(), message: None }
}

/// The bytes of a component or a provider; of no other file, whatever a request names.
async fn code_in(kind: Kind, path: &str) -> Result<Bytes, String> {
    if !Path::new(path).is_absolute() {
        return Err(format!("{path} is no absolute path"));
    }
    let bytes = files::read(path.to_owned()).await;
    let (kind, called) = match kind {
        Kind::Component => (lath_manifests::manifest::Kind::Component, "component"),
        Kind::Capability => (lath_manifests::manifest::Kind::Capability, "provider"),
    };
    let bytes = bytes.map_err(|error| format!("failed to read {called}: {error}"))?;
    files::usable(kind, &bytes).map_err(|found| format!("{path} is {found}"))?;
    Ok(bytes)
}
