//! One process of a provider as the rest of the host sees it: how it stands, what it is asked, who calls it.
//!
//! What is done with it is in `actor.rs`, when it is wanted in `pool.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lath_control_api::{ComponentId, HostId, Limits, LinkAnswer, LinkInventory, LinkState, Reason, WireId};
use tokio::sync::{mpsc, oneshot, watch};

use super::link::{End, Link, LinkId, Values, standing};
use super::programs::Installed;
use crate::claims::Signed;
use crate::engine::{PrepareError, UnitIdentity};

/// Orders that may wait for a process. Whoever gives one waits for its answer, so there are few.
const WAITING: usize = 256;

/// What a process is started with, each time it is.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The unit that needed it first: its log lines are under this name.
    pub(crate) identity: UnitIdentity,
    pub(crate) limits: Limits,
    pub(crate) wire: WireId,
    pub(crate) program: Arc<Installed>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) secrets: Values,
    /// Links of its own app that lead to it.
    pub(crate) links: Vec<Link>,
}

/// How a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was started and has not said yet that it is well.
    Starting,
    /// It runs and is well.
    Up,
    /// It runs and is not well, or it has ended and is started again in a moment.
    Ailing(Reason, String),
    /// It has ended, and is started again only when somebody asks for another.
    Ended(PrepareError),
    /// It has ended because nobody wanted it any more.
    Gone,
}

impl State {
    /// Whether there is nothing to come of this process.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Gone)
    }
}

/// How long a process is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It is.
    Stay,
    /// Nobody needs it; it goes when nobody has called it for a moment.
    Leave,
    /// The host ends: it goes at once, and is gone by then.
    End(Instant),
}

/// What a process is asked to do. It answers when it runs.
#[derive(Debug)]
pub(super) enum Order {
    Put(Box<Link>, oneshot::Sender<LinkAnswer>),
    Delete(LinkId, oneshot::Sender<LinkAnswer>),
}

pub(super) type Standings = Arc<Mutex<BTreeMap<LinkId, (LinkState, String)>>>;

/// The parts of a process that its actor keeps.
#[derive(Debug)]
pub(super) struct ActorSide {
    pub(super) state: watch::Sender<State>,
    pub(super) wish: watch::Receiver<Wish>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) standings: Standings,
    pub(super) calls: Arc<Calls>,
}

/// A process, running or between two starts.
#[derive(Debug)]
pub(crate) struct Process {
    /// What its content is called in the lattice.
    pub(crate) wire: WireId,
    /// The plain id of the provider.
    pub(crate) provider: ComponentId,
    /// Its provider key: it is alone in the lattice.
    pub(crate) key: String,
    pub(crate) calls: Arc<Calls>,
    /// Tells it from others of the same content, before and after it.
    pub(super) serial: u64,
    state: watch::Receiver<State>,
    wish: watch::Sender<Wish>,
    orders: mpsc::Sender<Order>,
    standings: Standings,
    /// Links of its own app that lead to it: it is started with them.
    own: BTreeSet<LinkId>,
    /// What is signed of its code.
    pub(crate) signed: Option<Arc<Signed>>,
}

/// The provider key of the process of this content on this host. The same content runs on several hosts, and each of
/// its processes must be asked for its own health, told of its own links, and be found by its own host first.
pub(crate) fn key(wire: &WireId, host: &HostId) -> String {
    format!("{wire}-{}", host.as_str().get(1..9).unwrap_or_default())
}

impl Process {
    pub(super) fn new(
        wire: WireId,
        provider: ComponentId,
        own: BTreeSet<LinkId>,
        signed: Option<Arc<Signed>>,
        host: &HostId,
    ) -> (Self, ActorSide) {
        let (state_sender, state) = watch::channel(State::Starting);
        let (wish, wish_receiver) = watch::channel(Wish::Stay);
        let (orders, order_receiver) = mpsc::channel(WAITING);
        let (standings, calls) = (Standings::default(), Arc::new(Calls::new()));
        let actor = ActorSide {
            state: state_sender,
            wish: wish_receiver,
            orders: order_receiver,
            standings: Arc::clone(&standings),
            calls: Arc::clone(&calls),
        };
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let (key, serial) = (key(&wire, host), SERIAL.fetch_add(1, Ordering::Relaxed));
        (Self { serial, wire, provider, key, calls, state, wish, orders, standings, own, signed }, actor)
    }

    /// How it stands, now and later.
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it is well for the first time.
    ///
    /// # Errors
    /// Why it never was, or that it has gone meanwhile.
    pub(crate) async fn ready(&self) -> Result<(), PrepareError> {
        let mut state = self.state();
        let settled = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match settled.map(|state| state.clone()) {
            Ok(State::Ended(error)) => Err(error),
            Ok(State::Up | State::Ailing(..) | State::Starting) => Ok(()),
            Ok(State::Gone) | Err(_) => {
                Err(PrepareError::new(Reason::ProviderExited, "the host has ended the provider"))
            }
        }
    }

