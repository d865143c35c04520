//! Rollouts that people and webhooks steer, and what can be asked about revisions.

use std::collections::BTreeMap;

use lath_control_api::app::{
    AppState, AppStatus, Cause, ChangeKind, ChangeReply, DiffRequest, Outcome, RevisionRequest,
    RollbackRequest, RolloutAction, RolloutPhase, RolloutRequest, ScaleRequest, TagRequest,
};
use lath_control_api::{ErrorCode, Revision};
use lath_control_api_client::RequestError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::lattice::{Lattice, app_request, deploy_request, eventually, manifest, manifest_with};

impl Lattice {
    async fn steer(&self, action: RolloutAction) -> Result<ChangeReply, RequestError> {
        let (app, cause) = ("shop".parse().unwrap(), Cause { by: "ops".into(), message: None });
        self.client.rollout(&RolloutRequest { app, action, cause, if_generation: None, dry_run: false }).await
    }

    async fn until(&self, what: &str, holds: impl Fn(&AppStatus) -> bool) -> AppStatus {
        eventually(what, async || {
            let status = self.status("shop").await.map_err(|error| error.to_string())?;
            if holds(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
    }

    async fn paused(&self) -> AppStatus {
        self.until("the rollout to stand still", |status| status.state == AppState::Paused).await
    }

    /// Shares of the candidate on each host.
    fn weights(&self) -> Vec<u8> {
        let last = |host: &crate::host::FakeHost| {
            let commands = host.commands();
            let bundles = commands.last().into_iter().flat_map(|command| command.bundles.clone());
            bundles.filter_map(|bundle| bundle.candidate).map(|one| one.weight.percent()).max().unwrap_or(0)
        };
        self.hosts.iter().map(last).collect()
    }
}

fn refused(result: Result<ChangeReply, RequestError>) -> (ErrorCode, String) {
    match result {
        Err(RequestError::Refused(error)) => (error.code, error.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_canary_waits_for_its_promotion_at_each_step_and_can_be_paused() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let policy = "strategy: canary, steps: \"5%/promote, 50%/promote\", min_healthy_time: 0s";
    lattice.serve(&manifest_with("shop", &[], policy)).await;
    assert_eq!(refused(lattice.steer(RolloutAction::Promote).await).0, ErrorCode::Conflict);

    lattice.deploy(&manifest_with("shop", &[("word", "hi")], policy)).await.unwrap();
    let status = lattice.paused().await;
    let rollout = status.rollout.unwrap();
    assert_eq!((rollout.phase, rollout.weight.percent()), (RolloutPhase::Shifting, 5));
    assert_eq!((rollout.strategy.as_str(), rollout.steps), ("canary", 5));
    assert!(rollout.paused.unwrap().contains("lath rollout promote shop"));
    assert_eq!(lattice.weights(), [5, 5]);

    lattice.steer(RolloutAction::Promote).await.unwrap();
    lattice
        .until("half of it", |status| status.rollout.as_ref().is_some_and(|r| r.weight.percent() == 50))
        .await;
    lattice.paused().await;
    lattice.steer(RolloutAction::Pause).await.unwrap();
    assert!(lattice.steer(RolloutAction::Pause).await.unwrap().unchanged);
    let status = lattice.paused().await;
    assert!(status.rollout.unwrap().paused.unwrap().contains("paused by ops"));
    let done = lattice.steer(RolloutAction::PromoteFull).await.unwrap();
    let status = lattice.settled(&done, AppState::Serving).await;
    assert_eq!(
        (status.revision, status.last.unwrap().outcome),
        (Some(Revision(2)), Some(Outcome::Completed))
    );
}

#[tokio::test]
async fn a_way_back_climbs_only_when_it_is_told_to() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let policy = "min_healthy_time: 0s";
    lattice.serve(&manifest_with("shop", &[], policy)).await;
    lattice.serve(&manifest_with("shop", &[("word", "hi")], policy)).await;
    let back = |properties: &[(&str, &str)]| {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        RollbackRequest {
            app: "shop".parse().unwrap(),
            to: None,
            cause: Cause::default(),
            if_revision: None,
            dry_run: false,
            rollout: properties.iter().map(own).collect(),
        }
    };
    let canary = [("strategy", "canary"), ("steps", "50%/promote")];
    lattice.client.rollback(&back(&canary)).await.unwrap();
    let rollout = lattice.paused().await.rollout.unwrap();
    assert_eq!((rollout.strategy.as_str(), rollout.weight.percent()), ("canary", 50));
    let done = lattice.steer(RolloutAction::Promote).await.unwrap();
    lattice.settled(&done, AppState::Serving).await;
    let (code, message) = refused(lattice.client.rollback(&back(&[("stategy", "canary")])).await);
    assert_eq!(code, ErrorCode::InvalidManifest);
    assert!(message.contains("stategy"), "{message}");
}

#[tokio::test]
async fn blue_green_is_switched_by_people_and_switched_back_while_it_is_warm() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let policy = "strategy: blue-green, min_healthy_time: 0s";
    lattice.serve(&manifest_with("shop", &[], policy)).await;
    lattice.deploy(&manifest_with("shop", &[("word", "hi")], policy)).await.unwrap();
    lattice.paused().await;
    assert_eq!(lattice.weights(), [0, 0]);
    lattice.steer(RolloutAction::Promote).await.unwrap();
    let warm = |status: &AppStatus| {
        status.rollout.as_ref().is_some_and(|rollout| rollout.phase == RolloutPhase::KeepingWarm)
    };
    let status = lattice.until("the switch", warm).await;
    assert_eq!(status.state, AppState::Serving);
    assert_eq!(status.last.unwrap().outcome, Some(Outcome::Completed));
    assert_eq!(lattice.weights(), [100, 100]);

    let back = lattice.steer(RolloutAction::Abort).await.unwrap();
    let status = lattice.settled(&back, AppState::Serving).await;
    assert_eq!(status.revision, Some(Revision(1)));
    assert!(lattice.hosts.iter().all(|host| host.stable("shop")["hello"] == 1));
    let history = lattice.client.history(&app_request("shop")).await.unwrap().entries;
    let told: Vec<_> = history.iter().map(|entry| (entry.kind, entry.revision, entry.outcome)).collect();
    let completed = Some(Outcome::Completed);
    assert_eq!(told[0], (ChangeKind::Rollback, Some(Revision(1)), completed));
    assert_eq!(told[1], (ChangeKind::Deploy, Some(Revision(2)), completed));
}

#[tokio::test]
async fn an_aborted_rollout_is_taken_back_and_tried_again_on_request() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    lattice.serve(&manifest("shop", &[])).await;
    let slow = manifest_with("shop", &[("word", "hi")], "min_healthy_time: 100s");
    lattice.deploy(&slow).await.unwrap();
    lattice.until("the first wave", |status| status.rollout.as_ref().is_some_and(|r| r.step == 2)).await;
    let back = lattice.steer(RolloutAction::Abort).await.unwrap();
    let status = lattice.settled(&back, AppState::Serving).await;
    let last = status.last.unwrap();
    assert_eq!(
        (last.outcome, last.problem.unwrap().message.as_str()),
        (Some(Outcome::RolledBack), "aborted by ops")
    );
    assert_eq!(status.revision, Some(Revision(1)));

    let again = lattice.steer(RolloutAction::Retry).await.unwrap();
    assert_eq!(again.revision, Some(Revision(3)), "a new revision with the same content");
    let done = lattice.steer(RolloutAction::PromoteFull).await.unwrap();
    lattice.settled(&done, AppState::Serving).await;
    assert_eq!(refused(lattice.steer(RolloutAction::Retry).await).0, ErrorCode::Conflict);
}

#[tokio::test]
async fn a_webhook_is_asked_before_traffic_moves_and_its_words_are_kept() {
    let lattice = Lattice::with_hosts(1).await;
    let _manager = lattice.manager("m1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let policy = format!("min_healthy_time: 0s, webhook: \"http://{address}/may-it\"");
    // One after another: an answer of its own error, a refusal, an agreement.
    let answers = [("500 Oops", "broken"), ("409 Conflict", "not on fridays"), ("200 OK", "go")];
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, text) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 8_192];
            let mut request = String::new();
            while !request.contains("\"to\"") {
                let read = stream.read(&mut buffer).await.unwrap();
                request.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            asked.push(request);
            let length = text.len();
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    // The first deploy has nothing to lose, and asks nobody.
    lattice.serve(&manifest_with("shop", &[], &policy)).await;
    let refused = lattice.deploy(&manifest_with("shop", &[("word", "hi")], &policy)).await.unwrap();
    let status = lattice
        .until("a refusal", |status| status.generation > refused.generation && status.rollout.is_none());
    let problem = status.await.last.unwrap().problem.unwrap();
    assert_eq!(problem.reason, "webhook-refused");
    assert!(problem.message.contains("not on fridays"), "{problem:?}");
    assert!(lattice.hosts.iter().all(|host| {
        host.commands()
            .iter()
            .flat_map(|c| &c.bundles)
            .filter_map(|bundle| bundle.stable.as_ref().and(bundle.candidate.as_ref()))
            .all(|one| one.weight.percent() == 0)
    }));
    lattice.serve(&manifest_with("shop", &[("word", "ho")], &policy)).await;
    let asked = server.await.unwrap();
    assert!(
        asked
            .iter()
            .all(|request| request.starts_with("POST /may-it") && request.contains("\"app\":\"shop\""))
    );
}

#[tokio::test]
async fn a_plan_says_what_a_deploy_would_do_and_a_deploy_holds_to_it() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let pushed = lattice.push().await;
    let first = deploy_request(&manifest("shop", &[]), pushed.clone());
    let plan = lattice.client.plan(&first).await.unwrap();
    assert!(!plan.unchanged && plan.from.is_none() && plan.places.len() == 4, "{plan:#?}");
    lattice.serve(&manifest("shop", &[])).await;
    assert!(lattice.client.plan(&first).await.unwrap().unchanged);

