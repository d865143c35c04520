//! One spec of one component on this host, from its acceptance to the end of its drain.
//!
//! Whether a unit is wanted, and whether calls go to it, is its app's matter and not kept here. A unit knows how
//! far it has come and what it waits for. Every episode of work has a [`Ticket`]; news with another is too late.

use std::fmt;
use std::sync::Arc;

use lath_control_api::{
    AppName, ComponentId, ComponentName, ComponentSpec, Digest, DrainPolicy, HoldPolicy, Phase, Reason,
    Revision, Timestamp, UnverifiedLinks,
};

use crate::retry;

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
    /// It could not be prepared; or it runs, and can be started no more.
    Failed {
        /// Why.
        reason: Reason,
        /// Why in words.
        message: String,
    },
    /// It runs and does not answer well.
    Unhealthy {
        /// Why.
        reason: Reason,
        /// Why in words.
        message: String,
    },
    /// It runs and answers well again.
    Healthy,
    /// No call is in flight in it: the answer to `Drain`, and a second time to `Close`.
    Idle,
}

impl News {
    /// Whether they only tell of a step on the way to [`News::Ready`].
    pub(crate) const fn is_of_a_preparation_that_goes_on(&self) -> bool {
        match self {
            Self::Fetching | Self::Compiling | Self::Linking | Self::Starting => true,
            Self::Ready | Self::Failed { .. } | Self::Unhealthy { .. } | Self::Healthy | Self::Idle => false,
        }
    }
}

/// What readers see of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
}

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

/// How links of a unit are put to providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkTerms {
    /// What a link is worth that a provider says nothing about.
    pub unverified: UnverifiedLinks,
    /// What may be held of the unit's calls while a link of it takes the place of another form.
    pub hold: HoldPolicy,
}

/// What a bundle asks of one unit.
#[derive(Debug, Clone)]
pub(crate) struct UnitAsk {
    pub(crate) component: ComponentName,
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) drain: DrainPolicy,
    pub(crate) terms: LinkTerms,
}

#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) component: ComponentName,
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) drain: DrainPolicy,
    pub(crate) terms: LinkTerms,
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
    pub(crate) ticket: Ticket,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// When it is tried again after a failure.
    pub(crate) retry_at: Option<Timestamp>,
    /// The failure before the try at hand. It is what readers see until that try has ended: what fails for good does not
    /// seem to make progress once a minute.
    failed_try: Option<Shown>,
    /// Since when it runs, well or not.
    ran_since: Option<Timestamp>,
    pub(crate) leaving: Option<Leaving>,
}

impl Unit {
    pub(crate) fn new(ask: UnitAsk, now: Timestamp) -> Self {
        Self {
            component: ask.component,
            spec: ask.spec,
            drain: ask.drain,
            terms: ask.terms,
            phase: Phase::Pending,
            reason: Reason::AsAsked,
            message: String::new(),
            since: now,
            ticket: Ticket(0),
            failures: 0,
            retry_at: None,
            failed_try: None,
            ran_since: None,
            leaving: None,
        }
    }

    /// The same unit, asked for by another bundle.
    pub(crate) fn ask_again(&mut self, ask: UnitAsk) {
        self.component = ask.component;
        self.spec = ask.spec;
        self.drain = ask.drain;
        self.terms = ask.terms;
    }

    /// It takes calls where it is to serve: also when it does not answer well, since nothing better is here.
    pub(crate) fn is_running(&self) -> bool {
        self.phase.takes_calls()
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

    /// What readers see: a unit that is tried once more is one that has failed until it runs.
    pub(crate) fn shown(&self) -> Shown {
        self.failed_try.clone().unwrap_or_else(|| Shown {
            phase: self.phase,
            reason: self.reason,
            message: self.message.clone(),
            since: self.since,
        })
    }

    /// It has failed, or is being tried again.
    pub(crate) fn has_failed(&self) -> bool {
        self.phase.is_failed() || self.failed_try.is_some()
    }

    /// Its time has come: the next look at the app begins the preparation again.
    pub(crate) fn try_again(&mut self, now: Timestamp) {
        self.failed_try = Some(self.shown());
        self.prepare_again(now);
    }

    /// A newer decision asks for it: what was before counts no more.
    pub(crate) fn try_afresh(&mut self, now: Timestamp) {
        self.failures = 0;
        self.failed_try = None;
        if self.phase.is_failed() {
            self.prepare_again(now);
        }
    }

    fn prepare_again(&mut self, now: Timestamp) {
        self.ticket = Ticket(0);
        self.retry_at = None;
        self.move_to(Phase::Pending, Reason::AsAsked, String::new(), now);
    }

    /// Takes news of the current episode in; false when it says nothing new.
    pub(crate) fn hear(&mut self, news: News, heard: &Heard<'_>) -> bool {
        let now = heard.now;
        match news {
            News::Idle => {
                let Some(leaving) = self.leaving.as_mut() else { return false };
                !std::mem::replace(&mut leaving.idle, true)
            }
            News::Unhealthy { reason, message } if self.is_running() => {
                let ailing = self.phase == Phase::Unhealthy;
                if ailing && self.reason == reason && self.message == message {
                    return false;
                }
                let since = if ailing { self.since } else { now };
                self.move_to(Phase::Unhealthy, reason, message, since);
                true
            }
            News::Healthy if self.phase == Phase::Unhealthy => {
                self.move_to(Phase::Running, Reason::AsAsked, String::new(), now);
                true
            }
            News::Unhealthy { .. } | News::Healthy => false,
            // What runs and cannot be started any more is of no use to anybody.
            News::Failed { reason, message } if self.is_running() && retry::is_of_start(reason) => {
                self.fail(reason, message, heard);
                true
            }
            _ if !self.is_preparing() => false,
            News::Failed { reason, message } => {
                self.fail(reason, message, heard);
                true
            }
            News::Ready => {
                self.failed_try = None;
                self.ran_since = Some(now);
                self.move_to(Phase::Running, Reason::AsAsked, String::new(), now);
                true
            }
            News::Fetching => self.come_to(Phase::Fetching, now),
            News::Compiling => self.come_to(Phase::Compiling, now),
            News::Linking => self.come_to(Phase::Linking, now),
            News::Starting => self.come_to(Phase::Starting, now),
        }
    }

    /// One step further in its preparation. Nobody sees it of one that has failed before.
    fn come_to(&mut self, phase: Phase, now: Timestamp) -> bool {
        self.move_to(phase, Reason::AsAsked, String::new(), now);
        self.failed_try.is_none()
    }

    fn fail(&mut self, reason: Reason, message: String, heard: &Heard<'_>) {
        let now = heard.now;
        let ran_well = self.ran_since.take().is_some_and(|since| now.since(since) >= retry::GOOD_RUN);
        self.failures = if ran_well { 1 } else { self.failures.saturating_add(1) };
        let looping = retry::is_of_start(reason) && (self.failures >= retry::LOOPING || self.is_running());
        let phase = if looping { Phase::CrashLooping } else { Phase::Failed };
        let before = self.failed_try.take().filter(|before| before.phase == phase);
        self.move_to(phase, reason, message, before.map_or(now, |before| before.since));
        self.retry_at = retry::wait(reason, self.failures, heard.seed, heard.unit).map(|wait| now.plus(wait));
    }
}

/// What a unit does not know of itself, beside the news.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) unit: &'a UnitKey,
    pub(crate) seed: u64,
    pub(crate) now: Timestamp,
}
