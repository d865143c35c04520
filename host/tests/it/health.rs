//! What a host says of components that do not answer well.

use lath_control_api::{Phase, Reason};

use crate::lattice::{Lattice, answered, eventually, get, http};
use crate::ports::free_address;
use crate::spec::{bundle, component, guest, http_server, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xw21_traps_in_a_row_are_unhealthy_and_an_answer_is_healthy_again() {
    let lattice = Lattice::start().await;
    lattice.push(&["misbehave-v1"]).await;
    let (host, address) = (lattice.host().await, free_address());
    let app = bundle("app", component(&guest("misbehave-v1"), 1), None);
    lattice
        .apply(&host, &request(1, 1, vec![app, bundle("web", http_server(address, "app", 1), None)]))
        .await;
    answered(address, "/ok").await;
    let client = http();
    for _ in 0..5 {
        assert_eq!(get(&client, address, "/trap").await.unwrap().0, 502);
    }
    eventually("the unit to be unhealthy", async || {
        let unit = lattice.units(&host, "app").await.into_iter().next()?;
        (unit.phase == Phase::Unhealthy && unit.reason == Reason::CallsFail && unit.serving).then_some(())
    })
    .await;
    // Nothing better is here, so it goes on to take calls, and one that it answers is enough.
    assert_eq!(get(&client, address, "/ok").await.unwrap().0, 200);
    lattice.running(&host, "app", 1).await;
}
