//! Changes under load: every request that is sent gets its answer, from the old or the new, and none from the old
//! once the change is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lath_control_api::ComponentSpec;
use tokio::task::JoinHandle;

use crate::lattice::{Host, Http, Lattice, answered, eventually, get, http};
use crate::ports::free_address;
use crate::spec::{Change as _, bundle, component, guest, http_server, request};

/// Calls all the time, from several clients with and without connections that are kept alive.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<(u16, String)>>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |kept: bool| -> JoinHandle<Vec<(u16, String)>> {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let (mut answers, mut client): (_, Http) = (Vec::new(), http());
                while !stop.load(Ordering::Relaxed) {
                    if !kept {
                        client = http();
                    }
                    let answer = get(&client, address, path).await;
                    answers.push(answer.unwrap_or_else(|error| (0, format!("{error:?}"))));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answers
            })
        };
        Self { tasks: vec![client(true), client(false), client(true)], stop }
    }

    /// Every answer; none may be a failure.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await.unwrap());
        }
        let failed: Vec<_> = all.iter().filter(|(status, _)| *status != 200).collect();
        assert!(failed.is_empty(), "{} of {} requests failed: {failed:?}", failed.len(), all.len());
        assert!(all.len() > 20, "only {} requests were made", all.len());
        all.into_iter().map(|(_, body)| body).collect()
    }
}

