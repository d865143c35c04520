//! Planning a large lattice: all apps anew, the change of one, and a host that is lost. No process, no network: what the
//! decisions alone cost.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lath_counted::lattice::{LOST_AFTER, Told, World};
use lath_manager_planner::change;
use lath_manager_planner::example::App;

use crate::row::{Aim, Row, Value};
use crate::run::{Run, middle};

const SUITE: &str = "planner";
const COMPONENTS: usize = 10;

fn app(name: &str, version: &str) -> App {
    let words: Vec<String> = (0..COMPONENTS).map(|number| format!("c{number}={version}")).collect();
    App::new(name, &format!("{} policy.min_healthy_time=0s", words.join(" ")))
}

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let (hosts, apps) = (run.count(1_000, 200), run.count(1_000, 200));
    let size = format!("{hosts} hosts, {apps} apps of {COMPONENTS}");
    let mut world = World::of(hosts);
    for number in 0..apps {
        let number = world.deploy(app(&format!("app{number}"), "v1"));
        world.settle(number);
    }
    let repeated = |mut work: Box<dyn FnMut() + '_>| {
        let times = (0..run.rounds()).map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        });
        Duration::from_secs_f64(middle(times.collect()))
    };
    let all = repeated(Box::new(|| {
        for number in 0..apps {
            black_box(world.plan(number));
        }
    }));

    // A change of an app: from the request to the first commands, all plans that this takes.
    let mut changes = Vec::new();
    for number in 0..apps.min(50) {
        let planned = &mut world.apps[number];
        let (next, current) = (app(&format!("app{number}"), "v2"), planned.app.revision(1));
        let spec = Arc::new(next.spec(2));
        let begun = Instant::now();
        let change = change::deploy(Some(&planned.record), Some(&current), next.ask(), world.now);
        planned.record = change.expect("a deploy").record.expect("a record");
        planned.revisions.insert(next.revision(2).revision, spec);
        while let Some(record) = {
            let output = world.plan(number);
            if output.commands.is_empty() { Some(output.record.expect("it goes on")) } else { None }
        } {
            world.apps[number].record = record;
        }
        changes.push(begun.elapsed().as_secs_f64());
        world.settle(number);
    }

    // The host with the most on it does not come back, of which a manager is sure when it has listened for long enough.
    world.rest(2 * LOST_AFTER);
    let on = |told: &Told| told.values().filter(|request| !request.bundles.is_empty()).count();
    let (lost, _) = world.told.iter().max_by_key(|(_, told)| on(told)).expect("hosts were told");
    let (lost, boot) = (lost.clone(), world.fleet[lost].boot.clone());
    world.observed.stopped(&lost, &boot);
    let begun = Instant::now();
    let mut moved = 0;
    for number in 0..apps {
        let output = world.plan(number);
        if let Some(record) = output.record {
            moved += 1;
            world.apps[number].record = record;
            black_box(world.plan(number));
        }
    }
    let replaced = begun.elapsed();
    assert!(moved > 0, "nothing was on the host that is lost");
    let change = Duration::from_secs_f64(middle(changes));
    vec![
        Row::new(SUITE, format!("all planned anew, {size}"), Value::ms(all)).aim(Aim::AtMost(1_000.0)),
        Row::new(SUITE, format!("one app changed, to its commands, {size}"), Value::ms(change))
            .aim(Aim::AtMost(2.0)),
        Row::new(SUITE, format!("a host is lost, all that was on it replaced, {size}"), Value::ms(replaced))
            .aim(Aim::AtMost(2_000.0)),
    ]
}
