//! What counts as news, and what is too late.

use lath_control_api::{
    CallCounts, ComponentInventory, Digest, Epoch, Fence, Phase, Reason, Revision, Role, Weight,
};

use super::*;
use crate::example::{boot, inventory, summary};

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

fn beat(boot_number: u64, sequence: u64) -> HostSummary {
    HostSummary { boot: boot(boot_number), sequence, ..summary("a") }
}

#[test]
fn f45_news_of_an_earlier_moment_changes_nothing() {
    let mut observed = ObservedState::new(at(0));
    assert_eq!(observed.heard(beat(2, 5), at(1)), News::Host);
    assert_eq!(observed.heard(beat(2, 4), at(2)), News::None);
    assert_eq!(observed.heard(beat(1, 9), at(3)), News::None);
    assert_eq!(observed.heard(beat(2, 5), at(4)), News::Alive);
    assert_eq!(observed.inventory(inventory(&beat(2, 5), &[]), at(5)), News::Inventory);
    assert_eq!(observed.inventory(inventory(&beat(2, 5), &[]), at(6)), News::Alive);
    assert_eq!(observed.inventory(inventory(&beat(2, 4), &[]), at(7)), News::None);
    assert_eq!(observed.host(&summary("a").host).unwrap().heard, at(6));
}

#[test]
fn f54_a_host_whose_clock_was_set_back_is_heard_again_once_its_earlier_run_is_silent() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(9, 100), at(10));
    assert_eq!(observed.heard(beat(1, 1), at(20)), News::None, "the later boot was heard just now");
    assert_eq!(observed.heard(beat(1, 2), at(30)), News::Host);
    assert_eq!(observed.heard(beat(1, 3), at(35)), News::Alive);
}

#[test]
fn a_sign_of_life_counts_for_the_run_that_it_is_of() {
    let mut observed = ObservedState::new(at(0));
    let host = summary("a").host;
    let alive = |number, sequence| HostAlive { boot: boot(number), sequence, epoch: Epoch(7) };
    let lost_after = Duration::from_secs(11);
    assert_eq!(observed.alive(&host, &alive(1, 1), at(1)), None, "nothing is known of it");
    assert!(
        observed.is_stranger(&host, at(12), lost_after) && !observed.is_stranger(&host, at(13), lost_after)
    );
    observed.inventory(inventory(&beat(1, 5), &[]), at(1));
    assert!(!observed.is_stranger(&host, at(1), lost_after), "it was heard");
    assert_eq!(observed.alive(&host, &alive(1, 5), at(2)), Some(News::Alive));
    let known = observed.host(&host).unwrap();
    assert!(known.is_current() && known.heard == at(2) && known.summary.epoch == Epoch(7));
    assert_eq!(observed.alive(&host, &alive(1, 4), at(3)), Some(News::None), "it was late");
    assert_eq!(observed.alive(&host, &alive(2, 9), at(3)), None, "another run");
    assert!(observed.is_stranger(&host, at(3), lost_after));
    assert_eq!(observed.host(&host).unwrap().heard, at(2));
    assert_eq!(observed.alive(&host, &alive(1, 6), at(4)), Some(News::Alive));
    assert!(!observed.host(&host).unwrap().is_current(), "something has changed, and what is not known");
    assert_eq!(observed.alive(&host, &alive(1, 6), at(20)), Some(News::Host), "it was missed");
}

#[test]
fn a_new_boot_has_said_nothing_yet() {
    let mut observed = ObservedState::new(at(0));
    observed.inventory(inventory(&beat(1, 1), &[]), at(1));
    assert_eq!(observed.heard(beat(2, 1), at(2)), News::Host);
    assert_eq!(observed.host(&summary("a").host).unwrap().inventory, None);
}

#[test]
fn the_end_of_another_boot_is_not_the_end_of_this_one() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(2, 1), at(1));
    assert_eq!(observed.stopped(&summary("a").host, &boot(1)), News::None);
    assert_eq!(observed.stopped(&summary("a").host, &boot(2)), News::Host);
    assert_eq!(observed.hosts().count(), 0);
}

#[test]
fn silence_counts_only_while_somebody_listens() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(1, 1), at(1));
    let host = summary("a").host;
    let lost_after = Duration::from_secs(11);
    assert!(observed.is_alive(&host, at(12), lost_after));
    assert!(!observed.is_alive(&host, at(13), lost_after));
    observed.listening_again(at(60));
    assert!(observed.is_alive(&host, at(71), lost_after));
    assert!(!observed.is_alive(&host, at(72), lost_after));
}

