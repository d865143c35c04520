//! Scale and update: start, number, image and end of a component that no manifest has.
//!
//! What is asked for is on record before the answer; the rollout comes after it, as in 1.x.

use std::sync::Arc;

use lath_control_api::{AppName, ComponentId, HostId};
use lath_manifests::limits::{MAX_INSTANCES, MAX_SPREADS};
use lath_wasmcloud::{EventData, ScaleComponent, Texts, UpdateComponent};

use super::manifest::{digits, reference};
use super::records::{Judged, Kind, Started};
use super::roll::Command;
use super::{Answer, Shared, claimed_by, component_id, done, failed, read};
use crate::records::Slot;

/// Names that no app may have.
const RESERVED: [&str; 3] = ["latest", "default", "system"];

/// What a scale makes of the record, and what is said.
enum Scaled {
    /// It is on record; the message that goes with it, and the image that counts.
    Taken {
        message: String,
        image: String,
    },
    /// Nothing ran there, and nothing is to.
    Nothing,
    Refused(String),
}

impl Shared {
    pub(super) async fn scale(self: Arc<Self>, host: &str, payload: &[u8]) -> Answer {
        // Of a host that Lath does not know, others take care.
        let host = self.host(host)?;
        let ask: ScaleComponent = match read(payload, "component scale command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let id = match self.free_id(&ask.component_id).await {
            Ok(id) => id,
            Err(refusal) => return refusal,
        };
        if let Err(why) = check(&ask) {
            return failed(why);
        }
        let app = match self.app_for(&id).await {
            Ok(app) => app,
            Err(why) => return failed(why),
        };
        let before = match self.kept.started(&id).await {
            Ok(before) => before.map(|stored| stored.value),
            Err(why) => return failed(why),
        };
        let judged = self.kept.change_started(&id, |there| judge(there, &host, &ask, &app)).await;
        match judged {
            Ok(Scaled::Taken { message, image }) => {
                let annotations = ask.annotations.unwrap_or_default();
                let (kind, count) = (Kind::Component, ask.count);
                let command = Command { host, app, kind, image, annotations, count, before };
                self.work.spawn(Arc::clone(&self).roll(id, Some(command)));
                done(message)
            }
            Ok(Scaled::Nothing) => {
                let event = scaled(&id, &host, &ask.component_ref, ask.annotations.unwrap_or_default(), 0);
                self.tell_for(&host, event).await;
                done("")
            }
            Ok(Scaled::Refused(why)) | Err(why) => failed(why),
        }
    }

    pub(super) async fn update(self: Arc<Self>, host: &str, payload: &[u8]) -> Answer {
        let host = self.host(host)?;
        let ask: UpdateComponent = match read(payload, "component update command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let id = match self.free_id(&ask.component_id).await {
            Ok(id) => id,
            Err(refusal) => return refusal,
        };
        let (image, annotations) = (ask.new_component_ref, ask.annotations.unwrap_or_default());
        if reference(&image).trim().is_empty() {
            return failed("new_component_ref is empty");
        }
        let updated = self.kept.change_started(&id, |there| {
            let running =
                there.filter(|there| there.kind == Kind::Component && there.places.contains_key(&host));
            let Some(there) = running else { return Judged::Keep(Err(format!("component {id} not found"))) };
            if there.image == image {
                return Judged::Keep(Ok(None));
            }
            let (image, annotations) = (image.clone(), annotations.clone());
            let next = Started { image, annotations, pending: true, ..there.clone() };
            Judged::Put(next, Ok(Some(there.clone())))
        });
        match updated.await {
            Ok(Ok(Some(before))) => {
                let message = format!("component {id} updating from {} to {image}", before.image);
                let (app, kind) = (before.app.clone(), Kind::Component);
                let count = before.places.get(&host).copied().unwrap_or_default();
                let command = Command { host, app, kind, image, annotations, count, before: Some(before) };
                self.work.spawn(Arc::clone(&self).roll(id, Some(command)));
                done(message)
            }
            Ok(Ok(None)) => done(format!("component {id} already updated to {image}")),
            Ok(Err(why)) | Err(why) => failed(why),
        }
    }

    /// The id, when no manifest has claimed it.
    pub(super) async fn free_id(&self, text: &str) -> Result<ComponentId, Answer> {
        let id = component_id(text)?;
        self.forget_what_is_gone(&id).await.map_err(failed)?;
        match self.claimed(&id).await {
            Some(app) => Err(claimed_by(&id, &app)),
            None => Ok(id),
        }
    }

    /// The app that a start under this id is: what it was before, else one called after the id, else, where that is
    /// the name of another app or no name, one with some digits.
    pub(super) async fn app_for(&self, id: &ComponentId) -> Result<AppName, String> {
        if let Some(started) = self.kept.started(id).await? {
            return Ok(started.value.app);
        }
        let fallback = format!("by-hand-{}", digits(id.as_str()));
        let names = [id.as_str(), fallback.as_str()];
        let names = names.into_iter().filter(|name| !RESERVED.contains(name));
        for name in names.filter_map(|name| name.parse::<AppName>().ok()) {
            let apps = self.context.records.apps();
            let free = match apps.slots.get(&name) {
                None => true,
                // One that is going, or was started by hand before.
                Some(Slot::Sound(stored)) => {
                    stored.value.revision.is_none() || self.is_by_hand(&stored.value).await
                }
                Some(Slot::Poison(_)) => false,
            };
            if free {
                return Ok(name);
            }
        }
        Err(format!("there is an app called {id} already; start the component under another id"))
    }
}

