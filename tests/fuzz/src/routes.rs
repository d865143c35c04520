//! Which component a request reaches: what the route table finds is what a second, slower reading of the rules finds.
//!
//! An input is text. A line `get HOST PATH DICE` is a request, a line `stable HOST PATH` or `candidate HOST PATH` a
//! route, `weight NUMBER` the candidate's part of the traffic; `-` stands for no host or no path.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{
    ApplyRequest, Builtin, Candidate, ComponentBundle, ComponentId, ComponentSpec, DrainPolicy, Epoch, Fence,
    Generation, Grants, HoldPolicy, HttpRoute, InstancePolicy, Limits, Revision, Step, Timestamp,
    UnverifiedLinks, Weight, Workload,
};
use lath_host_core::{Choice, Core, News, Transition};

use crate::lines::lines;

const NOW: Timestamp = Timestamp(1_000);
const STABLE: Revision = Revision(1);
const CANDIDATE: Revision = Revision(2);

/// An input as it was read.
#[derive(Default)]
struct Scene<'a> {
    stable: Vec<Route<'a>>,
    candidate: Vec<Route<'a>>,
    weight: u8,
    requests: Vec<Request<'a>>,
}

#[derive(Clone, Copy)]
struct Route<'a> {
    host: Option<&'a str>,
    path: Option<&'a str>,
}

struct Request<'a> {
    host: Option<&'a str>,
    path: &'a str,
    dice: u8,
}

pub(crate) fn check(bytes: &[u8]) {
    let Some(lines) = lines(bytes) else { return };
    let mut scene = Scene::default();
    for words in lines.take(100) {
        match words.as_slice() {
            ["stable", host, path] => scene.stable.push(Route { host: given(host), path: given(path) }),
            ["candidate", host, path] => scene.candidate.push(Route { host: given(host), path: given(path) }),
            ["weight", number] => scene.weight = number.parse::<u8>().unwrap_or(0).min(100),
            ["get", host, path, dice] => {
                let dice = dice.parse::<u8>().unwrap_or(0) % 100;
                scene.requests.push(Request {
                    host: given(host),
                    path: given(path).unwrap_or_default(),
                    dice,
                });
            }
            _ => return,
        }
    }
    compare(&scene);
}

fn given(word: &str) -> Option<&str> {
    Some(word).filter(|word| *word != "-")
}

fn compare(scene: &Scene<'_>) {
    let address = SocketAddr::from(([127, 0, 0, 1], 8_000));
    let mut core = Core::new(Some(address));
    let Ok((_, mut steps)) = core.apply(&command(scene), NOW) else { return };
    while let Some(step) = steps.pop() {
        if let Transition::Prepare { unit, ticket, .. } = step {
            steps.extend(core.observe(&unit, ticket, News::Ready, NOW));
        }
    }
    let table = core.routes();
    for Request { host, path, dice } in &scene.requests {
        for choice in [Choice::Dice(*dice), Choice::Revision(STABLE), Choice::Revision(CANDIDATE)] {
            let found =
                table.find(address, *host, path, choice).map(|via| via.route.target.as_str().to_owned());
            let wanted = expected(scene, *host, path, choice);
            assert_eq!(found, wanted, "{host:?} {path:?} by {choice:?}");
        }
    }
}

fn command(scene: &Scene<'_>) -> ApplyRequest {
    let id: ComponentId = "shop-web".parse().expect("an id");
    let candidate = (!scene.candidate.is_empty()).then(|| Candidate {
        spec: Arc::new(server(CANDIDATE, &scene.candidate)),
        weight: Weight::try_from(scene.weight).expect("at most 100"),
    });
    let bundle = ComponentBundle {
        component: "web".parse().expect("a name"),
        id,
        stable: Some(Arc::new(server(STABLE, &scene.stable))),
        candidate,
        drain: DrainPolicy::default(),
        hold: HoldPolicy::default(),
        unverified_links: UnverifiedLinks::default(),
    };
    let fence = Fence { epoch: Epoch(1), generation: Generation(1), step: Step(1) };
    ApplyRequest { fence, app: "shop".parse().expect("a name"), bundles: vec![bundle] }
}

