//! One wildcard subscription a connection, shared by all invocations that it takes part in.
//!
//! Every invocation reserves a subject below the inbox and puts routes under it, one a channel. Delivering a
//! message is a look-up and a push into a bounded queue: it never waits, so a slow reader cannot hold up
//! other invocations. What has no route is dropped, as the wire format asks. No meaning is given to the bytes
//! of a channel here. The rule: routes are in the map before the peer can know their subject, and out of it
//! when the last owner of the invocation is gone.

mod mailbox;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Message, Statistics, StatusCode, Subject};

pub(crate) use mailbox::{Accepted, Broken, Budget, MESSAGE_COST, Mail, Mailbox, Refusal, Sender, mailbox};

use crate::failure::Failure;
use crate::peer::LathAccept;

/// Locks of the route table. A power of two; more than the cores of a large machine have use for.
const SHARDS: usize = 32;
/// Characters of a token: as many as a NUID has, which is what 1.x peers send and expect to see.
const TOKEN: usize = 22;
/// Characters of a token that hold the number of the invocation; 11 base-62 digits hold any `u64`.
const DIGITS: usize = 11;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How the messages of a route are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteKind {
    /// The inbox itself: accept, refusal or a status of the NATS server.
    Root,
    /// A channel of which the beginning may come after a reconnect, because nothing is lost if all of it does.
    Once,
    /// The complete results in one message, from a Lath callee.
    Whole,
    /// A channel that lasts: it breaks when the connection was lost, because bytes may be missing.
    Stream,
    /// The peer's reports of what it has consumed of a stream.
    Credit,
}

/// One channel of an invocation: what follows the token in the subject, and where its messages go.
#[derive(Debug)]
pub(crate) struct Route {
    /// Empty for the inbox itself, else such as `results` or `params.0.1`.
    pub(crate) suffix: Cow<'static, str>,
    pub(crate) kind: RouteKind,
    pub(crate) sender: Sender,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    /// `_INBOX.{22 characters}.`
    root: String,
    /// First half of every token, from the random part of the root.
    salt: String,
    next: AtomicU64,
    shards: Vec<Mutex<HashMap<u64, Entry>>>,
    closed: AtomicBool,
    /// Number of connects when broken streams were last looked for.
    swept: AtomicU64,
    statistics: Arc<Statistics>,
}

#[derive(Debug)]
struct Entry {
    /// Number of connects when the routes were made.
    connects: u64,
    routes: Vec<Route>,
}

impl Inbox {
    /// `inbox` is a fresh inbox subject of the NATS client, which ends in 22 random characters.
    pub(crate) fn new(inbox: &str, statistics: Arc<Statistics>) -> Self {
        let random = inbox.rsplit('.').next().unwrap_or(inbox);
        let salt: String = random.chars().rev().chain(std::iter::repeat('0')).take(TOKEN - DIGITS).collect();
        Self {
            root: format!("{inbox}."),
            salt,
            next: AtomicU64::new(1),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            closed: AtomicBool::new(false),
            swept: AtomicU64::new(statistics.connects.load(Ordering::Relaxed)),
            statistics,
        }
    }

    /// The subject to subscribe to.
    pub(crate) fn wildcard(&self) -> String {
        format!("{}>", self.root)
    }

    /// How often the connection was made; a change means that messages may have been lost.
    pub(crate) fn connects(&self) -> u64 {
        self.statistics.connects.load(Ordering::Relaxed)
    }

    /// Reserves a subject of its own for an invocation; no routes yet.
    pub(crate) fn reserve(self: &Arc<Self>) -> Registration {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let mut subject = String::with_capacity(self.root.len() + TOKEN);
        subject.push_str(&self.root);
        subject.push_str(&self.salt);
        subject.push_str(&digits(key));
        Registration { inbox: Arc::clone(self), key, subject: subject.into() }
    }

    /// Gives a message to its channel. Never waits.
    pub(crate) fn deliver(&self, message: Message) {
        let Some((key, suffix)) = self.parse(&message.subject) else { return };
        let connects = self.connects();
        let shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = shard.get(&key) else { return };
        let Some(route) = entry.routes.iter().find(|route| route.suffix == suffix) else { return };
        let reconnected = entry.connects != connects;
        let sender = route.sender.clone();
        let kind = route.kind;
        drop(shard);
        match kind {
            RouteKind::Root => sender.push(root_mail(message)),
            RouteKind::Whole => sender.push(Mail::Whole(message.payload)),
            RouteKind::Credit => {
                if let Some(mail) = credit_mail(&message) {
                    sender.push(mail);
                }
            }
            RouteKind::Stream if reconnected => sender.fail(Broken::ConnectionLost),
            RouteKind::Once if reconnected && sender.has_data() => sender.fail(Broken::ConnectionLost),
            RouteKind::Stream | RouteKind::Once => sender.push(data_mail(message)),
        }
    }

