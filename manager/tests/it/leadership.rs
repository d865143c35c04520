//! Who acts: one of several managers, the next one when it dies, and nobody who was overtaken.

use std::time::{Duration, Instant};

use lath_control_api::app::{AppState, ChangeReply};
use lath_control_api::{AppVerb, Epoch};

use crate::lattice::{Lattice, Manager, deploy_request, eventually, manifest};

/// The acting manager's run and epoch, by what each manager's own HTTP interface says.
async fn acting(managers: &[&Manager]) -> Vec<u64> {
    let mut epochs = Vec::new();
    for manager in managers {
        let address = manager.ready().await["http"].as_str().unwrap().to_owned();
        let info = &http_get(&address, "/readyz").await.1["manager"];
        if info["acting"] == true {
            epochs.push(info["epoch"].as_u64().unwrap());
        }
    }
    epochs
}

async fn one_acts(managers: &[&Manager]) -> u64 {
    eventually("exactly one manager to act", async || match acting(managers).await.as_slice() {
        [epoch] => Ok(*epoch),
        other => Err(format!("{other:?}")),
    })
    .await
}

pub(crate) async fn http_get(address: &str, path: &str) -> (u16, serde_json::Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn f04_of_two_managers_one_acts_and_the_other_takes_over_when_it_is_killed() {
    let lattice = Lattice::with_hosts(1).await;
    let (mut one, mut two) = (lattice.manager("m1").await, lattice.manager("m2").await);
    let first = one_acts(&[&one, &two]).await;
    lattice.serve(&manifest("shop", &[])).await;
    let (dead, left) = if acting(&[&one]).await.is_empty() { (&mut two, &one) } else { (&mut one, &two) };
    dead.kill();
    let killed = Instant::now();
    let second = one_acts(&[left]).await;
    assert!(second > first);
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    lattice.serve(&manifest("shop", &[("word", "hi")])).await;
    assert_eq!(lattice.hosts[0].refused(), 0);
}

#[tokio::test]
async fn a_killed_manager_that_starts_again_takes_its_own_lease_at_once() {
    let lattice = Lattice::with_hosts(1).await;
    let mut manager = lattice.manager("m1").await;
    let first = one_acts(&[&manager]).await;
    manager.kill();
    let killed = Instant::now();
    let manager = lattice.manager("m1").await;
    let second = one_acts(&[&manager]).await;
    assert_eq!(second, first + 1);
    assert!(killed.elapsed() < Duration::from_secs(4), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_manager_that_stops_in_order_gives_the_lease_back() {
    let lattice = Lattice::with_hosts(1).await;
    let mut one = lattice.manager("m1").await;
    let first = one_acts(&[&one]).await;
    one.signal("TERM");
    assert!(one.ended().await);
    let two = lattice.manager("m2").await;
    let begun = Instant::now();
    assert_eq!(one_acts(&[&two]).await, first + 1);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn f03_a_frozen_manager_that_wakes_after_another_took_over_does_no_harm() {
    let lattice = Lattice::with_hosts(2).await;
    let frozen = lattice.manager("m1").await;
    one_acts(&[&frozen]).await;
    lattice.serve(&manifest("shop", &[])).await;
    let other = lattice.manager("m2").await;
    frozen.signal("STOP");
    one_acts(&[&other]).await;
    // A frozen process still has its queue subscription, so a request may reach it: ask until the other answers.
    let second = deploy_request(&manifest("shop", &[("word", "hi")]), lattice.push().await);
    let subject = lattice.client.subjects().app(AppVerb::Deploy);
    let reply: ChangeReply = eventually("a deploy to be answered", async || {
        let answer = lattice.client.request(&subject, &second, Duration::from_secs(1)).await;
        answer.map_err(|error| error.to_string())
    })
    .await;
    eventually("the hosts to have the second revision", async || {
        let done = lattice.hosts.iter().all(|host| host.stable("shop").get("hello") == Some(&2));
        if done { Ok(()) } else { Err(format!("{:?}", lattice.hosts[0].stable("shop"))) }
    })
    .await;
    frozen.signal("CONT");
    lattice.settled(&reply, AppState::Serving).await;
    one_acts(&[&frozen, &other]).await;
    assert!(lattice.hosts.iter().all(|host| host.stable("shop")["hello"] == 2));
    assert!(acting(&[&frozen]).await.is_empty(), "the one that was overtaken has stepped down");
}

#[tokio::test]
async fn m3_a_manager_whose_epoch_is_too_low_begins_a_later_term() {
    let lattice = Lattice::with_hosts(1).await;
    let manager = lattice.manager("m1").await;
    one_acts(&[&manager]).await;
    // As when the store with the lease was lost: hosts remember a later epoch.
    lattice.hosts[0].has_obeyed(Epoch(40));
    let status = lattice.serve(&manifest("shop", &[])).await;
    assert_eq!(status.state, AppState::Serving);
    assert!(one_acts(&[&manager]).await > 40);
}
