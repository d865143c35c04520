//! Everything changes in one switch: code, config, links and the address, and goes back in one.

use std::time::Duration;

use lath_tests::{Accounts, App, Lattice, Load, eventually, guest, ports};

use crate::words;

const OLD: &str = "v1 > v1 Hello, Ada";
const NEW: &str = "v2 > v2 Welcome, Ada";
/// "At once", for a command that goes back while the old revision is warm.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Waits until the rollout of the app is in that phase.
async fn phase(lattice: &Lattice, phase: &str) {
    let lath = lattice.lath();
    eventually(Duration::from_secs(30), phase, async || {
        let status = lath.run(["status", "shop", "-o", "json"]).await.exits(0).json();
        if status["rollout"]["phase"] == phase { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
}

/// None failed, and who had the answer of the new revision once got no old one after it: requests that were sent when
/// the first new answer was complete are all answered by the new revision, but for the moment in which two hosts hear
/// of the switch.
fn one_switch(accounts: &Accounts, from: &str, to: &str) {
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let by = accounts.by(words::greeting);
    assert!(by.keys().all(|name| name == from || name == to), "a mixture of revisions: {by:?}");
    let first = accounts.answered().find(|(_, answer)| words::greeting(answer) == to);
    let Some((first, _)) = first else { return };
    let heard = first.ended + Duration::from_millis(500);
    let late = accounts.sent_after(heard).by(words::greeting);
    assert!(late.keys().all(|name| name == to), "it went to and fro: {late:?}");
}

/// The code comes from files and the store, the decisions from the manager: all of that is gone before the way back.
#[tokio::test(flavor = "multi_thread")]
async fn blue_green_moves_address_config_link_and_code_in_one_switch_and_back_without_registry_or_managers_disk()
 {
    let mut lattice = Lattice::of_two_hosts().await;
    let files = lattice.folder().join("code");
    std::fs::create_dir(&files).unwrap();
    let code = |name: &str| {
        let copy = files.join(format!("{name}.wasm"));
        std::fs::copy(guest(name), &copy).unwrap();
        copy
    };
    let (from, to) = (lattice.address, ports::free_address());
    let old = App::greeting("shop", from);
    let old = old.file("front", &code("http-front-v1")).file("greeter", &code("greeter-v1"));
    let _ = lattice.deploy(&old).await.exits(0);
    // Another port, another config, a link to another component, other code.
    let new = old.file("front", &code("http-front-v2")).file("greeter", &code("greeter-v2"));
    let new = new.config("greeter", "word", "Welcome").renamed("greeter", "welcomer").address(to);
    let ledger = Load::new(from, "/?name=Ada").rate(100).start();
    words::more(&ledger, 50).await;
    lattice.deploy(&new.rollout("strategy", "blue-green")).await.exits(0).says(&["promote"]);
    // It can be looked at where the old one answers, and where it will answer there is nobody yet.
    let asked = async |revision| {
        let load = Load::new(from, "/?name=Ada").revision(revision);
        load.once().await.map(|answer| words::greeting(&answer))
    };
    assert_eq!(asked(1).await, Ok(OLD.into()));
    assert!(asked(2).await.unwrap_err().contains("404"), "its address is another one");
    let early = Load::new(to, "/?name=Ada").once().await;
    assert!(early.is_err(), "{early:?}");

    let _ = lattice.lath().run(["rollout", "promote", "shop"]).await.exits(0);
    let moved = Load::new(to, "/?name=Ada").rate(100).start();
    words::more(&moved, 100).await;
    // Whoever has not heard of it is still answered.
    words::more(&ledger, 50).await;
    phase(&lattice, "keeping-warm").await;
    let accounts = moved.finish().await;
    one_switch(&accounts, OLD, NEW);
    assert_eq!(accounts.by(words::greeting).into_keys().collect::<Vec<_>>(), [NEW]);
    let accounts = ledger.finish().await;
    one_switch(&accounts, OLD, NEW);

    // Only what is on the hosts and in the manager's records is needed to go back.
    lattice.store().await.remove_components().await;
    std::fs::remove_dir_all(&files).unwrap();
    std::fs::remove_file(lattice.folder().join("shop.yaml")).unwrap();
    lattice.manager_mut().kill();
    lattice.manager_mut().forget_data();
    lattice.manager_mut().restart().await;
    phase(&lattice, "keeping-warm").await;
    // The new manager acts when the term of the killed one is over.
    eventually(Duration::from_secs(30), "the new manager to act", async || {
        let doctor = lattice.lath().run(["doctor"]).await;
        if doctor.seen().contains("it acts") { Ok(()) } else { Err(doctor.told()) }
    })
    .await;
    let ledger = Load::new(from, "/?name=Ada").rate(100).start();
    words::more(&ledger, 50).await;
    let back = lattice.lath().run(["rollout", "abort", "shop"]).await.exits(0);
    words::more(&ledger, 100).await;
    let accounts = ledger.finish().await;
    one_switch(&accounts, NEW, OLD);
    let late = accounts.sent_after(back.at).by(words::greeting);
    assert_eq!(late.keys().collect::<Vec<_>>(), [OLD]);
    println!("switched back in {:.2?}", back.took());
    assert!(back.took() < AT_ONCE, "{}", back.told());
    assert!(Load::new(to, "/").once().await.is_err(), "the address of what was left is closed");
}
