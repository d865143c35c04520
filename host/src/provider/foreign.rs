//! Links to a provider of this host that begin in other apps: their hosts ask, and are told how it went here.
//!
//! A link is held by the hosts on which its source runs, and taken away with the last of them. A process that starts asks
//! every host which links there are, so that nothing has to be remembered over a restart. One task for each provider does
//! one thing after another: a put never overtakes the deletion before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use futures::future::join_all;
use lath_control_api::{
    AppName, ComponentId, HostId, IncomingLink, LinkAnswer, LinkDeleteRequest, LinkHeld, LinkKey,
    LinkPutRequest, LinkReply, LinksReply, LinksRequest, Subjects,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::hold::Holds;
use super::link::Link;
use super::place::{Wanted, processes};
use super::process::Process;
use crate::claims::Signed;
use crate::secrets::{Reader, Secrets};

/// How long hosts have to say which links they hold.
const GATHER_WITHIN: Duration = Duration::from_millis(500);
/// Longest wait for the connection to take a message.
const SEND_WITHIN: Duration = Duration::from_secs(2);
/// Most links of other apps that a provider has on one host.
const MOST: usize = 10_000;
/// Processes that may wait for their links.
const WAITING: usize = 64;

/// A process that wants the links of other apps.
type Greeting = (Arc<Process>, oneshot::Sender<()>);

/// The way to the links of other apps of one provider.
#[derive(Debug, Clone)]
pub(super) struct Foreign {
    greetings: mpsc::Sender<Greeting>,
}

/// The task behind it.
pub(super) struct ForeignTask {
    pub(super) nats: async_nats::Client,
    pub(super) subjects: Subjects,
    pub(super) host: HostId,
    pub(super) provider: ComponentId,
    pub(super) secrets: Secrets,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) holds: Holds,
    pub(super) links: BTreeMap<LinkKey, Known>,
}

/// A link of another app, and who holds it.
#[derive(Debug)]
pub(super) struct Known {
    app: AppName,
    link: IncomingLink,
    holders: BTreeSet<HostId>,
}

impl Foreign {
    pub(super) fn begin(task: ForeignTask, shutdown: CancellationToken) -> Self {
        let (greetings, receiver) = mpsc::channel(WAITING);
        tokio::spawn(task.run(receiver, shutdown));
        Self { greetings }
    }

    /// Gives a process the links that other apps have to its provider.
    pub(super) async fn greet(&self, process: &Arc<Process>) {
        let (done, is_done) = oneshot::channel();
        if self.greetings.send((Arc::clone(process), done)).await.is_ok() {
            // Without an answer the host is stopping.
            let _stopping = is_done.await.is_err();
        }
    }
}

