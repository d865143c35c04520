//! One provider on this host: the specs of it that are here, their processes and shares, and the links that begin at it.
//!
//! Whoever changes what is wanted says so and goes on; tasks follow and say how far they have come. Which link goes to
//! which process is decided in `lath_host_core::sources`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lath_control_api::{ComponentId, LinkAnswer, LinkKey, LinkState, Reason, UnverifiedLinks, Weight};
use lath_host_core::UnitKey;
use lath_host_core::sources::{Claim, Move, moves};
use tokio::sync::watch;

use super::actor::refusal;
use super::link::Link;
use super::process::Process;
use crate::engine::PrepareError;

/// Links that begin at a provider, by what tells them apart.
pub(crate) type Sources = BTreeMap<LinkKey, Link>;

/// One spec of the provider that is here.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub(super) process: Arc<Process>,
    pub(super) wants: Arc<Sources>,
    /// Its share of the calls that come for the provider.
    pub(super) weight: Weight,
}

/// What is wanted of the provider on this host, and how often that has changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) times: u64,
    pub(super) here: BTreeMap<UnitKey, Here>,
}

/// How far the links have followed.
#[derive(Debug, Clone, Default)]
pub(super) struct Done {
    pub(super) times: u64,
    /// Specs of which a link was refused that they had with all traffic, or asked for while they were made ready.
    pub(super) refused: BTreeMap<UnitKey, String>,
}

/// The place of one provider.
#[derive(Debug)]
pub(crate) struct Place {
    wanted: watch::Sender<Wanted>,
    done: watch::Receiver<Done>,
    pub(super) forwarded: watch::Receiver<u64>,
}

impl Place {
    pub(super) fn new(forwarded: watch::Receiver<u64>, wanted: watch::Sender<Wanted>) -> Self {
        let (done_sender, done) = watch::channel(Done::default());
        tokio::spawn(follow(wanted.subscribe(), done_sender));
        Self { wanted, done, forwarded }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<UnitKey, Here>)) -> u64 {
        let mut times = 0;
        self.wanted.send_modify(|wanted| {
            wanted.times += 1;
            times = wanted.times;
            change(&mut wanted.here);
        });
        times
    }

    /// Whether no spec of the provider is here.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.borrow().here.is_empty()
    }

    /// Processes of it, each once.
    pub(super) fn processes(&self) -> Vec<Arc<Process>> {
        processes(&self.wanted.borrow())
    }

    /// Sets the shares; specs that are not named have none.
    pub(super) fn share(&self, weights: &BTreeMap<UnitKey, Weight>) {
        let weight = |unit: &UnitKey| weights.get(unit).copied().unwrap_or(Weight::NONE);
        if self.wanted.borrow().here.iter().all(|(unit, here)| here.weight == weight(unit)) {
            return;
        }
        self.change(|here| here.iter_mut().for_each(|(unit, here)| here.weight = weight(unit)));
    }

    /// Its processes by share: the end of the part of 0 to 99 that each has.
    pub(super) fn parts(&self) -> Vec<(u8, Arc<Process>)> {
        parts(&self.wanted.borrow())
    }

    /// How far the links have followed, now and later.
    pub(super) fn verdicts(&self) -> watch::Receiver<Done> {
        self.done.clone()
    }

    /// Waits until links and subscriptions are as was wanted last.
    pub(crate) async fn settled(&self) {
        let times = self.wanted.borrow().times;
        let (mut done, mut forwarded) = (self.done.clone(), self.forwarded.clone());
        // An error means that the task is over: nothing follows any more.
        let _over = done.wait_for(|done| done.times >= times).await.is_ok();
        let _over = forwarded.wait_for(|followed| *followed >= times).await.is_ok();
    }

    /// Why the provider does not serve a spec as it is wanted, if a link of it was refused.
    pub(crate) fn refused(&self, unit: &UnitKey) -> Option<String> {
        self.done.borrow().refused.get(unit).cloned()
    }
}

/// Every process that is here, once.
pub(super) fn processes(wanted: &Wanted) -> Vec<Arc<Process>> {
    let mut known = BTreeSet::new();
    let all = wanted.here.values().map(|here| &here.process);
    all.filter(|process| known.insert(process.serial)).cloned().collect()
}

/// Processes by share: the end of the part of 0 to 99 that each has.
pub(super) fn parts(wanted: &Wanted) -> Vec<(u8, Arc<Process>)> {
    let mut end = 0_u8;
    let weighted = wanted.here.values().filter(|here| here.weight != Weight::NONE);
    let part = weighted.map(|here| {
        end = end.saturating_add(here.weight.percent());
        (end, Arc::clone(&here.process))
    });
    part.collect()
}

/// A spec's presence at its place. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    place: Arc<Place>,
    unit: UnitKey,
    here: Here,
}