    pub(super) fn wish(&self, wish: Wish) {
        self.wish.send_replace(wish);
    }

    /// Gives it a link. The same one again changes nothing; another under the same id takes its place.
    pub(crate) async fn put(&self, link: Link) -> LinkAnswer {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Put(Box::new(link), reply), answer).await
    }

    /// Takes a link away from it.
    pub(crate) async fn delete(&self, link: LinkId) -> LinkAnswer {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Delete(link, reply), answer).await
    }

    async fn order(&self, order: Order, answer: oneshot::Receiver<LinkAnswer>) -> LinkAnswer {
        if self.orders.send(order).await.is_err() {
            return LinkAnswer::Absent;
        }
        // Without an answer it has ended, and its links with it.
        answer.await.unwrap_or(LinkAnswer::Absent)
    }

    /// How the links of its own app stand: those of others are no reason for it not to serve.
    pub(crate) fn own_standings(&self) -> Vec<(LinkId, LinkState, String)> {
        let held = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.iter().filter(|(id, _)| id.end == End::Source || self.own.contains(id));
        own.map(|(id, (state, message))| (id.clone(), *state, message.clone())).collect()
    }

    /// All of its links, for the inventory.
    pub(crate) fn links(&self) -> Vec<LinkInventory> {
        let held = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let described = held.iter().map(|(id, (state, message))| {
            let (link, target) = id.ends(&self.provider);
            LinkInventory { link, target, state: *state, message: message.clone() }
        });
        described.collect()
    }
}

/// Notes how a link stands after an answer.
pub(super) fn note(standings: &Standings, id: &LinkId, answer: &LinkAnswer) {
    let mut held = standings.lock().unwrap_or_else(PoisonError::into_inner);
    held.insert(id.clone(), standing(answer));
}

/// How a link stands.
pub(super) fn known(standings: &Standings, id: &LinkId) -> Option<LinkState> {
    Some(standings.lock().unwrap_or_else(PoisonError::into_inner).get(id)?.0)
}

/// Forgets how a link stood.
pub(super) fn forget(standings: &Standings, id: &LinkId) {
    standings.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
}

/// Calls of a process that this host makes or passes on.
#[derive(Debug)]
pub(crate) struct Calls {
    begun: Instant,
    in_flight: AtomicUsize,
    /// When the last one began or ended, in milliseconds since `begun`.
    last: AtomicU64,
}

/// A call of this host's own that is under way.
#[derive(Debug)]
pub(crate) struct Called(Arc<Process>);

impl Called {
    /// Begins a call of `process`.
    pub(crate) fn begin(process: &Arc<Process>) -> Self {
        process.calls.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(process))
    }

    /// The provider key of the process.
    pub(crate) fn key(&self) -> &str {
        &self.0.key
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let calls = &self.0.calls;
        calls.passed();
        calls.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Calls {
    fn new() -> Self {
        Self { begun: Instant::now(), in_flight: AtomicUsize::new(0), last: AtomicU64::new(0) }
    }

    /// A call has passed on its way to the process.
    pub(crate) fn passed(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Release);
    }

    /// Whether no call is under way from here, and none has passed for so long.
    pub(super) fn are_quiet(&self, time: Duration) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Acquire));
        self.in_flight.load(Ordering::Acquire) == 0 && self.begun.elapsed().saturating_sub(last) >= time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Arc<Process> {
        let provider: ComponentId = "shop-kv".parse().unwrap();
        let wire = WireId::of(&provider, &lath_control_api::Digest::of(b"content"));
        let host = format!("N{}", "ABCDEFGH".repeat(7).get(..55).unwrap()).parse().unwrap();
        Arc::new(Process::new(wire, provider, BTreeSet::new(), None, &host).0)
    }

    #[test]
    fn a_process_has_a_key_of_its_own_on_each_host() {
        let process = process();
        assert_eq!(process.key, format!("{}-ABCDEFGH", process.wire));
    }

    #[test]
    fn calls_are_quiet_when_none_is_under_way_and_none_was_a_moment_ago() {
        let process = process();
        let call = Called::begin(&process);
        assert!(!process.calls.are_quiet(Duration::ZERO));
        drop(call);
        assert!(process.calls.are_quiet(Duration::ZERO) && !process.calls.are_quiet(Duration::from_secs(60)));
    }

    #[tokio::test]
    async fn what_is_asked_of_a_process_that_has_ended_is_absent() {
        let process = process();
        let id = LinkId {
            end: End::Source,
            peer: "shop-web".parse().unwrap(),
            namespace: "wasi".into(),
            package: "http".into(),
            name: lath_control_api::LinkName::default(),
        };
        assert_eq!(process.delete(id).await, LinkAnswer::Absent);
        assert_eq!(process.ready().await.unwrap_err().reason, Reason::ProviderExited);
    }
}
