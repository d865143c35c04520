//! Records, commands, inventories and status as short lines that people compare.
//!
//! Specs are shown by the tag of their image; where one image stands in several different specs, the later ones
//! get a number, in the order in which the transcript met them.

use std::collections::BTreeMap;

use lath_control_api::app::AppStatus;
use lath_control_api::{
    AppInventory, ComponentBundle, ComponentSpec, Digest, HostId, Role, UnitInventory, Weight,
};
use lath_manager_planner::assess::{phase_text, reason_text};
use lath_manager_planner::record::{Assignment, Promotion, Stage};
use lath_manager_planner::{Command, DesiredRecord};

use crate::world::World;

/// Names that a transcript has given.
#[derive(Debug, Default)]
pub(crate) struct Show {
    /// Contents by image, in the order in which they were met.
    contents: BTreeMap<String, Vec<Digest>>,
}

impl Show {
    pub(crate) fn record(&self, world: &World, record: &DesiredRecord) -> String {
        let mut line = format!("record   g{}.{}", record.generation, record.step);
        match (record.serving, record.revision) {
            (Some(from), Some(to)) if from != to => line += &format!(" r{from}>r{to}"),
            (None, Some(to)) => line += &format!(" >r{to}"),
            (Some(from), None) => line += &format!(" r{from}>"),
            (_, Some(both)) => line += &format!(" r{both}"),
            (None, None) => {}
        }
        line += &format!(" {}", stage(world, record));
        for (what, assignment) in
            [("at", &record.assignment), ("base", &record.base), ("surplus", &record.surplus)]
        {
            if !assignment.is_empty() {
                line += &format!(", {what} {}", places(world, assignment));
            }
        }
        let untold: Vec<&str> = record
            .touched
            .iter()
            .filter(|host| !record.assignment.0.contains_key(*host))
            .map(|host| world.name_of(host))
            .collect();
        if !untold.is_empty() {
            line += &format!(", touched {}", untold.join(" "));
        }
        line
    }

    pub(crate) fn command(&mut self, world: &World, command: &Command) -> String {
        let request = &command.request;
        let bundles: Vec<String> = request.bundles.iter().map(|bundle| self.bundle(bundle)).collect();
        let what = if bundles.is_empty() { "nothing".to_owned() } else { bundles.join(", ") };
        let fence = request.fence;
        format!("-> {}     g{}.{} {what}", world.name_of(&command.host), fence.generation, fence.step)
    }

    fn bundle(&mut self, bundle: &ComponentBundle) -> String {
        let stable = bundle.stable.as_ref().map(|spec| self.spec(spec));
        let candidate = bundle
            .candidate
            .as_ref()
            .map(|next| format!("+{}@{}", self.spec(&next.spec), next.weight.percent()));
        format!("{}={}{}", bundle.component, stable.unwrap_or_default(), candidate.unwrap_or_default())
    }

    fn spec(&mut self, spec: &ComponentSpec) -> String {
        self.name(spec.workload.reference(), &spec.content(), spec.max_instances)
    }

    fn name(&mut self, image: &str, content: &Digest, instances: u32) -> String {
        let contents = self.contents.entry(image.to_owned()).or_default();
        let number = contents.iter().position(|known| known == content).unwrap_or_else(|| {
            contents.push(content.clone());
            contents.len() - 1
        });
        let tag = match image.strip_suffix(".wasm").or_else(|| image.strip_suffix(".par")) {
            Some(file) => file.rsplit('-').next().unwrap_or(file),
            None => "builtin",
        };
        let number = if number == 0 { String::new() } else { format!("'{}", number + 1) };
        let instances = if instances == 1 { String::new() } else { format!("x{instances}") };
        format!("{tag}{number}{instances}")
    }

    pub(crate) fn host(&mut self, world: &World, host: &HostId, app: Option<&AppInventory>) -> String {
        let name = world.name_of(host);
        let Some(app) = app else { return format!("   {name}     has nothing") };
        let components: Vec<String> = app
            .components
            .iter()
            .map(|component| {
                let units: Vec<String> = component.units.iter().map(|unit| self.unit(unit)).collect();
                format!("{}={}", component.component, units.join("+"))
            })
            .collect();
        let unconfirmed = if app.confirmed { "" } else { " unconfirmed" };
        let what = if components.is_empty() { "nothing".to_owned() } else { components.join(", ") };
        format!("   {name}     g{}.{} {what}{unconfirmed}", app.fence.generation, app.fence.step)
    }

