//! The apps of a run, and how their images behave. Chosen by the seed.

use std::collections::BTreeMap;

use lath_control_api::Reason;
use lath_manager_planner::example::App;

use crate::rng::Rng;

/// Manifests of one app that differ in code, config, number, placement and components. Deadlines are short, so that
/// runs are.
const MANIFESTS: [&str; 9] = [
    "http=>front,daemon front=v1,daemon,to=back back=v1",
    "http=>front,daemon front=v2,daemon,to=back back=v1",
    "http=>front,daemon front=v2,daemon,to=back,config.word=hi back=v2",
    "http=>front,x2 front=v1,x6,on.zone=w:2,on.zone=e:1,to=back back=v2",
    "http=>front,daemon front=v3,daemon policy.max_parallel=3",
    "http=>front,daemon,on.zone=e front=v3,on.zone=e",
    "http=>front,daemon front=bad,daemon,to=back back=v1",
    "http=>front,daemon front=v2,daemon,to=back back=slow",
    "http=>front,daemon front=v1,daemon,to=back,on.zone=moon back=v1,on.zone=moon",
];
/// What every manifest has.
const POLICY: &str = "policy.progress_deadline=20s policy.drain_deadline=5s";

/// Names of the apps of a run.
pub(crate) const NAMES: [&str; 2] = ["shop", "bank"];

/// How an image behaves while it is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Ready within so many milliseconds.
    Good(u64),
    /// Fails, always.
    Bad(Reason),
    /// Nothing comes of it.
    Hangs,
}

/// One of the manifests of app `name`. Its components' ids and routes are the app's own.
pub(crate) fn manifest(name: &str, rng: &mut Rng) -> App {
    let line = rng.pick(&MANIFESTS).copied().unwrap_or_default();
    // Two apps must not claim the same requests.
    let line = line.replace("http=>front", &format!("http=>front,path=/{name}"));
    App::new(name, &format!("{line} {POLICY}"))
}

/// How each image behaves in this run.
pub(crate) fn behaviours(rng: &mut Rng) -> BTreeMap<String, Behaviour> {
    let bad = [Reason::CompileFailed, Reason::StartFailed, Reason::ProbeFailed, Reason::FetchFailed];
    let reason = rng.pick(&bad).copied().unwrap_or(Reason::CompileFailed);
    let slow = if rng.chance(300) { Behaviour::Hangs } else { Behaviour::Good(10_000) };
    BTreeMap::from([
        ("file://front-bad.wasm".to_owned(), Behaviour::Bad(reason)),
        ("file://back-slow.wasm".to_owned(), slow),
    ])
}

/// How `image` behaves: well, unless the seed says otherwise.
pub(crate) fn behaviour(behaviours: &BTreeMap<String, Behaviour>, image: &str) -> Behaviour {
    behaviours.get(image).copied().unwrap_or(Behaviour::Good(800))
}
