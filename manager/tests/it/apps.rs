//! What users ask for: deploying, upgrading, going back, stopping, and everything that is refused.

use lath_control_api::app::{AppState, Outcome};
use lath_control_api::{AppVerb, ErrorCode, Revision};
use lath_control_api_client::RequestError;
use serde_json::Value;

use crate::lattice::{Lattice, app_request, deploy_request, eventually, manifest};

fn code(error: RequestError) -> ErrorCode {
    match error {
        RequestError::Refused(error) => error.code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_app_is_deployed_upgraded_taken_back_and_deleted() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let first = lattice.serve(&manifest("shop", &[])).await;
    assert_eq!(first.revision, Some(Revision(1)));
    assert!(first.components.iter().all(|component| (component.desired, component.ready) == (2, 2)));

    let second = lattice.serve(&manifest("shop", &[("word", "hi")])).await;
    assert_eq!(second.revision, Some(Revision(2)));
    for host in &lattice.hosts {
        assert_eq!(host.stable("shop")["hello"], 2);
        // All hosts prepared before any traffic moved, so every host saw the candidate at weight 0 first.
        let weights: Vec<u8> = host
            .commands()
            .iter()
            .flat_map(|command| &command.bundles)
            .filter_map(|bundle| bundle.candidate.as_ref())
            .map(|candidate| candidate.weight.percent())
            .collect();
        assert_eq!(weights.first(), Some(&0));
    }

    let unchanged = lattice.deploy(&manifest("shop", &[("word", "hi")])).await.unwrap();
    assert!(unchanged.unchanged);
    assert_eq!(unchanged.revision, Some(Revision(2)));

    let back = lattice.rollback("shop").await.unwrap();
    let status = lattice.settled(&back, AppState::Serving).await;
    assert_eq!(status.revision, Some(Revision(3)));
    let history = lattice.client.history(&app_request("shop")).await.unwrap();
    assert_eq!(history.entries.len(), 3);
    assert!(history.entries.iter().all(|entry| entry.outcome == Some(Outcome::Completed)));

    let stopped = lattice.client.undeploy(&app_request("shop")).await.unwrap();
    lattice.settled(&stopped, AppState::Stopped).await;
    assert!(lattice.hosts.iter().all(|host| host.stable("shop").is_empty()));

    lattice.client.delete(&app_request("shop")).await.unwrap();
    eventually("the app to be forgotten", async || match lattice.status("shop").await {
        Err(RequestError::Refused(error)) if error.code == ErrorCode::NotFound => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // The name is free: numbers begin anew, and nothing of the old app is taken for the new one.
    let again = lattice.serve(&manifest("shop", &[("word", "again")])).await;
    assert_eq!(again.revision, Some(Revision(1)));
}

#[tokio::test]
async fn a_revision_that_cannot_be_prepared_is_taken_back_and_nothing_that_serves_is_touched() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    let reply = lattice.deploy(&manifest("shop", &[("broken", "yes")])).await.unwrap();
    let status = eventually("the change to be taken back", async || {
        let status = lattice.status("shop").await.map_err(|error| error.to_string())?;
        match &status.last {
            Some(last) if last.generation >= reply.generation && status.rollout.is_none() => Ok(status),
            _ => Err(format!("{status:#?}")),
        }
    })
    .await;
    let last = status.last.unwrap();
    assert_eq!(last.outcome, Some(Outcome::RolledBack));
    assert_eq!(last.problem.unwrap().reason, "start-failed");
    assert_eq!(status.state, AppState::Serving);
    assert!(lattice.hosts.iter().all(|host| host.stable("shop")["hello"] == 1));
}

#[tokio::test]
async fn i1_what_is_refused_changes_nothing_and_says_why() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;

    let Err(RequestError::Refused(error)) = lattice.deploy("kind: Applicaton\n").await else {
        panic!("refused")
    };
    assert_eq!(error.code, ErrorCode::InvalidManifest);
    let Some(Value::Array(diagnostics)) = error.details else { panic!("diagnostics") };
    assert!(!diagnostics.is_empty());

    let not_pushed = deploy_request(&manifest("other", &[]), std::collections::BTreeMap::new());
    assert_eq!(code(lattice.client.deploy(&not_pushed).await.unwrap_err()), ErrorCode::ImageUnavailable);
    let mut absent = lattice.push().await;
    absent.insert("file://hello.wasm".into(), lath_control_api::Digest::of(b"never put there"));
    let absent = deploy_request(&manifest("other", &[]), absent);
    assert_eq!(code(lattice.client.deploy(&absent).await.unwrap_err()), ErrorCode::ImageUnavailable);
    // A port that no registry listens on.
    let registry = manifest("other", &[]).replace("file://hello.wasm", "localhost:1/someone/hello:1");
    assert_eq!(code(lattice.deploy(&registry).await.unwrap_err()), ErrorCode::RegistryUnreachable);
    let provider = manifest("other", &[]).replace("builtin://http-server", "localhost:1/someone/server:1");
    assert_eq!(code(lattice.deploy(&provider).await.unwrap_err()), ErrorCode::RegistryUnreachable);

    let taken = manifest("other", &[]).replace("path: /other", "path: /shop");
    let Err(RequestError::Refused(error)) = lattice.deploy(&taken).await else { panic!("refused") };
    assert_eq!(error.code, ErrorCode::RouteTaken);
    assert!(error.message.contains("`shop`"), "{}", error.message);

    let mut expecting = deploy_request(&manifest("shop", &[("word", "x")]), lattice.push().await);
    expecting.if_revision = Some(Revision(7));
    assert_eq!(code(lattice.client.deploy(&expecting).await.unwrap_err()), ErrorCode::Conflict);
    assert_eq!(code(lattice.rollback("shop").await.unwrap_err()), ErrorCode::NoPrevious);
    for refused in [
        lattice.client.undeploy(&app_request("nope")).await.unwrap_err(),
        lattice.client.delete(&app_request("nope")).await.unwrap_err(),
        lattice.rollback("nope").await.unwrap_err(),
        lattice.status("nope").await.unwrap_err(),
    ] {
        assert_eq!(code(refused), ErrorCode::NotFound);
    }
    let mut dry = deploy_request(&manifest("shop", &[("word", "x")]), lattice.push().await);
    dry.dry_run = true;
    assert_eq!(lattice.client.deploy(&dry).await.unwrap().revision, Some(Revision(2)));

    assert_eq!(lattice.client.apps().await.unwrap().apps.len(), 1);
    assert_eq!(lattice.status("shop").await.unwrap().revision, Some(Revision(1)));
}

#[tokio::test]
async fn xc01_requests_that_cannot_be_read_are_answered() {
    let lattice = Lattice::with_hosts(0).await;
    let _manager = lattice.manager("m1").await;
    let nats = lattice.client.connection().nats();
    let deep = "[".repeat(100_000);
    for body in ["", "{", "[]", "{\"app\":\"a*\"}", "\u{0}", deep.as_str()] {
        let reply =
            nats.request(lattice.client.subjects().app(AppVerb::Status), body.to_owned().into()).await;
        let reply: Value = serde_json::from_slice(&reply.unwrap().payload).unwrap();
        assert_eq!(reply["error"]["code"], "E0101", "{body:.20}");
    }
    let unknown = lattice.client.subjects().app_requests().replace('*', "explode");
    let reply = nats.request(unknown, "{}".into()).await.unwrap();
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(reply["error"]["code"], "E0106");
    // XC03: an answer goes to inboxes only.
    let mut trap = nats.subscribe("trap.>").await.unwrap();
    let subject = lattice.client.subjects().app(AppVerb::List);
    nats.publish_with_reply(subject, "trap.here", "{}".into()).await.unwrap();
    assert!(lattice.client.apps().await.is_ok());
    assert!(futures::FutureExt::now_or_never(futures::StreamExt::next(&mut trap)).is_none());
}

#[tokio::test]
async fn f07_of_two_deploys_at_once_both_are_answered_and_one_remains() {
    let lattice = Lattice::with_hosts(1).await;
    let _managers = (lattice.manager("m1").await, lattice.manager("m2").await);
    lattice.push().await;
    let (one, two) = (manifest("shop", &[("word", "one")]), manifest("shop", &[("word", "two")]));
    let (one, two) = tokio::join!(lattice.deploy(&one), lattice.deploy(&two));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.revision, two.revision);
    let last = if one.generation > two.generation { one } else { two };
    let status = lattice.settled(&last, AppState::Serving).await;
    assert_eq!(status.revision, last.revision);
}

