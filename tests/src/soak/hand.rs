//! What carries out a rollout: the commands that people type, each noted with how it ended; and the control API, to look
//! on without starting a process for each look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lath_control_api::app::{AppRequest, AppState, AppStatus, Cause, RevisionRequest};
use lath_control_api::{AppName, CallCounts, Phase, Revision, Role};
use lath_control_api_client::ControlClient;
use serde_json::{Value, json};

use super::app::{NUMBER, Shop};
use super::book::{Book, Micros};
use crate::lattice::Lattice;
use crate::store::Store;
use crate::{Ended, Lath};

/// Longest wait of a command for its change.
const TIMEOUT: &str = "--timeout=90s";
/// Between two looks at a status.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest time until an app is at rest, once nothing is done to it any more.
const REST: Duration = Duration::from_secs(90);
/// Longest wait for one host's answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Commands and looks.
#[derive(Debug, Clone)]
pub(super) struct Hand {
    lath: Lath,
    client: ControlClient,
    pub(super) store: Arc<Store>,
    pub(super) folder: PathBuf,
    pub(super) book: Arc<Book>,
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) command: String,
    pub(super) began: Micros,
    pub(super) ended: Micros,
    pub(super) code: Option<i32>,
    /// Its document: `outcome`, `revision`, `reason` and more.
    pub(super) document: Value,
    /// What it wrote beside that.
    pub(super) stderr: String,
}

/// Calls of a component over all hosts, as they count them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) failures: u64,
    pub(super) in_flight: u64,
}

impl Note {
    pub(super) fn outcome(&self) -> &str {
        self.document["outcome"].as_str().unwrap_or("none")
    }

    pub(super) fn reason(&self) -> &str {
        self.document["reason"].as_str().unwrap_or_default()
    }

    pub(super) fn took(&self) -> Duration {
        Duration::from_micros(self.ended - self.began)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "command": self.command, "beganUs": self.began, "endedUs": self.ended, "exit": self.code,
            "document": self.document, "stderr": self.stderr,
        })
    }
}

impl Hand {
    pub(super) async fn of(lattice: &Lattice, book: Arc<Book>) -> Self {
        Self {
            lath: lattice.lath(),
            client: lattice.client().await,
            store: Arc::new(lattice.store().await),
            folder: lattice.folder().to_owned(),
            book,
        }
    }

    /// Runs a changing command to its end.
    pub(super) async fn run(&self, words: &[&str]) -> Note {
        let ended = self.lath.run(words.iter().chain(&["-o", "json", TIMEOUT])).await;
        self.note(&ended)
    }

    /// Deploys a manifest.
    pub(super) async fn deploy(&self, manifest: &Path) -> Note {
        self.run(&["deploy", &manifest.display().to_string()]).await
    }

    fn note(&self, ended: &Ended) -> Note {
        Note {
            command: ended.command.clone(),
            began: self.book.at(ended.began),
            ended: self.book.at(ended.at),
            code: ended.code,
            document: serde_json::from_str(&ended.stdout).unwrap_or_default(),
            stderr: ended.stderr.clone(),
        }
    }

    /// How an app stands.
    pub(super) async fn status(&self, shop: Shop) -> Result<AppStatus, String> {
        let ask = AppRequest { app: app(shop), cause: Cause::default(), dry_run: false };
        self.client.status(&ask).await.map_err(|error| error.to_string())
    }