fn server(revision: Revision, routes: &[Route<'_>]) -> ComponentSpec {
    let builtin = Builtin::HttpServer;
    let routes = routes.iter().enumerate().map(|(number, route)| HttpRoute {
        address: None,
        host: route.host.map(Into::into),
        path: route.path.map(Into::into),
        target: target(revision, number).parse().expect("an id"),
        timeout_ms: None,
    });
    ComponentSpec {
        revision,
        workload: Workload::Builtin { builtin, reference: builtin.to_string() },
        max_instances: 1,
        instance_policy: InstancePolicy::default(),
        limits: Limits::default(),
        config: BTreeMap::new(),
        links: Vec::new(),
        secrets: Vec::new(),
        incoming: Vec::new(),
        grants: Grants::default(),
        routes: routes.collect(),
        probe: None,
        annotations: BTreeMap::new(),
    }
}

/// Each route leads to a component of its own, so that the answer tells which one was taken.
fn target(revision: Revision, number: usize) -> String {
    format!("shop-r{revision}-{number}")
}

/// The rules once more, from the words of the documentation: the revision is chosen first, and the other one helps out
/// where it has no route; a route for the host goes before one for any, then the longest path; the first of equals.
fn expected(scene: &Scene<'_>, host: Option<&str>, path: &str, choice: Choice) -> Option<String> {
    let in_stable = || best(&scene.stable, host, path).map(|number| target(STABLE, number));
    let in_candidate = || best(&scene.candidate, host, path).map(|number| target(CANDIDATE, number));
    let shared = !scene.candidate.is_empty();
    match choice {
        // What has moved wholly has no route any more on an address that the other one has.
        Choice::Revision(STABLE) if shared && scene.weight == 100 => None,
        Choice::Revision(STABLE) => in_stable(),
        Choice::Revision(CANDIDATE) => in_candidate(),
        Choice::Revision(_) => None,
        Choice::Dice(_) if !shared || scene.weight == 0 => in_stable(),
        Choice::Dice(_) if scene.weight == 100 => in_candidate(),
        Choice::Dice(dice) => {
            let first = if dice < scene.weight { in_candidate() } else { in_stable() };
            first.or_else(|| most_particular(scene, host, path))
        }
    }
}

/// The best route of both revisions together; the stable one's is the first of equals.
fn most_particular(scene: &Scene<'_>, host: Option<&str>, path: &str) -> Option<String> {
    let both: Vec<Route<'_>> = scene.stable.iter().chain(&scene.candidate).copied().collect();
    let number = best(&both, host, path)?;
    Some(match number.checked_sub(scene.stable.len()) {
        None => target(STABLE, number),
        Some(number) => target(CANDIDATE, number),
    })
}

fn best(routes: &[Route<'_>], host: Option<&str>, path: &str) -> Option<usize> {
    let mut best: Option<(usize, (bool, usize))> = None;
    for (number, route) in routes.iter().enumerate() {
        let prefix = normal(route.path.unwrap_or_default());
        let fits_host = route.host.is_none() || route.host == host;
        // `/a` is for `/a`, `/a/` and `/a/b`, and not for `/ab`.
        let asked = format!("{}/", path.strip_prefix('/').unwrap_or(path));
        if !fits_host || !asked.starts_with(&prefix) {
            continue;
        }
        let rank = (route.host.is_some(), prefix.matches('/').count());
        if best.is_none_or(|(_, held)| rank > held) {
            best = Some((number, rank));
        }
    }
    best.map(|(number, _)| number)
}

/// `//a/b` and `a/b/` are `a/b/`, and nothing is nothing.
fn normal(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).fold(String::new(), |whole, part| whole + part + "/")
}
