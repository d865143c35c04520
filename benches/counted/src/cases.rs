//! All cases, and their inputs.

use std::hint::black_box;
use std::net::SocketAddr;

use lath_control_api::{ApplyRequest, HostInventory, Timestamp};
use lath_host_core::{Choice, Core, News, Reach, Transition};
use lath_manager_planner::example::{self, App};
use lath_wrpc::codec;
use wasmtime::component::{Type, Val};

use crate::Case;
use crate::lattice::World;

/// All of them.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        Case { name: "codec: encode a text of 1 KiB and numbers", prepare: encode },
        Case { name: "codec: decode a text of 1 KiB and numbers", prepare: decode },
        Case { name: "routes: find one of 1,000 by host and path", prepare: find_route },
        Case { name: "routes: pick the unit of one of 1,000 components", prepare: pick_unit },
        Case { name: "host core: take on an app of 100", prepare: take_on },
        Case { name: "host core: a component of an app of 100 is ready", prepare: hear_ready },
        Case { name: "planner: a settled app of 3, 20 hosts", prepare: || settled(20, 3) },
        Case { name: "planner: a settled app of 30, 20 hosts", prepare: || settled(20, 30) },
        Case { name: "planner: a settled app of 3, 500 hosts", prepare: || settled(500, 3) },
        Case { name: "planner: the first plan of an app of 30, 20 hosts", prepare: first_plan },
        Case { name: "manifest: load one of 30 components", prepare: load_manifest },
        Case { name: "inventory: write one of 100 components", prepare: write_inventory },
        Case { name: "inventory: read one of 100 components", prepare: read_inventory },
    ]
}

fn values() -> (Vec<Val>, Vec<Type>) {
    let text = Val::String("x".repeat(1024));
    let values = vec![text, Val::U64(1 << 40), Val::S32(-7), Val::Bool(true), Val::Float64(0.5)];
    (values, vec![Type::String, Type::U64, Type::S32, Type::Bool, Type::Float64])
}

fn encode() -> Box<dyn FnMut()> {
    let (values, types) = values();
    Box::new(move || {
        black_box(codec::encode(&values, &types).expect("values of these types"));
    })
}

fn decode() -> Box<dyn FnMut()> {
    let (values, types) = values();
    let bytes = codec::encode(&values, &types).expect("values of these types");
    Box::new(move || {
        black_box(codec::decode(&bytes, &types).expect("bytes of these types"));
    })
}

/// What one host is told of an app, all of it on that host.
fn told(name: &str, components: &str) -> ApplyRequest {
    let mut world = World::of(1);
    let number = world.deploy(App::new(name, components));
    for _ in 0..10 {
        let output = world.plan(number);
        if let Some(command) = output.commands.into_iter().next() {
            return command.request;
        }
        let planned = world.apps.get_mut(number).expect("an app");
        planned.record = output.record.expect("it goes on until there is a command");
    }
    panic!("nobody is told anything of {name}");
}

fn words(count: usize) -> String {
    (0..count).map(|number| format!("c{number}=v1")).collect::<Vec<_>>().join(" ")
}

const ADDRESS: &str = "127.0.0.1:8000";

/// A host on which a thousand apps serve, each with a server and a component behind it.
fn serving() -> Core {
    let mut core = Core::new(Some(ADDRESS.parse().expect("an address")));
    for number in 0..1_000 {
        let line = format!("web=>hello,host=app{number}.test,address={ADDRESS} hello=v1");
        ready_all(&mut core, &told(&format!("app{number}"), &line));
    }
    core
}

fn ready_all(core: &mut Core, request: &ApplyRequest) {
    let (_, mut steps) = core.apply(request, Timestamp(1)).expect("it is taken on");
    // The candidates of a first rollout run and have no traffic; they are asked for by revision.
    while let Some(step) = steps.pop() {
        if let Transition::Prepare { unit, ticket, .. } = step {
            steps.extend(core.observe(&unit, ticket, News::Ready, Timestamp(2)));
        }
    }
}

fn find_route() -> Box<dyn FnMut()> {
    let table = serving().routes();
    let address: SocketAddr = ADDRESS.parse().expect("an address");
    let revision = table.listeners().flat_map(|(_, listener)| listener.vias()).next().map(|via| via.revision);
    let revision = revision.expect("there are routes");
    Box::new(move || {
        let found = table.find(address, Some("app777.test"), "/a/b", Choice::Revision(revision));
        assert!(black_box(found).is_some(), "the route is there");
    })
}

fn pick_unit() -> Box<dyn FnMut()> {
    let table = serving().routes();
    let (id, unit) = table
        .targets()
        .find_map(|(id, target)| Some((id.clone(), target.units().next()?.clone())))
        .expect("there are components");
    Box::new(move || {
        let caller = Some((&unit.app, unit.revision));
        assert!(black_box(table.pick(&id, caller, Reach::Lattice, 50)).is_some(), "the unit is there");
    })
}

fn take_on() -> Box<dyn FnMut()> {
    let (core, request) = (Core::new(None), told("shop", &words(100)));
    Box::new(move || {
        let mut core = core.clone();
        black_box(core.apply(&request, Timestamp(1)).expect("it is taken on"));
    })
}

fn hear_ready() -> Box<dyn FnMut()> {
    let mut core = Core::new(None);
    let (_, steps) = core.apply(&told("shop", &words(100)), Timestamp(1)).expect("it is taken on");
    let prepare = steps.into_iter().find_map(|step| match step {
        Transition::Prepare { unit, ticket, .. } => Some((unit, ticket)),
        _ => None,
    });
    let (unit, ticket) = prepare.expect("there is work");
    Box::new(move || {
        let mut core = core.clone();
        black_box(core.observe(&unit, ticket, News::Ready, Timestamp(2)));
    })
}

fn settled(hosts: usize, components: usize) -> Box<dyn FnMut()> {
    let mut world = World::of(hosts);
    let number = world.deploy(App::new("shop", &format!("{} policy.min_healthy_time=0s", words(components))));
    world.settle(number);
    Box::new(move || {
        black_box(world.plan(number));
    })
}

fn first_plan() -> Box<dyn FnMut()> {
    let mut world = World::of(20);
    let number = world.deploy(App::new("shop", &words(30)));
    Box::new(move || {
        black_box(world.plan(number));
    })
}

fn load_manifest() -> Box<dyn FnMut()> {
    let manifest = App::new("shop", &words(30)).manifest();
    Box::new(move || {
        assert!(black_box(lath_manifests::load(manifest.as_bytes())).is_ok(), "the manifest is good");
    })
}

fn inventory() -> HostInventory {
    let summary = example::summary("h1");
    let told: Vec<ApplyRequest> = (0..10).map(|number| told(&format!("app{number}"), &words(10))).collect();
    example::inventory(&summary, &told)
}

fn write_inventory() -> Box<dyn FnMut()> {
    let inventory = inventory();
    Box::new(move || {
        black_box(serde_json::to_vec(&inventory).expect("it has a JSON form"));
    })
}

fn read_inventory() -> Box<dyn FnMut()> {
    let json = serde_json::to_vec(&inventory()).expect("it has a JSON form");
    Box::new(move || {
        black_box(serde_json::from_slice::<HostInventory>(&json).expect("it is read back"));
    })
}