#[test]
fn the_return_of_a_host_that_was_missed_is_news() {
    let mut observed = ObservedState::new(at(0));
    observed.heard(beat(1, 1), at(1));
    assert_eq!(observed.heard(beat(1, 1), at(8)), News::Alive);
    assert_eq!(observed.heard(beat(1, 1), at(16)), News::Host);
}

/// The inventory of a host that runs one component of an app twice: stable, and a candidate that is tried.
fn tried(summary: &HostSummary) -> HostInventory {
    let unit = |role, revision: u64| UnitInventory {
        role,
        serving: true,
        weight: Weight::try_from(50).unwrap(),
        revision: Revision(revision),
        content: Digest::of(b"the same in both"),
        image: "file://front.wasm".to_owned(),
        digest: None,
        phase: Phase::Running,
        reason: Reason::AsAsked,
        message: String::new(),
        since: at(0),
        next_try: None,
        process: None,
        claims: None,
        links: Vec::new(),
        max_instances: 1,
        calls: CallCounts::default(),
    };
    let component = ComponentInventory {
        component: "front".parse().unwrap(),
        id: "shop-front".parse().unwrap(),
        units: vec![unit(Role::Stable, 1), unit(Role::Candidate, 2)],
    };
    let app = |name: &str| AppInventory {
        app: name.parse().unwrap(),
        fence: Fence::default(),
        confirmed: true,
        components: vec![component.clone()],
    };
    HostInventory { apps: vec![app("blog"), app("shop")], ..inventory(summary, &[]) }
}

/// The same units after so many good calls of each.
fn counted(mut inventory: HostInventory, succeeded: u64) -> HostInventory {
    for unit in inventory.apps.iter_mut().flat_map(|app| &mut app.components).flat_map(|held| &mut held.units)
    {
        unit.calls = CallCounts { started: succeeded, succeeded, ..CallCounts::default() };
    }
    inventory
}

fn calls(inventory: HostInventory, app: &str) -> HostCalls {
    let HostInventory { summary, mut apps, .. } = inventory;
    apps.retain(|entry| entry.app.as_str() == app);
    HostCalls { host: summary.host, boot: summary.boot, sequence: summary.sequence, apps }
}

/// Good calls that are known of each unit of an app, those of candidates second.
fn known(observed: &ObservedState, app: &str) -> Vec<u64> {
    let host = observed.host(&summary("a").host).unwrap();
    let components = &host.app(&app.parse().unwrap()).unwrap().components;
    components.iter().flat_map(|held| &held.units).map(|unit| unit.calls.succeeded).collect()
}

fn observing(boot_number: u64, sequence: u64) -> ObservedState {
    let mut observed = ObservedState::new(at(0));
    observed.inventory(counted(tried(&beat(boot_number, sequence)), 10), at(1));
    observed
}

#[test]
fn counts_replace_those_of_the_same_units_and_nothing_else() {
    let mut observed = observing(2, 5);
    let before = observed.clone();
    let mut fresh = counted(tried(&beat(2, 5)), 30);
    // What else the message says is not believed: it belongs to inventories.
    fresh.apps[1].confirmed = false;
    fresh.apps[1].components[0].units[0].phase = Phase::Failed;
    let news = observed.calls(&calls(fresh, "shop"));
    assert_eq!(news, BTreeSet::from(["shop".parse().unwrap()]));
    assert_eq!((known(&observed, "shop"), known(&observed, "blog")), (vec![30, 30], vec![10, 10]));
    let host = observed.host(&summary("a").host).unwrap();
    let held = before.host(&summary("a").host).unwrap();
    assert_eq!((&host.summary, host.heard), (&held.summary, held.heard), "counts are no sign of life");
    assert_eq!(host.app(&"shop".parse().unwrap()).unwrap().components[0].units[0].phase, Phase::Running);
    assert_eq!(known(&before, "shop"), [10, 10], "a copy that somebody reads does not change");
}

#[test]
fn the_same_counts_again_are_no_news() {
    let mut observed = observing(2, 5);
    let again = calls(counted(tried(&beat(2, 5)), 10), "shop");
    assert_eq!(observed.calls(&again), BTreeSet::new());
}

