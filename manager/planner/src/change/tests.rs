//! What users ask for, as records.

use super::*;
use crate::example::App;
use crate::record::Stage;

const NOW: Timestamp = Timestamp(1_000);

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

fn deployed(line: &str) -> (DesiredRecord, RevisionRecord) {
    let change = deploy(None, None, App::new("shop", line).ask(), NOW).unwrap();
    (change.record.unwrap(), change.revision.unwrap())
}

#[test]
fn a_first_deploy_makes_revision_and_generation_1() {
    let (record, revision) = deployed("front=1");
    assert_eq!((record.revision, record.generation), (Some(Revision(1)), lath_control_api::Generation(1)));
    assert_eq!(revision.revision, Revision(1));
    assert_eq!(record.rollout.unwrap().stage, Stage::Preparing);
}

#[test]
fn the_same_manifest_changes_nothing_until_it_has_failed() {
    let (mut record, revision) = deployed("front=1");
    let again = |record: &DesiredRecord| {
        deploy(Some(record), Some(&revision), App::new("shop", "front=1").ask(), NOW).unwrap()
    };
    let change = again(&record);
    assert_eq!((change.record, change.revision, change.reply.unchanged), (None, None, true));
    if let Some(rollout) = &mut record.rollout {
        rollout.problem = Some(lath_control_api::app::Problem {
            reason: "no-host".to_owned(),
            message: String::new(),
            component: None,
            host: None,
            host_name: None,
        });
    }
    assert_eq!(again(&record).reply.revision, Some(Revision(2)));
}

#[test]
fn f07_a_deploy_that_expects_another_revision_is_refused() {
    let (record, revision) = deployed("front=1");
    let expecting = |expected: u64| {
        let ask = DeployAsk { if_revision: Some(Revision(expected)), ..App::new("shop", "front=2").ask() };
        deploy(Some(&record), Some(&revision), ask, NOW)
    };
    assert_eq!(expecting(0).unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(expecting(1).unwrap().reply.revision, Some(Revision(2)));
    let first = DeployAsk { if_revision: Some(Revision(0)), ..App::new("shop", "front=2").ask() };
    assert!(deploy(None, None, first, NOW).is_ok());
}

#[test]
fn r9_a_rollback_never_goes_to_what_failed_or_is_the_same() {
    let (mut record, first) = deployed("front=1");
    let same = |_: Revision| Some(first.content.clone());
    assert_eq!(rollback_target(&record, None, same).unwrap_err().code, ErrorCode::NoPrevious);
    record.rollout = None;
    record.serving = Some(Revision(1));
    record.good = vec![Revision(1)];
    assert_eq!(rollback_target(&record, None, same).unwrap_err().code, ErrorCode::NoPrevious);
    let problem = lath_control_api::app::Problem {
        reason: "probe-failed".to_owned(),
        message: "500".to_owned(),
        component: None,
        host: None,
        host_name: None,
    };
    record.failed.insert(Revision(2), problem);
    let error = rollback_target(&record, Some(Revision(2)), same).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::UnfitRevision, "revision 2 of `shop` failed: 500")
    );
    assert_eq!(rollback_target(&record, Some(Revision(7)), same).unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn a_rollback_repeats_the_first_of_its_kind() {
    let (record, first) = deployed("front=1");
    let second = App::new("shop", "front=2").revision(2);
    let change = rollback(&record, Some(&second), &first, Cause::default(), None, NOW).unwrap();
    let third = change.revision.unwrap();
    assert_eq!((third.revision, third.repeats), (Revision(2), Some(Revision(1))));
    assert_eq!((third.manifest, third.images), (first.manifest, first.images));
    let change = rollback(
        &record,
        None,
        &RevisionRecord { revision: Revision(9), repeats: Some(Revision(1)), ..second },
        Cause::default(),
        None,
        NOW,
    );
    assert_eq!(change.unwrap().revision.unwrap().repeats, Some(Revision(1)));
}

#[test]
fn f08_stopping_what_is_not_there_changes_nothing() {
    let app = "shop".parse().unwrap();
    assert_eq!(undeploy(&app, None, Cause::default(), NOW).record, None);
    assert_eq!(delete(&app, None, Cause::default(), NOW).record, None);
}

#[test]
fn what_is_being_forgotten_cannot_be_merely_stopped() {
    let (record, _) = deployed("front=1");
    let app = record.app.clone();
    let forgotten = delete(&app, Some(&record), Cause::default(), NOW).record.unwrap();
    assert_eq!(undeploy(&app, Some(&forgotten), Cause::default(), NOW).record, None);
    let stopped = undeploy(&app, Some(&record), Cause::default(), NOW).record.unwrap();
    assert_eq!(delete(&app, Some(&stopped), Cause::default(), NOW).record.unwrap().wanted, Wanted::Forget);
}

#[test]
fn an_app_whose_first_revision_failed_is_stopped_on_request_only_when_somebody_asks() {
    let (record, _) = deployed("front=1");
    let app = record.app.clone();
    let taken_back = DesiredRecord { wanted: Wanted::Stop, rollout: None, revision: None, ..record };
    assert!(!taken_back.is_stopped_on_request());
    let stopped = undeploy(&app, Some(&taken_back), Cause::default(), NOW).record.unwrap();
    assert!(stopped.is_stopped_on_request());
    assert_eq!(undeploy(&app, Some(&stopped), Cause::default(), NOW).record, None);
}

#[test]
fn r13_every_change_takes_a_new_generation() {
    let (record, _) = deployed("front=1");
    let changes = [
        deploy(Some(&record), None, App::new("shop", "front=2").ask(), NOW).unwrap().record,
        undeploy(&record.app, Some(&record), Cause::default(), NOW).record,
        delete(&record.app, Some(&record), Cause::default(), NOW).record,
    ];
    for next in changes {
        let next = next.unwrap();
        assert_eq!((next.generation, next.step), (record.generation.next(), Step(1)));
        assert_eq!(next.history[1].outcome, Some(lath_control_api::app::Outcome::Superseded));
    }
}

#[test]
fn n2_a_record_with_a_change_that_another_does_not_know_is_no_past_of_it() {
    let (first, revision) = deployed("front=1");
    let deploy_again = |record: &DesiredRecord, line: &str, now| {
        deploy(Some(record), Some(&revision), App::new("shop", line).ask(), now).unwrap().record.unwrap()
    };
    let later = deploy_again(&first, "front=2", NOW.plus(SECOND));
    let latest = deploy_again(&later, "front=3", NOW.plus(2 * SECOND));
    assert!(first.is_past_of(&latest) && later.is_past_of(&latest));
    assert!(!latest.is_past_of(&first) && !latest.is_past_of(&latest));
    let since_the_loss = deploy_again(&first, "front=4", NOW.plus(3 * SECOND));
    assert!(since_the_loss.generation < latest.generation);
    assert!(!since_the_loss.is_past_of(&latest));
    let mut forgetful = latest.clone();
    for _ in 0..crate::record::HISTORY_KEPT {
        forgetful = deploy_again(&forgetful, "front=5", NOW.plus(4 * SECOND));
        forgetful = deploy_again(&forgetful, "front=6", NOW.plus(4 * SECOND));
    }
    assert!(first.is_past_of(&forgetful), "older than all that it remembers");
    assert!(!deploy_again(&first, "front=7", NOW.plus(9 * SECOND)).is_past_of(&forgetful));
}
