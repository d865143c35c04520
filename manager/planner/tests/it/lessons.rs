//! Faults that other systems had, each by the name under which it is known there, and what happens here instead.

use std::collections::BTreeSet;

use lath_control_api::app::{AppState, ChangeKind, Outcome, RolloutAction};
use lath_control_api::{ComponentSpec, Revision};

use crate::world::{Happened, World};

const APP: &str = "shop";

/// A world in which the line is deployed and serves.
fn serving(fleet: &str, line: &str) -> World {
    let mut world = World::new(fleet);
    let _ = world.deploy(APP, line);
    settle(&mut world);
    assert_eq!(world.status(APP).state, AppState::Serving);
    world
}

/// Lets time pass until a rollout is over, and some more.
fn settle(world: &mut World) {
    world.run(60);
    assert!(world.is_silent(), "{:#?}", world.record(APP));
}

/// The stable specs of a component on every host.
fn stable(world: &World, component: &str) -> BTreeSet<(u64, String, String)> {
    let of = |spec: &ComponentSpec| {
        let config: Vec<String> = spec.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (spec.revision.0, spec.workload.reference().to_owned(), config.join(","))
    };
    let mut found = BTreeSet::new();
    for host in world.hosts.values() {
        let app = APP.parse().unwrap();
        let entry = host.core.journal(&app).unwrap();
        let bundles = entry.request.bundles.iter().filter(|bundle| bundle.component.as_str() == component);
        found.extend(bundles.filter_map(|bundle| bundle.stable.as_deref()).map(of));
    }
    found
}

fn one(revision: u64, image: &str, config: &str) -> BTreeSet<(u64, String, String)> {
    BTreeSet::from([(revision, format!("file://{image}.wasm"), config.to_owned())])
}

#[test]
fn wc4704_config_survives_image_change() {
    let mut world = serving("a b", "front=v1,daemon,config.word=hi");
    let _ = world.deploy(APP, "front=v2,daemon,config.word=hi");
    settle(&mut world);
    assert_eq!(stable(&world, "front"), one(2, "front-v2", "word=hi"));
}

#[test]
fn argo1297_config_restored_on_abort() {
    let mut world = serving("a b", "front=v1,daemon,config.word=hi");
    let _ = world.deploy(APP, "front=v2,daemon,config.word=ho policy.min_healthy_time=100s");
    world.run(10);
    world.steer(APP, RolloutAction::Abort).unwrap();
    settle(&mut world);
    assert_eq!(stable(&world, "front"), one(1, "front-v1", "word=hi"));
    assert_eq!(world.record(APP).history[0].outcome, Some(Outcome::RolledBack));
}

#[test]
fn nomad14200_rollback_keeps_capacity() {
    let mut world = serving("a b c", "front=v1,daemon");
    let _ = world.deploy(APP, "front=v2,daemon");
    settle(&mut world);
    let _ = world.rollback(APP, None).unwrap();
    let app = APP.parse().unwrap();
    for _ in 0..40 {
        world.tick(&mut |_, _| {});
        let taking = world.hosts.values().filter(|host| !host.serving(&app).is_empty()).count();
        assert_eq!(taking, 3, "a host had nothing to answer with");
    }
    assert_eq!(stable(&world, "front"), one(3, "front-v1", ""));
}

#[test]
fn nomad10882_rollback_skips_canary() {
    let canary = "policy.strategy=canary policy.steps=10%/100s,~50%/100s";
    let mut world = serving("a b", &format!("front=v1,daemon {canary}"));
    let _ = world.deploy(APP, &format!("front=v2,daemon {canary}"));
    world.run(10);
    world.steer(APP, RolloutAction::PromoteFull).unwrap();
    settle(&mut world);
    assert_eq!(stable(&world, "front"), one(2, "front-v2", ""));
    // The revision that is gone back to has the same steps, and takes none of them.
    let _ = world.rollback(APP, None).unwrap();
    let mut shares = BTreeSet::new();
    for _ in 0..15 {
        world.tick(&mut |_, happened| {
            if let Happened::Sent(command, Ok(())) = happened {
                let candidates =
                    command.request.bundles.iter().filter_map(|bundle| bundle.candidate.as_ref());
                shares.extend(candidates.map(|candidate| candidate.weight.percent()));
            }
        });
    }
    assert_eq!(stable(&world, "front"), one(3, "front-v1", ""));
    assert_eq!(shares, BTreeSet::from([0, 100]), "shares of the traffic on the way back");
}

#[test]
fn nomad11774_host_lost_during_rollout() {
    let mut world = serving("a b c", "front=v1,daemon");
    let _ = world.deploy(APP, "front=v2,daemon");
    world.run(4);
    assert!(world.record(APP).rollout.is_some());
    world.host("b").connected = false;
    settle(&mut world);
    let record = world.record(APP);
    assert!(record.rollout.is_none(), "{record:#?}");
    assert_eq!(record.history[0].outcome, Some(Outcome::Completed));
    world.host("b").connected = true;
    settle(&mut world);
    assert_eq!(stable(&world, "front"), one(2, "front-v2", ""));
}

