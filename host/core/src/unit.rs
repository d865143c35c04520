//! One spec of one component on this host, from its acceptance to the end of its drain.
//!
//! Whether a unit is wanted, and whether calls go to it, is its app's matter and not kept here. A unit knows how
//! far it has come and what it waits for. Every episode of work has a [`Ticket`]; news with another is too late.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lath_control_api::{
    AppName, ComponentId, ComponentName, ComponentSpec, Digest, DrainPolicy, Phase, Reason, Revision,
    Timestamp,
};

/// What tells specs of one component apart. The same content in another revision is another spec: it calls and is
/// called in that revision's name, and its calls are counted apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecKey {
    /// The app's revision.
    pub revision: Revision,
    /// [`ComponentSpec::content`].
    pub content: Digest,
}

impl SpecKey {
    /// The key of `spec`.
    #[must_use]
    pub fn of(spec: &ComponentSpec) -> Self {
        Self { revision: spec.revision, content: spec.content() }
    }
}

/// What identifies a unit on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitKey {
    /// The app that wants it.
    pub app: AppName,
    /// Lattice-wide id of the component.
    pub id: ComponentId,
    /// Which spec of the component.
    pub spec: SpecKey,
}

impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.id, self.spec.revision, self.spec.content.short())
    }
}

/// One episode of a unit's work: a preparation, or a drain. Grows with every one that begins on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl Ticket {
    pub(crate) fn take(&mut self) -> Self {
        self.0 = self.0.saturating_add(1);
        *self
    }
}

/// What the host's edges say of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Its code is on the way.
    Fetching,
    /// Its code is being made runnable.
    Compiling,
    /// Its imports are being checked.
    Linking,
    /// A first instance is tried.
    Starting,
    /// It can take calls.
    Ready,
    /// It could not be prepared.
    Failed {
        /// Why.
        reason: Reason,
        /// Why in words.
        message: String,
    },
    /// No call is in flight in it: the answer to `Drain`, and a second time to `Close`.
    Idle,
}

/// First wait after code could not be fetched; doubles each time up to [`MAX_FETCH_WAIT`].
pub(crate) const FIRST_FETCH_WAIT: Duration = Duration::from_secs(2);
/// Longest wait between two tries to fetch code: the store is asked about once a minute, however long it is away.
pub(crate) const MAX_FETCH_WAIT: Duration = Duration::from_secs(60);

/// How a unit goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// When the calls that are left get an error.
    pub(crate) deadline: Timestamp,
    /// It has been seen without a call in flight.
    pub(crate) idle: bool,
    /// Nothing may call it any more; until then calls of its own app revision still may.
    pub(crate) closed: bool,
}

/// What a bundle asks of one unit.
#[derive(Debug, Clone)]
pub(crate) struct UnitAsk {
    pub(crate) component: ComponentName,
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) drain: DrainPolicy,
}

#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) component: ComponentName,
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) drain: DrainPolicy,
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
    pub(crate) ticket: Ticket,
    pub(crate) fetch_failures: u32,
    /// When code that could not be fetched is asked for again.
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) leaving: Option<Leaving>,
}

impl Unit {
    pub(crate) fn new(ask: UnitAsk, now: Timestamp) -> Self {
        Self {
            component: ask.component,
            spec: ask.spec,
            drain: ask.drain,
            phase: Phase::Pending,
            reason: Reason::AsAsked,
            message: String::new(),
            since: now,
            ticket: Ticket(0),
            fetch_failures: 0,
            retry_at: None,
            leaving: None,
        }
    }

    /// The same unit, asked for by another bundle.
    pub(crate) fn ask_again(&mut self, ask: UnitAsk) {
        self.component = ask.component;
        self.spec = ask.spec;
        self.drain = ask.drain;
    }

    pub(crate) fn is_running(&self) -> bool {
        self.phase.is_running()
    }

    /// Accepted, and nobody works on it yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.phase == Phase::Pending && self.ticket == Ticket(0)
    }

    /// Being prepared: news of a preparation are expected.
    fn is_preparing(&self) -> bool {
        self.ticket != Ticket(0)
            && matches!(
                self.phase,
                Phase::Pending | Phase::Fetching | Phase::Compiling | Phase::Linking | Phase::Starting
            )
    }

    pub(crate) fn move_to(&mut self, phase: Phase, reason: Reason, message: String, now: Timestamp) {
        self.phase = phase;
        self.reason = reason;
        self.message = message;
        self.since = now;
    }

    /// Forgets a failure: the next look at the app begins the preparation again.
    pub(crate) fn try_again(&mut self, now: Timestamp) {
        self.ticket = Ticket(0);
        self.retry_at = None;
        self.move_to(Phase::Pending, Reason::AsAsked, String::new(), now);
    }

    /// Takes news of the current episode in; false when it says nothing new.
    pub(crate) fn hear(&mut self, news: News, now: Timestamp) -> bool {
        if news == News::Idle {
            let Some(leaving) = self.leaving.as_mut() else { return false };
            return !std::mem::replace(&mut leaving.idle, true);
        }
        if !self.is_preparing() {
            return false;
        }
        match news {
            News::Fetching => self.move_to(Phase::Fetching, Reason::AsAsked, String::new(), now),
            News::Compiling => self.move_to(Phase::Compiling, Reason::AsAsked, String::new(), now),
            News::Linking => self.move_to(Phase::Linking, Reason::AsAsked, String::new(), now),
            News::Starting => self.move_to(Phase::Starting, Reason::AsAsked, String::new(), now),
            News::Ready => self.move_to(Phase::Running, Reason::AsAsked, String::new(), now),
            News::Failed { reason, message } => self.fail(reason, message, now),
            News::Idle => return false,
        }
        true
    }

    fn fail(&mut self, reason: Reason, message: String, now: Timestamp) {
        self.move_to(Phase::Failed, reason, message, now);
        // Only what may come right without another decision is tried again: the store may be away for a while.
        if reason.may_pass() {
            let doublings = self.fetch_failures.min(10);
            let wait = FIRST_FETCH_WAIT.saturating_mul(1 << doublings).min(MAX_FETCH_WAIT);
            self.fetch_failures = self.fetch_failures.saturating_add(1);
            self.retry_at = Some(now.plus(wait));
        }
    }
}
