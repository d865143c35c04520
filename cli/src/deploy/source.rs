//! What is to be deployed, as people name it: a manifest's file, or a revision that was deployed before.
//!
//! A file is checked before anybody is asked; of a revision, the manager has the manifest and the digests of the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lath_control_api::app::{DeployRequest, Outcome, RevisionRequest, RevisionShown};
use lath_control_api::{AppName, AppVerb, Digest, ErrorCode, Revision};
use lath_manifests::manifest::{ImageRef, RolloutPolicy, Source};
use lath_manifests::{Diagnostic, Manifest};

use super::images::{Local, read_images};
use crate::call::Call;
use crate::connect::Session;
use crate::failure::Failure;
use crate::manifest_file::ManifestFile;
use crate::near;
use crate::output::tell;
use crate::reference::Reference;
use crate::render;

/// What an argument names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// A manifest's file, or standard input.
    File(PathBuf),
    /// An app, and maybe one of its revisions.
    Revision(Reference),
}

impl Named {
    /// A file that is there is meant before an app of the same name.
    pub(crate) fn of(argument: &Path) -> Self {
        let reference = argument.to_str().and_then(|text| text.parse().ok());
        match reference {
            Some(reference) if !argument.exists() => Self::Revision(reference),
            Some(_) | None => Self::File(argument.to_owned()),
        }
    }
}

/// A manifest that can be sent, and the way to whom.
pub(crate) struct Ready {
    /// The way to the managers.
    pub(crate) session: Session,
    /// The app that it names.
    pub(crate) app: AppName,
    /// Its text.
    pub(crate) file: ManifestFile,
    /// Image reference to digest.
    pub(crate) pushed: BTreeMap<String, Digest>,
    /// Files that the store must have before it is deployed.
    pub(crate) locals: Vec<Local>,
    /// What it probably does not mean.
    pub(crate) warnings: Vec<Diagnostic>,
    /// The rollout policies of the manifest; none where only the manager has read it.
    pub(crate) policies: Vec<RolloutPolicy>,
    /// Whether the manager asks registries for its images.
    asks_registries: bool,
    /// The revision that it is taken from.
    pub(crate) repeats: Option<Revision>,
}

impl Ready {
    /// Reads and checks what is named. Nothing is changed.
    pub(crate) async fn of(named: Named, call: &Call) -> Result<Self, Failure> {
        match named {
            Named::File(path) => Self::of_file(&path, call).await,
            Named::Revision(reference) => Self::of_revision(&reference, call).await,
        }
    }

    async fn of_file(path: &Path, call: &Call) -> Result<Self, Failure> {
        let dot = call.out.glyphs.pick("·", "-");
        let file = ManifestFile::read(path)?;
        let refused = |found: Vec<Diagnostic>| {
            annotate(&found, &file);
            file.refused(&found, dot)
        };
        let loaded = file.load().map_err(refused)?;
        let locals = read_images(&file, &loaded.manifest).map_err(refused)?;
        if !loaded.warnings.is_empty() {
            annotate(&loaded.warnings, &file);
        }
        Ok(Self {
            session: call.session().await?,
            asks_registries: names_registries(&loaded.manifest),
            app: loaded.manifest.name,
            pushed: locals.iter().map(Local::resolved).collect(),
            file,
            locals,
            warnings: loaded.warnings,
            policies: loaded.manifest.rollouts,
            repeats: None,
        })
    }

    async fn of_revision(reference: &Reference, call: &Call) -> Result<Self, Failure> {
        let session = call.session().await?;
        let shown = match revision_of(reference, &session).await {
            Ok(shown) => shown,
            // A file was meant just as likely.
            Err(failure) if reference.revision.is_none() && near::is_absent(&failure) => {
                return Err(failure.note(format!("there is no file `{reference}` either")));
            }
            Err(failure) => return Err(failure),
        };
        let file = ManifestFile::of_text(format!("{}@{}", shown.app, shown.revision), shown.manifest);
        // What an older version accepted may be refused by now; the manager says so.
        let policies = file.load().map(|loaded| loaded.manifest.rollouts).unwrap_or_default();
        Ok(Self {
            session,
            file,
            policies,
            app: shown.app,
            pushed: shown.images,
            // Its images are known.
            asks_registries: false,
            locals: Vec::new(),
            warnings: Vec::new(),
            repeats: Some(shown.revision),
        })
    }

