//! Calls that come over NATS for a provider of this host, sent on to one of its processes.
//!
//! Calls of other apps and of hosts of 1.x come under the provider's plain id, those of its own app on other hosts under
//! the wire id of a content. Only the first message passes through here: it keeps its reply subject and its headers, so
//! that caller and process talk directly from then on. Subscriptions are given up without losing what was under way.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject, Subscriber};
use bytes::Bytes;
use futures::stream::SelectAll;
use futures::{FutureExt as _, Stream, StreamExt as _};
use lath_control_api::{ComponentId, LatticeId, Weight, WireId};
use lath_wrpc::{Client, Failure, FailureCode, SOURCE_ID};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::first::Known;
use super::hold::{Holds, TooMany};
use super::place::{Wanted, parts, processes};
use super::process::Process;
use crate::dice::Dice;

/// Longest wait for the server to confirm subscriptions.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for the connection to take a message.
const SEND_WITHIN: Duration = Duration::from_secs(2);
/// More digits than a server reads in the count of an UNSUB, which it then takes as "now", while the client keeps the
/// subscription open for what is under way (`lath_wrpc` does the same).
const UNSUBSCRIBE_NOW: u64 = i64::MAX as u64;

/// Under which name calls come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// The plain id: any process, by weight.
    Plain,
    /// The name of a content: its process.
    Content(WireId),
}

struct Subscription {
    name: Name,
    subscriber: Subscriber,
}

impl Stream for Subscription {
    type Item = (Name, Message);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.subscriber.poll_next_unpin(cx);
        next.map(|message| message.map(|message| (self.name.clone(), message)))
    }
}

/// Sends calls of one provider on.
pub(super) struct Forwarder {
    pub(super) onward: Onward,
    pub(super) client: Client,
    pub(super) holds: Holds,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) followed: watch::Sender<u64>,
}

/// The way of a call to a process.
#[derive(Clone)]
pub(super) struct Onward {
    pub(super) nats: async_nats::Client,
    pub(super) lattice: LatticeId,
    pub(super) provider: ComponentId,
    pub(super) known: Known,
}

/// The first message of a call.
struct Call {
    /// The subject behind the name of the provider.
    rest: String,
    reply: Subject,
    headers: HeaderMap,
    params: Bytes,
}

/// Where calls go at this moment.
#[derive(Default)]
struct Table {
    dice: Dice,
    /// Processes with a share, with the end of their part of 0 to 99.
    shares: Vec<(u8, Arc<Process>)>,
    contents: BTreeMap<WireId, Arc<Process>>,
}

impl Table {
    fn set(&mut self, wanted: &Wanted) {
        self.shares = parts(wanted);
        // What is subscribed to is kept until its last message was read: a process stays known that long.
        self.contents.extend(processes(wanted).into_iter().map(|process| (process.wire.clone(), process)));
    }

    fn pick(&self, name: &Name) -> Option<&Arc<Process>> {
        match name {
            Name::Content(wire) => self.contents.get(wire),
            Name::Plain => {
                let dice = self.dice.roll();
                let by_share = self.shares.iter().find(|(end, _)| dice < *end).or_else(|| self.shares.last());
                by_share.map(|(_, process)| process).or_else(|| self.contents.values().next_back())
            }
        }
    }
}

