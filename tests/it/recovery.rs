//! A host or the NATS server dies, or goes away for a while: what still can serve serves, and all is in order again
//! by itself. Each fault is shown to have happened. Killed managers are in `manager.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lath_tests::lattice::items;
use lath_tests::{App, Lattice, Load, Scaling, Setup, eventually};

use crate::order::{ORDER, one_revision_everywhere, settled};
use crate::words;

/// Longest time until the work of a lost host runs elsewhere.
const MOVED: Duration = Duration::from_secs(15);
/// How long nats-server is away.
const AWAY: Duration = Duration::from_secs(20);
/// How soon after a host's death its clients have noticed that their connections are gone.
const NOTICED: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_lost_host_runs_elsewhere_soon_and_is_not_doubled_when_it_returns() {
    let mut lattice = Setup::default().host(&["zone=a"]).host(&["zone=a"]).start().await;
    let zone = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let app = App::hello("shop", lattice.address).scaling(Scaling::OnOne(zone));
    let _ = lattice.deploy(&app).await.exits(0);
    let load = Load::new(lattice.address, "/");
    load.once().await.unwrap();
    let owner = owner(&lattice).await;

    lattice.host_mut(owner).kill();
    let killed = Instant::now();
    assert!(load.once().await.is_err(), "the host that was killed still answers");
    eventually(MOVED, "the app to answer again", async || load.once().await).await;
    println!("it answers again {:.1?} after its host was killed", killed.elapsed());
    settled(&lattice, "shop").await;

    let ledger = Load::new(lattice.address, "/").rate(50).start();
    lattice.host_mut(owner).restart().await;
    let lath = lattice.lath();
    eventually(ORDER, "the host to take part again", async || {
        let hosts = lath.run(["hosts", "-o", "json"]).await.exits(0).json();
        let lost = items(&hosts, "hosts").iter().filter(|host| host["lost"] == true).count();
        if lost == 0 { Ok(()) } else { Err(format!("{hosts:#}")) }
    })
    .await;
    eventually(ORDER, "each component to run once", async || {
        let units = lattice.units().await;
        if units.len() == 2 { Ok(()) } else { Err(format!("{units:#?}")) }
    })
    .await;
    settled(&lattice, "shop").await;
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    println!("while it returned: {}", accounts.summary(words::hello));
    accounts.none_failed();
}

