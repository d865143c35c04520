//! What must hold in every history, by the ids of the reliability reference. `check` runs after every plan of every
//! test (in `world`), and so does the comparison of two plans of the same input (M9).

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::app::{AppState, Outcome};
use lath_control_api::{AppInventory, ApplyRequest, ComponentName, HostId, Order};
use proptest::prelude::*;

use crate::strategies::{APP, APPS, BAD, Event, heal, history, planned_history, world};
use crate::world::{Happened, World};

/// Longest that a healed lattice may take to become silent, in seconds: a rollout that runs into its deadline, goes
/// back and drains, with hosts that come back to be placed anew.
const CONVERGES_WITHIN: usize = 240;
/// Seconds of silence that prove it: longer than a host may be silent, and than the wait between two tries to fetch.
const SILENCE: usize = 90;
/// Longest that nothing happens while something is still to come: a deadline of 20 s, and 5 s to drain.
const PAUSE: usize = 27;

fn until_silent(world: &mut World) {
    let mut quiet = 0;
    for _ in 0..CONVERGES_WITHIN {
        world.run(1);
        quiet = if world.is_silent() { quiet + 1 } else { 0 };
        if quiet > PAUSE {
            return;
        }
    }
    panic!("not silent: {:#?}", world.record(APP));
}

/// What every host says that it has, without whether a manager has spoken to it since it began.
fn held(world: &World) -> Vec<AppInventory> {
    let apps = world.hosts.values().flat_map(|host| host.inventory().apps);
    apps.map(|app| AppInventory { confirmed: true, ..app }).collect()
}

/// The commands of so many seconds.
fn commands(world: &mut World, seconds: usize) -> Vec<ApplyRequest> {
    let mut sent = Vec::new();
    for _ in 0..seconds {
        world.tick(&mut |_, happened| {
            if let Happened::Sent(command, _) = happened {
                sent.push(command.request.clone());
            }
        });
    }
    sent
}

/// Components of a manifest.
fn wanted(line: usize) -> BTreeSet<ComponentName> {
    lath_manager_planner::example::App::new(APP, APPS[line]).spec(1).components.into_keys().collect()
}