async fn roll(
    lattice: &Lattice,
    host: &Host,
    generation: u64,
    old: &[(&str, ComponentSpec)],
    new: &[(&str, ComponentSpec)],
) {
    let rest = |name: &str| new.iter().find(|(held, _)| *held == name).map(|(_, spec)| spec.clone()).unwrap();
    for (step, weight) in [(1, 0), (2, 100)] {
        // What both revisions have in the same way is there twice as well: calls enter one revision and stay in it.
        let bundles = old.iter().map(|(name, spec)| bundle(name, spec.clone(), Some((rest(name), weight))));
        lattice.apply(host, &request(generation, step, bundles.collect())).await;
        for (name, _) in old {
            lattice.running(host, name, 2).await;
        }
    }
    let bundles = new.iter().map(|(name, spec)| bundle(name, spec.clone(), None)).collect();
    lattice.apply(host, &request(generation, 3, bundles)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_a_rolling_update_and_a_rollback_lose_nothing() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let web = |revision| ("web", http_server(address, "hello", revision));
    let old = [("hello", component(&guest("http-hello-v1"), 1).config("greeting", "old")), web(1)];
    let new = [("hello", component(&guest("http-hello-v2"), 2).config("greeting", "new")), web(2)];
    let bundles = old.iter().map(|(name, spec)| bundle(name, spec.clone(), None)).collect();
    lattice.apply(&host, &request(1, 1, bundles)).await;
    answered(address, "/").await;

    let load = Load::start(address, "/");
    roll(&lattice, &host, 2, &old, &new).await;
    let http = http();
    for _ in 0..20 {
        let (status, body) = get(&http, address, "/").await.unwrap();
        assert!(status == 200 && body.contains("\"v2\"") && body.contains("new"), "{body}");
    }
    eventually("the old one to go", async || (lattice.units(&host, "hello").await.len() == 1).then_some(()))
        .await;
    roll(&lattice, &host, 3, &new, &old).await;
    assert!(get(&http, address, "/").await.unwrap().1.contains("\"v1\""));
    let answers = load.end().await;
    let pure = |body: &String| {
        (body.contains("\"v1\"") && body.contains("old")) || (body.contains("\"v2\"") && body.contains("new"))
    };
    assert!(answers.iter().all(pure), "an answer mixes code and config of two revisions");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linked_components_change_as_one() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-front-v1", "http-front-v2", "greeter-v1", "greeter-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let app = |version: &str, revision| {
        [
            ("front", component(&guest(&format!("http-front-{version}")), revision).greeter_link()),
            ("greeter", component(&guest(&format!("greeter-{version}")), revision)),
            ("web", http_server(address, "front", revision)),
        ]
    };
    let (old, new) = (app("v1", 1), app("v2", 2));
    let bundles = old.iter().map(|(name, spec)| bundle(name, spec.clone(), None)).collect();
    lattice.apply(&host, &request(1, 1, bundles)).await;
    answered(address, "/").await;
    let load = Load::start(address, "/?name=ann");
    roll(&lattice, &host, 2, &old, &new).await;
    eventually("the old ones to go", async || {
        let (front, greeter) = (lattice.units(&host, "front").await, lattice.units(&host, "greeter").await);
        (front.len() == 1 && greeter.len() == 1).then_some(())
    })
    .await;
    let answers = load.end().await;
    for body in &answers {
        let (old, new) = (body.matches("\"v1\"").count(), body.matches("\"v2\"").count());
        assert!((old, new) == (2, 0) || (old, new) == (0, 2), "mixed revisions: {body}");
    }
    assert!(answers.iter().any(|body| body.contains("\"v2\"")));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn specs_change_in_place_without_a_gap() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let web = |revision| bundle("web", http_server(address, "hello", revision), None);
    let hello =
        |version: u64| bundle("hello", component(&guest(&format!("http-hello-v{version}")), version), None);
    lattice.apply(&host, &request(1, 1, vec![hello(1), web(1)])).await;
    answered(address, "/").await;
    let load = Load::start(address, "/");
    for generation in 2..8 {
        let version = 1 + generation % 2;
        lattice.apply(&host, &request(generation, 1, vec![hello(version), web(version)])).await;
        eventually("the flip", async || {
            answered(address, "/").await.contains(&format!("\"v{version}\"")).then_some(())
        })
        .await;
    }
    load.end().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_taken_is_finished_by_who_took_it() {
    let lattice = Lattice::start().await;
    lattice.push(&["misbehave-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let web = |revision| bundle("web", http_server(address, "app", revision), None);
    lattice
        .apply(&host, &request(1, 1, vec![bundle("app", component(&guest("misbehave-v1"), 1), None), web(1)]))
        .await;
    answered(address, "/ok").await;
    let slow = tokio::spawn(async move { get(&http(), address, "/sleep?ms=4000").await });
    eventually("the slow call to begin", async || {
        lattice.units(&host, "app").await.iter().any(|unit| unit.calls.in_flight > 0).then_some(())
    })
    .await;
    lattice
        .apply(
            &host,
            &request(2, 1, vec![bundle("app", component(&guest("http-hello-v2"), 2), None), web(2)]),
        )
        .await;
    eventually("the flip", async || answered(address, "/").await.contains("\"v2\"").then_some(())).await;
    assert!(!slow.is_finished());
    assert_eq!(slow.await.unwrap().unwrap().0, 200);
    eventually("the old one to go", async || (lattice.units(&host, "app").await.len() == 1).then_some(()))
        .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stops_leaves_its_share_to_another_at_the_same_address() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1"]).await;
    let (first, second, address) = (lattice.host().await, lattice.host().await, free_address());
    let app = || {
        let hello = bundle("hello", component(&guest("http-hello-v1"), 1), None);
        request(1, 1, vec![hello, bundle("web", http_server(address, "hello", 1), None)])
    };
    for host in [&first, &second] {
        lattice.apply(host, &app()).await;
        lattice.running(host, "hello", 1).await;
        lattice.running(host, "web", 1).await;
    }
    answered(address, "/").await;
    let load = Load::start(address, "/");
    first.stop().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    load.end().await;
    second.stop().await;
}

/// Open file descriptors and threads of this process.
fn held() -> (usize, usize) {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h10_apps_that_come_change_and_go_leave_nothing_behind() {
    let lattice = Lattice::start().await;
    lattice.push(&["http-hello-v1", "http-hello-v2"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let mut generation = 0;
    let mut cycle = async || {
        for version in ["http-hello-v1", "http-hello-v2"] {
            generation += 1;
            let hello = bundle("hello", component(&guest(version), generation), None);
            let web = bundle("web", http_server(address, "hello", generation), None);
            lattice.apply(&host, &request(generation, 1, vec![hello, web])).await;
            lattice.running(&host, "hello", 1).await;
        }
        generation += 1;
        lattice.apply(&host, &request(generation, 1, Vec::new())).await;
        eventually("an empty host", async || {
            let empty = lattice.inventory(&host).await.apps.iter().all(|app| app.components.is_empty());
            empty.then_some(())
        })
        .await;
    };
    // The first ones warm caches and thread pools.
    for _ in 0..5 {
        cycle().await;
    }
    let before = held();
    for _ in 0..60 {
        cycle().await;
    }
    eventually("what was held before", async || {
        let after = held();
        (after.0 <= before.0 + 4 && after.1 <= before.1 + 4).then_some(())
    })
    .await;
    host.stop().await;
}
