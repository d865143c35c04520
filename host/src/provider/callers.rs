//! Links from components of this host to providers of other apps: put before their component is ready, held as long as
//! it is there, and told to the hosts of a provider that ask.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use lath_control_api::{
    AppName, ComponentId, ComponentSpec, HoldPolicy, HostId, IncomingLink, LinkAnswer, LinkDeleteRequest,
    LinkHeld, LinkInventory, LinkKey, LinkPutRequest, LinkReply, LinksReply, LinksRequest, ProviderTarget,
    Reason, Subjects, UnverifiedLinks,
};
use lath_host_core::{LinkTerms, UnitKey};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::foreign::{request, send};
use super::link::standing;
use crate::capability::bound::Bound;
use crate::engine::PrepareError;

/// Longest wait for the first host of a provider to say that it takes a link on.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);
/// How long further hosts have after the first one.
const OTHERS_WITHIN: Duration = Duration::from_millis(300);
/// Longest wait for the provider's verdict on every host that took the link on.
const VERDICT_WITHIN: Duration = Duration::from_secs(6);

/// A link that a unit of this host has to a provider of another app.
#[derive(Debug, Clone)]
struct Out {
    /// The hold that it belongs to: a unit that is prepared anew has another one.
    holding: u64,
    unit: UnitKey,
    target: ComponentId,
    link: IncomingLink,
    hold: HoldPolicy,
    answer: LinkAnswer,
}

/// The links of this host's components to providers of other apps.
#[derive(Debug, Clone)]
pub(crate) struct Callers {
    nats: async_nats::Client,
    subjects: Subjects,
    host: HostId,
    held: Arc<Mutex<Vec<Out>>>,
}

impl Callers {
    pub(crate) fn new(nats: async_nats::Client, subjects: Subjects, host: HostId) -> Self {
        Self { nats, subjects, host, held: Arc::default() }
    }

    /// Puts every link of a spec that leads to a provider of another app. They are held until what is returned is given
    /// back.
    ///
    /// # Errors
    /// `LinkRefused` with the provider's words, `LinkUnverified` where it said nothing and that does not do.
    pub(crate) async fn put(
        &self,
        unit: &UnitKey,
        spec: &ComponentSpec,
        terms: LinkTerms,
    ) -> Result<Option<Arc<dyn Bound>>, PrepareError> {
        let elsewhere = spec.links.iter().filter(|link| link.provider == Some(ProviderTarget::Elsewhere));
        let links: Vec<_> =
            elsewhere.map(|link| (link.target.clone(), IncomingLink::of(&unit.id, link))).collect();
        if links.is_empty() {
            return Ok(None);
        }
        let holding = Holding::new(self.clone());
        for (target, link) in links {
            // Held before it is asked for: a provider that starts in this moment asks for its links, too.
            let out = Out {
                holding: holding.number,
                unit: unit.clone(),
                target,
                link,
                hold: terms.hold,
                answer: LinkAnswer::Absent,
            };
            self.held().push(out.clone());
            let answer = self.ask(&out).await;
            self.note(&out, &answer);
            if let Err(error) = judge(&out, &answer, terms.unverified) {
                holding.give_back().await;
                return Err(error);
            }
        }
        Ok(Some(Arc::new(holding)))
    }

    fn note(&self, out: &Out, answer: &LinkAnswer) {
        let mut held = self.held();
        let is_it = |held: &&mut Out| held.holding == out.holding && held.target == out.target;
        let mut same = held.iter_mut().filter(is_it);
        if let Some(held) = same.find(|held| held.link == out.link) {
            held.answer = answer.clone();
        }
    }

    /// Asks the hosts of the provider to give it the link; the worst of their answers.
    async fn ask(&self, out: &Out) -> LinkAnswer {
        let Out { unit, target, link, hold, .. } = out;
        let (host, app, link) = (self.host.clone(), unit.app.clone(), link.clone());
        let ask = LinkPutRequest { host, app, link, hold: *hold };
        match request(&self.nats, self.subjects.put_link(target), &ask).await {
            Some(answers) => worst_of(answers).await,
            None => LinkAnswer::Absent,
        }
    }

    /// A hold has ended: its links go with the last one that has them, and one that another has in another form is put again
    /// in that.
    async fn release(&self, holding: u64) {
        let gone: Vec<Out> = {
            let mut held = self.held();
            let (gone, stay) = held.drain(..).partition(|out: &Out| out.holding == holding);
            *held = stay;
            gone
        };
        for out in gone {
            let key = out.link.key();
            let other = {
                let held = self.held();
                let mut same = held.iter().filter(|held| held.target == out.target && held.link.key() == key);
                same.next_back().cloned()
            };
            match other {
                Some(other) if other.link == out.link => {}
                Some(other) => {
                    let answer = self.ask(&other).await;
                    self.note(&other, &answer);
                }
                None => {
                    let ask = LinkDeleteRequest { host: self.host.clone(), link: key };
                    send(&self.nats, self.subjects.delete_link(&out.target), None, &ask).await;
                }
            }
        }
    }