    /// Time that the manager may need to ask registries what images stand for.
    pub(crate) fn registry_time(&self) -> Duration {
        if self.asks_registries { lath_artifacts::Patience::QUESTION.total } else { Duration::ZERO }
    }

    /// The request; who asks and what else matters is added by the command.
    pub(crate) fn request(&self) -> DeployRequest {
        DeployRequest {
            manifest: self.file.text().into_owned(),
            pushed: self.pushed.clone(),
            cause: lath_control_api::app::Cause::default(),
            if_revision: None,
            dry_run: false,
            rollout: BTreeMap::new(),
            plan: None,
        }
    }

    /// The manager's refusal; that of a manifest is drawn over its text.
    pub(crate) fn refused(&self, failure: Failure, dot: &str) -> Failure {
        if failure.code.as_deref() != Some(ErrorCode::InvalidManifest.as_str()) {
            return failure;
        }
        let found = failure.details.as_deref().map(|details| details.get("diagnostics").unwrap_or(details));
        let found: Option<Vec<Diagnostic>> =
            found.and_then(|found| serde_json::from_value(found.clone()).ok());
        match found {
            Some(found) if !found.is_empty() => self.file.refused(&found, dot),
            Some(_) | None => failure,
        }
    }
}

fn names_registries(manifest: &Manifest) -> bool {
    manifest.components.iter().any(|one| matches!(one.source, Source::Image(ImageRef::Oci(_))))
}

/// A revision as it was accepted: the named one, else the deployed one, else the last that was carried through.
async fn revision_of(reference: &Reference, session: &Session) -> Result<RevisionShown, Failure> {
    let app = &reference.app;
    let number = match &reference.revision {
        Some(name) => name.number(session, app).await?,
        None => usual(session, app).await?,
    };
    let ask = RevisionRequest { app: app.clone(), revision: Some(number) };
    match session.ask(AppVerb::Show, &ask).await {
        Ok(shown) => Ok(shown),
        Err(failure) => Err(near::revision(session, app, failure).await),
    }
}

async fn usual(session: &Session, app: &AppName) -> Result<Revision, Failure> {
    let history = match near::history(session, app).await {
        Ok(history) => history,
        Err(failure) => return Err(near::app(session, app, failure).await),
    };
    // Newest first. While the app is stopped, the newest change has no revision.
    let carried = |entry: &&lath_control_api::app::HistoryEntry| {
        matches!(entry.outcome, None | Some(Outcome::Completed))
    };
    history.entries.iter().filter(carried).find_map(|entry| entry.revision).ok_or_else(|| {
        let message =
            format!("no revision of `{app}` was carried through, so none is taken unless it is named");
        Failure::coded(ErrorCode::NotFound, message).help(format!("name one of: lath history {app}"))
    })
}

/// In a job of GitHub Actions the pull request shows each diagnostic beside its line.
fn annotate(diagnostics: &[Diagnostic], file: &ManifestFile) {
    if Call::env("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        tell(render::workflow_commands(diagnostics, &file.name).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_meant_before_an_app() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Named::of(&path), Named::File(path.clone()));
        for name in ["shop-that-is-no-file", "shop-that-is-no-file@7", "shop-that-is-no-file@stable"] {
            assert_eq!(Named::of(Path::new(name)), Named::Revision(name.parse().unwrap()));
        }
        for name in ["-", "shop.yaml", "apps/shop", "nowhere/shop.yaml", "shop@", "shop@0"] {
            assert_eq!(Named::of(Path::new(name)), Named::File(name.into()));
        }
    }
}
