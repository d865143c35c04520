//! Start and stop of providers: capabilities of an app started by hand, or, where a capability is built into hosts and part
//! of its callers, a word that links lead to. Who has a link to one is rolled out anew: its link leads to something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{Builtin, BuiltinAliases, ComponentId, HostId, Workload};
use lath_manifests::manifest::ImageRef;
use lath_wasmcloud::{EventData, StartProvider, StopProvider, Texts};
use tokio::time::{Instant, sleep};

use super::manifest::reference;
use super::records::{Everything, Judged, Kind, Started};
use super::roll::Command;
use super::tell::LINK;
use super::{Answer, Shared, done, failed, is_by_hand, read};
use crate::api::change;
use crate::records::Slot;

/// Longest wait for a provider to end before the answer: less than clients wait.
const STOP_WITHIN: Duration = Duration::from_millis(1_500);
/// Pause between two looks at a host.
const LOOK: Duration = Duration::from_millis(20);

impl Shared {
    pub(super) async fn start_provider(self: Arc<Self>, host: &str, payload: &[u8]) -> Answer {
        let host = self.host(host)?;
        let ask: StartProvider = match read(payload, "provider start command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let id = match self.free_id(&ask.provider_id).await {
            Ok(id) => id,
            Err(refusal) => return refusal,
        };
        let builtin = self.builtin(&ask.provider_ref);
        if let Err(error) = can_be_started(&ask.provider_ref, builtin) {
            self.tell_for(&host, start_failed(&host, &id, &ask.provider_ref, error.clone())).await;
            return failed(error);
        }
        let app = match self.app_for(&id).await {
            Ok(app) => app,
            Err(why) => return failed(why),
        };
        let annotations = ask.annotations.clone().unwrap_or_default();
        let started = self.kept.change_started(&id, |there| {
            let next = Started {
                app: app.clone(),
                kind: Kind::Capability,
                image: ask.provider_ref.clone(),
                places: BTreeMap::new(),
                config: ask.config.clone(),
                annotations: annotations.clone(),
                limits: None,
                deployed: false,
                pending: true,
            };
            start(there, &host, next)
        });
        let before = match started.await {
            Ok(Ok(before)) => before,
            Ok(Err(why)) | Err(why) => return failed(why),
        };
        // Callers are told what a link to it leads to now; where it runs is nothing to them.
        let is_new = before.is_none();
        if let Some(builtin) = builtin.filter(|builtin| builtin.is_in_its_callers()) {
            self.tell_for(&host, provider_started(&host, &id, builtin, annotations)).await;
            self.roll_callers_of(&id).await;
        } else {
            let (kind, image, count) = (Kind::Capability, ask.provider_ref, 1);
            let command = Command { host, app, kind, image, annotations, count, before };
            self.work.spawn(Arc::clone(&self).roll(id.clone(), Some(command)));
            if is_new {
                self.roll_callers_of(&id).await;
            }
        }
        done("successfully started provider")
    }

    pub(super) async fn stop_provider(self: Arc<Self>, host: &str, payload: &[u8]) -> Answer {
        let host = self.host(host)?;
        let ask: StopProvider = match read(payload, "provider stop command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let id = match self.free_id(&ask.provider_id).await {
            Ok(id) => id,
            Err(refusal) => return refusal,
        };
        let stopped = self.kept.change_started(&id, |there| {
            let here =
                there.filter(|there| there.kind == Kind::Capability && there.places.contains_key(&host));
            let Some(there) = here else { return Judged::Keep(None) };
            let mut next = Started { pending: true, ..there.clone() };
            next.places.remove(&host);
            let was = Some(there.clone());
            if next.places.is_empty() { Judged::Delete(was) } else { Judged::Put(next, was) }
        });
        let before = match stopped.await {
            Ok(Some(before)) => before,
            Ok(None) => return failed("provider with that ID is not running"),
            Err(why) => return failed(why),
        };
        if self.builtin(&before.image).is_some_and(Builtin::is_in_its_callers) {
            self.tell_for(&host, provider_stopped(&host, &id, before.annotations)).await;
            self.roll_callers_of(&id).await;
        } else {
            if before.places.len() == 1 {
                self.roll_callers_of(&id).await;
            }
            let (app, image, annotations) =
                (before.app.clone(), before.image.clone(), before.annotations.clone());
            let kind = Kind::Capability;
            let command =
                Command { host: host.clone(), app, kind, image, annotations, count: 0, before: Some(before) };
            self.work.spawn(Arc::clone(&self).roll(id.clone(), Some(command)));
            let deadline = Instant::now() + STOP_WITHIN;
            while self.serves(&host, &id) && Instant::now() < deadline {
                sleep(LOOK).await;
            }
        }
        done("successfully stopped provider")
    }

