//! Manifests by the names that their owners gave them: 1.x keeps versions of an app, deployed or not.
//!
//! A version is a revision with a name. One that was only put is a revision that nothing runs: deploying it makes
//! another revision of the same manifest, with its images resolved, and the name moves on to that one. No number of the
//! record that hosts obey changes by any of this.

use std::collections::BTreeMap;

use lath_control_api::app::{Cause, ChangeReply};
use lath_control_api::{ApiError, AppName, ErrorCode, Revision, Timestamp};
use serde::{Deserialize, Serialize};

use crate::change::{Change, reply};
use crate::record::{DesiredRecord, Pinned, Resolved, RevisionRecord, SCHEMA, Wanted};

/// Most versions of an app that are found by their names. Whoever puts one for each commit has the newest ones.
pub const VERSIONS_KEPT: usize = 100;

/// A name of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The manifest's annotation `version`, or a ULID where it has none.
    pub name: String,
    /// The newest revision with this manifest.
    pub revision: Revision,
}

/// A manifest to be kept under its name.
#[derive(Debug, Clone, PartialEq)]
pub struct PutAsk {
    /// The app that the manifest names.
    pub app: AppName,
    /// The manifest's text.
    pub manifest: String,
    /// What is known of its images already.
    pub images: BTreeMap<String, Resolved>,
    /// Its name.
    pub version: String,
    /// Who and why.
    pub cause: Cause,
}

/// Keeps a manifest, and deploys nothing. An app that is being deleted is one again, which has only this version.
///
/// # Errors
/// When there is a version of that name: what a name stands for is never changed by a put.
pub fn put(record: Option<&DesiredRecord>, ask: PutAsk, now: Timestamp) -> Result<Change, ApiError> {
    let mut next = record.cloned().unwrap_or_else(|| DesiredRecord::new(ask.app.clone()));
    if next.versions.iter().any(|known| known.name == ask.version) {
        // `wash` looks for these words.
        let message = format!("Manifest version {} already exists", ask.version);
        return Err(ApiError::new(ErrorCode::Conflict, message)
            .with_help("give the manifest another `version`, or delete the one that is there"));
    }
    if next.wanted == Wanted::Forget {
        next.wanted = Wanted::Stop;
    }
    let number = next.last_revision.next();
    let revision = RevisionRecord {
        schema: SCHEMA,
        app: ask.app,
        revision: number,
        content: RevisionRecord::content_of(&ask.manifest, &ask.images, &Pinned::default(), &BTreeMap::new()),
        manifest: ask.manifest,
        images: ask.images,
        pinned: Pinned::default(),
        scale: BTreeMap::new(),
        repeats: None,
        version: ask.version.clone(),
        only_put: true,
        created: now,
        cause: ask.cause,
    };
    next.last_revision = number;
    note(&mut next, &ask.version, number);
    let reply = ChangeReply { revision: Some(number), unchanged: false, ..reply(&next) };
    Ok(Change { record: Some(next), revision: Some(revision), reply })
}

/// Takes a name away. None when there is no such name.
#[must_use]
pub fn without(record: &DesiredRecord, name: &str) -> Option<DesiredRecord> {
    let mut next = record.clone();
    next.versions.retain(|known| known.name != name);
    (next.versions.len() != record.versions.len()).then_some(next)
}

