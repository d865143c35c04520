//! The command itself, where nothing answers and where nobody wants to wait.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lath_tests::lattice::items;
use lath_tests::{App, Ended, Lath, Lattice, Load, binary, eventually, ports};

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

#[tokio::test(flavor = "multi_thread")]
async fn two_lattices_of_up_stand_side_by_side_and_down_leaves_no_process() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (Up::start(home.path(), "one").await, Up::start(home.path(), "two").await);
    let apps = [&one, &two].map(|up| App::hello("shop", up.http).config("hello", "greeting", &up.name));
    for (up, app) in [&one, &two].into_iter().zip(apps) {
        let manifest = app.write(&up.data);
        let lath = Lath::new(&up.nats, home.path());
        let _ = lath.run(["deploy".as_ref(), manifest.as_os_str()]).await.exits(0);
        lath.run(["doctor"]).await.exits(0).says(&["NATS"]);
        let answer = Load::new(up.http, "/").once().await.unwrap();
        assert_eq!(words::hello(&answer), format!("v1 {}", up.name));
    }
    for up in [&one, &two] {
        assert_eq!(up.pids.len(), 4, "nats-server, a manager and two hosts");
        up.run(&["up", "--detach"]).await.exits(0).says(&["nchanged"]);
        let _ = up.run(&["down"]).await.exits(0);
        assert_eq!(up.left(), [0; 0]);
        up.run(&["down"]).await.exits(0).says(&["nchanged"]);
    }
}

/// A lattice of `lath up`, which is stopped when it is dropped.
struct Up {
    name: String,
    data: PathBuf,
    home: PathBuf,
    nats: String,
    http: SocketAddr,
    pids: Vec<u64>,
}

impl Up {
    async fn start(home: &Path, name: &str) -> Self {
        let data = home.join(name);
        std::fs::create_dir(&data).unwrap();
        let (http, home, pids) = (ports::free_address(), home.to_owned(), Vec::new());
        let mut up = Self { name: name.to_owned(), data, home, nats: String::new(), http, pids };
        let nats_port = ports::free_address().port().to_string();
        let addresses = [http.to_string(), ports::free_address().to_string()];
        let [http, manager] = &addresses;
        let flags = ["--hosts", "2", "--nats-port", &nats_port, "--http", http, "--manager-http", manager];
        let started = up.run(&[&["up", "--detach", "-o", "json"], &flags[..]].concat()).await;
        let started = started.exits(0).json();
        let parts = [&started["nats"], &started["manager"]].into_iter().chain(items(&started, "hosts"));
        up.pids = parts.map(|part| part["process"]["pid"].as_u64().unwrap()).collect();
        up.nats = started["nats"]["url"].as_str().unwrap().to_owned();
        up
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let lath = Lath::nowhere(&self.home);
        let data = ["--data".as_ref(), self.data.as_os_str()];
        lath.run(arguments.iter().map(AsRef::as_ref).chain(data)).await
    }

    /// Which of its processes still run.
    fn left(&self) -> Vec<u64> {
        // One that has ended may stay listed as a zombie until its parent, by now the system's first process, looks.
        let runs = |pid: &u64| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z')))
        };
        self.pids.iter().copied().filter(runs).collect()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if !self.left().is_empty() {
            let down = Command::new(binary::lath()).args(["down", "--data"]).arg(&self.data).output();
            eprintln!("lath down: {down:?}");
        }
    }
}