fn judge(
    there: Option<&Started>,
    host: &HostId,
    ask: &ScaleComponent,
    app: &AppName,
) -> Judged<Started, Scaled> {
    if let Some(there) = there.filter(|there| there.kind != Kind::Component) {
        let why = format!("{} is the provider {}", ask.component_id, there.image);
        return Judged::Keep(Scaled::Refused(why));
    }
    let is_here = there.is_some_and(|there| there.places.contains_key(host));
    if ask.count == 0 {
        let (Some(there), true) = (there, is_here) else { return Judged::Keep(Scaled::Nothing) };
        let mut next = Started { pending: true, ..there.clone() };
        next.places.remove(host);
        let taken = Scaled::Taken { message: String::new(), image: there.image.clone() };
        return if next.places.is_empty() { Judged::Delete(taken) } else { Judged::Put(next, taken) };
    }
    let old = there.map(|there| there.image.as_str());
    let other = old.filter(|old| !ask.component_ref.is_empty() && *old != ask.component_ref);
    let (message, image) = match (other, ask.allow_update) {
        (None, _) => (String::new(), old.unwrap_or(&ask.component_ref)),
        (Some(old), false) => (kept_image(old, &ask.component_ref), old),
        (Some(old), true) => (changed_image(old, &ask.component_ref), ask.component_ref.as_str()),
    };
    if image.trim().is_empty() {
        return Judged::Keep(Scaled::Refused("component_ref is empty".to_owned()));
    }
    let mut next = Started {
        app: app.clone(),
        kind: Kind::Component,
        image: image.to_owned(),
        places: there.map(|there| there.places.clone()).unwrap_or_default(),
        config: ask.config.clone(),
        annotations: ask.annotations.clone().unwrap_or_default(),
        limits: ask.component_limits.clone(),
        deployed: there.is_some_and(|there| there.deployed),
        pending: true,
    };
    next.places.insert(host.clone(), ask.count);
    if next.places.len() > MAX_SPREADS {
        let why =
            format!("{} runs on {MAX_SPREADS} hosts by hand, and no more; use a manifest", ask.component_id);
        return Judged::Keep(Scaled::Refused(why));
    }
    let taken = Scaled::Taken { message, image: image.to_owned() };
    let same = there.is_some_and(|there| there.asked() == next.asked());
    if same { Judged::Keep(taken) } else { Judged::Put(next, taken) }
}

fn check(ask: &ScaleComponent) -> Result<(), String> {
    if ask.count > MAX_INSTANCES {
        return Err(format!("{} instances; a component has {MAX_INSTANCES} on a host at most", ask.count));
    }
    Ok(())
}

fn kept_image(old: &str, new: &str) -> String {
    format!(
        "Requested to scale existing component to a different image reference: {old} != {new}. The component will be scaled but the image reference will not be updated. If you meant to update this component to a new image ref, use the update command."
    )
}

fn changed_image(old: &str, new: &str) -> String {
    format!(
        "Requested to scale existing component, with a changed image reference: {old} != {new}. The component will be scaled, and the image reference will be updated afterwards."
    )
}

/// The event that a host tells of a component, where the host itself has nothing to tell.
pub(super) fn scaled(
    id: &ComponentId,
    host: &HostId,
    image: &str,
    annotations: Texts,
    instances: u32,
) -> EventData {
    EventData::ComponentScaled {
        annotations,
        claims: None,
        component_id: id.to_string(),
        host_id: host.to_string(),
        image_ref: image.to_owned(),
        max_instances: instances,
        public_key: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(image: &str, count: u32, allow_update: bool) -> ScaleComponent {
        let text = format!(r#"{{"component_id":"a","component_ref":"{image}","count":{count}}}"#);
        ScaleComponent { allow_update, ..serde_json::from_str(&text).unwrap() }
    }

    fn judged(there: Option<&Started>, ask: &ScaleComponent) -> (Option<Option<Started>>, Scaled) {
        let host = format!("N{}", "A".repeat(55)).parse().unwrap();
        match judge(there, &host, ask, &"a".parse().unwrap()) {
            Judged::Put(next, said) => (Some(Some(next)), said),
            Judged::Delete(said) => (Some(None), said),
            Judged::Keep(said) => (None, said),
        }
    }

    #[test]
    fn a_scale_starts_counts_and_ends() {
        let (Some(Some(first)), Scaled::Taken { message, .. }) = judged(None, &ask("r:1", 3, false)) else {
            panic!()
        };
        assert_eq!((first.image.as_str(), message.as_str()), ("r:1", ""));
        assert!(matches!(judged(Some(&first), &ask("r:1", 3, false)), (None, Scaled::Taken { .. })));
        let (Some(Some(more)), Scaled::Taken { message, image }) =
            judged(Some(&first), &ask("r:2", 4, false))
        else {
            panic!()
        };
        assert_eq!((more.image.as_str(), image.as_str()), ("r:1", "r:1"));
        assert!(message.contains("r:1 != r:2") && message.contains("will not be updated"));
        let (Some(Some(new)), _) = judged(Some(&first), &ask("r:2", 4, true)) else { panic!() };
        assert_eq!(new.image, "r:2");
        assert!(matches!(judged(Some(&first), &ask("", 0, false)), (Some(None), Scaled::Taken { .. })));
        assert!(matches!(judged(None, &ask("r:1", 0, false)), (None, Scaled::Nothing)));
        assert!(matches!(judged(None, &ask("", 1, false)), (None, Scaled::Refused(_))));
        let provider = Started { kind: Kind::Capability, ..first };
        assert!(matches!(judged(Some(&provider), &ask("r:1", 1, false)), (None, Scaled::Refused(_))));
    }
}