/// Notes that `revision` is the newest one with this name. A name keeps its place in the order.
pub(crate) fn note(record: &mut DesiredRecord, name: &str, revision: Revision) {
    if name.is_empty() {
        // A revision of before there were versions.
        return;
    }
    if let Some(known) = record.versions.iter_mut().find(|known| known.name == name) {
        known.revision = revision;
        return;
    }
    record.versions.push(Version { name: name.to_owned(), revision });
    if record.versions.len() > VERSIONS_KEPT {
        let needed = record.needed_revisions();
        let oldest = record.versions.iter().position(|known| !needed.contains(&known.revision));
        oldest.map(|at| record.versions.remove(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change;
    use crate::example::App;

    const NOW: Timestamp = Timestamp(1_000);

    fn ask(version: &str) -> PutAsk {
        let change::DeployAsk { app, manifest, .. } = App::new("shop", "front=2").ask();
        PutAsk {
            app,
            manifest,
            images: BTreeMap::new(),
            version: version.to_owned(),
            cause: Cause::default(),
        }
    }

    fn names(record: &DesiredRecord) -> Vec<(&str, u64)> {
        record.versions.iter().map(|known| (known.name.as_str(), known.revision.0)).collect()
    }

    #[test]
    fn a_put_takes_a_number_and_changes_nothing_that_hosts_obey() {
        let first = put(None, ask("v1"), NOW).unwrap();
        let record = first.record.unwrap();
        assert_eq!((record.generation.0, record.step.0, record.wanted), (0, 0, Wanted::Stop));
        assert_eq!((record.revision, record.last_revision), (None, Revision(1)));
        assert!(first.revision.unwrap().only_put);

        let deploy = change::DeployAsk { version: "v1".into(), ..App::new("shop", "front=2").ask() };
        let deployed = change::deploy(Some(&record), None, deploy, NOW).unwrap().record.unwrap();
        assert_eq!(names(&deployed), [("v1", 2)]);

        let second = put(Some(&deployed), ask("v2"), NOW).unwrap().record.unwrap();
        assert_eq!(names(&second), [("v1", 2), ("v2", 3)]);
        let changed = DesiredRecord {
            versions: deployed.versions.clone(),
            last_revision: deployed.last_revision,
            ..second.clone()
        };
        assert_eq!(changed, deployed);
        let error = put(Some(&second), ask("v1"), NOW).unwrap_err();
        assert_eq!(error.message, "Manifest version v1 already exists");
    }

    #[test]
    fn a_version_that_is_deployed_again_keeps_its_place() {
        let mut record = put(None, ask("v1"), NOW).unwrap().record.unwrap();
        record = put(Some(&record), ask("v2"), NOW).unwrap().record.unwrap();
        let deploy = change::DeployAsk { version: "v1".into(), ..App::new("shop", "front=2").ask() };
        record = change::deploy(Some(&record), None, deploy, NOW).unwrap().record.unwrap();
        assert_eq!(names(&record), [("v1", 3), ("v2", 2)]);
        assert_eq!(names(&without(&record, "v1").unwrap()), [("v2", 2)]);
        assert_eq!(without(&record, "v3"), None);
    }

    #[test]
    fn the_oldest_versions_make_room_and_what_runs_stays() {
        let deploy = change::DeployAsk { version: "v0".into(), ..App::new("shop", "front=2").ask() };
        let mut record = change::deploy(None, None, deploy, NOW).unwrap().record.unwrap();
        for number in 1..=VERSIONS_KEPT {
            record = put(Some(&record), ask(&format!("v{number}")), NOW).unwrap().record.unwrap();
        }
        assert_eq!(record.versions.len(), VERSIONS_KEPT);
        assert_eq!(names(&record).first(), Some(&("v0", 1)));
        assert!(!record.versions.iter().any(|known| known.name == "v1"));
    }

    #[test]
    fn a_deleted_app_has_no_versions_and_a_put_makes_it_anew() {
        let record = put(None, ask("v1"), NOW).unwrap().record.unwrap();
        let app = record.app.clone();
        let deleted = change::delete(&app, Some(&record), Cause::default(), NOW).record.unwrap();
        assert_eq!((deleted.wanted, names(&deleted)), (Wanted::Forget, Vec::new()));
        let anew = put(Some(&deleted), ask("v1"), NOW).unwrap().record.unwrap();
        assert_eq!((anew.wanted, names(&anew)), (Wanted::Stop, vec![("v1", 2)]));
    }
}