    fn unit(&mut self, unit: &UnitInventory) -> String {
        let name = self.name(&unit.image, &unit.content, unit.max_instances);
        let role = match unit.role {
            Role::Stable => "",
            Role::Candidate => " candidate",
            Role::Retired => " retired",
        };
        let phase =
            if unit.phase.is_running() { String::new() } else { format!(" {}", phase_text(unit.phase)) };
        let reason =
            if unit.phase.is_failed() { format!(" {}", reason_text(unit.reason)) } else { String::new() };
        let share = if unit.serving { format!("@{}", unit.weight.percent()) } else { String::new() };
        format!("r{}:{name}{share}{role}{phase}{reason}", unit.revision)
    }

    pub(crate) fn status(&self, status: &AppStatus) -> String {
        let mut line = format!("status   {:?}", status.state);
        for component in &status.components {
            line += &format!(" {} {}/{}", component.component, component.ready, component.desired);
        }
        if let Some(rollout) = &status.rollout {
            line += &format!(", {:?} {}/{}", rollout.phase, rollout.step, rollout.steps);
            for gate in &rollout.gates {
                let component = gate.component.as_ref().map(ToString::to_string).unwrap_or_default();
                let verdict = format!("{:?}", gate.verdict).to_lowercase();
                line += &format!(", {component} {} {} {verdict}", gate.metric, gate.bound);
            }
        }
        if !status.message.is_empty() {
            line += &format!(": {}", status.message);
        }
        if let Some(last) = status.last.as_ref().filter(|_| status.rollout.is_none()) {
            let problem = last.problem.as_ref().map(|problem| format!(" ({})", problem.reason));
            let outcome = last.outcome.map(|outcome| format!("{outcome:?}")).unwrap_or_default();
            line += &format!(", last g{} {outcome}{}", last.generation, problem.unwrap_or_default());
        }
        line
    }
}

fn stage(world: &World, record: &DesiredRecord) -> String {
    let Some(rollout) = &record.rollout else { return format!("{:?}", record.wanted).to_lowercase() };
    let name = match &rollout.stage {
        Stage::Preparing => "preparing".to_owned(),
        Stage::Emptying => "emptying".to_owned(),
        Stage::Warm { .. } => "warm".to_owned(),
        Stage::Shifting { shifted, weight, alone, healthy_since, .. } => {
            let hosts: Vec<&str> = shifted.iter().map(|host| world.name_of(host)).collect();
            let weight =
                if *weight == Weight::ALL { String::new() } else { format!(" {}%", weight.percent()) };
            let alone = if *alone { " alone" } else { "" };
            let healthy = if healthy_since.is_some() { " healthy" } else { "" };
            format!("shifting [{}]{weight}{alone}{healthy}", hosts.join(" "))
        }
        Stage::Settling => "settling".to_owned(),
        Stage::RollingBack => "rolling back".to_owned(),
        Stage::Stopping => "stopping".to_owned(),
        Stage::Stuck => "stuck".to_owned(),
    };
    let problem =
        rollout.problem.as_ref().map(|problem| format!(" ({})", problem.reason)).unwrap_or_default();
    let paused = if rollout.paused.is_some() { " paused" } else { "" };
    let promotion = match rollout.promotion {
        Promotion::None => "",
        Promotion::Step => " promoted",
        Promotion::Full => " promoted in full",
    };
    format!("{name}{problem}{paused}{promotion}")
}

fn places(world: &World, assignment: &Assignment) -> String {
    let hosts: Vec<String> = assignment
        .0
        .iter()
        .map(|(host, components)| {
            let names: Vec<String> = components
                .iter()
                .map(|(name, count)| if *count == 1 { name.to_string() } else { format!("{name} x{count}") })
                .collect();
            format!("{}({})", world.name_of(host), names.join(" "))
        })
        .collect();
    hosts.join(" ")
}
