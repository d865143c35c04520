//! Other prefixes than `wasmbus.ctl` and `wadm.api`, named as 1.x names them: who does not know them is not heard.

use std::time::Duration;

use lath_tests::{Setup, ToolV1, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn tools_find_a_lattice_under_its_prefixes_alone() {
    let mut lattice = Setup::default().host(&[]).start().await;
    let other = || Some(("WASMCLOUD_CTL_TOPIC_PREFIX", "acme.ctl".to_owned()));
    lattice.host_mut(1).stop().await;
    lattice.host_mut(1).set(other());
    lattice.host_mut(1).restart().await;
    lattice.manager_mut().stop().await;
    lattice.manager_mut().set(other());
    lattice.manager_mut().restart().await;

    let tool = ToolV1::of(&lattice).await;
    assert_eq!(tool.hosts().await, Vec::<String>::new());
    assert_eq!(tool.ask_any("config.get.words", Vec::new()).await, None);
    let lath = lattice.lath().with("WASMCLOUD_CTL_TOPIC_PREFIX", "acme.ctl");
    let hosts = eventually(Duration::from_secs(30), "the host under the prefix", async || {
        let hosts = lath.run(["get", "hosts", "-o", "json"]).await.exits(0).json();
        hosts["hosts"][0]["id"].as_str().map(str::to_owned).ok_or_else(|| hosts.to_string())
    })
    .await;
    let _ = lath.run(["config", "put", "words", "greeting=hi"]).await.exits(0);
    lath.run(["config", "get", "words"]).await.exits(0).says(&["hi"]);
    let _ = lath.run(["label", &hosts, "zone=east"]).await.exits(0);
    // The prefix is of the control interface alone.
    let _ = lath.run(["app", "list"]).await.exits(0);
    lattice
        .lath()
        .with("WASMCLOUD_CTL_TOPIC_PREFIX", "a.*")
        .run(["get", "links"])
        .await
        .exits(2)
        .says(&["`a.*` cannot begin a subject", "WASMCLOUD_CTL_TOPIC_PREFIX"]);

    lattice.manager_mut().stop().await;
    lattice.manager_mut().set(Some(("WADM_API_PREFIX", "acme.wadm".to_owned())));
    lattice.manager_mut().restart().await;
    let _ = lattice.lath().run(["app", "list"]).await.exits(6);
    let _ = lattice.lath().with("WADM_API_PREFIX", "acme.wadm").run(["app", "list"]).await.exits(0);
}