#[tokio::test]
async fn m6_an_upgrade_succeeds_with_every_event_lost() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    // Only heartbeats tell that there is more to know; without them only answers to commands do.
    lattice.hosts.iter().for_each(|host| host.be_quiet(true));
    let reply = lattice.deploy(&manifest("shop", &[("word", "hi")])).await.unwrap();
    eventually("the hosts to have the new revision", async || {
        let done = lattice.hosts.iter().all(|host| host.stable("shop").get("hello") == Some(&2));
        if done { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    lattice.hosts.iter().for_each(|host| host.be_quiet(false));
    lattice.settled(&reply, AppState::Serving).await;
}

#[tokio::test]
async fn a_host_that_leaves_is_replaced_and_status_events_say_so() {
    let mut lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let mut events = lattice.client.app_events(&"shop".parse().unwrap()).await.unwrap();
    let one_place = manifest("shop", &[]).replace("daemonscaler", "spreadscaler");
    let before = lattice.serve(&one_place).await;
    assert!(tokio::time::timeout(std::time::Duration::from_secs(5), events.next()).await.unwrap().is_some());
    let home = before.components[0].places[0].host.clone();
    let at = lattice.hosts.iter().position(|host| host.id == home).unwrap();
    lattice.hosts.remove(at).stop().await;
    eventually("the app to run on the other host", async || {
        let status = lattice.status("shop").await.map_err(|error| error.to_string())?;
        let moved = status.components.iter().all(|component| {
            component.ready == component.desired && component.places.iter().all(|place| place.host != home)
        });
        if moved && status.state == AppState::Serving { Ok(()) } else { Err(format!("{status:#?}")) }
    })
    .await;
}