    /// Looks until the status is as wanted.
    pub(super) async fn until(
        &self,
        shop: Shop,
        within: Duration,
        what: &str,
        mut is: impl FnMut(&AppStatus) -> bool,
    ) -> Result<AppStatus, String> {
        let begun = Instant::now();
        loop {
            let status = self.status(shop).await;
            match status {
                Ok(status) if is(&status) => return Ok(status),
                Ok(status) if begun.elapsed() > within => {
                    let status = serde_json::to_string(&status).unwrap_or_default();
                    return Err(format!("waited {within:?} for {what}; at last: {status}"));
                }
                Err(error) if begun.elapsed() > within => {
                    return Err(format!("waited {within:?} for {what}; at last: {error}"));
                }
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Waits until nothing moves and all serves; gives the revision.
    pub(super) async fn rest(&self, shop: Shop) -> Result<u32, String> {
        let at_rest = |status: &AppStatus| status.rollout.is_none() && status.state == AppState::Serving;
        let status = self.until(shop, REST, "the app to be at rest", at_rest).await?;
        status.revision.and_then(number).ok_or_else(|| "the app has no revision".to_owned())
    }

    /// The highest revision that an app ever had.
    pub(super) async fn highest(&self, shop: Shop) -> Result<u32, String> {
        let ask = AppRequest { app: app(shop), cause: Cause::default(), dry_run: false };
        let history = self.client.history(&ask).await.map_err(|error| error.to_string())?;
        let revisions = history.entries.iter().flat_map(|entry| [entry.revision, entry.from]);
        Ok(revisions.flatten().filter_map(number).max().unwrap_or_default())
    }

    /// The number of the variant that is a revision's manifest.
    pub(super) async fn variant(&self, shop: Shop, revision: u32) -> Result<u32, String> {
        let ask = RevisionRequest { app: app(shop), revision: Some(Revision(revision.into())) };
        let shown = self.client.show(&ask).await.map_err(|error| error.to_string())?;
        let manifest: Value = serde_json::from_str(&shown.manifest).map_err(|error| error.to_string())?;
        let number = manifest["metadata"]["annotations"][NUMBER].as_str().and_then(|text| text.parse().ok());
        number.ok_or_else(|| format!("revision {revision} of {} has no number", shop.name()))
    }

    /// Every unit that should run belongs to `revision` and does.
    pub(super) async fn is_whole(&self, shop: Shop, revision: u32) -> Result<(), String> {
        let mut components = BTreeSet::new();
        for (component, unit, host) in self.units(shop).await? {
            if unit.role == Role::Retired {
                continue;
            }
            if unit.phase != Phase::Running || number(unit.revision) != Some(revision) {
                return Err(format!(
                    "{component} on {host} is revision {} and {:?}",
                    unit.revision, unit.phase
                ));
            }
            components.insert(component);
        }
        let wanted = if shop.is_linked() { 3 } else { 2 };
        if components.len() == wanted { Ok(()) } else { Err(format!("only {components:?} run")) }
    }

    /// What hosts count of a component's calls in a revision.
    pub(super) async fn counted(
        &self,
        shop: Shop,
        component: &str,
        revision: u32,
    ) -> Result<Counted, String> {
        let units = self.units(shop).await?;
        let its = units.iter().filter(|(name, unit, _)| {
            name == component && unit.role == Role::Stable && number(unit.revision) == Some(revision)
        });
        Ok(its.fold(Counted::default(), |sum, (_, unit, _)| sum.and(&unit.calls)))
    }

    async fn units(
        &self,
        shop: Shop,
    ) -> Result<Vec<(String, lath_control_api::UnitInventory, String)>, String> {
        let hosts = self.client.hosts().await.map_err(|error| error.to_string())?;
        let mut units = Vec::new();
        for host in hosts.hosts {
            let inventory = self.client.inventory(&host.summary.host, ANSWER).await;
            let inventory = inventory.map_err(|error| error.to_string())?;
            let name = inventory.summary.name.clone();
            for entry in inventory.apps.into_iter().filter(|entry| entry.app == app(shop)) {
                for component in entry.components {
                    let its_name = component.component.to_string();
                    units.extend(
                        component.units.into_iter().map(|unit| (its_name.clone(), unit, name.clone())),
                    );
                }
            }
        }
        Ok(units)
    }
}

impl Counted {
    fn and(self, calls: &CallCounts) -> Self {
        Self {
            started: self.started + calls.started,
            ended: self.ended + calls.ended(),
            failures: self.failures + calls.failures(),
            in_flight: self.in_flight + calls.in_flight,
        }
    }
}

fn app(shop: Shop) -> AppName {
    shop.name().parse().expect("the names are valid")
}

fn number(revision: Revision) -> Option<u32> {
    u32::try_from(revision.0).ok()
}
