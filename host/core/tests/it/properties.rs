//! Histories that nobody thought of: random commands, news, times and restarts, in any order.

use std::collections::BTreeSet;

use lath_control_api::{ApplyRequest, ComponentBundle, ErrorCode, Phase, Reason, UnitInventory};
use lath_host_core::{News, SpecKey};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{Fate, Model, bundle, id, request, spec};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Event {
    Apply(Vec<Ask>),
    /// One of the commands so far, by index.
    Repeat(usize),
    /// One of the preparations under way, by index, ends.
    Prepared(usize, Fate),
    /// One of the units that leave has no call left.
    Idle(usize),
    Wait(u16),
    Restart,
    /// Whether a unit that runs answers well.
    Health(usize, bool),
    /// A unit that runs cannot be started any more.
    Crash(usize),
}

/// A bundle in short, so that a failing history can be read.
#[derive(Debug, Clone)]
struct Ask {
    name: &'static str,
    stable: Option<u32>,
    candidate: Option<(u32, u8)>,
    revision: u64,
}

impl Ask {
    fn bundle(&self) -> ComponentBundle {
        let offset = id(self.name).as_str().bytes().map(u32::from).sum::<u32>() * 10;
        let stable = self.stable.map(|variant| spec(offset + variant, self.revision));
        let candidate =
            self.candidate.map(|(variant, weight)| (spec(offset + variant, self.revision + 1), weight));
        bundle(self.name, stable, candidate)
    }
}

fn an_ask(name: &'static str) -> impl Strategy<Value = Option<Ask>> {
    let candidate = prop::option::of((0..3_u32, prop::sample::select(vec![0_u8, 30, 100])));
    (prop::option::weighted(0.8, 0..3_u32), candidate, 1..4_u64).prop_map(
        move |(stable, candidate, revision)| {
            (stable.is_some() || candidate.is_some()).then_some(Ask { name, stable, candidate, revision })
        },
    )
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    NAMES.map(an_ask).prop_map(|asks| asks.into_iter().flatten().collect())
}

fn an_event() -> impl Strategy<Value = Event> {
    let fate = prop_oneof![4 => Just(Fate::Ready), 1 => Just(Fate::Trap), 1 => Just(Fate::Unfetched)];
    prop_oneof![
        3 => asks().prop_map(Event::Apply),
        1 => any::<prop::sample::Index>().prop_map(|index| Event::Repeat(index.index(1_000))),
        6 => (any::<u8>(), fate).prop_map(|(index, fate)| Event::Prepared(index.into(), fate)),
        3 => any::<u8>().prop_map(|index| Event::Idle(index.into())),
        1 => any::<u16>().prop_map(Event::Wait),
        1 => Just(Event::Restart),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(index, well)| Event::Health(index.into(), well)),
        1 => any::<u8>().prop_map(|index| Event::Crash(index.into())),
    ]
}

struct History {
    host: Model,
    sent: Vec<ApplyRequest>,
}

impl History {
    fn new() -> Self {
        Self { host: Model::new(), sent: Vec::new() }
    }

    fn play(&mut self, event: &Event) {
        match event {
            Event::Apply(asks) => {
                let next = request(1, self.sent.len() as u64 + 1, asks.iter().map(Ask::bundle).collect());
                self.host.accept(&next);
                self.sent.push(next);
            }
            Event::Repeat(index) => self.repeat(*index),
            Event::Prepared(index, fate) => {
                let preparing = &self.host.preparing;
                let nth = preparing.iter().nth(index % preparing.len().max(1));
                if let Some((unit, ticket)) = nth.map(|(unit, ticket)| (unit.clone(), *ticket)) {
                    self.host.end_preparation(&unit, ticket, *fate);
                }
            }
            Event::Idle(index) => self.idle(*index),
            Event::Wait(ms) => self.host.wait(i64::from(*ms)),
            Event::Restart => self.host.restart(),
            Event::Health(index, true) => self.hear(*index, News::Healthy),
            Event::Health(index, false) => {
                self.hear(
                    *index,
                    News::Unhealthy { reason: Reason::CallsFail, message: "calls trap".into() },
                );
            }
            Event::Crash(index) => {
                self.hear(*index, News::Failed { reason: Reason::StartFailed, message: "a trap".into() });
            }
        }
    }

    /// Older fences never change anything; the newest one again does nothing but confirm.
    fn repeat(&mut self, index: usize) {
        let Some(repeated) = self.sent.get(index % self.sent.len().max(1)) else { return };
        let newest = self.sent.last() == Some(repeated);
        let before = self.host.inventory();
        let answer = self.host.apply(repeated);
        if newest {
            assert!(answer.unwrap().unchanged);
            let confirmed = |mut apps: Vec<lath_control_api::AppInventory>| {
                apps.iter_mut().for_each(|app| app.confirmed = true);
                apps
            };
            assert_eq!(self.host.inventory(), confirmed(before));
        } else {
            assert_eq!(answer, Err(ErrorCode::Stale));
            assert_eq!(self.host.inventory(), before);
        }
    }

    /// News of some unit that was prepared at some time.
    fn hear(&mut self, index: usize, news: News) {
        let prepared = &self.host.prepared;
        let nth = prepared.keys().nth(index % prepared.len().max(1));
        if let Some(unit) = nth.cloned() {
            self.host.hear(&unit, news);
        }
    }

