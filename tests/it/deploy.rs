//! From a manifest to an answer, and to nothing again.

use std::time::{Duration, Instant};

use lath_tests::{App, Lattice, Load, eventually};

use crate::words;

/// What a busy test machine may take; the goal for a quiet one is 2 s.
const GENEROUS: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn two_linked_components_answer_soon_after_deploy() {
    let lattice = Lattice::of_two_hosts().await;
    let app = App::greeting("shop", lattice.address);
    let manifest = app.write(lattice.folder());
    let load = Load::new(lattice.address, "/?name=Ada");

    let begun = Instant::now();
    let deploy = lattice.lath().start(["deploy".as_ref(), manifest.as_os_str()]);
    let answer = eventually(GENEROUS, "the first answer", async || load.once().await).await;
    let first = begun.elapsed();
    let deploy = deploy.ended().await.exits(0);
    println!("first answer after {first:.2?}, deploy done after {:.2?}", deploy.took());
    assert_eq!(words::greeting(&answer), "v1 > v1 Hello, Ada");

    // After "done" both hosts answer, so no new connection may find one that does not.
    for _ in 0..20 {
        assert_eq!(load.once().await.map(|answer| words::greeting(&answer)).unwrap(), "v1 > v1 Hello, Ada");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_deploying_the_same_again_changes_nothing() {
    let lattice = Lattice::of_two_hosts().await;
    let app = App::hello("shop", lattice.address);
    let _ = lattice.deploy(&app).await.exits(0);
    let store = lattice.store().await;
    let before = store.writes().await;
    let again = lattice.deploy(&app).await.exits(0);
    again.says(&["nchanged"]);
    assert_eq!(store.writes().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn m13_a_deleted_app_leaves_nothing() {
    let lattice = Lattice::of_two_hosts().await;
    let (lath, load) = (lattice.lath(), Load::new(lattice.address, "/"));
    let _ = lattice.deploy(&App::hello("shop", lattice.address)).await.exits(0);
    load.once().await.unwrap();

    let _ = lath.run(["undeploy", "shop"]).await.exits(0);
    assert!(load.once().await.is_err(), "a stopped app still answers");
    lath.run(["apps"]).await.exits(0).says(&["shop", "Stopped"]);

    let _ = lath.run(["delete", "shop", "--yes"]).await.exits(0);
    lath.run(["status", "shop"]).await.exits(3).says(&["shop"]);
    let left = lattice.store().await.keys().await;
    assert!(left.iter().all(|key| !key.contains("shop")), "{left:?}");
    let inventory = lath.run(["inventory", "-o", "json"]).await.exits(0);
    assert!(!inventory.stdout.contains("shop"), "{}", inventory.told());
}
