//! What users ask for in a run, and when.

use std::time::Duration;

use lath_control_api::app::Cause;
use lath_control_api::{AppName, Timestamp};
use lath_manager_planner::change::{self, Change};
use lath_manager_planner::example::App;

use crate::apps::{self, NAMES};
use crate::rng::Rng;
use crate::store::Store;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Duration,
    pub(crate) app: AppName,
    pub(crate) what: What,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Deploy(App),
    Rollback,
    Undeploy,
    Delete,
}

impl Request {
    /// In one line, for the trace.
    pub(crate) fn describe(&self) -> String {
        let what = match &self.what {
            What::Deploy(manifest) => {
                let images = manifest.images();
                let names: Vec<&str> =
                    images.keys().filter_map(|image| image.strip_prefix("file://")).collect();
                format!("deploy {}", names.join(" "))
            }
            What::Rollback => "rollback".to_owned(),
            What::Undeploy => "undeploy".to_owned(),
            What::Delete => "delete".to_owned(),
        };
        format!("asks {}: {what}", self.app)
    }
}

/// The requests of a run that lasts `active`, in their order.
pub(crate) fn requests(rng: &mut Rng, active: Duration) -> Vec<Request> {
    let count = 2 + rng.below(5);
    let last = u64::try_from(active.as_millis()).unwrap_or(u64::MAX);
    let mut requests: Vec<Request> = Vec::new();
    for number in 0..count {
        // Most of it happens to one app.
        let name = if rng.chance(250) { NAMES[1] } else { NAMES[0] };
        let Ok(app) = name.parse() else { continue };
        let what = match rng.below(10) {
            _ if number == 0 => What::Deploy(apps::manifest(name, rng)),
            0..=6 => What::Deploy(apps::manifest(name, rng)),
            7 => What::Rollback,
            8 => What::Undeploy,
            _ => What::Delete,
        };
        let at = if number == 0 { rng.millis(0, 3_000) } else { rng.millis(1, last) };
        requests.push(Request { at, app, what });
    }
    requests.sort_by_key(|request| request.at);
    requests
}

/// The change that a request comes to; none when it is refused.
pub(crate) fn change(request: &Request, store: &Store, now: Timestamp) -> Option<Change> {
    let app = &request.app;
    let record = store.app(app).map(|held| &*held.record);
    let current = store.current(app);
    match &request.what {
        What::Deploy(manifest) => change::deploy(record, current, manifest.ask(), now).ok(),
        What::Rollback => {
            change::rollback(record?, current, store.previous(app)?, Cause::default(), None, now).ok()
        }
        What::Undeploy => Some(change::undeploy(app, record, Cause::default(), now)),
        What::Delete => Some(change::delete(app, record, Cause::default(), now)),
    }
}