    fn idle(&mut self, index: usize) {
        let mut leaving: Vec<_> = self.host.draining.clone().into_iter().collect();
        leaving.extend(self.host.closing.clone());
        let Some((unit, ticket)) = leaving.get(index % leaving.len().max(1)).cloned() else { return };
        self.host.draining.remove(&unit);
        self.host.closing.remove(&unit);
        self.host.tell(&unit, ticket, News::Idle);
    }

    fn served(&self) -> BTreeSet<&'static str> {
        NAMES.into_iter().filter(|name| self.host.serving(name).is_some()).collect()
    }

    /// Components that the newest command wants calls to reach.
    fn wanted(&self) -> BTreeSet<&'static str> {
        let Some(newest) = self.sent.last() else { return BTreeSet::new() };
        let takes = |bundle: &ComponentBundle| {
            let candidate = bundle.candidate.as_ref().is_some_and(|candidate| candidate.weight.percent() > 0);
            bundle.stable.is_some() || candidate
        };
        let is_wanted =
            |name: &&str| newest.bundles.iter().any(|bundle| bundle.id == id(name) && takes(bundle));
        NAMES.into_iter().filter(is_wanted).collect()
    }

    /// Everything that is under way ends well.
    fn quiesce(&mut self) {
        (0..self.host.prepared.len()).for_each(|index| self.hear(index, News::Healthy));
        for _ in 0..50 {
            self.host.prepare_all();
            self.host.idle_all();
            if let Some(at) = self.host.core.wake_at() {
                self.host.wait((at.0 - self.host.now.0).max(0));
            }
        }
    }
}

fn key_of(unit: &UnitInventory) -> SpecKey {
    SpecKey { revision: unit.revision, content: unit.content.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn r5_r12_what_serves_is_never_lost_to_what_is_not_ready(events in vec(an_event(), 1..60)) {
        let mut history = History::new();
        for event in &events {
            let before = history.served();
            history.play(event);
            if !matches!(event, Event::Restart | Event::Crash(_)) {
                for name in before.intersection(&history.wanted()) {
                    prop_assert!(history.served().contains(name), "{name} was lost by {event:?}");
                }
            }
        }
    }

    #[test]
    fn m7_the_end_depends_on_the_last_command_alone(events in vec(an_event(), 1..60), last in asks()) {
        let mut history = History::new();
        events.iter().for_each(|event| history.play(event));
        history.play(&Event::Apply(last));
        history.quiesce();
        let mut fresh = History::new();
        fresh.sent = history.sent.clone();
        let newest = fresh.sent.pop().unwrap();
        // The one end that rests on what was: a candidate that is only prepared takes the calls from nobody.
        let prepares = |bundle: &ComponentBundle| {
            let idle = bundle.candidate.as_ref().is_some_and(|candidate| candidate.weight.percent() == 0);
            bundle.stable.is_none() && idle
        };
        prop_assume!(!newest.bundles.iter().any(prepares));
        fresh.host.accept(&newest);
        fresh.quiesce();
        let timeless = |host: &Model| {
            let mut apps = host.inventory();
            let units = apps.iter_mut().flat_map(|app| &mut app.components).flat_map(|held| &mut held.units);
            units.for_each(|unit| unit.since = lath_control_api::Timestamp(0));
            apps
        };
        prop_assert_eq!(timeless(&history.host), timeless(&fresh.host));
        prop_assert_eq!(history.host.core.routes(), fresh.host.core.routes());
        prop_assert!(history.host.draining.is_empty() && history.host.closing.is_empty());
    }

    #[test]
    fn a_restart_comes_back_to_what_served(events in vec(an_event(), 1..60)) {
        let mut history = History::new();
        events.iter().for_each(|event| history.play(event));
        history.host.prepare_all();
        let before = history.served();
        // What failed before the restart fails after it.
        let units = NAMES.iter().flat_map(|name| history.host.units(name));
        let failed: BTreeSet<_> =
            units.filter(|unit| unit.phase.is_failed()).map(|unit| key_of(&unit)).collect();
        history.host.restart();
        history.host.prepare(|unit| {
            Some(if failed.contains(&unit.spec) { Fate::Trap } else { Fate::Ready })
        });
        for name in before {
            prop_assert!(history.served().contains(name), "{name} was lost by the restart");
        }
    }

    #[test]
    fn a_retired_unit_stays_until_its_revision_is_idle(events in vec(an_event(), 1..60)) {
        let mut history = History::new();
        for event in &events {
            let busy: Vec<_> = history.host.draining.keys().cloned().collect();
            let closed: BTreeSet<_> = history.host.closing.keys().map(|unit| unit.spec.clone()).collect();
            let retired = |host: &Model| -> Vec<_> {
                NAMES.iter().flat_map(|name| host.units(name)).filter(|unit| unit.phase == Phase::Draining).collect()
            };
            let before = retired(&history.host);
            history.play(event);
            let after = retired(&history.host);
            let untouched = !matches!(event, Event::Wait(_) | Event::Restart | Event::Apply(_));
            for unit in before.iter().filter(|unit| untouched && !closed.contains(&key_of(unit))) {
                let gone = !after.iter().any(|left| key_of(left) == key_of(unit));
                let shares = |key: &lath_host_core::UnitKey| {
                    before.iter().any(|held| key_of(held) == key.spec && held.revision == unit.revision)
                };
                let blocked = busy.iter().filter(|key| shares(key)).count();
                prop_assert!(!gone || blocked == 0, "{:?} went while its revision was busy", unit.image);
            }
        }
    }
}
