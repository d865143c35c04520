//! What happens next to a rollout: its record, moved on by what hosts have done.
//!
//! Each function is one edge of the state chart in `docs/rollouts.md`. Whoever changes what hosts are told also
//! takes a new step.

mod back;
mod begin;
mod judgement;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lath_control_api::app::{Cause, ChangeKind, GateStatus, Outcome, Problem};
use lath_control_api::{ComponentName, HostId, Step, Timestamp, Weight};
use lath_manifests::manifest::{RollbackRule, RolloutPolicy, Share};

use crate::assess::Assessment;
use crate::ladder::Ladder;
use crate::observed::ObservedState;
use crate::planted::planted;
use crate::record::{DesiredRecord, Promotion, Rollout, Stage, Window};

pub(crate) use begin::{begin, complete, supersede};
use judgement::{Judgement, judge};

/// What a move of a rollout is decided by.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The time.
    pub now: Timestamp,
    /// Everything that hosts have said. Since when they are heard counts: no rollout is blamed for the time before,
    /// nor called healthy by it.
    pub observed: &'a ObservedState,
    /// How the app wants to be rolled out.
    pub policy: &'a RolloutPolicy,
    /// The steps of the rollout.
    pub ladder: &'a Ladder,
    /// Components of the new revision that the rollout changes and that are called.
    pub changed: &'a BTreeSet<ComponentName>,
    /// How far each host that is there has come with what the record tells it.
    pub hosts: &'a BTreeMap<HostId, Assessment>,
    /// Assigned hosts that might be not ready while the revision before took over.
    pub old_unavailable: Share,
    /// Spreads of the new revision without enough hosts.
    pub unplaced: &'a [Problem],
}

/// What comes of looking at a rollout.
#[derive(Debug, Default)]
pub struct Advance {
    /// The next record, one edge further; none when it stays as it is.
    pub record: Option<DesiredRecord>,
    /// When time alone could change that.
    pub wake_at: Option<Timestamp>,
    /// How the gates of the step at hand stand.
    pub gates: Vec<GateStatus>,
    /// Why only a person can make it go on.
    pub held: Option<String>,
    /// When the time of the step at hand is over.
    pub until: Option<Timestamp>,
    /// Somebody must be asked before the step ends.
    pub asks_webhook: bool,
    /// What it waits for, where that is no host.
    waits_for: Option<String>,
}

impl Advance {
    fn to(record: DesiredRecord) -> Self {
        Self { record: Some(record), ..Self::default() }
    }

    fn held(why: impl Into<String>) -> Self {
        Self { held: Some(why.into()), ..Self::default() }
    }

    fn until(at: Timestamp) -> Self {
        Self { wake_at: Some(at), until: Some(at), ..Self::default() }
    }
}

/// Moves the rollout of `record`, if it has one, along one edge at most.
#[must_use]
pub fn advance(record: &DesiredRecord, situation: &Situation<'_>) -> Advance {
    let Some(rollout) = &record.rollout else { return Advance::default() };
    match &rollout.stage {
        Stage::Preparing
        | Stage::Emptying
        | Stage::Shifting { .. }
        | Stage::Warm { .. }
        | Stage::Settling => Forward { record, rollout, situation }.advance(),
        Stage::RollingBack => back::back(record, rollout, situation),
        Stage::Stopping => back::stop(record, situation),
        Stage::Stuck if planted!("stuck-tries-again") => {
            let rollout = Rollout { stage: Stage::RollingBack, ..rollout.clone() };
            Advance::to(DesiredRecord { rollout: Some(rollout), ..record.clone() })
        }
        Stage::Stuck => Advance::default(),
    }
}

/// A rollout on its way to the new revision.
struct Forward<'a> {
    record: &'a DesiredRecord,
    rollout: &'a Rollout,
    situation: &'a Situation<'a>,
}

/// A step of the ladder as the record has it.
struct Shifting<'a> {
    shifted: &'a BTreeSet<HostId>,
    rung: usize,
    weight: Weight,
    alone: bool,
    healthy_since: Option<Timestamp>,
}