    /// Breaks the streams that were open when the connection was made anew.
    pub(crate) fn break_interrupted(&self) {
        let connects = self.connects();
        if self.swept.swap(connects, Ordering::Relaxed) == connects {
            return;
        }
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let interrupted = shard.values().filter(|entry| entry.connects != connects);
            for route in interrupted.flat_map(|entry| &entry.routes) {
                match route.kind {
                    RouteKind::Stream | RouteKind::Credit => route.sender.fail(Broken::ConnectionLost),
                    // An answer that has not begun may still come.
                    RouteKind::Root | RouteKind::Once | RouteKind::Whole => {}
                }
            }
        }
    }

    /// The subscription is over: every wait on a channel ends, and new ones end at once.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for shard in &self.shards {
            let entries = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for route in entries.into_values().flat_map(|entry| entry.routes) {
                route.sender.fail(Broken::Closed);
            }
        }
    }

    /// Number of invocations that have routes.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    fn parse<'a>(&self, subject: &'a str) -> Option<(u64, &'a str)> {
        let rest = subject.strip_prefix(self.root.as_str())?.strip_prefix(self.salt.as_str())?;
        let (number, suffix) = rest.split_once('.').unwrap_or((rest, ""));
        Some((number_of(number)?, suffix))
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, Entry>> {
        let index = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of shards")]
        &self.shards[index]
    }
}

/// The place of one invocation in the inbox. Its routes go with it.
#[derive(Debug)]
pub(crate) struct Registration {
    inbox: Arc<Inbox>,
    key: u64,
    subject: Subject,
}

impl Registration {
    /// The subject that stands for the invocation on this side.
    pub(crate) fn subject(&self) -> Subject {
        self.subject.clone()
    }

    /// Adds routes. Must be called before the peer can send to them.
    pub(crate) fn add(&self, routes: Vec<Route>) {
        let mut shard = self.inbox.shard(self.key).lock().unwrap_or_else(PoisonError::into_inner);
        if self.inbox.closed.load(Ordering::SeqCst) {
            drop(shard);
            for route in routes {
                route.sender.fail(Broken::Closed);
            }
            return;
        }
        let connects = self.inbox.connects();
        let entry = shard.entry(self.key).or_insert_with(|| Entry { connects, routes: Vec::new() });
        if entry.routes.is_empty() {
            entry.routes = routes;
        } else {
            entry.routes.extend(routes);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let removed =
            self.inbox.shard(self.key).lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        // The routes are dropped after the lock is released.
        drop(removed);
    }
}

fn root_mail(message: Message) -> Mail {
    if let Some(status) = message.status.filter(|status| !status.is_success()) {
        return Mail::Refused(match status {
            StatusCode::NO_RESPONDERS => Refusal::NoResponders,
            other => Refusal::Status(other.as_u16(), message.description.unwrap_or_default()),
        });
    }
    if let Some(reply) = message.reply {
        let lath = LathAccept::from_headers(message.headers.as_ref());
        return Mail::Accepted(Accepted { reply, lath });
    }
    match Failure::from_headers(message.headers.as_ref()) {
        Some(failure) => Mail::Refused(Refusal::Failure(failure)),
        None => Mail::Refused(Refusal::NoReply),
    }
}

fn data_mail(message: Message) -> Mail {
    if message.payload.is_empty() {
        Mail::End(Failure::from_headers(message.headers.as_ref()))
    } else {
        Mail::Data(message.payload)
    }
}

fn credit_mail(message: &Message) -> Option<Mail> {
    if message.payload.is_empty() {
        return Some(Mail::End(None));
    }
    let bytes: [u8; 8] = message.payload.as_ref().try_into().ok()?;
    Some(Mail::Credit(u64::from_le_bytes(bytes)))
}

/// A number as exactly [`DIGITS`] base-62 digits.
fn digits(mut number: u64) -> String {
    let mut text = [b'0'; DIGITS];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or(0);
        *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
        number /= 62;
    }
    text.iter().copied().map(char::from).collect()
}

fn number_of(text: &str) -> Option<u64> {
    if text.len() != DIGITS {
        return None;
    }
    text.bytes().try_fold(0_u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
