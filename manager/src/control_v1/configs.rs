//! Named configs: put, deleted, told. What runs with a config is rolled out anew when it changes: what was started by hand,
//! and apps whose manifests name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use lath_control_api::ComponentId;
use lath_control_api::app::Cause;
use lath_manager_planner::record::Wanted;
use lath_wasmcloud::{EventData, NamedConfig};

use super::records::{Config, Everything, Judged};
use super::{Answer, Shared, data, done, failed};
use crate::api::change;
use crate::records::Slot;

/// Longest name, in bytes: it is a part of a subject and a key.
const MAX_NAME: usize = 128;

impl Shared {
    pub(super) async fn put_config(self: Arc<Self>, name: &str, payload: &[u8]) -> Answer {
        if let Err(why) = check_name(name) {
            return failed(why);
        }
        let Ok(values) = serde_json::from_slice::<NamedConfig>(payload) else {
            return failed("config data should be a map of string -> string");
        };
        let next = Config { values };
        let put = self.kept.change_config(name, |there| match there {
            Some(there) if *there == next => Judged::Keep(false),
            Some(_) | None => Judged::Put(next.clone(), true),
        });
        let changed = match put.await {
            Ok(changed) => changed,
            Err(why) => return failed(why),
        };
        self.mirror.put_config(name, payload.to_vec()).await;
        self.tell(EventData::ConfigSet { config_name: name.to_owned() }).await;
        if changed {
            self.roll_users_of(name).await;
        }
        done("successfully put config")
    }

    /// Deletes a config. What runs with it keeps the values that it has: 1.x takes them away silently.
    pub(super) async fn delete_config(self: Arc<Self>, name: &str) -> Answer {
        if let Err(why) = check_name(name) {
            return failed(why);
        }
        if let Err(why) = self.kept.change_config(name, |_| Judged::Delete(())).await {
            return failed(why);
        }
        self.mirror.delete_config(name).await;
        self.tell(EventData::ConfigDeleted { config_name: name.to_owned() }).await;
        done("successfully deleted config")
    }

    pub(super) async fn config(&self, name: &str) -> Answer {
        if let Err(why) = check_name(name) {
            return failed(why);
        }
        match self.kept.config(name).await {
            Ok(Some(config)) => data(config.values),
            Ok(None) => done("Configuration not found"),
            Err(why) => failed(why),
        }
    }

    async fn roll_users_of(self: &Arc<Self>, name: &str) {
        self.roll_apps_with(name).await;
        match self.kept.everything().await {
            Ok(everything) => self.roll_all(users(&everything, name)).await,
            Err(error) => {
                tracing::warn!(error, config = name, "nobody knows who uses a config that has changed")
            }
        }
    }
}

impl Shared {
    /// Rolls out anew, in the background, every app whose manifest names this config without saying what is in it.
    async fn roll_apps_with(self: &Arc<Self>, name: &str) {
        for (app, slot) in &self.context.records.apps().slots {
            let Slot::Sound(stored) = slot else { continue };
            let Some(revision) = stored.value.revision.filter(|_| stored.value.wanted == Wanted::Run) else {
                continue;
            };
            let known = self.context.records.revisions.get(app, revision).await;
            if !known.is_ok_and(|known| known.record.pinned.configs.contains_key(name)) {
                continue;
            }
            let (shared, app, cause) = (Arc::clone(self), app.clone(), changed(name));
            self.work.spawn(async move {
                if let Err(error) = change::repin(&shared.context, app.clone(), cause).await {
                    tracing::warn!(%app, %error, "a changed config is not rolled out");
                }
            });
        }
    }
}

/// A config has changed that a manifest names.
fn changed(name: &str) -> Cause {
    Cause { by: "control interface v1".to_owned(), message: Some(format!("the config `{name}` has changed")) }
}

/// What was started by hand and takes this config, by itself, by a link, or by a capability that it links to.
fn users(everything: &Everything, name: &str) -> BTreeSet<ComponentId> {
    let names = |config: &[String]| config.iter().any(|used| used == name);
    let uses = |id: &ComponentId| {
        let linked =
            everything.links.get(id.as_str()).map(|links| links.links.as_slice()).unwrap_or_default();
        let of_target = |target: &str| {
            let target = target.parse().ok().and_then(|target: ComponentId| everything.started.get(&target));
            target.is_some_and(|target| names(&target.config))
        };
        everything.started.get(id).is_some_and(|started| names(&started.config))
            || linked.iter().any(|link| {
                names(&link.source_config) || names(&link.target_config) || of_target(&link.target)
            })
    };
    everything.started.keys().filter(|id| uses(id)).cloned().collect()
}

/// What a key of the buckets may be, with the dot left out: a name is one part of a subject.
fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '/');
    if name.len() <= MAX_NAME && name.chars().all(fits) {
        return Ok(());
    }
    let shown: String = name.chars().take(32).flat_map(char::escape_debug).collect();
    Err(format!(
        "`{shown}` cannot be the name of a config: 1 to {MAX_NAME} ASCII letters, digits, `-`, `_`, `=` or `/`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys() {
        check_name("shop-default_http").unwrap();
        for wrong in ["*", ">", "a b", "a\nb", "é", &"x".repeat(129)] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
