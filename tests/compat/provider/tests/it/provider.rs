//! The life of an unmodified provider: links, config, load across rollouts, and its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::app::{App, Front};
use crate::lattice::{Lattice, eventually, runs};

fn process(lattice: &Lattice) -> String {
    let log = lattice.host_log();
    let mut started = log.lines().filter(|line| line.contains("a provider was started"));
    let pid =
        started.next_back().and_then(|line| line.split("pid=").nth(1)).unwrap_or_else(|| panic!("{log}"));
    pid.chars().filter(char::is_ascii_digit).take(10).collect()
}

#[test]
fn an_unmodified_provider_lives_with_its_host_and_its_app() {
    let mut lattice = Lattice::start(&[]);
    let app = App { config: "version: v1".to_owned(), link: "word: Hi".to_owned(), ..App::default() };
    app.deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada", "\"greeter\":\"v1\""]);
    let [unit] = lattice.units("greeter").try_into().unwrap_or_else(|units| panic!("{units:?}"));
    assert_eq!(
        (&unit["phase"], &unit["links"][0]["state"]),
        (&"running".into(), &"unverified".into()),
        "{unit:#}"
    );

    // A second link beside the first, and without it again.
    App { second: Some("other"), ..app.clone() }.deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada"]);
    let [unit] = lattice.units("greeter").try_into().unwrap_or_else(|units| panic!("{units:?}"));
    assert_eq!(unit["links"].as_array().unwrap().len(), 2, "{unit:#}");
    App { config: "version: v2".to_owned(), link: "word: Welcome".to_owned(), ..app.clone() }
        .deploy(&lattice);
    lattice.says("/?name=Ada", &["Welcome, Ada", "\"greeter\":\"v2\""]);

    let before = process(&lattice);
    assert!(runs(&before));
    lattice.kill_host();
    eventually(
        "the provider to end with its host",
        || if runs(&before) { Err(before.clone()) } else { Ok(()) },
    );
    lattice.start_host(&[]);
    lattice.says("/?name=Ada", &["Welcome, Ada"]);

    let last = process(&lattice);
    lattice.does(&["undeploy", "shop"]);
    eventually("the provider to end with its app", || if runs(&last) { Err(last.clone()) } else { Ok(()) });
}

#[test]
fn a_changed_config_under_load_fails_no_call_in_either_direction() {
    let lattice = Lattice::start(&[]);
    let report = lattice.folder.path().join("report");
    let app = App {
        config: "version: v1".to_owned(),
        link: "word: Hi".to_owned(),
        report: Some(report.clone()),
        ..App::default()
    };
    app.deploy(&lattice);
    lattice.says("/?name=Ada", &["Hi, Ada"]);
    // The link is put while the provider is made ready, and what it leads to may become ready a moment later.
    let early = std::fs::read_to_string(&report).unwrap_or_default().len();
    let calls = || std::fs::read_to_string(&report).unwrap_or_default().split_off(early);
    eventually("calls of the provider", || if calls().lines().count() > 20 { Ok(()) } else { Err(calls()) });
    let over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let load = |_: usize| {
            scope.spawn(|| {
                let mut answers = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    answers.push(lattice.get("/?name=Ada"));
                    thread::sleep(Duration::from_millis(10));
                }
                answers
            })
        };
        let load: Vec<_> = (0..3).map(load).collect();
        App { config: "version: v2".to_owned(), called: "greeter-v2", ..app.clone() }.deploy(&lattice);
        App { config: "version: v2".to_owned(), link: "word: Welcome".to_owned(), ..app.clone() }
            .deploy(&lattice);
        lattice.does(&["rollback", "shop"]);
        over.store(true, Ordering::Relaxed);
        load.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let failed: Vec<_> = answers.iter().filter(|answer| !matches!(answer, Ok((200, _)))).collect();
    println!("{} calls through the link, {} failed", answers.len(), failed.len());
    assert!(failed.is_empty() && answers.len() > 100, "{failed:?}");
    let after = calls().lines().count();
    eventually("calls of the provider afterwards", || {
        if calls().lines().count() > after + 20 { Ok(()) } else { Err(calls()) }
    });
    let (ok, bad): (Vec<String>, Vec<String>) =
        calls().lines().map(str::to_owned).partition(|line| line.starts_with("ok"));
    println!("{} calls of the provider, {} failed", ok.len() + bad.len(), bad.len());
    assert!(bad.is_empty() && ok.iter().any(|line| line == "ok v2"), "{bad:?}");
}

#[test]
fn keys_and_values_of_a_component_are_kept_by_the_provider() {
    let lattice = Lattice::start(&[]);
    App { front: Front::Keeper, ..App::default() }.deploy(&lattice);
    lattice.says("/set?key=a&value=one", &["{\"ok\":null}"]);
    for (path, wanted) in [
        ("/get?key=a", "{\"ok\":\"one\"}"),
        ("/get?key=b", "{\"ok\":null}"),
        ("/exists?key=a", "{\"ok\":true}"),
        ("/keys", "{\"ok\":[\"a\"]}"),
        ("/add?key=n&delta=5", "{\"ok\":5}"),
        ("/add?key=n&delta=37", "{\"ok\":42}"),
        ("/set-many?key=x,y&value=same", "{\"ok\":null}"),
        ("/get-many?key=x,none,y", "{\"ok\":[[\"x\",\"same\"],null,[\"y\",\"same\"]]}"),
        ("/delete?key=a", "{\"ok\":null}"),
        ("/get?key=a", "{\"ok\":null}"),
    ] {
        assert_eq!(lattice.get(path), Ok((200, format!("{wanted}\n"))), "{path}");
    }
    let (status, body) = lattice.get("/set?bucket=locked&key=a&value=b").unwrap();
    assert!(status == 400 && body.contains("access denied"), "{status} {body}");
}

#[test]
fn calls_for_keys_and_values_carry_the_trace_of_the_request_that_they_serve() {
    let lattice = Lattice::start(&[]);
    App { front: Front::Keeper, ..App::default() }.deploy(&lattice);
    lattice.says("/set?key=a&value=one", &["{\"ok\":null}"]);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (header, value) in [("traceparent", trace), ("tracestate", "a=b")] {
        let given = format!("traceparent: {trace}\r\ntracestate: a=b\r\n");
        let got = lattice.get_with(&format!("/get?bucket=headers&key={header}"), &given);
        assert_eq!(got, Ok((200, format!("{{\"ok\":\"{value}\"}}\n"))));
    }
}

#[test]
fn a_provider_that_fails_at_its_start_is_told_with_its_last_words() {
    let lattice = Lattice::start(&[]);
    let app = App { config: "version: v1".to_owned(), ..App::default() };
    app.deploy(&lattice);
    let file = lattice.folder.path().join("app.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let bad = yaml.replace("version: v1", "fail-at-start: no database today");
    std::fs::write(&file, bad).unwrap();
    let ended = lattice.lath(&["deploy", file.to_str().unwrap()]);
    let told =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(9), "{told}");
    assert!(told.contains("no database today"), "{told}");
    lattice.says("/?name=Ada", &["Hello, Ada", "\"greeter\":\"v1\""]);
}
