//! Manifests that were read once: reading YAML and working out digests would be most of a run, and runs of many
//! seeds have the same manifests again and again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{Digest, Revision};
use lath_manager_planner::change::DeployAsk;
use lath_manager_planner::desired::Contents;
use lath_manager_planner::example::{self, App};
use lath_manager_planner::{AppSpec, RevisionRecord};

use super::policy;
use crate::rng::Rng;

/// A manifest, ready to be deployed.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// In words, for the trace.
    pub(crate) words: String,
    ask: DeployAsk,
    /// Digest of the revision that it makes.
    pub(crate) content: Digest,
    /// What it asks of hosts.
    pub(crate) spec: AppSpec,
}

/// Most manifests that are remembered. There are too many different ones to have them all in memory.
const REMEMBERED: usize = 4_000;

thread_local! {
    static MANIFESTS: RefCell<BTreeMap<String, Arc<Manifest>>> = const { RefCell::new(BTreeMap::new()) };
    static SPECS: RefCell<BTreeMap<Digest, AppSpec>> = const { RefCell::new(BTreeMap::new()) };
}

/// The manifest of app `name` in the words of [`App`].
pub(super) fn manifest(name: &str, line: &str, policy: &str) -> Arc<Manifest> {
    let key = format!("{name} {line} {policy}");
    let known = MANIFESTS.with_borrow(|known| known.get(&key).cloned());
    known.unwrap_or_else(|| {
        // Two apps must not claim the same requests.
        let routed = line.replace("http=>front", &format!("http=>front,path=/{name}"));
        let app = App::new(name, &format!("{routed} {policy}"));
        let revision = app.revision(1);
        let spec = expand(&revision);
        let words = format!("{line} {}", policy.replace("policy.", ""));
        let manifest = Arc::new(Manifest { words, ask: app.ask(), content: revision.content, spec });
        MANIFESTS.with_borrow_mut(|known| remember(known, key, Arc::clone(&manifest)));
        manifest
    })
}

impl Manifest {
    /// The request to deploy it, perhaps another way than it says.
    pub(crate) fn ask(&self, rng: &mut Rng) -> DeployAsk {
        let overrides = policy::draw_override(rng).into_iter();
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        DeployAsk { overrides, ..self.ask.clone() }
    }
}

/// What a revision asks of hosts.
pub(crate) fn expand(revision: &RevisionRecord) -> AppSpec {
    let known = SPECS.with_borrow(|known| known.get(&revision.content).cloned());
    let spec = known.unwrap_or_else(|| {
        let spec = example::expand(revision);
        SPECS.with_borrow_mut(|known| remember(known, revision.content.clone(), spec.clone()));
        spec
    });
    renumbered(spec, revision.revision)
}

fn remember<K: Ord, V>(known: &mut BTreeMap<K, V>, key: K, value: V) {
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, value);
}

fn renumbered(mut spec: AppSpec, revision: Revision) -> AppSpec {
    spec.revision = revision;
    spec.components.values_mut().for_each(|plan| plan.spec.revision = revision);
    AppSpec { contents: Contents::default(), ..spec }
}
