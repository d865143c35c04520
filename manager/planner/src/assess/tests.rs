//! What an inventory says about a request.

use lath_control_api::{Epoch, Fence, Generation, Step, Timestamp};

use super::*;
use crate::bundles::Revisions;
use crate::example::{App, inventory, summary};
use crate::record::{Assignment, DesiredRecord, Wanted};

/// What host `a` is told of `line` under fence 1.1.
fn request(line: &str) -> ApplyRequest {
    let spec = App::new("shop", line).spec(1);
    let mut assignment = Assignment::default();
    spec.components.keys().for_each(|name| assignment.add(&summary("a").host, name, 1));
    let record = DesiredRecord {
        wanted: Wanted::Run,
        revision: Some(spec.revision),
        generation: Generation(1),
        step: Step(1),
        assignment,
        ..DesiredRecord::new(spec.app.clone())
    };
    let revisions = Revisions::from([(spec.revision, std::sync::Arc::new(spec))]);
    crate::bundles::request(&record, &revisions, &summary("a").host, Epoch(1))
}

/// How host `a`, which has done what it was `told`, stands to what it is `asked` for.
fn judged(told: &[ApplyRequest], asked: &ApplyRequest) -> Assessment {
    let mut observed = ObservedState::new(Timestamp(0));
    observed.inventory(inventory(&summary("a"), told), Timestamp(0));
    assess(&observed, &summary("a").host, asked, |_| true, |_, spec| spec.content())
}

fn fenced(request: &ApplyRequest, generation: u64, step: u64) -> ApplyRequest {
    let fence = Fence { epoch: Epoch(1), generation: Generation(generation), step: Step(step) };
    ApplyRequest { fence, ..request.clone() }
}

#[test]
fn a_host_that_has_what_was_asked_for_is_settled() {
    let asked = request("front=1 back=1");
    let found = judged(std::slice::from_ref(&asked), &asked);
    assert!(found.is_settled() && !found.contradicts && !found.ahead, "{found:?}");
}

#[test]
fn absence_from_the_inventory_proves_nothing() {
    let nothing = ApplyRequest { bundles: Vec::new(), ..request("front=1") };
    assert!(!judged(&[], &nothing).accepted);
    assert!(judged(std::slice::from_ref(&nothing), &nothing).is_settled());
}

#[test]
fn an_older_fence_is_waited_for_and_a_newer_one_is_not_commanded() {
    let asked = request("front=1");
    let behind = judged(&[fenced(&asked, 1, 1)], &fenced(&asked, 1, 2));
    assert!(!behind.accepted && !behind.ahead && !behind.waiting.is_empty());
    let ahead = judged(&[fenced(&asked, 2, 1)], &fenced(&asked, 1, 2));
    assert!(!ahead.accepted && ahead.ahead);
}

#[test]
fn n2_other_content_under_the_same_fence_contradicts() {
    let asked = request("front=1");
    for other in ["front=2", "front=1,config.a=b", "front=1 back=1", "back=1"] {
        assert!(judged(&[request(other)], &asked).contradicts, "{other}");
    }
    let nothing = ApplyRequest { bundles: Vec::new(), ..asked.clone() };
    assert!(judged(std::slice::from_ref(&asked), &nothing).contradicts);
    assert!(judged(std::slice::from_ref(&nothing), &asked).contradicts);
}
