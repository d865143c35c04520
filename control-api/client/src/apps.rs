//! What a tool asks of the managers of a lattice. One of them answers.

use std::time::Duration;

use lath_control_api::AppVerb;
use lath_control_api::app::{
    AppList, AppRequest, AppStatus, ChangeReply, DeployRequest, DiffRequest, History, HostList, ListRequest,
    ManagerInfo, RevisionDiff, RevisionRequest, RevisionShown, RollbackRequest, RolloutRequest, ScaleRequest,
    TagRequest, Tags,
};
use lath_control_api::plan::Plan;

use crate::request::{ControlClient, RequestError};

/// A change is a few writes to the store, each of which may be tried again.
const CHANGE_DEADLINE: Duration = Duration::from_secs(15);
/// Reading is answered from memory.
const READ_DEADLINE: Duration = Duration::from_secs(5);

impl ControlClient {
    /// Makes a revision of a manifest and rolls it out. The answer says "accepted"; follow the status for the rest.
    ///
    /// # Errors
    /// See [`RequestError`]. After [`RequestError::TimedOut`] ask again: identical content changes nothing.
    pub async fn deploy(&self, ask: &DeployRequest) -> Result<ChangeReply, RequestError> {
        self.request(&self.subjects().app(AppVerb::Deploy), ask, CHANGE_DEADLINE).await
    }

    /// What deploying would do now. Nothing is changed.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn plan(&self, ask: &DeployRequest) -> Result<Plan, RequestError> {
        self.request(&self.subjects().app(AppVerb::Plan), ask, CHANGE_DEADLINE).await
    }

    /// Says how a rollout goes on.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn rollout(&self, ask: &RolloutRequest) -> Result<ChangeReply, RequestError> {
        self.request(&self.subjects().app(AppVerb::Rollout), ask, CHANGE_DEADLINE).await
    }

    /// Sets the number of instances of a component.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn scale(&self, ask: &ScaleRequest) -> Result<ChangeReply, RequestError> {
        self.request(&self.subjects().app(AppVerb::Scale), ask, CHANGE_DEADLINE).await
    }

    /// A revision as it was accepted.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn show(&self, ask: &RevisionRequest) -> Result<RevisionShown, RequestError> {
        self.request(&self.subjects().app(AppVerb::Show), ask, READ_DEADLINE).await
    }

    /// What two revisions differ in.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn diff(&self, ask: &DiffRequest) -> Result<RevisionDiff, RequestError> {
        self.request(&self.subjects().app(AppVerb::Diff), ask, READ_DEADLINE).await
    }

    /// Gives a revision a name, or takes it away. Answers with all names of the app.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn tag(&self, ask: &TagRequest) -> Result<Tags, RequestError> {
        self.request(&self.subjects().app(AppVerb::Tag), ask, CHANGE_DEADLINE).await
    }

    /// Goes back to an earlier revision.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn rollback(&self, ask: &RollbackRequest) -> Result<ChangeReply, RequestError> {
        self.request(&self.subjects().app(AppVerb::Rollback), ask, CHANGE_DEADLINE).await
    }

    /// Stops an app and keeps its revisions.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn undeploy(&self, ask: &AppRequest) -> Result<ChangeReply, RequestError> {
        self.request(&self.subjects().app(AppVerb::Undeploy), ask, CHANGE_DEADLINE).await
    }

    /// Stops an app and forgets it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn delete(&self, ask: &AppRequest) -> Result<ChangeReply, RequestError> {
        self.request(&self.subjects().app(AppVerb::Delete), ask, CHANGE_DEADLINE).await
    }

    /// How an app stands.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn status(&self, ask: &AppRequest) -> Result<AppStatus, RequestError> {
        self.request(&self.subjects().app(AppVerb::Status), ask, READ_DEADLINE).await
    }

    /// The changes of an app.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn history(&self, ask: &AppRequest) -> Result<History, RequestError> {
        self.request(&self.subjects().app(AppVerb::History), ask, READ_DEADLINE).await
    }

    /// Every app of the lattice.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn apps(&self) -> Result<AppList, RequestError> {
        self.request(&self.subjects().app(AppVerb::List), &ListRequest {}, READ_DEADLINE).await
    }

    /// Every host that the manager knows.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn hosts(&self) -> Result<HostList, RequestError> {
        self.request(&self.subjects().app(AppVerb::Hosts), &ListRequest {}, READ_DEADLINE).await
    }

    /// Which manager answers, and whether it is the one that acts.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn manager(&self) -> Result<ManagerInfo, RequestError> {
        self.request(&self.subjects().app(AppVerb::Ping), &ListRequest {}, READ_DEADLINE).await
    }
}
