//! What happens to the store and to the process: damage, loss, restarts, and death at every step.

use std::time::Duration;

use lath_control_api::app::AppState;
use lath_control_api::{Bucket, ErrorCode};
use lath_control_api_client::RequestError;

use crate::lattice::{Lattice, eventually, manifest};
use crate::leadership::http_get;

#[tokio::test]
async fn f14_a_damaged_record_concerns_its_own_app_only() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    lattice.serve(&manifest("bank", &[])).await;
    let context = lattice.client.connection().jetstream(Duration::from_secs(3));
    let name = lattice.client.subjects().bucket(Bucket::Apps);
    let raw = context.get_key_value(name).await.unwrap();
    let sound = raw.get("shop").await.unwrap().unwrap();
    raw.put("shop", "{".into()).await.unwrap();
    raw.put("not.an.app", "{}".into()).await.unwrap();
    let newer = String::from_utf8(sound.to_vec()).unwrap().replacen("\"schema\":1", "\"schema\":99", 1);
    raw.put("future", newer.into()).await.unwrap();

    lattice.serve(&manifest("bank", &[("word", "hi")])).await;
    for app in ["shop", "future"] {
        let status = lattice.status(app).await.unwrap();
        assert_eq!(status.problems[0].reason, "corrupt-record", "{status:#?}");
    }
    let listed = lattice.client.apps().await.unwrap().apps;
    assert_eq!(
        listed.iter().map(|status| status.app.as_str()).collect::<Vec<_>>(),
        ["bank", "future", "shop"]
    );
    let Err(RequestError::Refused(error)) = lattice.deploy(&manifest("shop", &[])).await else {
        panic!("a damaged record is not written over")
    };
    assert_eq!(error.code, ErrorCode::Internal);
    assert_eq!(lattice.hosts[0].stable("shop")["hello"], 1, "what runs is left alone");

    raw.put("shop", sound).await.unwrap();
    lattice.serve(&manifest("shop", &[("word", "hi")])).await;
}