    let ask = |plan: Option<String>| {
        let mut ask = deploy_request(&manifest("shop", &[("word", "hi")]), pushed.clone());
        ask.plan = plan;
        ask
    };
    let plan = lattice.client.plan(&ask(None)).await.unwrap();
    assert_eq!((plan.from, plan.to), (Some(Revision(1)), Revision(2)));
    let [change] = plan.changes.as_slice() else { panic!("{plan:#?}") };
    assert_eq!((change.what.as_str(), change.after.as_deref()), ("config word", Some("hi")));
    assert_eq!(plan.same.len(), 1);
    assert!(plan.order.iter().any(|step| step.contains("100 %")), "{:?}", plan.order);
    assert_eq!(lattice.client.plan(&ask(None)).await.unwrap(), plan, "nothing was changed by it");

    lattice.serve(&manifest("shop", &[("word", "other")])).await;
    let refused = refused(lattice.client.deploy(&ask(Some(plan.id))).await);
    assert_eq!(refused.0, ErrorCode::Conflict);
    let plan = lattice.client.plan(&ask(None)).await.unwrap();
    assert!(!lattice.client.deploy(&ask(Some(plan.id))).await.unwrap().unchanged);
}

#[tokio::test]
async fn revisions_are_shown_compared_tagged_and_scaled() {
    let lattice = Lattice::with_hosts(2).await;
    let _manager = lattice.manager("m1").await;
    let (old, new) = (manifest("shop", &[]), manifest("shop", &[("word", "hi")]));
    lattice.serve(&old).await;
    lattice.serve(&new).await;
    let app = || "shop".parse().unwrap();
    let tag = |tag: &str, revision| TagRequest { app: app(), tag: tag.into(), revision, dry_run: false };
    let tags = lattice.client.tag(&tag("known-good", Some(Revision(1)))).await.unwrap();
    assert_eq!(tags.tags, BTreeMap::from([("known-good".to_owned(), Revision(1))]));
    for wrong in [tag("7", Some(Revision(1))), tag("no such", Some(Revision(1))), tag("x", Some(Revision(9)))]
    {
        assert!(matches!(lattice.client.tag(&wrong).await, Err(RequestError::Refused(_))), "{wrong:?}");
    }
    let shown =
        lattice.client.show(&RevisionRequest { app: app(), revision: Some(Revision(1)) }).await.unwrap();
    assert_eq!((shown.manifest, shown.tags, shown.completed), (old, vec!["known-good".to_owned()], true));
    let shown = lattice.client.show(&RevisionRequest { app: app(), revision: None }).await.unwrap();
    assert_eq!((shown.revision, shown.manifest), (Revision(2), new));
    let missing = lattice.client.show(&RevisionRequest { app: app(), revision: Some(Revision(9)) }).await;
    assert!(matches!(missing, Err(RequestError::Refused(error)) if error.code == ErrorCode::NotFound));

    let diff = DiffRequest { app: app(), from: Revision(1), to: Revision(2) };
    assert_eq!(lattice.client.diff(&diff).await.unwrap().changes[0].what, "config word");

    let component = "hello".parse().unwrap();
    let mut scale = ScaleRequest {
        app: app(),
        component,
        instances: 3,
        cause: Cause::default(),
        if_revision: None,
        dry_run: false,
    };
    let scaled = lattice.client.scale(&scale).await.unwrap();
    assert_eq!(scaled.revision, Some(Revision(3)));
    lattice.settled(&scaled, AppState::Serving).await;
    assert!(lattice.client.scale(&scale).await.unwrap().unchanged);
    for host in &lattice.hosts {
        let last = host.commands().last().unwrap().clone();
        let hello = last.bundles.iter().find(|bundle| bundle.component.as_str() == "hello").unwrap();
        assert_eq!(hello.stable.as_ref().unwrap().max_instances, 3);
    }
    scale.instances = 0;
    assert_eq!(refused(lattice.client.scale(&scale).await).0, ErrorCode::BadRequest);
    let history = lattice.client.history(&app_request("shop")).await.unwrap();
    assert_eq!(history.entries[0].kind, ChangeKind::Scale);
    assert_eq!(history.tags.len(), 1);
}
