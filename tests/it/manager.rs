//! A manager dies in the middle of an upgrade: what serves goes on, and its successor brings the app to one whole
//! revision. Killed here at moments spread over the time of an upgrade; `crashes.rs` has each of its effects.

use std::collections::BTreeSet;
use std::time::Instant;

use lath_tests::{App, Lattice, Load};

use crate::order::{one_revision_everywhere, settled};
use crate::words;

/// Moments of an upgrade at which the manager is killed.
const MOMENTS: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn m1_a_manager_killed_at_any_moment_of_an_upgrade_leaves_one_whole_revision() {
    let mut lattice = Lattice::of_two_hosts().await;
    let images = |number: u32| if number.is_multiple_of(2) { "v1" } else { "v2" };
    let version = |number: u32| {
        let front = format!("http-front-{}", images(number));
        App::greeting("shop", lattice.address).image("front", &front).config(
            "greeter",
            "word",
            &number.to_string(),
        )
    };
    let versions: Vec<App> = (0..=MOMENTS + 1).map(version).collect();
    let names: BTreeSet<_> =
        (0..=MOMENTS + 1).map(|number| format!("{} > v1 {number}, Ada", images(number))).collect();
    let _ = lattice.deploy(&versions[0]).await.exits(0);
    // An upgrade without a fault says how long one takes, and thus when to kill.
    let whole = lattice.deploy(&versions[1]).await.exits(0).took();

    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    let mut cut_short = 0;
    for moment in 0..MOMENTS {
        let manifest = versions[moment as usize + 2].write(lattice.folder());
        let mut deploy = lattice.lath().start(["deploy".as_ref(), manifest.as_os_str()]);
        // Not a wait for a state: the moment of the fault.
        tokio::time::sleep(whole * moment / MOMENTS).await;
        cut_short += u32::from(deploy.runs());
        lattice.manager_mut().kill();
        lattice.manager_mut().restart().await;
        let ended = deploy.ended().await;
        // Carried out, or taken back, or never accepted: nothing in between.
        assert!(matches!(ended.code, Some(0 | 9 | 6)), "{}", ended.told());

        let revision = settled(&lattice, "shop").await;
        let before = Instant::now();
        words::more(&ledger, 50).await;
        let by = ledger.so_far().sent_after(before).by(words::greeting);
        println!(
            "killed {:.1?} into it: exit {:?}, revision {revision}, {by:?}",
            whole * moment / MOMENTS,
            ended.code
        );
        assert_eq!(by.len(), 1, "more than one revision answers: {by:?}");
        one_revision_everywhere(&lattice, revision).await;
    }
    assert!(cut_short >= MOMENTS / 2, "only {cut_short} upgrades were running when the manager was killed");
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    accounts.none_failed();
    let by: BTreeSet<_> = accounts.by(words::greeting).into_keys().collect();
    assert!(by.is_subset(&names), "answers of no whole revision: {by:?}");
}