#[tokio::test]
async fn f31_a_restart_of_nats_changes_nothing_that_serves_and_control_comes_back() {
    let mut lattice = Lattice::with_hosts(2).await;
    let manager = lattice.manager("m1").await;
    let before = lattice.serve(&manifest("shop", &[])).await;
    let told: Vec<usize> = lattice.hosts.iter().map(|host| host.commands().len()).collect();
    let http = manager.ready().await["http"].as_str().unwrap().to_owned();
    lattice.nats.kill();
    eventually("the manager to say that NATS is away", async || match http_get(&http, "/readyz").await {
        (503, body) if body["nats"] == false => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // Longer than the silence after which a host counts as lost.
    tokio::time::sleep(Duration::from_secs(13)).await;
    let (_, status) = http_get(&http, "/api/v1/lattices/test/apps").await;
    assert_eq!(status["apps"][0]["state"], "Serving", "{status:#}");
    lattice.nats.run().await;
    let after = eventually("the status to come back", async || {
        lattice.status("shop").await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!((after.generation, after.state), (before.generation, AppState::Serving));
    lattice.serve(&manifest("bank", &[])).await;
    for (host, told) in lattice.hosts.iter().zip(told) {
        let later = &host.commands()[told..];
        assert!(later.iter().all(|command| command.app.as_str() == "bank"), "nothing was told of `shop`");
    }
}

#[tokio::test]
async fn f47_an_emptied_store_is_filled_again_by_the_manager_and_nothing_is_stopped() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let before = lattice.serve(&manifest("shop", &[])).await;
    let context = lattice.client.connection().jetstream(Duration::from_secs(3));
    for bucket in [Bucket::Revisions, Bucket::Apps, Bucket::Lease] {
        context.delete_key_value(lattice.client.subjects().bucket(bucket)).await.unwrap();
    }
    let Err(RequestError::Refused(error)) = lattice.deploy(&manifest("bank", &[])).await else {
        panic!("nothing is accepted without a store")
    };
    assert_eq!(error.code, ErrorCode::StoreUnavailable);
    let reply = eventually("changes to be accepted again", async || {
        lattice.deploy(&manifest("shop", &[("word", "hi")])).await.map_err(|error| error.to_string())
    })
    .await;
    // Not a first deploy: the app was known, and was never taken off its host.
    assert_eq!((reply.from, reply.revision.map(|revision| revision.0)), (before.revision, Some(2)));
    lattice.settled(&reply, AppState::Serving).await;
    assert!(lattice.hosts[0].commands().iter().all(|command| !command.bundles.is_empty()));
}

#[tokio::test]
async fn f46_a_store_that_lost_its_last_writes_gets_them_again_and_no_host_goes_back() {
    let mut lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    for app in ["gone", "anew"] {
        lattice.serve(&manifest(app, &[])).await;
    }
    let kept = lattice.folder.path().join("kept");
    copy(lattice.nats.directory(), &kept);
    let before = lattice.serve(&manifest("shop", &[("word", "hi")])).await;
    for app in ["gone", "anew"] {
        lattice.client.delete(&crate::lattice::app_request(app)).await.unwrap();
        eventually("an app to be forgotten", async || match lattice.status(app).await {
            Err(RequestError::Refused(error)) if error.code == ErrorCode::NotFound => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    // Its name is taken again: the deletion from before is over.
    lattice.serve(&manifest("anew", &[("word", "hi")])).await;
    let told: Vec<usize> = lattice.hosts.iter().map(|host| host.commands().len()).collect();
    lattice.nats.kill();
    std::fs::remove_dir_all(lattice.nats.directory()).unwrap();
    copy(&kept, lattice.nats.directory());
    lattice.nats.run().await;
    let after = eventually("the lost decision to be there again", async || {
        let status = lattice.status("shop").await.map_err(|error| error.to_string())?;
        let same = status.revision == before.revision && status.state == AppState::Serving;
        if same { Ok(status) } else { Err(format!("{status:#?}")) }
    })
    .await;
    assert!(after.generation >= before.generation);
    let apps = lattice.client.apps().await.unwrap().apps;
    let names: Vec<&str> = apps.iter().map(|status| status.app.as_str()).collect();
    assert_eq!(names, ["anew", "shop"], "what was deleted stays deleted, and what was made anew is there");
    for (host, told) in lattice.hosts.iter().zip(told) {
        let later = &host.commands()[told..];
        let ended = later.iter().find(|command| command.app.as_str() == "anew" && command.bundles.is_empty());
        assert_eq!(ended, None, "what was made anew goes on");
    }
    assert!(lattice.hosts.iter().all(|host| host.stable("gone").is_empty()));
    assert!(lattice.hosts.iter().all(|host| host.stable("shop")["hello"] == 2));
    lattice.serve(&manifest("shop", &[("word", "hello")])).await;
}

#[tokio::test]
async fn f46_n2_what_was_asked_for_after_the_loss_is_not_written_over_by_what_was_lost() {
    let mut lattice = Lattice::with_hosts(2).await;
    let knows_more = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    let kept = lattice.folder.path().join("kept");
    copy(lattice.nats.directory(), &kept);
    lattice.serve(&manifest("shop", &[("word", "hi")])).await;
    let lost = lattice.serve(&manifest("shop", &[("word", "hey")])).await;
    knows_more.signal("STOP");
    lattice.nats.kill();
    std::fs::remove_dir_all(lattice.nats.directory()).unwrap();
    copy(&kept, lattice.nats.directory());
    lattice.nats.run().await;
    // It has never seen what was lost, and does not act yet: the lease in the store is the frozen one's.
    let _other = lattice.manager("m2").await;
    let reply = eventually("the deploy to be accepted", async || {
        lattice.deploy(&manifest("shop", &[("word", "hello")])).await.map_err(|error| error.to_string())
    })
    .await;
    assert!(reply.generation < lost.generation, "the number is lower than what was lost");
    knows_more.signal("CONT");
    let status = lattice.settled(&reply, AppState::Serving).await;
    assert_eq!(status.revision, reply.revision);
    assert!(status.generation > lost.generation, "hosts obey nothing older");
    assert!(lattice.hosts.iter().all(|host| host.stable("shop")["hello"] == reply.revision.unwrap().0));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Kills the manager at one moment of an upgrade and starts it again.
#[cfg(feature = "failpoints")]
async fn dies_and_goes_on(failpoint: &str) {
    let lattice = Lattice::with_hosts(2).await;
    let mut healthy = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    healthy.kill();
    let mut dying = lattice.launch("m1", &lattice.nats.url(), Some(failpoint));
    dying.ready().await;
    // The answer may die with the manager; what was accepted is not known then.
    let _ = lattice.deploy(&manifest("shop", &[("word", "hi")])).await;
    assert!(!dying.ended().await, "{failpoint}: the fault must have happened");
    let _manager = lattice.manager("m1").await;
    // Asking again is harmless, whatever became of the first time.
    let status = lattice.serve(&manifest("shop", &[("word", "hi")])).await;
    let wanted = status.revision.unwrap().0;
    for host in &lattice.hosts {
        assert!(host.stable("shop").values().all(|revision| *revision == wanted), "{failpoint}");
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn f01_m1_killed_at_every_step_of_an_upgrade_it_ends_on_one_revision() {
    use futures::StreamExt;
    use lath_manager::Failpoint;
    // Those whose passages within one upgrade are certain; `tests/it/crashes.rs` makes its list from what is passed.
    let often = [Failpoint::RecordCommit, Failpoint::CommandSend, Failpoint::CommandAnswered];
    let mut moments = Vec::new();
    // A deploy writes one revision only.
    for (point, passages) in [(Failpoint::RevisionWrite, 1)].into_iter().chain(often.map(|point| (point, 3)))
    {
        for passage in 1..=passages {
            for moment in ["before", "after"] {
                moments.push(format!("{}:{moment}:abort:{passage}", point.name()));
            }
        }
    }
    assert!(moments.len() >= 20);
    let deaths = moments.iter().map(|moment| Box::pin(dies_and_goes_on(moment)));
    futures::stream::iter(deaths).buffer_unordered(5).collect::<Vec<()>>().await;
}
