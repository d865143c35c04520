//! Load from outside and an account of it: every request that was sent stands here with its answer or with why there
//! was none. Which answers are right is the tests' business. Nothing is retried, so that no failure can hide.

mod client;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

pub(crate) use client::Clients;

/// Requests that may be out at once. More would mean that nothing is answered any more.
const MOST_IN_FLIGHT: usize = 2_000;
/// One request in so many goes over a connection of its own, as a new client's would.
const FRESH_EVERY: u64 = 10;

/// What to send.
#[derive(Debug, Clone)]
pub struct Load {
    url: String,
    host: Option<String>,
    revision: Option<u64>,
    headers: Vec<(String, String)>,
    rate: u32,
    deadline: Duration,
}

impl Load {
    /// GET requests to `path` at `address`, 50 each second, given up after 10 s without an answer.
    #[must_use]
    pub fn new(address: SocketAddr, path: &str) -> Self {
        let url = format!("http://{address}{path}");
        let headers = Vec::new();
        Self { url, host: None, revision: None, headers, rate: 50, deadline: Duration::from_secs(10) }
    }

    /// With so many requests a second.
    #[must_use]
    pub fn rate(self, rate: u32) -> Self {
        Self { rate, ..self }
    }

    /// With this `Host`.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        Self { host: Some(host.to_owned()), ..self }
    }

    /// Asking for one revision of the app.
    #[must_use]
    pub fn revision(self, revision: u64) -> Self {
        Self { revision: Some(revision), ..self }
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts sending: one request at its time, whether those before it are answered or not.
    #[must_use]
    pub fn start(self) -> Ledger {
        let records = Arc::default();
        let (stop, stopped) = watch::channel(());
        let sender = Sender { load: self, records: Arc::clone(&records), clients: Clients::new() };
        Ledger { records, stop, task: tokio::spawn(sender.run(stopped)) }
    }

    /// Sends so many requests as fast as they are answered, no more than `at_once` at the same time, and waits for all:
    /// a number that is exact, in the time that the machine needs for it.
    pub async fn batch(self, requests: u64, at_once: usize) -> Accounts {
        let sender = Sender { load: self, records: Arc::default(), clients: Clients::new() };
        futures::stream::iter(0..requests).for_each_concurrent(at_once, |number| sender.send(number)).await;
        let records = std::mem::take(&mut *sender.records.lock().unwrap_or_else(PoisonError::into_inner));
        Accounts::of(records)
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// When there was no answer, or not one of status 200 to this request.
    pub async fn once(&self) -> Result<Answer, String> {
        let id = unique_id();
        tokio::time::timeout(self.deadline, Clients::new().fresh(self, &id)).await.map_err(|_| late(self))?
    }
}

/// An answer of status 200.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The JSON that the guest wrote, or its text.
    pub body: Value,
}

impl Answer {
    /// The text of a field; empty when the answer lacks it.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was complete, or when it was clear that none comes.
    pub ended: Instant,
    /// What came of it.
    pub result: Result<Answer, String>,
}