#[test]
fn counts_only_grow_whatever_is_late() {
    let mut observed = observing(2, 5);
    assert_eq!(observed.calls(&calls(counted(tried(&beat(2, 5)), 30), "shop")).len(), 1);
    assert_eq!(observed.calls(&calls(counted(tried(&beat(2, 5)), 20), "shop")).len(), 0);
    assert_eq!(known(&observed, "shop"), [30, 30]);
    // One that is late for one unit may be news of another.
    let mut mixed = calls(counted(tried(&beat(2, 5)), 20), "shop");
    mixed.apps[0].components[0].units[1].calls =
        CallCounts { started: 50, succeeded: 50, ..CallCounts::default() };
    assert_eq!(observed.calls(&mixed).len(), 1);
    assert_eq!(known(&observed, "shop"), [30, 50]);
}

#[test]
fn counts_of_another_inventory_are_ignored() {
    let mut observed = observing(2, 5);
    for (boot_number, sequence) in [(1, 5), (3, 5), (2, 4), (2, 6)] {
        let other = calls(counted(tried(&beat(boot_number, sequence)), 99), "shop");
        assert_eq!(observed.calls(&other), BTreeSet::new(), "boot {boot_number}, sequence {sequence}");
    }
    assert_eq!(known(&observed, "shop"), [10, 10]);
    // Nor are there units to count for before the first inventory of a boot, or of a host that is not known.
    let of_this = calls(counted(tried(&beat(2, 5)), 99), "shop");
    let mut restarted = ObservedState::new(at(0));
    restarted.heard(beat(2, 5), at(1));
    assert_eq!(restarted.calls(&of_this), BTreeSet::new());
    assert_eq!(ObservedState::new(at(0)).calls(&of_this), BTreeSet::new());
    // Those of the inventory that is announced count once it is there.
    observed.heard(beat(2, 6), at(2));
    assert_eq!(observed.calls(&of_this).len(), 1, "the one at hand is still that of 5");
    observed.inventory(counted(tried(&beat(2, 6)), 100), at(3));
    assert_eq!(observed.calls(&of_this).len(), 0);
    assert_eq!(known(&observed, "shop"), [100, 100]);
}

#[test]
fn counts_of_unknown_units_are_ignored() {
    let change_all = |change: &dyn Fn(&mut HostCalls)| {
        let mut fresh = calls(counted(tried(&beat(2, 5)), 30), "shop");
        change(&mut fresh);
        let mut observed = observing(2, 5);
        (observed.calls(&fresh).len(), known(&observed, "shop"))
    };
    let nothing = (0, vec![10, 10]);
    let units = |fresh: &mut HostCalls, change: &dyn Fn(&mut UnitInventory)| {
        fresh.apps[0].components[0].units.iter_mut().for_each(change);
    };
    assert_eq!(change_all(&|fresh| fresh.apps[0].app = "other".parse().unwrap()), nothing);
    assert_eq!(change_all(&|fresh| fresh.apps[0].components[0].id = "shop-back".parse().unwrap()), nothing);
    assert_eq!(change_all(&|fresh| units(fresh, &|unit| unit.role = Role::Retired)), nothing);
    assert_eq!(change_all(&|fresh| units(fresh, &|unit| unit.revision = Revision(9))), nothing);
    assert_eq!(change_all(&|fresh| units(fresh, &|unit| unit.content = Digest::of(b"another"))), nothing);
    let one = |fresh: &mut HostCalls| fresh.apps[0].components[0].units.truncate(1);
    assert_eq!(change_all(&one), (1, vec![30, 10]), "what is known is taken");
}

#[test]
fn an_inventory_that_was_asked_for_again_brings_fresh_counts() {
    let mut observed = observing(2, 5);
    assert_eq!(observed.inventory(counted(tried(&beat(2, 5)), 40), at(2)), News::Inventory);
    assert_eq!(known(&observed, "shop"), [40, 40]);
    assert_eq!(observed.inventory(counted(tried(&beat(2, 5)), 40), at(3)), News::Alive);
    assert_eq!(observed.inventory(counted(tried(&beat(2, 5)), 20), at(4)), News::Alive);
    assert_eq!(known(&observed, "shop"), [40, 40]);
}

#[test]
fn a_drained_host_is_there_and_takes_no_work() {
    let mut observed = ObservedState::new(at(0));
    let (host, lost_after) = (summary("a").host, Duration::from_secs(11));
    observed.heard(beat(1, 1), at(1));
    assert!(observed.takes_work(&host, at(2), lost_after));
    let drained = HostSummary { state: HostState::Draining, ..beat(1, 2) };
    assert_eq!(observed.heard(drained, at(3)), News::Host);
    assert!(observed.is_alive(&host, at(4), lost_after) && !observed.takes_work(&host, at(4), lost_after));
    assert_eq!(observed.heard(beat(1, 3), at(5)), News::Host);
    assert!(observed.takes_work(&host, at(6), lost_after));
}