/// Number of the host on which the app runs.
async fn owner(lattice: &Lattice) -> usize {
    let status = lattice.lath().run(["status", "shop", "-o", "json"]).await.exits(0).json();
    let places = items(&status, "components").iter().flat_map(|component| items(component, "places"));
    let names: BTreeSet<_> = places.filter_map(|place| place["hostName"].as_str()).collect();
    let names: Vec<_> = names.into_iter().collect();
    match names.as_slice() {
        ["host-1"] => 1,
        ["host-2"] => 2,
        others => panic!("the app runs on {others:?}, not on one host\n{status:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_local_components_answer_while_nats_is_away_and_all_is_in_order_after() {
    let mut lattice = Lattice::of_two_hosts().await;
    let app = App::greeting("shop", lattice.address);
    let _ = lattice.deploy(&app).await.exits(0);
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(50).start();
    words::more(&ledger, 50).await;

    lattice.nats.kill();
    let away = Instant::now();
    let _ = lattice.lath().run(["apps"]).await.exits(6);
    eventually(2 * AWAY, "nats-server to be away long enough", async || {
        let passed = away.elapsed();
        if passed >= AWAY { Ok(()) } else { Err(format!("{passed:.0?}")) }
    })
    .await;
    words::more(&ledger, 50).await;
    lattice.nats.restart().await;
    let back = Instant::now();
    assert_eq!(settled(&lattice, "shop").await, 1);
    println!("in order {:.1?} after nats-server was back", back.elapsed());

    let next = app.config("greeter", "word", "Welcome");
    let deploy = lattice.deploy(&next).await.exits(0);
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let late = accounts.sent_after(deploy.at).by(words::greeting);
    assert_eq!(late.into_keys().collect::<Vec<_>>(), ["v1 > v1 Welcome, Ada"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_host_that_is_stopped_in_order_and_comes_back_loses_no_request() {
    let mut lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&App::greeting("shop", lattice.address)).await.exits(0);
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(200).start();
    words::more(&ledger, 100).await;
    for number in [1, 2] {
        lattice.host_mut(number).stop().await;
        words::more(&ledger, 50).await;
        lattice.host_mut(number).restart().await;
        settled(&lattice, "shop").await;
        words::more(&ledger, 50).await;
    }
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_killed_host_costs_only_what_was_in_flight_on_it() {
    let mut lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&App::greeting("shop", lattice.address)).await.exits(0);
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(200).start();
    words::more(&ledger, 100).await;
    lattice.host_mut(1).kill();
    let dead = Instant::now();
    // Long enough for the manager to count the host as lost and to plan without it.
    let lath = lattice.lath();
    eventually(MOVED, "the host to count as lost", async || {
        let hosts = lath.run(["hosts", "-o", "json"]).await.exits(0).json();
        let lost = items(&hosts, "hosts").iter().filter(|host| host["lost"] == true).count();
        if lost == 1 { Ok(()) } else { Err(format!("{hosts:#}")) }
    })
    .await;
    words::more(&ledger, 100).await;
    lattice.host_mut(1).restart().await;
    settled(&lattice, "shop").await;
    one_revision_everywhere(&lattice, 1).await;
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    println!("{}; failed: {:?}", accounts.summary(words::greeting), accounts.causes());
    let others: Vec<_> = accounts.failed().filter(|(record, _)| record.sent > dead + NOTICED).collect();
    assert!(others.is_empty(), "failures that the death of a host does not explain: {others:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_an_upgrade_goes_on_when_nats_comes_back() {
    let mut lattice = Lattice::of_two_hosts().await;
    let app = App::greeting("shop", lattice.address);
    let _ = lattice.deploy(&app).await.exits(0);
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    let next = app.config("front", "change", "1").config("greeter", "word", "Welcome");
    let manifest = next.write(lattice.folder());
    let deploy = lattice.lath().start(["deploy".as_ref(), manifest.as_os_str()]);
    eventually(ORDER, "the upgrade to take over one of the hosts", async || {
        let by = ledger.so_far().by(words::greeting);
        if by.len() == 2 { Ok(()) } else { Err(format!("{by:?}")) }
    })
    .await;
    lattice.nats.kill();
    words::more(&ledger, 100).await;
    lattice.nats.restart().await;
    let ended = deploy.ended().await;
    assert!(matches!(ended.code, Some(0 | 9)), "{}", ended.told());
    let revision = settled(&lattice, "shop").await;
    one_revision_everywhere(&lattice, revision).await;
    let accounts = ledger.finish().await;
    println!("exit {:?}, revision {revision}; {}", ended.code, accounts.summary(words::greeting));
    accounts.none_failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_a_host_that_starts_without_nats_serves_what_it_last_knew() {
    let mut lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&App::greeting("shop", lattice.address)).await.exits(0);
    lattice.manager_mut().stop().await;
    lattice.nats.kill();
    for number in [1, 2] {
        lattice.host_mut(number).kill();
    }
    let load = Load::new(lattice.address, "/?name=Ada");
    assert!(load.once().await.is_err(), "hosts that were killed still answer");
    lattice.host_mut(1).launch();
    let answer = eventually(ORDER, "the host to answer from its journal", async || load.once().await).await;
    assert_eq!(words::greeting(&answer), "v1 > v1 Hello, Ada");

    lattice.nats.restart().await;
    lattice.manager_mut().restart().await;
    lattice.host_mut(1).ready().await;
    lattice.host_mut(2).restart().await;
    settled(&lattice, "shop").await;
    eventually(ORDER, "every host to be confirmed", async || {
        let units = lattice.units().await;
        let all = units.len() == 6 && units.iter().all(|unit| unit["confirmed"] == true);
        if all { Ok(()) } else { Err(format!("{units:#?}")) }
    })
    .await;
}