impl Presence {
    /// Puts a spec in its place, without a share. Its links are given to its process where nobody has them.
    ///
    /// # Errors
    /// `LinkRefused` with the provider's words, or `LinkUnverified` where it said nothing and that does not do.
    pub(crate) async fn enter(
        place: &Arc<Place>,
        unit: UnitKey,
        process: &Arc<Process>,
        wants: Sources,
        unverified: UnverifiedLinks,
    ) -> Result<Self, PrepareError> {
        let here = Here { process: Arc::clone(process), wants: Arc::new(wants), weight: Weight::NONE };
        let presence = Self { place: Arc::clone(place), unit, here };
        presence.come_back();
        place.settled().await;
        if let Some(message) = place.refused(&presence.unit) {
            return Err(PrepareError::new(Reason::LinkRefused, message));
        }
        judge(process, unverified)?;
        Ok(presence)
    }

    /// The spec is wanted, with all of its links.
    pub(crate) fn come_back(&self) {
        self.place.change(|all| drop(all.insert(self.unit.clone(), self.here.clone())));
    }

    /// The spec gives its links up, and still takes calls.
    pub(crate) fn give_links_up(&self) {
        self.place.change(|all| {
            if let Some(here) = all.get_mut(&self.unit) {
                here.wants = Arc::default();
            }
        });
    }

    /// The spec takes no calls any more.
    pub(crate) fn go(&self) {
        self.place.change(|all| drop(all.remove(&self.unit)));
    }

    /// Its place.
    pub(crate) const fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Its process.
    pub(crate) const fn process(&self) -> &Arc<Process> {
        &self.here.process
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.go();
    }
}

/// Whether the links of a process that its own app gives it do: none was refused, and, where that is asked for, none was met with silence.
pub(crate) fn judge(process: &Process, unverified: UnverifiedLinks) -> Result<(), PrepareError> {
    for (id, state, message) in process.own_standings() {
        match (state, unverified) {
            (LinkState::Refused, _) => {
                return Err(PrepareError::new(Reason::LinkRefused, refusal(&id, &message)));
            }
            (LinkState::Unverified, UnverifiedLinks::Fail) => {
                let (link, target) = id.ends(&process.provider);
                let message = format!(
                    "the provider has said nothing about the link {link} to {target}, and the app's policy asks for an answer"
                );
                return Err(PrepareError::new(Reason::LinkUnverified, message));
            }
            (LinkState::Accepted | LinkState::Waiting | LinkState::Unverified, _) => {}
        }
    }
    Ok(())
}

/// A link that a process has, in the form that it has it.
struct Had {
    process: Arc<Process>,
    link: Link,
}

/// Gives links to processes and takes them away, one after another, as often as what is wanted changes.
async fn follow(mut wanted: watch::Receiver<Wanted>, done: watch::Sender<Done>) {
    let mut had = BTreeMap::<(LinkKey, u64), Had>::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        let refused = settle(&now, &mut had).await;
        done.send_replace(Done { times: now.times, refused });
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

type Claims = BTreeMap<UnitKey, Claim<u64, LinkKey, Link>>;

async fn settle(wanted: &Wanted, had: &mut BTreeMap<(LinkKey, u64), Had>) -> BTreeMap<UnitKey, String> {
    had.retain(|_, had| !had.process.state().borrow().is_over());
    let claims: Claims = wanted.here.iter().map(|(unit, here)| (unit.clone(), claim(here))).collect();
    let (mut refused, mut words) = (BTreeSet::new(), BTreeMap::new());
    // Each refusal leaves one form of one link out of account; every other round ends with nothing left to do.
    loop {
        let held = had.iter().map(|(place, had)| (place.clone(), had.link.clone())).collect();
        let steps = moves(&claims, &held, &refused);
        if steps.is_empty() {
            return words;
        }
        for step in steps {
            match step {
                Move::Delete { from, link } => {
                    if let Some(gone) = had.remove(&(link, from)) {
                        gone.process.delete(gone.link.id).await;
                    }
                }
                Move::Put { spec, to, link } => {
                    let (Some(here), Some(form)) = (wanted.here.get(&spec), wants(wanted, &spec, &link))
                    else {
                        continue;
                    };
                    match here.process.put(form.clone()).await {
                        LinkAnswer::Refused { message } => {
                            here.process.delete(form.id.clone()).await;
                            words.entry(spec.clone()).or_insert_with(|| refusal(&form.id, &message));
                            refused.insert((spec, link));
                        }
                        LinkAnswer::Accepted
                        | LinkAnswer::Unverified
                        | LinkAnswer::Taken
                        | LinkAnswer::Absent => {
                            had.insert((link, to), Had { process: Arc::clone(&here.process), link: form });
                        }
                    }
                }
            }
        }
    }
}

fn claim(here: &Here) -> Claim<u64, LinkKey, Link> {
    Claim { process: here.process.serial, wants: (*here.wants).clone(), leads: here.weight == Weight::ALL }
}

fn wants(wanted: &Wanted, unit: &UnitKey, link: &LinkKey) -> Option<Link> {
    wanted.here.get(unit)?.wants.get(link).cloned()
}

/// What tells the links that begin at `provider` apart: as manifests do, whoever is at their other end.
pub(crate) fn source_key(provider: &ComponentId, link: &Link) -> LinkKey {
    link.id.ends(provider).0
}
