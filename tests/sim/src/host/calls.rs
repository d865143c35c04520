//! Calls that a host's units answer, as far as somebody judges by them: while a candidate has traffic.

use lath_control_api::{AppInventory, CallCounts, HostCalls, Role, UnitInventory, Weight};
use lath_host_core::{SpecKey, UnitKey};

use super::Host;
use crate::apps::Scene;
use crate::rng::Rng;

impl Host {
    /// Apps of which a candidate takes calls, as the host would tell them.
    fn tried(&self) -> Vec<AppInventory> {
        if !self.has_candidates {
            return Vec::new();
        }
        let is_tried = |app: &AppInventory| {
            let mut units = app.components.iter().flat_map(|component| &component.units);
            units.any(|unit| unit.role == Role::Candidate && unit.weight != Weight::NONE)
        };
        let mut apps = self.inventory().apps;
        apps.retain(is_tried);
        apps
    }

    /// Answers the calls of one tick, and tells how they went.
    pub(crate) fn answer_calls(&mut self, scene: &Scene, rng: &mut Rng) -> Option<HostCalls> {
        let mut apps = self.tried();
        if apps.is_empty() || scene.calls == 0 {
            return None;
        }
        for entry in &mut apps {
            let app = entry.app.clone();
            for component in &mut entry.components {
                for unit in &mut component.units {
                    let (revision, content) = (unit.revision, unit.content.clone());
                    let key = UnitKey {
                        app: app.clone(),
                        id: component.id.clone(),
                        spec: SpecKey { revision, content },
                    };
                    self.answer(key, unit, scene, rng);
                }
            }
        }
        let (host, boot) = (self.id.clone(), self.summary.boot.clone());
        Some(HostCalls { host, boot, sequence: self.beat().sequence, apps })
    }

    fn answer(&mut self, key: UnitKey, unit: &mut UnitInventory, scene: &Scene, rng: &mut Rng) {
        let share = u64::from(unit.weight.percent()) * scene.calls;
        // What is left of a whole call comes now and then.
        let calls = share / 100 + u64::from(rng.below(100) < share % 100);
        if !unit.serving || calls == 0 {
            return;
        }
        let answers = scene.answers(&unit.image);
        let counts = self.counts.entry(key).or_default();
        let trapped = (0..calls).filter(|_| rng.chance(answers.traps)).count();
        let trapped = u64::try_from(trapped).unwrap_or(0);
        add(counts, calls, trapped, answers.micros);
        unit.calls = counts.clone();
    }
}

fn add(counts: &mut CallCounts, calls: u64, trapped: u64, micros: u64) {
    counts.started += calls;
    counts.trapped += trapped;
    counts.succeeded += calls - trapped;
    *counts.latency_us.entry(micros).or_default() += calls;
}
