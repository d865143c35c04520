//! A store that has lost writes, at moments that scenarios cannot stop at.

use lath_manager_planner::record::Wanted;

use crate::world::World;

#[test]
fn a_deletion_that_comes_back_is_not_over_before_hosts_have_let_go() {
    let mut world = World::new("a");
    let _ = world.deploy("shop", "front=v1");
    world.run(60);
    let app = "shop".parse().unwrap();
    // What a deletion writes last, before the record itself goes.
    let mut record = world.record("shop").clone();
    let host = record.assignment.hosts().next().unwrap().clone();
    record.wanted = Wanted::Forget;
    (record.revision, record.serving) = (None, None);
    record.assignment = Default::default();
    record.touched.clear();

    let output = world.plan(&app, &record);
    assert!(!output.forget, "the host still runs it: {:#?}", world.host("a").inventory().apps);
    let next = output.record.unwrap_or(record);
    let commands = world.plan(&app, &next).commands;
    assert_eq!(commands.iter().map(|command| &command.host).collect::<Vec<_>>(), [&host]);
    assert!(commands.iter().all(|command| command.request.bundles.is_empty()), "{commands:#?}");
}