/// A load that is being sent.
#[derive(Debug)]
pub struct Ledger {
    records: Arc<Mutex<Vec<Record>>>,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Ledger {
    /// The requests that have ended so far.
    #[must_use]
    pub fn so_far(&self) -> Accounts {
        Accounts::of(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// How many that are.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends no more, waits for what is out, and closes the account.
    ///
    /// # Panics
    /// When the sender itself has failed.
    pub async fn finish(self) -> Accounts {
        let _ = self.stop.send(());
        self.task.await.expect("the sender of the load has failed");
        Accounts::of(std::mem::take(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A closed account, in the order of sending.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Every request.
    pub records: Vec<Record>,
}

impl Accounts {
    fn of(mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.sent);
        Self { records }
    }

    /// Requests sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.records.len()
    }

    /// Requests without a good answer.
    pub fn failed(&self) -> impl Iterator<Item = (&Record, &str)> {
        self.records.iter().filter_map(|record| Some((record, record.result.as_ref().err()?.as_str())))
    }

    /// Requests with a good answer.
    pub fn answered(&self) -> impl Iterator<Item = (&Record, &Answer)> {
        self.records.iter().filter_map(|record| Some((record, record.result.as_ref().ok()?)))
    }

    /// The requests that were sent at `mark` or later.
    #[must_use]
    pub fn sent_after(&self, mark: Instant) -> Self {
        let records = self.records.iter().filter(|record| record.sent >= mark).cloned();
        Self { records: records.collect() }
    }

    /// How many were answered by what, as `name` calls it.
    pub fn by(&self, name: impl Fn(&Answer) -> String) -> BTreeMap<String, usize> {
        count(self.answered().map(|(_, answer)| name(answer)))
    }

    /// How many failed for which cause.
    #[must_use]
    pub fn causes(&self) -> BTreeMap<String, usize> {
        count(self.failed().map(|(_, cause)| cause.to_owned()))
    }

    /// Fails unless every request has a good answer.
    ///
    /// # Panics
    /// With the causes and with when the first and the last happened.
    #[track_caller]
    pub fn none_failed(&self) {
        assert!(!self.records.is_empty(), "no request was sent, which shows nothing");
        let failed: Vec<_> = self.failed().collect();
        let (Some((first, _)), Some((last, _))) = (failed.first(), failed.last()) else { return };
        let begun = self.records[0].sent;
        panic!(
            "{} of {} requests failed, from {:.2?} to {:.2?} after the first: {:#?}",
            failed.len(),
            self.sent(),
            first.sent - begun,
            last.sent - begun,
            self.causes(),
        );
    }

    /// One line for people: counts, and how long answers took.
    #[must_use]
    pub fn summary(&self, name: impl Fn(&Answer) -> String) -> String {
        let mut took: Vec<_> = self.answered().map(|(record, _)| record.ended - record.sent).collect();
        took.sort();
        let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)));
        let at = |percent| at(percent).copied().unwrap_or_default();
        format!(
            "{} sent, {} failed, answered by {:?}; p50 {:.1?}, p99 {:.1?}, most {:.1?}",
            self.sent(),
            self.failed().count(),
            self.by(name),
            at(50),
            at(99),
            at(100),
        )
    }
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

struct Sender {
    load: Load,
    records: Arc<Mutex<Vec<Record>>>,
    clients: Clients,
}

impl Sender {
    async fn run(self, mut stopped: watch::Receiver<()>) {
        let sender = Arc::new(self);
        let room = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
        let mut out = JoinSet::new();
        let mut clock = tokio::time::interval(Duration::from_secs(1) / sender.load.rate);
        // Late ticks are made up for: a slow machine sends the same number of requests.
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0_u64.. {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                _ = clock.tick() => {}
            }
            let Ok(room) = Arc::clone(&room).try_acquire_owned() else {
                let now = Instant::now();
                let cause = format!("not sent: {MOST_IN_FLIGHT} requests are without an answer");
                sender.note(Record { sent: now, ended: now, result: Err(cause) });
                continue;
            };
            let sender = Arc::clone(&sender);
            out.spawn(async move {
                sender.send(number).await;
                drop(room);
            });
            while out.try_join_next().is_some() {}
        }
        while out.join_next().await.is_some() {}
    }

    async fn send(&self, number: u64) {
        let id = unique_id();
        let sent = Instant::now();
        let exchange = async {
            if number.is_multiple_of(FRESH_EVERY) {
                self.clients.fresh(&self.load, &id).await
            } else {
                self.clients.kept(&self.load, &id, number).await
            }
        };
        let result = tokio::time::timeout(self.load.deadline, exchange).await;
        let result = result.unwrap_or_else(|_| Err(late(&self.load)));
        self.note(Record { sent, ended: Instant::now(), result });
    }

    fn note(&self, record: Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

fn late(load: &Load) -> String {
    format!("no answer after {:?}", load.deadline)
}

fn unique_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests;
