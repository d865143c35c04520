//! The apps of a run: what their manifests say, how their images behave, and how much they are called. Chosen by the
//! seed.

mod catalog;
mod policy;

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::Reason;

pub(crate) use catalog::{Manifest, expand};

use crate::rng::Rng;

/// Manifests of one app that differ in code, config, number, placement and components.
const MANIFESTS: [&str; 12] = [
    "http=>front,daemon front=v1,daemon,to=back back=v1",
    "http=>front,daemon front=v2,daemon,to=back back=v1",
    "http=>front,daemon front=v2,daemon,to=back,config.word=hi back=v2",
    "http=>front,x2 front=v1,x6,on.zone=w:2,on.zone=e:1,to=back back=v2",
    "http=>front,daemon front=v3,daemon",
    "http=>front,daemon,on.zone=e front=v3,on.zone=e",
    "http=>front,daemon front=bad,daemon,to=back back=v1",
    "http=>front,daemon front=v2,daemon,to=back back=slow",
    "http=>front,daemon front=v1,daemon,to=back,on.zone=moon back=v1,on.zone=moon",
    "http=>front,daemon front=errs,daemon,to=back back=v1",
    "http=>front,daemon front=lags,daemon,to=back back=v2",
    "http=>front,daemon front=picky,daemon,to=back back=v1",
];

/// Manifests with a provider: its config, its code, its secret, a link that leads to it and one that begins at it change. The
/// last of them have none.
const WITH_PROVIDERS: [&str; 8] = [
    "http=>front,daemon front=v1,daemon,to=kv,with.bucket=a kv=!v1,config.url=a",
    "http=>front,daemon front=v1,daemon,to=kv,with.bucket=b kv=!v1,config.url=a",
    "http=>front,daemon front=v2,daemon,to=kv,with.bucket=b kv=!v1,config.url=b,x2,to=front",
    "http=>front,daemon front=v2,daemon,to=kv kv=!v2,daemon,secret.token=t,to=front",
    "http=>front,daemon front=v2,daemon,to=kv kv=!refuses,daemon",
    "http=>front,daemon front=v2,daemon,to=kv kv=!crashes,config.url=a",
    MANIFESTS[0],
    MANIFESTS[4],
];

/// Those among the first of which gates are to judge.
const GATED: [&str; 4] = [MANIFESTS[0], MANIFESTS[2], MANIFESTS[9], MANIFESTS[10]];

/// How people of a run go about their deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    Usual,
    /// By canaries with gates, mostly, and there are calls to judge by.
    Gated,
    /// As usual, with apps that have providers.
    Providers,
}

impl Habit {
    /// Whether there are providers is taken from the seed itself: the histories of all other seeds stay what they were.
    pub(crate) fn draw(seed: u64, rng: &mut Rng) -> Self {
        match (rng.chance(250), seed % 9 == 7) {
            (_, true) => Self::Providers,
            (true, false) => Self::Gated,
            (false, false) => Self::Usual,
        }
    }
}

/// Names of the apps of a run. One begins like the other: neither may be taken for it.
pub(crate) const NAMES: [&str; 2] = ["shop", "shop-b"];

/// The host on which a picky image fails.
const PICKY_ABOUT: &str = "c";

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

/// How calls of an image end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Calls in a thousand that trap.
    pub(crate) traps: u64,
    /// Upper bound of the time that they take.
    pub(crate) micros: u64,
}

/// What is the same for a whole run.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    behaviours: BTreeMap<&'static str, Behaviour>,
    errs: u64,
    /// Calls of each component on one host in one tick of it.
    pub(crate) calls: u64,
    /// How the webhook answers.
    pub(crate) webhook: Webhook,
}

/// How a run's webhook answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhook {
    Agrees,
    /// Sometimes, and sometimes not at all.
    Wavers,
    Refuses,
    Hangs,
}

/// One of the manifests of app `name`, and how it wants to be rolled out.
pub(crate) fn manifest(name: &str, habit: Habit, rng: &mut Rng) -> Arc<Manifest> {
    let line = match habit {
        Habit::Gated if rng.chance(600) => rng.pick(&GATED),
        Habit::Providers => rng.pick(&WITH_PROVIDERS),
        Habit::Usual | Habit::Gated => rng.pick(&MANIFESTS),
    };
    catalog::manifest(name, line.copied().unwrap_or_default(), &policy::draw(habit, rng))
}

impl Scene {
    pub(crate) fn draw(habit: Habit, rng: &mut Rng) -> Self {
        let reasons = [
            Reason::CompileFailed,
            Reason::StartFailed,
            Reason::ProbeFailed,
            Reason::FetchFailed,
            Reason::ImportUnsatisfied,
        ];
        let reason = rng.pick(&reasons).copied().unwrap_or(Reason::CompileFailed);
        let slow = if rng.chance(300) { Behaviour::Hangs } else { Behaviour::Good(6_000) };
        let behaviours = BTreeMap::from([
            ("file://front-bad.wasm", Behaviour::Bad(reason)),
            ("file://back-slow.wasm", slow),
            ("file://kv-refuses.par", Behaviour::Bad(Reason::LinkRefused)),
            ("file://kv-crashes.par", Behaviour::Bad(Reason::ProviderExited)),
        ]);
        let errs = if rng.chance(500) { 1_000 } else { rng.below(400) };
        let calls = match habit {
            Habit::Usual | Habit::Providers => rng.pick(&[0, 3, 30, 30]).copied().unwrap_or_default(),
            Habit::Gated => 30,
        };
        let hooks = [Webhook::Agrees, Webhook::Agrees, Webhook::Wavers, Webhook::Refuses, Webhook::Hangs];
        let webhook = rng.pick(&hooks).copied().unwrap_or(Webhook::Agrees);
        Self { behaviours, errs, calls, webhook }
    }

    /// How `image` behaves on a host: well, unless the seed says otherwise.
    pub(crate) fn behaviour(&self, image: &str, host: &str) -> Behaviour {
        if image == "file://front-picky.wasm" && host == PICKY_ABOUT {
            return Behaviour::Bad(Reason::AddressUnavailable);
        }
        self.behaviours.get(image).copied().unwrap_or(Behaviour::Good(800))
    }

    /// Whether `image` can be made ready on every host.
    pub(crate) fn is_good(&self, image: &str) -> bool {
        matches!(self.behaviour(image, PICKY_ABOUT), Behaviour::Good(_))
    }

    /// How calls of `image` end.
    pub(crate) fn answers(&self, image: &str) -> Answers {
        match image {
            "file://front-errs.wasm" => Answers { traps: self.errs, micros: 50_000 },
            "file://front-lags.wasm" => Answers { traps: 0, micros: 5_000_000 },
            _ => Answers { traps: 5, micros: 50_000 },
        }
    }
}