#[test]
fn argo3331_superseded_rollout_finishes() {
    let mut world = serving("a b", "front=v1,daemon");
    let _ = world.deploy(APP, "front=v2,daemon policy.min_healthy_time=100s");
    world.run(5);
    let _ = world.deploy(APP, "front=v3,daemon");
    settle(&mut world);
    let outcomes: Vec<_> = world.record(APP).history.iter().map(|entry| entry.outcome.unwrap()).collect();
    assert_eq!(outcomes, [Outcome::Completed, Outcome::Superseded, Outcome::Completed]);
    assert_eq!(stable(&world, "front"), one(3, "front-v3", ""));
}

#[test]
fn ray65249_a_b_a() {
    let mut world = serving("a b", "front=v1,daemon");
    let _ = world.deploy(APP, "front=v2,daemon policy.min_healthy_time=100s");
    world.run(5);
    let _ = world.deploy(APP, "front=v1,daemon");
    let mut told = 0;
    for _ in 0..60 {
        world.tick(&mut |_, happened| told += usize::from(matches!(happened, Happened::Sent(..))));
    }
    assert!(world.is_silent() && told < 20, "{told} commands");
    assert_eq!(stable(&world, "front"), one(3, "front-v1", ""));
}

#[test]
fn dynamo13620_midroll_revert_keeps_serving() {
    let mut world = serving("a b", "front=v1,daemon");
    let _ = world.deploy(APP, "front=v2,daemon policy.min_healthy_time=100s");
    world.run(5);
    let _ = world.rollback(APP, None).unwrap();
    let app = APP.parse().unwrap();
    for _ in 0..40 {
        world.tick(&mut |_, _| {});
        assert!(world.hosts.values().all(|host| !host.serving(&app).is_empty()));
    }
    assert_eq!(stable(&world, "front"), one(3, "front-v1", ""));
}

#[test]
fn attn858_back_means_was_serving() {
    let mut world = serving("a", "front=v1,daemon");
    let _ = world.deploy(APP, "front=v2,daemon");
    settle(&mut world);
    world.broken.insert("file://front-v3.wasm".to_owned(), lath_control_api::Reason::FetchFailed);
    let _ = world.deploy(APP, "front=v3,daemon");
    settle(&mut world);
    // What failed never served: back is the one before the one that serves.
    let _ = world.rollback(APP, None).unwrap();
    settle(&mut world);
    assert_eq!(stable(&world, "front"), one(4, "front-v1", ""));
    let entry = &world.record(APP).history[0];
    assert_eq!((entry.kind, entry.from), (ChangeKind::Rollback, Some(Revision(2))));
    assert!(world.rollback(APP, Some(3)).is_err(), "never to one that failed");
}

#[test]
fn wadm346_waiting_without_hosts() {
    let mut world = World::new("a");
    world.host("a").connected = false;
    world.run(30);
    let _ = world.deploy(APP, "front=v1,daemon");
    world.run(600);
    let status = world.status(APP);
    assert_eq!(status.state, AppState::Waiting, "{status:#?}");
    assert!(!status.problems.is_empty() && !status.message.is_empty());
    world.host("a").connected = true;
    settle(&mut world);
    assert_eq!(world.status(APP).state, AppState::Serving);
}

#[test]
fn wadm432_overlap_converges() {
    let mut world = serving("a,zone=x b,zone=x c,zone=y", "front=v1,x6,on.zone=x:50,on.zone=x:50");
    let mut told = 0;
    for _ in 0..60 {
        world.tick(&mut |_, happened| told += usize::from(matches!(happened, Happened::Sent(..))));
    }
    assert_eq!(told, 0, "rules that overlap pull at each other");
}

#[test]
fn a_failed_gate_is_not_forgotten_by_a_retry() {
    let mut world = serving("a", "front=v1,daemon");
    for host in world.hosts.values_mut() {
        host.traffic = 100;
    }
    world.ills.entry("file://front-v2.wasm".to_owned()).or_default().failing = 50;
    let canary = "policy.strategy=canary policy.steps=10%/20s policy.gates=errors<=1%";
    let _ = world.deploy(APP, &format!("front=v2,daemon {canary}"));
    settle(&mut world);
    let problem = |world: &World| world.record(APP).history[0].problem.clone().map(|problem| problem.reason);
    assert_eq!(problem(&world).as_deref(), Some("gate-failed"));
    world.steer(APP, RolloutAction::Retry).unwrap();
    settle(&mut world);
    assert_eq!(world.record(APP).last_revision, Revision(3));
    assert_eq!(problem(&world).as_deref(), Some("gate-failed"), "it is judged anew");
    assert_eq!(stable(&world, "front"), one(1, "front-v1", ""));
}
