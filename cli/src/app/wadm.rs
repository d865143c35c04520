//! Requests by the API of wadm, and what its refusals mean for the exit code.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{HeaderMap, Request, RequestErrorKind};
use lath_control_api::{AppName, Digest, ErrorCode};
use lath_control_api_client::RequestError;
use lath_wasmcloud::subject::{WADM_PREFIX_VARIABLE, WadmPrefix};
use lath_wasmcloud::wadm::{
    BY_HEADER, DeleteModel, DeleteReply, DeleteResult, DeployModel, DeployReply, DeployResult,
    Failure as Refusal, GetModel, GetReply, GetResult, IMAGES_HEADER, Manifest, ModelSummary, PutReply,
    Status, StatusReply, VersionInfo, VersionsReply,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::not_found;
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};

/// Time for a request, as `wash` gives it: a deploy may ask registries.
const PATIENCE: Duration = Duration::from_secs(10);

/// The API of wadm on a lattice.
pub(crate) struct Wadm {
    session: Session,
    /// What subjects begin with.
    topics: WadmPrefix,
}

impl Wadm {
    /// Connects to the lattice.
    pub(crate) async fn open(call: &Call) -> Result<Self, Failure> {
        Self::over(call.session().await?)
    }

    /// By a connection that is there.
    pub(crate) fn over(session: Session) -> Result<Self, Failure> {
        Ok(Self { session, topics: Call::prefix(WADM_PREFIX_VARIABLE)? })
    }

    pub(crate) async fn list(&self) -> Result<Vec<ModelSummary>, Failure> {
        self.ask("list", None::<&()>).await
    }

    pub(crate) async fn get(&self, name: &str, version: Option<&str>) -> Result<Manifest, Failure> {
        let ask = version.map(|version| GetModel { version: Some(version.to_owned()) });
        let reply: GetReply = self.ask(&about("get", name)?, ask.as_ref()).await?;
        match (reply.result, reply.manifest) {
            (GetResult::Success, Some(manifest)) => Ok(manifest),
            (GetResult::Success | GetResult::Error, _) => Err(refused(&reply.message)),
            (GetResult::NotFound, _) => Err(not_found(name)),
        }
    }

    pub(crate) async fn versions(&self, name: &str) -> Result<Vec<VersionInfo>, Failure> {
        let reply: VersionsReply = self.ask(&about("versions", name)?, None::<&()>).await?;
        match reply.result {
            GetResult::Success => Ok(reply.versions),
            GetResult::NotFound => Err(not_found(name)),
            GetResult::Error => Err(refused(&reply.message)),
        }
    }

    pub(crate) async fn status(&self, name: &str) -> Result<Status, Failure> {
        let reply: StatusReply = self.ask(&about("status", name)?, None::<&()>).await?;
        reply.status.ok_or_else(|| refused(&reply.message))
    }

    pub(crate) async fn put(
        &self,
        manifest: &str,
        images: &BTreeMap<String, Digest>,
    ) -> Result<PutReply, Failure> {
        let mut headers = HeaderMap::new();
        let images = serde_json::to_string(images);
        let images = images.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        headers.insert(IMAGES_HEADER, images.as_str());
        self.send("put", headers, manifest.as_bytes().to_vec()).await
    }

    pub(crate) async fn deploy(&self, name: &str, version: Option<&str>) -> Result<DeployReply, Failure> {
        let ask = version.map(|version| DeployModel { version: Some(version.to_owned()) });
        let reply: DeployReply = self.ask(&about("deploy", name)?, ask.as_ref()).await?;
        deployed(reply, name)
    }

    pub(crate) async fn undeploy(&self, name: &str) -> Result<DeployReply, Failure> {
        let reply: DeployReply = self.ask(&about("undeploy", name)?, None::<&()>).await?;
        deployed(reply, name)
    }

    /// Whether there was something to delete.
    pub(crate) async fn delete(&self, name: &str, version: Option<&str>) -> Result<bool, Failure> {
        let ask = version.map(|version| DeleteModel { version: Some(version.to_owned()) });
        let reply: DeleteReply = self.ask(&about("del", name)?, ask.as_ref()).await?;
        match reply.result {
            DeleteResult::Deleted => Ok(true),
            DeleteResult::Noop => Ok(false),
            DeleteResult::Error => Err(refused(&reply.message)),
        }
    }

    async fn ask<Q, A>(&self, verb: &str, ask: Option<&Q>) -> Result<A, Failure>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let body = match ask {
            Some(ask) => serde_json::to_vec(ask),
            None => Ok(Vec::new()),
        };
        let body = body.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        self.send(verb, HeaderMap::new(), body).await
    }

    async fn send<A: DeserializeOwned>(
        &self,
        verb: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<A, Failure> {
        let by: String = Call::user().chars().filter(|c| !c.is_control()).take(60).collect();
        headers.insert(BY_HEADER, by.as_str());
        let session = &self.session;
        let subject = format!("{}model.{verb}", self.topics.of(session.target.lattice.as_str()));
        let waited = session.patience.max(PATIENCE);
        let nats = session.control.connection().nats();
        let request = Request::new().payload(body.into()).headers(headers).timeout(Some(waited));
        let answer = nats.send_request(subject.clone(), request).await.map_err(|error| {
            session.failed(match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders { subject: subject.clone() },
                RequestErrorKind::TimedOut => RequestError::TimedOut { subject: subject.clone(), waited },
                RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded
                | RequestErrorKind::Other => RequestError::Nats(error.to_string()),
            })
        })?;
        let malformed = |error: serde_json::Error| {
            session.failed(RequestError::Malformed { subject: subject.clone(), cause: error.to_string() })
        };
        match serde_json::from_slice::<Refusal>(&answer.payload) {
            Ok(refusal) if refusal.result == GetResult::Error => Err(refused(&refusal.message)),
            Ok(_) | Err(_) => serde_json::from_slice(&answer.payload).map_err(malformed),
        }
    }
}

/// The end of the subject of a request about an app. What cannot be a name is that of no app.
fn about(verb: &str, name: &str) -> Result<String, Failure> {
    name.parse::<AppName>().map(|app| format!("{verb}.{app}")).map_err(|_| not_found(name))
}

fn deployed(reply: DeployReply, name: &str) -> Result<DeployReply, Failure> {
    match reply.result {
        DeployResult::Acknowledged => Ok(reply),
        DeployResult::NotFound => Err(not_found(name)),
        DeployResult::Error => Err(refused(&reply.message)),
    }
}

/// A refusal in the words of `wash`. The API has no codes: of two things only the words tell what they are.
fn refused(message: &str) -> Failure {
    let code = if message.contains("already exists") {
        ErrorCode::Conflict
    } else if message.contains("does not have a version") {
        ErrorCode::NotFound
    } else {
        ErrorCode::BadRequest
    };
    Failure::coded(code, format!("Invalid request: {message}"))
}
