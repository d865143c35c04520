//! The command itself, where nothing answers and where nobody wants to wait.

use std::time::Duration;

use lath_tests::{App, Lath, Lattice, Load, eventually, ports};

use crate::words;

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_it_says_what_it_tried_and_how_to_start_one() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = ports::free_address();
    let lath = Lath::new(&format!("nats://{nowhere}"), home.path());
    for command in ["apps", "hosts", "inventory"] {
        let ended = lath.run([command]).await.exits(6);
        ended.says(&[&nowhere.to_string(), "lath up"]);
        assert!(ended.took() < Duration::from_secs(10), "{}", ended.told());
        let json = lath.run([command, "-o", "json"]).await.exits(6).json();
        assert_eq!((&json["kind"], &json["error"]["exit"]), (&"Error".into(), &6.into()), "{json:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_manager_it_says_that_nobody_answers() {
    let mut lattice = Lattice::of_two_hosts().await;
    lattice.manager_mut().stop().await;
    lattice.lath().run(["apps"]).await.exits(6).says(&["lath manager"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_waiting_says_how_to_watch_again_and_cancels_nothing() {
    let lattice = Lattice::of_two_hosts().await;
    let (lath, app) = (lattice.lath(), App::hello("shop", lattice.address));
    let _ = lattice.deploy(&app).await.exits(0);
    // Frozen hosts make the change wait for as long as the test needs.
    for number in [1, 2] {
        lattice.host(number).freeze();
    }
    let manifest = app.image("hello", "http-hello-v2").write(lattice.folder());
    let deploy = lath.start(["deploy".as_ref(), manifest.as_os_str()]);
    eventually(Duration::from_secs(5), "the change to be accepted", async || {
        let status = lath.run(["status", "shop", "-o", "json"]).await.exits(0).json();
        if status["revision"] == 2 { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
    deploy.interrupt();
    let ended = deploy.ended().await.exits(130);
    ended.says(&["lath status shop"]);
    for number in [1, 2] {
        lattice.host(number).thaw();
    }
    let load = Load::new(lattice.address, "/");
    eventually(Duration::from_secs(30), "the new revision to answer", async || {
        let answer = words::hello(&load.once().await?);
        if answer == "v2 hello" { Ok(()) } else { Err(answer) }
    })
    .await;
}