impl Forward<'_> {
    fn advance(&self) -> Advance {
        if self.rollout.problem.is_some() {
            // It has failed, and its policy says that nobody goes back by himself.
            return Advance::held("it has failed; try it again or abort it");
        }
        if let Some(problem) = self.unit_failure() {
            return Advance::to(self.fail(problem));
        }
        let next = match &self.rollout.stage {
            Stage::Preparing => self.prepare(),
            Stage::Emptying => self.empty(),
            Stage::Shifting { shifted, rung, weight, alone, healthy_since } => self.shift(&Shifting {
                shifted,
                rung: *rung,
                weight: *weight,
                alone: *alone,
                healthy_since: *healthy_since,
            }),
            Stage::Warm { until } => self.keep_warm(*until),
            Stage::Settling => self.settle(),
            Stage::RollingBack | Stage::Stopping | Stage::Stuck => Advance::default(),
        };
        if next.record.is_some() || next.held.is_some() || next.until.is_some() {
            return next;
        }
        match self.deadline() {
            Some((deadline, why)) if deadline <= self.situation.now => {
                Advance::to(self.fail(self.overdue(why, next.waits_for)))
            }
            Some((deadline, _)) => {
                Advance { wake_at: next.wake_at.into_iter().chain([deadline]).min(), ..next }
            }
            None => next,
        }
    }

    /// What has failed, or answers badly, beyond what the policy takes.
    fn unit_failure(&self) -> Option<Problem> {
        self.beyond_tolerance(|host| &host.failed).or_else(|| self.beyond_tolerance(|host| &host.unhealthy))
    }

    fn beyond_tolerance(&self, problems: impl Fn(&Assessment) -> &Vec<Problem>) -> Option<Problem> {
        let with_problems = self.situation.hosts.values().map(&problems).filter(|found| !found.is_empty());
        let (mut on_hosts, mut first) = (0_u32, None);
        for found in with_problems {
            on_hosts += 1;
            first = first.or_else(|| found.first().cloned());
        }
        if on_hosts > self.tolerated() {
            return first;
        }
        // A host may be away, but no component may be away with it.
        let is_everywhere = |problem: &&Problem| {
            let has =
                |host: &Assessment| problems(host).iter().any(|other| other.component == problem.component);
            let Some(name) = &problem.component else { return false };
            self.places(name).all(|host| self.situation.hosts.get(host).is_some_and(has))
        };
        let mut all = self.situation.hosts.values().flat_map(&problems);
        all.find(is_everywhere).cloned()
    }

    /// Where a component of the new revision belongs.
    fn places<'a>(&'a self, component: &'a ComponentName) -> impl Iterator<Item = &'a HostId> {
        let on = &self.record.assignment.0;
        on.iter().filter(|(_, on)| on.contains_key(component)).map(|(host, _)| host)
    }

    /// Assigned hosts that may be not ready.
    fn tolerated(&self) -> u32 {
        let hosts = u32::try_from(self.record.assignment.hosts().count()).unwrap_or(u32::MAX);
        self.situation.policy.max_unavailable.of_rounded_down(hosts).min(hosts.saturating_sub(1))
    }

    fn all_ready(&self) -> bool {
        self.situation.unplaced.is_empty() && self.assigned_ready()
    }

    /// Every host that has been given something is ready, but for as many as may be missing.
    fn assigned_ready(&self) -> bool {
        let ready = |host: &HostId| self.situation.hosts.get(host).is_some_and(Assessment::is_ready);
        let missing = self.record.assignment.hosts().filter(|host| !ready(host)).count();
        if missing == 0 {
            return true;
        }
        // A host may be away, but no component may be away with it.
        let has = |host, name| self.situation.hosts.get(host).is_some_and(|host| host.has_ready(name));
        let mut names = self.record.assignment.0.values().flat_map(BTreeMap::keys);
        u32::try_from(missing).is_ok_and(|missing| missing <= self.tolerated())
            && names.all(|name| self.places(name).any(|host| has(host, name)))
    }

    /// When a rollout that does not come forward has failed, and what that is called; none while it may take as long
    /// as it takes.
    fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        let Self { record, rollout, situation } = self;
        // The first deploy of an app waits for hosts: there is nothing better to go back to.
        if record.serving.is_none() && !situation.unplaced.is_empty() {
            return None;
        }
        let since = rollout.progressed.max(situation.observed.listening_since());
        let policy = situation.policy;
        match &rollout.stage {
            // Hosts drain by their own deadline, which comes on top.
            Stage::Settling => {
                Some((since.plus(policy.progress_deadline + policy.drain_deadline), "progress"))
            }
            // What was ready and is not any more has less time than what is made ready for the first time.
            Stage::Shifting { healthy_since: None, .. } => {
                Some((since.plus(policy.healthy_deadline), "healthy"))
            }
            // Its own time and a webhook's answer are part of a step.
            Stage::Shifting { rung, .. } => {
                let bake = self.bake(*rung).unwrap_or_default();
                Some((since.plus(bake.saturating_add(policy.progress_deadline)), "progress"))
            }
            Stage::Preparing | Stage::Emptying => Some((since.plus(policy.progress_deadline), "progress")),
            Stage::Warm { .. } | Stage::RollingBack | Stage::Stopping | Stage::Stuck => None,
        }
    }

    fn overdue(&self, which: &str, waits_for: Option<String>) -> Problem {
        let situation = self.situation;
        let waiting = situation.hosts.values().flat_map(|host| &host.waiting).next().cloned();
        let unplaced = situation.unplaced.first().map(|problem| problem.message.clone());
        let since = self.rollout.progressed.max(situation.observed.listening_since());
        Problem {
            reason: format!("{which}-deadline"),
            message: format!(
                "no progress for {} s; waiting for {}",
                situation.now.since(since).as_secs(),
                unplaced.or(waiting).or(waits_for).unwrap_or_else(|| "the next step".to_owned())
            ),
            component: None,
            host: None,
            host_name: None,
        }
    }

    /// The rollout has failed: go back, or hold where it is when the policy says so.
    fn fail(&self, problem: Problem) -> DesiredRecord {
        let policy = self.situation.policy;
        let by_itself =
            policy.auto_rollback && policy.rollback == RollbackRule::Allowed || planted!("back-by-itself");
        let held = !by_itself && self.record.serving.is_some();
        let mut next = take_back(self.record, self.rollout, problem, self.situation.now);
        if held {
            next.generation = self.record.generation;
            next.step = self.record.step;
            if let Some(rollout) = &mut next.rollout {
                rollout.stage = self.rollout.stage.clone();
            }
        }
        next
    }

    fn paused(&self) -> Option<Advance> {
        let pause = self.rollout.paused.as_ref().filter(|_| !planted!("ignore-pause"))?;
        Some(Advance::held(pause.why.clone()))
    }

    /// The same record in another stage, with new commands for hosts.
    fn enter(&self, stage: Stage) -> Advance {
        let step = self.record.step;
        Advance::to(self.with(stage, if planted!("forget-step") { step } else { step.next() }))
    }

    fn with(&self, stage: Stage, step: Step) -> DesiredRecord {
        let fresh = step != self.record.step;
        let full = self.rollout.promotion == Promotion::Full;
        let promotion = if fresh && !full { Promotion::None } else { self.rollout.promotion };
        let progressed = if fresh { self.situation.now } else { self.rollout.progressed };
        let window = self.rollout.window.clone().filter(|_| !fresh);
        let rollout = Rollout { stage, promotion, progressed, window, ..self.rollout.clone() };
        DesiredRecord { step, rollout: Some(rollout), ..self.record.clone() }
    }

    fn prepare(&self) -> Advance {
        if !self.all_ready() && !planted!("shift-unready") {
            return Advance::default();
        }
        if let Some(paused) = self.paused() {
            return paused;
        }
        if self.situation.ladder.waits_for_promotion && self.rollout.promotion.is_none() {
            return Advance::held("the new revision is ready and waits to be promoted");
        }
        if let Some(asked) = self.ask_webhook() {
            return asked;
        }
        if self.situation.ladder.empties {
            return self.enter(Stage::Emptying);
        }
        self.first_rung(false)
    }

    fn first_rung(&self, alone: bool) -> Advance {
        self.climb(0, &BTreeSet::new(), alone)
    }

    /// Every host has to say that nothing of the app is left.
    fn empty(&self) -> Advance {
        // While no host will do, nobody says anything, and that is no answer.
        let silent = !self.situation.unplaced.is_empty();
        if !silent && self.situation.hosts.values().all(Assessment::is_settled) {
            return self.first_rung(true);
        }
        Advance::default()
    }

    /// Gives the next hosts their share on this rung, or all hosts theirs on the next one; settles after the last.
    fn climb(&self, rung: usize, shifted: &BTreeSet<HostId>, alone: bool) -> Advance {
        let ladder = self.situation.ladder;
        let wave = ladder.next_wave(shifted);
        let (rung, shifted) = match wave {
            Some(wave) => (rung, shifted.union(&wave).cloned().collect()),
            // The waves of a rung are over: on the next one all hosts have their turn at once, as none is new to it.
            None if rung + 1 < ladder.rungs.len() => (rung + 1, shifted.clone()),
            None => return self.leave(),
        };
        let Some(weight) = ladder.rungs.get(rung).map(|rung| rung.weight) else { return self.leave() };
        self.enter(Stage::Shifting { shifted, rung, weight, alone, healthy_since: None })
    }

    fn leave(&self) -> Advance {
        let warm = self.situation.ladder.warm;
        if warm.is_zero() || self.record.serving.is_none() {
            return self.enter(Stage::Settling);
        }
        // Hosts are told nothing new, so the step stays.
        let mut next = self.with(Stage::Warm { until: self.situation.now.plus(warm) }, self.record.step);
        if let Some(rollout) = &mut next.rollout {
            rollout.promotion = Promotion::None;
            rollout.window = None;
        }
        next.end_history(Outcome::Completed, None, self.situation.now);
        begin::note_good(&mut next);
        Advance::to(next)
    }

    fn bake(&self, rung: usize) -> Option<Duration> {
        self.situation.ladder.rungs.get(rung).and_then(|rung| rung.bake)
    }

    fn shift(&self, at: &Shifting<'_>) -> Advance {
        let Situation { now, observed, ladder, .. } = *self.situation;
        if !self.all_ready() {
            // Whatever was healthy is not any more: the step's time begins again.
            return match at.healthy_since {
                None => Advance::default(),
                Some(_) => Advance::to(self.with_health(at, None, None)),
            };
        }
        // Who pauses after a promotion means that.
        let paused = self.paused();
        if self.rollout.promotion == Promotion::Full && !self.has_all(at) && paused.is_none() {
            let (rung, shifted) = (0, self.record.assignment.hosts().cloned().collect());
            let (weight, alone) = (Weight::ALL, at.alone);
            return self.enter(Stage::Shifting { shifted, rung, weight, alone, healthy_since: None });
        }
        // On one rung without waves a host that came later has the same share as the others.
        let held = paused.is_some() && self.rollout.promotion == Promotion::Full;
        if ladder.waves.len() <= 1
            && !held
            && let Some(late) = ladder.next_wave(at.shifted)
        {
            let shifted = at.shifted.union(&late).cloned().collect();
            let (rung, weight, alone) = (at.rung, at.weight, at.alone);
            return self.enter(Stage::Shifting { shifted, rung, weight, alone, healthy_since: None });
        }
        let Some(since) = at.healthy_since else {
            let window = ladder.gated.then(|| self.counted());
            return Advance::to(self.with_health(at, Some(now), window));
        };
        let baked = self.bake(at.rung).map(|bake| since.max(observed.listening_since()).plus(bake));
        let judged = judge(self, at);
        let gates = judged.gates;
        let next = match judged.judgement {
            Judgement::Failed(problem) => return Advance { gates, ..Advance::to(self.fail(problem)) },
            Judgement::Anew(window) => return Advance::to(self.with_health(at, Some(now), Some(window))),
            Judgement::Holds | Judgement::Unknown(_) if paused.is_some() => paused.unwrap_or_default(),
            Judgement::Holds | Judgement::Unknown(_) if self.rollout.promotion != Promotion::None => {
                self.go_on(at)
            }
            Judgement::Holds | Judgement::Unknown(_) if baked.is_some_and(|baked| now < baked) => {
                baked.map(Advance::until).unwrap_or_default()
            }
            // A person decides, and sees how the gates stand.
            Judgement::Holds | Judgement::Unknown(_) if baked.is_none() => Advance::held(format!(
                "{} of the traffic is on the new revision, and it waits to be promoted",
                percent(at.weight)
            )),
            Judgement::Unknown(what) => self.unknown(at, what),
            Judgement::Holds => self.go_on(at),
        };
        Advance { gates, ..next }
    }

    fn go_on(&self, at: &Shifting<'_>) -> Advance {
        let all = self.has_all(at);
        match if all { None } else { self.ask_webhook() } {
            Some(asked) => asked,
            None => self.climb(at.rung, at.shifted, at.alone),
        }
    }

    /// Whether nothing is left to be moved.
    fn has_all(&self, at: &Shifting<'_>) -> bool {
        at.weight == Weight::ALL && self.record.assignment.hosts().all(|host| at.shifted.contains(host))
    }

    fn with_health(
        &self,
        at: &Shifting<'_>,
        healthy_since: Option<Timestamp>,
        window: Option<Window>,
    ) -> DesiredRecord {
        let (shifted, rung, weight, alone) = (at.shifted.clone(), at.rung, at.weight, at.alone);
        // Hosts are told nothing new by this, so the step stays.
        let mut next =
            self.with(Stage::Shifting { shifted, rung, weight, alone, healthy_since }, self.record.step);
        if let Some(rollout) = &mut next.rollout {
            rollout.window = window;
            if healthy_since.is_none() {
                rollout.progressed = self.situation.now;
            }
        }
        next
    }

    fn keep_warm(&self, until: Timestamp) -> Advance {
        if self.rollout.promotion == Promotion::None && self.situation.now < until {
            return Advance::until(until);
        }
        self.enter(Stage::Settling)
    }

    /// Done when every host that is there has the new revision alone, or is overdue with ending the old one.
    fn settle(&self) -> Advance {
        // When all that is missing is the end of old instances, the new ones are not to blame.
        // On a host where the new one may be missing the old one goes on.
        let ready = self.situation.hosts.values().filter(|host| host.is_ready());
        let gone = ready.into_iter().all(|host| host.draining == 0);
        let overdue = self.deadline().is_some_and(|(deadline, _)| deadline <= self.situation.now);
        // What has no place now waits for one when the rollout is over, as it would at any other time.
        let ready = self.assigned_ready() || planted!("settle-unready");
        if !ready || !(gone || overdue) {
            return Advance::default();
        }
        let mut next = self.record.clone();
        complete(&mut next);
        next.rollout = None;
        next.end_history(Outcome::Completed, None, self.situation.now);
        Advance::to(next)
    }
}

fn percent(weight: Weight) -> String {
    format!("{} %", weight.percent())
}

/// The rollout leads back from here, because of `problem`.
pub(crate) fn take_back(
    record: &DesiredRecord,
    rollout: &Rollout,
    problem: Problem,
    now: Timestamp,
) -> DesiredRecord {
    let mut next = record.clone();
    if let Some(revision) = record.revision {
        next.failed.insert(revision, problem.clone());
        next.good.retain(|good| *good != revision);
    }
    next.generation = record.generation.next();
    next.step = Step(1);
    if matches!(rollout.stage, Stage::Warm { .. }) {
        // Its change had ended well already: what follows is another.
        next.begin_history(ChangeKind::Rollback, record.revision, Cause::default(), now);
        if let Some(entry) = next.history.first_mut() {
            entry.revision = record.serving;
        }
    }
    let (stage, problem) = (Stage::RollingBack, Some(problem));
    next.rollout = Some(Rollout {
        stage,
        problem,
        progressed: now,
        paused: None,
        promotion: Promotion::None,
        window: None,
        ..rollout.clone()
    });
    next
}