    /// The capability that hosts have under this reference.
    pub(super) fn builtin(&self, image: &str) -> Option<Builtin> {
        let snapshot = self.context.observed.snapshot();
        let mut all = BuiltinAliases::default();
        for (_, host) in snapshot.state.hosts() {
            all.0.extend(host.summary.builtins.0.clone());
        }
        all.resolve(reference(image))
    }

    /// Whether the manifest of an app says that a provider has this id.
    pub(super) async fn is_provider_of_an_app(&self, id: &ComponentId) -> bool {
        for slot in self.context.records.apps().slots.values() {
            let Slot::Sound(stored) = slot else { continue };
            let specs = change::specs(&self.context, &stored.value).await;
            let mut plans = specs.iter().flat_map(|spec| spec.components.values());
            if specs.iter().any(|spec| is_by_hand(spec)) {
                continue;
            }
            if let Some(plan) = plans.find(|plan| plan.id == *id) {
                return matches!(plan.spec.workload, Workload::Provider { .. });
            }
        }
        false
    }

    async fn roll_callers_of(self: &Arc<Self>, id: &ComponentId) {
        match self.kept.everything().await {
            Ok(everything) => self.roll_all(callers(&everything, id)).await,
            Err(error) => tracing::warn!(error, provider = %id, "nobody knows who links to a provider"),
        }
    }
}

/// Whether a reference can be that of a provider at all; whether there is one, the rollout finds out.
fn can_be_started(image: &str, builtin: Option<Builtin>) -> Result<(), String> {
    if builtin.is_some() {
        return Ok(());
    }
    match reference(image).parse::<ImageRef>() {
        Ok(ImageRef::Builtin(name)) => {
            let known =
                Builtin::ALL.map(|builtin| format!("wasmcloud+builtin://{}", builtin.name())).join(", ");
            Err(format!("unknown builtin name: {name}; built into hosts are {known}"))
        }
        Ok(ImageRef::File(_) | ImageRef::Oci(_)) => Ok(()),
        Err(error) => Err(format!("{image} is no reference of a provider: {error}")),
    }
}

fn callers(everything: &Everything, id: &ComponentId) -> BTreeSet<ComponentId> {
    let links_to = |source: &&ComponentId| {
        let links = everything.links.get(source.as_str());
        links.is_some_and(|links| links.links.iter().any(|link| link.target == id.as_str()))
    };
    everything.started.keys().filter(links_to).cloned().collect()
}

fn start(
    there: Option<&Started>,
    host: &HostId,
    asked: Started,
) -> Judged<Started, Result<Option<Started>, String>> {
    let mut next = match there {
        Some(there) if there.kind != Kind::Capability => {
            let why = format!("there is a component with that ID already: {}", there.image);
            return Judged::Keep(Err(why));
        }
        Some(there) if there.places.contains_key(host) => {
            return Judged::Keep(Err("provider with that ID is already running".to_owned()));
        }
        Some(there) => Started { places: there.places.clone(), deployed: there.deployed, ..asked },
        None => asked,
    };
    next.places.insert(host.clone(), 1);
    Judged::Put(next, Ok(there.cloned()))
}

fn provider_started(host: &HostId, id: &ComponentId, builtin: Builtin, annotations: Texts) -> EventData {
    EventData::ProviderStarted {
        annotations,
        claims: None,
        host_id: host.to_string(),
        image_ref: builtin.name().to_owned(),
        provider_id: id.to_string(),
        instance_id: None,
        public_key: None,
        link_name: None,
    }
}

fn provider_stopped(host: &HostId, id: &ComponentId, annotations: Texts) -> EventData {
    EventData::ProviderStopped {
        annotations,
        host_id: host.to_string(),
        instance_id: id.to_string(),
        link_name: LINK.to_owned(),
        provider_id: id.to_string(),
        public_key: id.to_string(),
        reason: "stop".to_owned(),
    }
}

/// The event of a provider that could not be started.
pub(super) fn start_failed(host: &HostId, id: &ComponentId, image: &str, error: String) -> EventData {
    EventData::ProviderStartFailed {
        error,
        host_id: host.to_string(),
        link_name: LINK.to_owned(),
        provider_id: id.to_string(),
        provider_ref: image.to_owned(),
    }
}