impl ForeignTask {
    async fn run(mut self, mut greetings: mpsc::Receiver<Greeting>, shutdown: CancellationToken) {
        let subject = self.subjects.provider_requests(&self.provider);
        let Ok(mut requests) = self.nats.subscribe(subject).await else { return };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some((process, done)) = greetings.recv() => {
                    self.greet(&process).await;
                    let _stopped_waiting = done.send(()).is_err();
                }
                Some(message) = requests.next() => self.answer(message).await,
                else => return,
            }
        }
    }

    async fn greet(&mut self, process: &Arc<Process>) {
        for LinksReply { host, links } in self.gather().await {
            for LinkHeld { app, link } in links {
                self.learn(host.clone(), app, link);
            }
        }
        let mut wanted = Vec::new();
        for Known { app, link, .. } in self.links.values() {
            match self.resolved(app, link, process.signed.as_deref()).await {
                Ok(link) => wanted.push(link),
                Err(message) => {
                    tracing::warn!(provider = %self.provider, link = %link.key(), message, "a link is not put");
                }
            }
        }
        for answer in join_all(wanted.into_iter().map(|link| process.put(link))).await {
            if let LinkAnswer::Refused { message } = answer {
                tracing::warn!(provider = %self.provider, message, "a link of another app was refused");
            }
        }
    }

    /// What all hosts hold of links to this provider.
    async fn gather(&self) -> Vec<LinksReply> {
        let ask = LinksRequest { provider: self.provider.clone() };
        let until = Instant::now() + GATHER_WITHIN;
        let asked = request(&self.nats, self.subjects.links_of_hosts(), &ask).await;
        let Some(mut answers) = asked else { return Vec::new() };
        let mut replies = Vec::new();
        while let Ok(Some(message)) = timeout_at(until, answers.next()).await {
            if message.status.is_some() {
                break;
            }
            if let Ok(reply) = serde_json::from_slice::<LinksReply>(&message.payload) {
                replies.push(reply);
            }
        }
        replies
    }

    fn learn(&mut self, host: HostId, app: AppName, link: IncomingLink) {
        let key = link.key();
        if !self.links.contains_key(&key) && self.links.len() >= MOST {
            tracing::warn!(provider = %self.provider, link = %key, "a provider has {MOST} links of other apps, and takes no more");
            return;
        }
        let known = self.links.entry(key).or_insert_with(|| Known {
            app,
            link: link.clone(),
            holders: BTreeSet::new(),
        });
        known.link = link;
        known.holders.insert(host);
    }

    async fn answer(&mut self, message: Message) {
        match Subjects::verb(&message.subject) {
            "put-link" => self.put(message).await,
            "delete-link" => self.delete(message).await,
            _ => {}
        }
    }

    async fn put(&mut self, message: Message) {
        let Some(LinkPutRequest { host, app, link, hold }) = read(&message) else { return };
        self.reply(&message, LinkAnswer::Taken).await;
        let key = link.key();
        // Revisions of a provider mostly have one signature; of two, the backend gets to see that of the first.
        let signed = self.processes().into_iter().find_map(|process| process.signed.clone());
        let answer = match self.resolved(&app, &link, signed.as_deref()).await {
            Err(refused) => LinkAnswer::Refused { message: refused },
            Ok(resolved) => {
                let _held =
                    self.links.contains_key(&key).then(|| self.holds.begin(link.source.clone(), hold));
                self.learn(host.clone(), app, link);
                worst(join_all(self.processes().iter().map(|process| process.put(resolved.clone()))).await)
            }
        };
        if matches!(answer, LinkAnswer::Refused { .. }) {
            // Whoever asks does not become ready: nothing holds the link.
            self.release(&host, &key).await;
        }
        self.reply(&message, answer).await;
    }

    async fn delete(&mut self, message: Message) {
        let Some(LinkDeleteRequest { host, link }) = read(&message) else { return };
        let answer = self.release(&host, &link).await;
        self.reply(&message, answer).await;
    }

    /// One host less holds the link; with the last it goes.
    async fn release(&mut self, host: &HostId, key: &LinkKey) -> LinkAnswer {
        let Some(known) = self.links.get_mut(key) else { return LinkAnswer::Accepted };
        known.holders.remove(host);
        if !known.holders.is_empty() {
            return LinkAnswer::Accepted;
        }
        let id = Link::incoming(&known.link, BTreeMap::new(), BTreeMap::new()).id;
        self.links.remove(key);
        worst(join_all(self.processes().iter().map(|process| process.delete(id.clone()))).await)
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        processes(&self.wanted.borrow())
    }

    async fn resolved(
        &self,
        app: &AppName,
        link: &IncomingLink,
        signed: Option<&Signed>,
    ) -> Result<Link, String> {
        let signed = signed.map(|signed| signed.token.as_str());
        let reader = Reader { app, id: &self.provider, signed };
        let of = async |refs: &[lath_control_api::SecretRef]| {
            let resolved = self.secrets.resolve(refs, reader).await;
            resolved.map_err(|error| error.message)
        };
        Ok(Link::incoming(link, of(&link.source_secrets).await?, of(&link.target_secrets).await?))
    }

    async fn reply(&self, to: &Message, answer: LinkAnswer) {
        let Some(reply) = to.reply.clone() else { return };
        let answer = LinkReply { host: self.host.clone(), answer };
        send(&self.nats, reply.to_string(), None, &answer).await;
    }
}

/// What stands for all processes of a host: the worst of their answers.
fn worst(answers: Vec<LinkAnswer>) -> LinkAnswer {
    let rank = |answer: &LinkAnswer| match answer {
        LinkAnswer::Refused { .. } => 4,
        LinkAnswer::Unverified => 3,
        LinkAnswer::Accepted | LinkAnswer::Taken => 2,
        LinkAnswer::Absent => 1,
    };
    answers.into_iter().max_by_key(rank).unwrap_or(LinkAnswer::Absent)
}

fn read<T: DeserializeOwned>(message: &Message) -> Option<T> {
    let read = serde_json::from_slice(&message.payload);
    read.inspect_err(
        |error| tracing::warn!(%error, subject = %message.subject, "a request of a host cannot be read"),
    )
    .ok()
}

/// Publishes a message; without a connection nothing is sent, and whoever waits for it asks again.
pub(super) async fn send(
    nats: &async_nats::Client,
    subject: String,
    reply: Option<String>,
    body: &impl Serialize,
) {
    // Every message of hosts has a JSON form.
    let json = serde_json::to_vec(body).unwrap_or_default();
    let sent = async {
        match reply {
            Some(reply) => nats.publish_with_reply(subject, reply, json.into()).await,
            None => nats.publish(subject, json.into()).await,
        }
    };
    if !matches!(timeout(SEND_WITHIN, sent).await, Ok(Ok(()))) {
        tracing::debug!("a message between hosts could not be sent");
    }
}

/// The answers to a request of several hosts.
pub(super) async fn request(
    nats: &async_nats::Client,
    subject: String,
    body: &impl Serialize,
) -> Option<Subscriber> {
    let inbox = nats.new_inbox();
    let answers = nats.subscribe(inbox.clone()).await.ok()?;
    send(nats, subject, Some(inbox), body).await;
    Some(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_processes_the_worst_counts() {
        let refused = LinkAnswer::Refused { message: "no".into() };
        assert_eq!(worst(vec![LinkAnswer::Accepted, refused.clone(), LinkAnswer::Unverified]), refused);
        assert_eq!(worst(vec![LinkAnswer::Accepted, LinkAnswer::Unverified]), LinkAnswer::Unverified);
        assert_eq!(worst(vec![LinkAnswer::Absent, LinkAnswer::Accepted]), LinkAnswer::Accepted);
        assert_eq!(worst(Vec::new()), LinkAnswer::Absent);
    }
}