    /// The links of a unit, for the inventory.
    pub(crate) fn links(&self, unit: &UnitKey) -> Vec<LinkInventory> {
        let held = self.held();
        let of_unit = held.iter().filter(|out| out.unit == *unit);
        of_unit
            .map(|out| {
                let (state, message) = standing(&out.answer);
                LinkInventory { link: out.link.key(), target: out.target.clone(), state, message }
            })
            .collect()
    }

    /// Tells the hosts of providers which links there are, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Ok(mut requests) = self.nats.subscribe(self.subjects.links_of_hosts()).await else { return };
        while let Some(Some(message)) = shutdown.run_until_cancelled(requests.next()).await {
            self.answer(&message).await;
        }
    }

    async fn answer(&self, message: &Message) {
        let Some(reply) = message.reply.clone() else { return };
        let Ok(LinksRequest { provider }) = serde_json::from_slice(&message.payload) else { return };
        let mut links = BTreeMap::<(AppName, LinkKey), IncomingLink>::new();
        for out in self.held().iter().filter(|out| out.target == provider) {
            links.insert((out.unit.app.clone(), out.link.key()), out.link.clone());
        }
        if links.is_empty() {
            return;
        }
        let links = links.into_iter().map(|((app, _), link)| LinkHeld { app, link }).collect();
        let answer = LinksReply { host: self.host.clone(), links };
        send(&self.nats, reply.to_string(), None, &answer).await;
    }

    fn held(&self) -> MutexGuard<'_, Vec<Out>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge(out: &Out, answer: &LinkAnswer, unverified: UnverifiedLinks) -> Result<(), PrepareError> {
    let (key, target) = (out.link.key(), &out.target);
    match (answer, unverified) {
        (LinkAnswer::Refused { message }, _) => {
            let message = format!("the provider {target} refuses the link {key}: {message}");
            Err(PrepareError::new(Reason::LinkRefused, message))
        }
        (LinkAnswer::Unverified | LinkAnswer::Taken, UnverifiedLinks::Fail) => {
            let message = format!(
                "the provider {target} has said nothing about the link {key}, and the app's policy asks for an answer"
            );
            Err(PrepareError::new(Reason::LinkUnverified, message))
        }
        // One that runs nowhere now asks for its links when it starts.
        (LinkAnswer::Absent | LinkAnswer::Accepted | LinkAnswer::Unverified | LinkAnswer::Taken, _) => Ok(()),
    }
}

/// The worst answer of all hosts: each answers at once, and again if it has taken the link on.
async fn worst_of(mut answers: Subscriber) -> LinkAnswer {
    let (mut hosts, begun) = (BTreeMap::<HostId, LinkAnswer>::new(), Instant::now());
    let mut others_until = None;
    loop {
        let open = hosts.values().any(|answer| *answer == LinkAnswer::Taken);
        let until = match others_until {
            None => begun + TAKEN_WITHIN,
            Some(others) if open => (begun + VERDICT_WITHIN).max(others),
            Some(others) => others,
        };
        let Ok(Some(message)) = timeout_at(until, answers.next()).await else { break };
        if message.status.is_some() {
            // Nobody listens: no host has the provider.
            break;
        }
        if let Ok(LinkReply { host, answer }) = serde_json::from_slice(&message.payload) {
            others_until.get_or_insert_with(|| Instant::now() + OTHERS_WITHIN);
            hosts.insert(host, answer);
        }
    }
    let rank = |answer: &LinkAnswer| match answer {
        LinkAnswer::Refused { .. } => 4,
        LinkAnswer::Unverified | LinkAnswer::Taken => 3,
        LinkAnswer::Accepted => 2,
        LinkAnswer::Absent => 1,
    };
    hosts.into_values().max_by_key(rank).unwrap_or(LinkAnswer::Absent)
}

/// A unit's hold on its links to providers of other apps. Whoever ends it waits for that; where nobody does, because the unit
/// was no longer wanted before it was ready, it ends by itself.
#[derive(Debug)]
struct Holding {
    callers: Callers,
    number: u64,
    ended: AtomicBool,
}

impl Holding {
    fn new(callers: Callers) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { callers, number, ended: AtomicBool::new(false) }
    }

    async fn give_back(&self) {
        self.callers.release(self.number).await;
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // Without a runtime the whole host ends, and its links with it.
        if !*self.ended.get_mut()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (callers, number) = (self.callers.clone(), self.number);
            runtime.spawn(async move { callers.release(number).await });
        }
    }
}

impl Bound for Holding {
    fn unbind(&self) -> BoxFuture<'_, Result<(), String>> {
        async move {
            self.give_back().await;
            Ok(())
        }
        .boxed()
    }
}
