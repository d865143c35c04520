//! Rollouts by other strategies than the usual one, what people tell a rollout on its way, and what the history says of
//! it. Canaries are in `canary.rs`, blue-green in `blue_green.rs`.

use lath_tests::{App, Ended, Lattice, Load};

use crate::words;

const OLD: &str = "v1 > v1 Hello, Ada";
const NEW: &str = "v2 > v2 Welcome, Ada";

fn old(lattice: &Lattice) -> App {
    App::greeting("shop", lattice.address)
}

fn new(lattice: &Lattice) -> App {
    let images = old(lattice).image("front", "http-front-v2").image("greeter", "greeter-v2");
    images.config("greeter", "word", "Welcome")
}

async fn serving() -> Lattice {
    let lattice = Lattice::of_two_hosts().await;
    let _ = lattice.deploy(&old(&lattice)).await.exits(0);
    lattice
}

async fn steer(lattice: &Lattice, action: &str) -> Ended {
    lattice.lath().run(["rollout", action, "shop"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_traffic_yet_is_reached_by_the_header() {
    let lattice = serving().await;
    let green = new(&lattice).rollout("strategy", "blue-green");
    let _ = lattice.deploy(&green).await.exits(0);
    let ask = |revision| Load::new(lattice.address, "/?name=Ada").revision(revision);
    let found = async |load: Load| load.once().await.map(|answer| words::greeting(&answer));
    assert_eq!(found(ask(2)).await, Ok(NEW.into()));
    assert_eq!(found(ask(1)).await, Ok(OLD.into()));
    assert_eq!(found(Load::new(lattice.address, "/?name=Ada")).await, Ok(OLD.into()));
    assert!(found(ask(3)).await.unwrap_err().contains("404"));
    let _ = steer(&lattice, "abort").await.exits(0);
    assert!(found(ask(2)).await.unwrap_err().contains("404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recreate_stops_the_old_one_before_the_new_one_answers() {
    let lattice = serving().await;
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 50).await;
    let done = lattice.deploy(&new(&lattice).rollout("strategy", "recreate")).await.exits(0);
    words::more(&ledger, 50).await;
    let accounts = ledger.finish().await;
    println!("{}", accounts.summary(words::greeting));
    let of = |name: &str| {
        accounts.answered().filter(|(_, answer)| words::greeting(answer) == name).collect::<Vec<_>>()
    };
    let last_old = of(OLD).into_iter().map(|(record, _)| record.sent).max().unwrap();
    let first_new = of(NEW).into_iter().map(|(record, _)| record.ended).min().unwrap();
    assert!(last_old < first_new, "both answered at the same time");
    assert_eq!(accounts.sent_after(done.at).failed().count(), 0);
    // A revision that cannot be prepared stops nothing.
    let bad = new(&lattice).image("front", "misbehave-trap-at-start-v1").rollout("strategy", "recreate");
    let ledger = Load::new(lattice.address, "/?name=Ada").rate(100).start();
    words::more(&ledger, 20).await;
    let _ = lattice.deploy(&bad).await.exits(9);
    words::more(&ledger, 20).await;
    ledger.finish().await.none_failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_mixed_outcomes_tells_what_happened() {
    let lattice = Lattice::of_two_hosts().await;
    let app = |greeting: &str| {
        App::hello("shop", lattice.address)
            .config("hello", "greeting", greeting)
            .rollout("min_healthy_time", "0s")
    };
    let lath = lattice.lath();
    let _ = lattice.deploy(&app("a")).await.exits(0);
    let _ = lattice.deploy(&app("b")).await.exits(0);
    let _ = lattice.deploy(&app("c").image("hello", "needs-missing-v1")).await.exits(9);
    let _ = lath.run(["rollback", "shop"]).await.exits(0);
    let _ = lattice.deploy(&app("a")).await.exits(0);
    let canary = app("d").rollout("strategy", "canary").rollout("steps", "50%/promote");
    let _ = lattice.deploy(&canary).await.exits(0);
    let _ = steer(&lattice, "abort").await.exits(0);
    let _ = lattice.deploy(&canary).await.exits(0);
    let _ = lattice.deploy(&app("e")).await.exits(0);
    let _ = lath.run(["scale", "shop/hello", "7"]).await.exits(0);
    let _ = lath.run(["rollback", "shop", "--to", "2"]).await.exits(0);
    let _ = lath.run(["undeploy", "shop"]).await.exits(0);
    let history = lath.run(["history", "shop", "-o", "json"]).await.exits(0).json();
    let entries = history["entries"].as_array().unwrap();
    let told: Vec<String> = entries
        .iter()
        .rev()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("kind"), entry["revision"], text("outcome"))
        })
        .collect();
    let expected = [
        "deploy 1 Completed",
        "deploy 2 Completed",
        "deploy 3 RolledBack",
        "rollback 4 Completed",
        // What was deployed before it has the content of revision 4, which serves: nothing had to change.
        "deploy 5 RolledBack",
        "deploy 6 Superseded",
        "deploy 7 Completed",
        "scale 8 Completed",
        "rollback 9 Completed",
        "undeploy null Stopped",
    ];
    assert_eq!(told, expected, "{history:#}");
    lath.run(["history", "shop"]).await.exits(0).says(&[
        "aborted",
        "import-unsatisfied",
        "Superseded",
        "Stopped",
    ]);
    // What is planned and not different says so.
    let file = app("a").write(lattice.folder());
    let _ = lattice.deploy(&app("a")).await.exits(0);
    let plan = |extra: &[&str]| {
        let mut words = vec!["plan".to_owned(), file.display().to_string()];
        words.extend(extra.iter().map(|word| (*word).to_owned()));
        words
    };
    lath.run(plan(&["--detailed-exitcode"])).await.exits(0).says(&["Unchanged", "change nothing"]);
    let asked = lath.run(plan(&["-o", "json"])).await.exits(0).json();
    assert_eq!(asked["unchanged"], true, "{asked:#}");
    std::fs::write(&file, app("z").yaml()).unwrap();
    lath.run(plan(&[])).await.exits(0).says(&["greeting", "z"]);
    let _ = lath.run(plan(&["--detailed-exitcode"])).await.exits(20);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_a_rollout_line_by_line() {
    let lattice = serving().await;
    let file = new(&lattice).write(lattice.folder());
    let lath = lattice.lath();
    let deploy = ["deploy".as_ref(), file.as_os_str(), "-ondjson".as_ref(), "--progress=json".as_ref()];
    let ended = lath.run(deploy).await.exits(0);
    let lines = |text: &str| -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let (told, progress) = (lines(&ended.stdout), lines(&ended.stderr));
    let (last, before) = told.split_last().unwrap();
    assert_eq!((&last["kind"], &last["outcome"]), (&"RolloutResult".into(), &"Completed".into()));
    assert!(before.len() > 1 && before.iter().all(|line| line["kind"] == "AppStatus"), "{before:#?}");
    assert!(progress.len() > 1 && progress.iter().all(|line| line["kind"] == "Progress"), "{progress:#?}");
    let watched = lath.run(["rollout", "watch", "shop", "-ondjson"]).await.exits(0);
    assert_eq!(lines(&watched.stdout).last().unwrap()["kind"], "RolloutResult");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_users_who_expect_the_same_revision_one_is_refused() {
    let lattice = serving().await;
    let lath = lattice.lath();
    let deploy = |word: &str| {
        let file = old(&lattice).config("greeter", "word", word).write(lattice.folder());
        let own = file.with_file_name(format!("{word}.yaml"));
        std::fs::copy(&file, &own).unwrap();
        lath.start(["deploy".as_ref(), own.as_os_str(), "--if-revision".as_ref(), "1".as_ref()])
    };
    let (one, other) = (deploy("Hey"), deploy("Hi"));
    let (one, other) = tokio::join!(one.ended(), other.ended());
    let mut codes = [one.code(), other.code()];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(5)], "{}\n{}", one.told(), other.told());
    let history = lath.run(["history", "shop", "-o", "json"]).await.exits(0).json();
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(2), "{history:#}");
}
