//! Random histories: what users and machines do to a lattice of three hosts.

use proptest::prelude::*;

use lath_control_api::{HostState, Reason};

use crate::world::World;

/// The hosts of every history.
pub(crate) const HOSTS: [&str; 3] = ["a,zone=w", "b,zone=e", "c,zone=w"];
/// The app of every history.
pub(crate) const APP: &str = "shop";

/// Manifests of one app that differ in code, config, placement and components. Short deadlines keep histories short.
pub(crate) const APPS: [&str; 7] = [
    "http=>front,daemon front=v1,daemon,to=back back=v1 policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s",
    "http=>front,daemon front=v2,daemon,to=back back=v1 policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s",
    "http=>front,daemon front=v2,daemon,to=back back=v2,config.word=hi policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s",
    "http=>front,x2 front=v1,x6,on.zone=w:2,on.zone=e:1,to=back back=v2 policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s",
    "http=>front,daemon front=v3,daemon policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s policy.max_parallel=3",
    "http=>front,daemon,on.zone=e front=v3,on.zone=e policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s",
    "http=>front,daemon front=bad,daemon,to=back back=v1 policy.progress_deadline=20s policy.healthy_deadline=15s policy.drain_deadline=5s",
];
/// Index of the manifest whose `front` cannot be prepared.
pub(crate) const BAD: usize = 6;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Deploy(usize),
    Rollback,
    Undeploy,
    Lose(usize),
    Return(usize),
    Restart(usize),
    Wipe(usize),
    Hold(usize),
    Release(usize),
    Busy(usize),
    Idle(usize),
    Label(usize, &'static str),
    Drain(usize),
    Undrain(usize),
    Manager(bool),
    Tick(usize),
}

impl Event {
    pub(crate) fn happen(&self, world: &mut World) {
        let name = |host: usize| HOSTS[host].split(',').next().unwrap();
        let now = world.now;
        match *self {
            Self::Deploy(app) => drop(world.deploy(APP, APPS[app])),
            Self::Rollback => {
                if world.apps.values().any(|stored| stored.record.is_some()) {
                    // There may be nothing to go back to.
                    let _ = world.rollback(APP, None);
                }
            }
            Self::Undeploy => drop(world.stop(APP, false)),
            Self::Lose(host) => world.host(name(host)).connected = false,
            Self::Return(host) => world.host(name(host)).connected = true,
            Self::Restart(host) => world.host(name(host)).restart(now),
            Self::Wipe(host) => world.host(name(host)).wipe(now),
            Self::Hold(host) => world.host(name(host)).holds = true,
            Self::Release(host) => world.host(name(host)).holds = false,
            Self::Busy(host) => world.host(name(host)).busy = true,
            Self::Idle(host) => world.host(name(host)).busy = false,
            Self::Label(host, zone) => {
                let labels = &mut world.host(name(host)).summary.labels.0;
                labels.insert("zone".to_owned(), zone.to_owned());
            }
            Self::Drain(host) => world.host(name(host)).summary.state = HostState::Draining,
            Self::Undrain(host) => world.host(name(host)).summary.state = HostState::Ready,
            Self::Manager(false) => world.managed = false,
            Self::Manager(true) => world.restart_manager(),
            Self::Tick(_) => {}
        }
        let seconds = if let Self::Tick(seconds) = *self { seconds } else { 1 };
        world.run(seconds);
    }

    /// Whether it is planned: nobody has to lose anything by it.
    fn is_planned(&self) -> bool {
        matches!(
            self,
            Self::Deploy(_)
                | Self::Rollback
                | Self::Hold(_)
                | Self::Release(_)
                | Self::Busy(_)
                | Self::Idle(_)
                | Self::Label(..)
                | Self::Drain(_)
                | Self::Undrain(_)
                | Self::Manager(_)
                | Self::Tick(_)
        )
    }
}

fn event() -> impl Strategy<Value = Event> {
    let host = 0..HOSTS.len();
    prop_oneof![
        4 => (0..APPS.len()).prop_map(Event::Deploy),
        2 => Just(Event::Rollback),
        1 => Just(Event::Undeploy),
        1 => host.clone().prop_map(Event::Lose),
        2 => host.clone().prop_map(Event::Return),
        1 => host.clone().prop_map(Event::Restart),
        1 => host.clone().prop_map(Event::Wipe),
        1 => host.clone().prop_map(Event::Hold),
        2 => host.clone().prop_map(Event::Release),
        1 => host.clone().prop_map(Event::Busy),
        2 => host.clone().prop_map(Event::Idle),
        1 => host.clone().prop_map(Event::Drain),
        1 => host.clone().prop_map(Event::Undrain),
        1 => (host, prop_oneof![Just("w"), Just("e")]).prop_map(|(host, zone)| Event::Label(host, zone)),
        2 => any::<bool>().prop_map(Event::Manager),
        6 => (1..25_usize).prop_map(Event::Tick),
    ]
}

/// Anything may happen.
pub(crate) fn history() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 1..25)
}

/// Nothing breaks.
pub(crate) fn planned_history() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event().prop_filter("planned", Event::is_planned), 1..25)
}

/// Three hosts, and a revision of which `front` cannot be prepared.
pub(crate) fn world() -> World {
    let mut world = World::new(&HOSTS.join(" "));
    world.broken.insert("file://front-bad.wasm".to_owned(), Reason::CompileFailed);
    world
}

/// All faults are over: everybody is there and works.
pub(crate) fn heal(world: &mut World) {
    for host in world.hosts.values_mut() {
        host.connected = true;
        host.holds = false;
        host.busy = false;
        host.summary.state = HostState::Ready;
    }
    if !world.managed {
        world.restart_manager();
    }
}
