//! What is wrong with apps that no plan can know of: a record or revision that cannot be read, a command that a host
//! refuses, a plan that was stopped. Shown beside the planned status; decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lath_control_api::AppName;
use lath_control_api::app::{AppState, AppStatus, Problem};

/// The troubles of every app. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<ArcSwap<BTreeMap<AppName, Vec<Problem>>>>);

impl Troubles {
    /// Replaces the troubles of an app; tells whether they are others than before.
    pub(crate) fn set(&self, app: &AppName, problems: Vec<Problem>) -> bool {
        let now = self.0.load();
        if now.get(app).map_or(&[][..], Vec::as_slice) == problems.as_slice() {
            return false;
        }
        let mut next = BTreeMap::clone(&now);
        if problems.is_empty() {
            next.remove(app);
        } else {
            next.insert(app.clone(), problems);
        }
        self.0.store(Arc::new(next));
        true
    }

    /// Forgets everything: another manager knows better now.
    pub(crate) fn clear(&self) {
        self.0.store(Arc::default());
    }

    /// Adds the troubles of an app to its status.
    pub(crate) fn add_to(&self, status: &mut AppStatus) {
        let troubles = self.0.load();
        let Some(problems) = troubles.get(&status.app) else { return };
        status.problems.extend(problems.iter().cloned());
        if let (true, Some(first)) = (status.message.is_empty(), problems.first()) {
            status.message.clone_from(&first.message);
        }
        if status.state == AppState::Serving {
            status.state = AppState::Degraded;
        }
    }
}

/// A problem of an app as a whole.
pub(crate) fn problem(reason: &str, message: impl Into<String>) -> Problem {
    Problem {
        reason: reason.to_owned(),
        message: message.into(),
        component: None,
        host: None,
        host_name: None,
    }
}