impl Forwarder {
    /// Runs until `shutdown`, and gives every subscription up then.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut table = Table::default();
        let mut subscriptions = SelectAll::new();
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            table.set(&wanted);
            self.follow(names(&wanted), &mut subscriptions, &table).await;
            table.contents.retain(|wire, _| names(&wanted).contains(&Name::Content(wire.clone())));
            self.followed.send_replace(wanted.times);
            loop {
                tokio::select! {
                    biased;
                    changed = self.wanted.changed() => {
                        if changed.is_err() { return }
                        break;
                    }
                    () = shutdown.cancelled() => {
                        return self.follow(Vec::new(), &mut subscriptions, &table).await;
                    }
                    Some((name, message)) = subscriptions.next() => self.send_on(&table, &name, message).await,
                }
            }
        }
    }

    async fn follow(&self, names: Vec<Name>, subscriptions: &mut SelectAll<Subscription>, table: &Table) {
        let old: Vec<Subscription> = std::mem::take(subscriptions).into_iter().collect();
        let (kept, gone): (Vec<_>, Vec<_>) = old.into_iter().partition(|held| names.contains(&held.name));
        let new: Vec<Name> =
            names.into_iter().filter(|name| !kept.iter().any(|held| held.name == *name)).collect();
        if new.is_empty() && gone.is_empty() {
            return subscriptions.extend(kept);
        }
        subscriptions.extend(kept);
        for name in new {
            let subject = format!("{}.wrpc.0.0.1.>", self.prefix(&name));
            // Fails only when the client is closed, and then nothing arrives either.
            if let Ok(subscriber) = self.onward.nats.queue_subscribe(subject, self.prefix(&name)).await {
                subscriptions.push(Subscription { name, subscriber });
            }
        }
        let mut ending = SelectAll::new();
        for mut subscription in gone {
            let _closed = subscription.subscriber.unsubscribe_after(UNSUBSCRIBE_NOW).await;
            ending.push(subscription);
        }
        if self.client.is_connected() {
            let confirmed = self.client.round_trip(Instant::now() + CONFIRM_WITHIN);
            tokio::pin!(confirmed);
            // Calls go on meanwhile.
            loop {
                tokio::select! {
                    biased;
                    _ = &mut confirmed => break,
                    Some((name, message)) = subscriptions.next() => self.send_on(table, &name, message).await,
                    Some((name, message)) = ending.next() => self.send_on(table, &name, message).await,
                }
            }
        }
        while let Some(Some((name, message))) = ending.next().now_or_never() {
            self.send_on(table, &name, message).await;
        }
    }

    fn prefix(&self, name: &Name) -> String {
        let Onward { lattice, provider, .. } = &self.onward;
        match name {
            Name::Plain => format!("{lattice}.{provider}"),
            Name::Content(wire) => format!("{lattice}.{wire}"),
        }
    }

    async fn send_on(&self, table: &Table, name: &Name, message: Message) {
        let Some(process) = table.pick(name) else { return };
        let rest = message.subject.strip_prefix(&self.prefix(name)).map(without_revision);
        let (Some(rest), Some(reply)) = (rest.map(str::to_owned), message.reply) else { return };
        process.calls.passed();
        let headers = message.headers.unwrap_or_default();
        let source = headers.get(SOURCE_ID).map_or("", |source| source.as_str());
        let waits = match name {
            Name::Plain => self.holds.wait(source),
            // Links of its own app do not change under a content.
            Name::Content(_) => Ok(None),
        };
        let call = Call { rest, reply, headers, params: message.payload };
        match waits {
            Ok(None) => self.onward.send(process, call).await,
            Ok(Some(waiting)) => {
                let (onward, process) = (self.onward.clone(), Arc::clone(process));
                // As many at most as may wait, and as long.
                tokio::spawn(async move {
                    waiting.over().await;
                    process.calls.passed();
                    onward.send(&process, call).await;
                });
            }
            Err(error) => self.onward.refuse(call.reply, &error).await,
        }
    }
}

impl Onward {
    async fn send(&self, process: &Process, call: Call) {
        let Call { rest, reply, headers, params } = call;
        let subject = format!("{}.{}{rest}", self.lattice, process.key);
        let first = self.known.first(&self.nats, &subject, &reply).await;
        let sent = self.nats.publish_with_reply_and_headers(subject, reply, headers, params);
        if !matches!(timeout(SEND_WITHIN, sent).await, Ok(Ok(()))) {
            tracing::warn!(provider = %self.provider, "a call could not be passed on to its process");
        }
        if let Some(first) = first {
            // Ends by itself after a moment, and nobody waits for it.
            tokio::spawn(first.listen());
        }
    }

    async fn refuse(&self, reply: Subject, error: &TooMany) {
        let failure = Failure::new(FailureCode::Overloaded, error.to_string());
        let told = self.nats.publish_with_headers(reply, failure.headers(), Bytes::new());
        if !matches!(timeout(SEND_WITHIN, told).await, Ok(Ok(()))) {
            tracing::debug!("a caller could not be told that too many calls wait");
        }
    }
}

/// Under which names calls are to come.
fn names(wanted: &Wanted) -> Vec<Name> {
    let serves = wanted.here.values().any(|here| here.weight != Weight::NONE);
    let contents = processes(wanted).into_iter().map(|process| Name::Content(process.wire.clone()));
    serves.then_some(Name::Plain).into_iter().chain(contents).collect()
}

/// A subject without the revision of an app, which hosts put behind the function when they prefer one (`app@3`). No function
/// has an `@` in its name.
fn without_revision(rest: &str) -> &str {
    match rest.rsplit_once('.') {
        Some((function, last)) if last.contains('@') && !last.contains(':') => function,
        Some(_) | None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_without_the_revision_behind_it() {
        for (subject, function) in [
            (".wrpc.0.0.1.a:b/c@1.0.0.get.shop@3", ".wrpc.0.0.1.a:b/c@1.0.0.get"),
            (".wrpc.0.0.1.a:b/c@1.0.0.get", ".wrpc.0.0.1.a:b/c@1.0.0.get"),
            (".wrpc.0.0.1.a:b/c.bucket.get", ".wrpc.0.0.1.a:b/c.bucket.get"),
            (".wrpc.0.0.1.run.shop@3", ".wrpc.0.0.1.run"),
        ] {
            assert_eq!(without_revision(subject), function);
        }
    }
}
