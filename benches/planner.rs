//! What planning one app costs, by the size of the lattice around it: it should be the app that counts.
//!
//! Run with `cargo bench -p lath-benches --bench planner`.
#![expect(clippy::expect_used, reason = "a measurement without its input must stop at once")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lath_control_api::{Epoch, Timestamp};
use lath_manager_planner::bundles::Revisions;
use lath_manager_planner::example::{self, App};
use lath_manager_planner::{DesiredRecord, ObservedState, PlanInput, PlanLimits, change, plan};

const NOW: Timestamp = Timestamp(1_000_000);

/// An app on every host of a lattice, running and settled.
struct Settled {
    record: DesiredRecord,
    observed: ObservedState,
    revisions: Revisions,
}

impl Settled {
    fn new(hosts: usize, components: usize) -> Self {
        let names: Vec<String> = (0..hosts).map(|number| format!("h{number}")).collect();
        let fleet = example::fleet(&names.join(" "));
        let words: Vec<String> = (0..components).map(|number| format!("c{number}=v1,daemon")).collect();
        let app = App::new("shop", &words.join(" "));
        let mut observed = ObservedState::new(NOW);
        for summary in &fleet {
            observed.heard(summary.clone(), NOW);
        }
        let revisions = Revisions::from([(app.revision(1).revision, Arc::new(app.spec(1)))]);
        let deployed =
            change::deploy(None, None, app.ask(), NOW).expect("a deploy").record.expect("a record");
        let mut settled = Self { record: deployed, observed, revisions };
        // Hosts that do at once what they are told: a handful of rounds settles the app.
        for round in 0..50 {
            let output = settled.plan(Timestamp(NOW.0 + round * 2_000));
            let quiet = output.record.is_none() && output.commands.is_empty();
            if quiet && settled.record.rollout.is_none() {
                return settled;
            }
            settled.record = output.record.unwrap_or(settled.record);
            for command in output.commands {
                let mut summary = fleet
                    .iter()
                    .find(|summary| summary.host == command.host)
                    .expect("a host of the fleet")
                    .clone();
                summary.sequence = u64::try_from(round).expect("a round") + 2;
                let now = Timestamp(NOW.0 + round * 2_000);
                settled.observed.inventory(example::inventory(&summary, &[command.request]), now);
            }
        }
        unreachable!("an app that hosts obey settles")
    }

    fn plan(&self, now: Timestamp) -> lath_manager_planner::PlanOutput {
        plan(&PlanInput {
            now,
            epoch: Epoch(1),
            limits: &PlanLimits { lost_after: std::time::Duration::from_secs(3_600) },
            observed: &self.observed,
            record: &self.record,
            revisions: &self.revisions,
        })
    }
}

fn planner(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan a settled app");
    for (hosts, components) in [(2, 3), (20, 3), (20, 30), (200, 3)] {
        let settled = Settled::new(hosts, components);
        let id = BenchmarkId::from_parameter(format!("{hosts} hosts, {components} components"));
        group.bench_function(id, |bench| bench.iter(|| black_box(settled.plan(NOW))));
    }
    group.finish();
}

criterion_group!(benches, planner);
criterion_main!(benches);