/// What every host holds of the app, as the manager would tell it now.
fn told(world: &World) -> BTreeMap<HostId, Vec<lath_control_api::ComponentBundle>> {
    let record = world.record(APP);
    let stored = &world.apps[&record.app];
    let revisions = stored.specs();
    let told = |host: &HostId| {
        let request = lath_manager_planner::bundles::request(record, revisions, host, world.epoch);
        (host.clone(), request.bundles)
    };
    world.hosts.keys().map(told).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m7_with_faults_over_it_converges_and_then_is_silent(history in history()) {
        let mut world = world();
        world.deploy(APP, APPS[0]);
        for event in &history {
            event.happen(&mut world);
        }
        heal(&mut world);
        until_silent(&mut world);
        prop_assert_eq!(commands(&mut world, SILENCE), []);
        let (record, status) = (world.record(APP), world.status(APP));
        // R10: an end that is known by its name, on one revision.
        let stands = match status.state {
            AppState::Serving | AppState::Stopped | AppState::Failed | AppState::Degraded => true,
            // M8: a first deploy that no host will do for says so, and waits.
            AppState::Waiting => !status.problems.is_empty(),
            AppState::Paused | AppState::Progressing | AppState::RollingBack => false,
        };
        prop_assert!(stands, "{:?} {:#?}", status.state, record);
        if status.state == AppState::Serving {
            let revisions: BTreeSet<_> = status.components.iter().flat_map(|component| &component.places)
                .map(|place| place.revision).collect();
            prop_assert_eq!(revisions, record.revision.into_iter().collect(), "{:#?}", status);
        }
    }

    #[test]
    fn r4_r12_nothing_planned_takes_the_last_place_of_what_serves(history in planned_history()) {
        let mut world = world();
        world.deploy(APP, APPS[0]);
        until_silent(&mut world);
        // What both what serves and what is wanted have must go on being served.
        let mut needed = wanted(0);
        for event in &history {
            // A rollback goes to one of the revisions so far, to all of which this was narrowed down.
            if let Event::Deploy(line) = event {
                needed = needed.intersection(&wanted(*line)).cloned().collect();
            }
            let app = world.record(APP).app.clone();
            let seconds = if let Event::Tick(seconds) = event { *seconds } else { 1 };
            for _ in 0..seconds {
                match event {
                    Event::Tick(_) => Event::Tick(1).happen(&mut world),
                    other => other.happen(&mut world),
                }
                let serving = world.serving(&app);
                let lost: Vec<_> = needed.difference(&serving).collect();
                prop_assert!(lost.is_empty(), "{lost:?} not served after {event:?}: {:#?}", world.record(APP));
            }
        }
    }

    #[test]
    fn r7_an_automatic_rollback_restores_the_bundles_byte_for_byte(line in 0..BAD, seconds in 1..40_usize) {
        let mut world = world();
        world.deploy(APP, APPS[line]);
        until_silent(&mut world);
        let before = told(&world);
        world.deploy(APP, APPS[BAD]);
        world.run(seconds);
        until_silent(&mut world);
        prop_assert_eq!(world.status(APP).last.as_ref().and_then(|last| last.outcome), Some(Outcome::RolledBack));
        prop_assert_eq!(serde_json::to_string(&told(&world)).unwrap(), serde_json::to_string(&before).unwrap());
    }

    #[test]
    fn r9_r11_every_rollout_ends_once_and_counters_only_grow(history in history()) {
        let mut world = world();
        let mut counters = (lath_control_api::Generation(0), lath_control_api::Step(0));
        let mut ends = BTreeMap::new();
        world.deploy(APP, APPS[0]);
        for event in &history {
            event.happen(&mut world);
            let record = world.record(APP);
            prop_assert!((record.generation, record.step) >= counters, "R13: {:?}", record);
            counters = (record.generation, record.step);
            for entry in record.history.iter().filter(|entry| entry.outcome.is_some()) {
                let first = ends.entry(entry.generation).or_insert(entry.outcome);
                prop_assert_eq!(*first, entry.outcome, "the end of {:?} changed", entry);
            }
            let open = record.history.iter().filter(|entry| entry.outcome.is_none()).count();
            prop_assert!(open <= 1, "two changes at once: {:#?}", record.history);
        }
    }

    #[test]
    fn r13_every_command_may_come_again_and_no_older_one_counts(history in history()) {
        let mut world = world();
        let mut sent: Vec<(HostId, ApplyRequest)> = Vec::new();
        world.deploy(APP, APPS[0]);
        for event in &history {
            event.happen(&mut world);
            world.tick(&mut |_, happened| {
                if let Happened::Sent(command, Ok(())) = happened {
                    sent.push((command.host.clone(), command.request.clone()));
                }
            });
        }
        heal(&mut world);
        until_silent(&mut world);
        let before = held(&world);
        for (host, request) in &sent {
            // A host whose disk is new has forgotten what it was told; that is H3, not this.
            let now = world.now;
            let held = world.hosts[host].core.journal(&request.app);
            if held.is_none_or(|entry| entry.request.fence.order(&request.fence) == Order::Older) {
                continue;
            }
            if let Ok(reply) = world.hosts.get_mut(host).unwrap().apply(request, now) {
                prop_assert!(reply.unchanged, "{request:#?}");
            }
        }
        prop_assert_eq!(before, held(&world));
    }

    #[test]
    fn r15_a_change_of_one_app_sends_nothing_for_another(history in planned_history()) {
        let mut world = world();
        world.deploy("other", "web=1,daemon");
        world.deploy(APP, APPS[0]);
        until_silent(&mut world);
        for event in history.iter().filter(|event| {
            !matches!(event, Event::Manager(_) | Event::Label(..) | Event::Drain(_) | Event::Undrain(_))
        }) {
            event.happen(&mut world);
            let others: Vec<_> =
                commands(&mut world, 2).into_iter().filter(|request| request.app.as_str() == "other").collect();
            prop_assert_eq!(others, []);
        }
    }

    #[test]
    fn n2_a_store_that_has_gone_back_is_outrun(first in history(), then in history()) {
        let mut world = world();
        world.deploy(APP, APPS[0]);
        for event in &first {
            event.happen(&mut world);
        }
        let saved = world.apps.clone();
        for event in &then {
            event.happen(&mut world);
        }
        world.replace_store(saved);
        heal(&mut world);
        until_silent(&mut world);
        prop_assert_eq!(commands(&mut world, SILENCE), []);
        for host in world.hosts.values() {
            for app in host.inventory().apps {
                let record = world.record(APP);
                prop_assert!((app.fence.generation, app.fence.step) <= (record.generation, record.step));
            }
        }
    }

    #[test]
    fn m13_what_is_deleted_leaves_nothing(history in history()) {
        let mut world = world();
        world.deploy(APP, APPS[0]);
        for event in &history {
            event.happen(&mut world);
        }
        heal(&mut world);
        world.stop(APP, true);
        world.run(CONVERGES_WITHIN);
        prop_assert!(world.apps.is_empty());
        for host in world.hosts.values() {
            prop_assert!(host.inventory().apps.iter().all(|app| app.components.is_empty()));
        }
    }
}
