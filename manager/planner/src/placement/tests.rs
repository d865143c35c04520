//! Where scalers put what, as 1.x means them.

use super::*;
use crate::example::{App, host, summary};

fn hosts(line: &str) -> BTreeMap<HostId, Candidate<'static>> {
    let read = |text: &str| {
        let (text, load) = text.split_once(':').unwrap_or((text, "0"));
        let summary = summary(text);
        (summary.host, Candidate { labels: Cow::Owned(summary.labels), load: load.parse().unwrap() })
    };
    line.split_whitespace().map(read).collect()
}

/// Where `app` goes: `a(front x2) b(back)`, and after `|` what found no place.
fn placed(app: &str, fleet: &str, current: &Assignment) -> (String, Assignment) {
    let placement = place(&App::new("shop", app).spec(1), &hosts(fleet), current);
    let name = |id: &HostId| {
        let names = fleet.split_whitespace().map(|word| word.split([',', ':']).next().unwrap());
        names.clone().find(|name| host(name) == *id).unwrap().to_owned()
    };
    let on = |(id, components): (&HostId, &BTreeMap<ComponentName, u32>)| {
        let components = components.iter().map(|(name, count)| match count {
            1 => name.to_string(),
            _ => format!("{name} x{count}"),
        });
        format!("{}({})", name(id), components.collect::<Vec<_>>().join(" "))
    };
    let places: Vec<String> = placement.assignment.0.iter().map(on).collect();
    let problems: Vec<String> =
        placement.problems.iter().map(|problem| format!("{}: {}", problem.reason, problem.message)).collect();
    let mut text = places.join(" ");
    if !problems.is_empty() {
        text += &format!(" | {}", problems.join("; "));
    }
    (text, placement.assignment)
}

fn fresh(app: &str, fleet: &str) -> String {
    placed(app, fleet, &Assignment::default()).0
}

#[test]
fn a_share_of_a_component_goes_to_one_host() {
    assert_eq!(fresh("front=1,x5", "a b"), "a(front x5)");
    assert_eq!(
        fresh("front=1,x5,on.zone=w:80,on.zone=e:20", "a,zone=w b,zone=e c,zone=w"),
        "a(front x4) b(front)"
    );
}

#[test]
fn shares_are_rounded_down_and_the_rest_goes_by_weight() {
    // 7 by 50:30:20 is 3.5, 2.1, 1.4: 3, 2, 1, and the one that is left goes to the heaviest.
    let zones = "a,z=1 b,z=2 c,z=3";
    assert_eq!(fresh("front=1,x7,on.z=3:20,on.z=2:30,on.z=1:50", zones), "a(front x4) b(front x2) c(front)");
    // Equal weights: the order of the manifest.
    assert_eq!(fresh("front=1,x2,on.z=2,on.z=1,on.z=3", zones), "a(front) b(front)");
    assert_eq!(fresh("front=1,x0,on.z=1", zones), "");
    assert_eq!(fresh("front=1,x1,on.z=1:0,on.z=2:1", zones), "b(front)");
}

#[test]
fn two_shares_on_one_host_are_one_number() {
    assert_eq!(fresh("front=1,x10,any:60,any:40", "a"), "a(front x10)");
}

#[test]
fn a_capability_takes_as_many_hosts_as_its_share() {
    assert_eq!(fresh("http=>front,x2 front=1", "a b c"), "a(front http) b(http)");
    assert_eq!(
        fresh("http=>front,x3 front=1,idle", "a b"),
        "a(http) b(http) | too-few-hosts: `http` needs 3 hosts (spread `default`): 2 of 2 hosts in the lattice will do"
    );
    // Two spreads never take the same host twice.
    assert_eq!(fresh("http=>front,x2,any,any front=1,idle", "a b"), "a(http) b(http)");
}

#[test]
fn a_daemon_is_on_every_host_that_will_do() {
    assert_eq!(fresh("front=1,x3,daemon", "a b"), "a(front x3) b(front x3)");
    assert_eq!(fresh("front=1,daemon,on.zone=w", "a,zone=w b c,zone=w"), "a(front) c(front)");
    assert_eq!(fresh("front=1,x0,daemon", "a b"), "");
    assert_eq!(
        fresh("front=1,daemon,on.zone=w", "a"),
        " | no-host: `front` needs 1 host with zone=w (spread `s1`): 0 of 1 hosts in the lattice will do"
    );
}

#[test]
fn a_capability_that_is_a_daemon_runs_once_on_a_host() {
    assert_eq!(fresh("http=>front,x5,daemon front=1,idle", "a b"), "a(http) b(http)");
    assert_eq!(fresh("http=>front,daemon,on.zone=w,any front=1,idle", "a,zone=w b"), "a(http) b(http)");
}

#[test]
fn no_scaler_no_place() {
    assert_eq!(fresh("front=1,idle", "a b"), "");
}

#[test]
fn what_runs_stays_where_it_is() {
    let (text, now) = placed("front=1", "b:9", &Assignment::default());
    assert_eq!(text, "b(front)");
    assert_eq!(placed("front=1", "a b:9 c", &now).0, "b(front)");
    assert_eq!(placed("front=1", "a c", &now).0, "a(front)");
}

#[test]
fn components_of_an_app_go_together() {
    assert_eq!(fresh("front=1 middle=1 back=1", "a:1 b:1 c"), "c(back front middle)");
    // What has a place draws the rest to it, also when there is a free host.
    let (_, now) = placed("front=1", "b", &Assignment::default());
    assert_eq!(placed("back=1 front=1", "a b:9 c", &now).0, "b(back front)");
    // Where a daemon is as well there is no reason to go elsewhere.
    assert_eq!(fresh("back=1 front=1,daemon,on.zone=w", "a b,zone=w"), "b(back front)");
}

#[test]
fn the_least_loaded_host_is_taken_and_then_the_first() {
    assert_eq!(fresh("front=1", "a:2 b:1 c:1"), "b(front)");
    assert_eq!(fresh("front=1", "c b a"), "a(front)");
}

#[test]
fn m8_nothing_feasible_is_a_reason_not_a_loop() {
    assert_eq!(
        fresh("front=1,on.zone=moon", "a"),
        " | no-host: `front` needs 1 host with zone=moon (spread `s1`): 0 of 1 hosts in the lattice will do"
    );
    assert_eq!(
        fresh("front=1", ""),
        " | no-host: `front` needs 1 host (spread `default`): 0 of 0 hosts in the lattice will do"
    );
}
