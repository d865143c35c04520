//! Requests to the demo's app, and an account of them. Just enough HTTP for its small answers; no retries, so that
//! a lost request shows. What the answers mean is not known here.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// Requests a second, all senders together.
pub(crate) const RATE: u32 = 200;
/// Each sends its share, one request after the other.
const SENDERS: u32 = 8;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends one request over a connection of its own and gives the JSON of the answer.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("cannot connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In HTTP 1.0 the answer ends with the connection, and so needs no decoding.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).context("cannot send")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("cannot read the answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is cut off")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status}: {}", body.trim_end());
    }
    serde_json::from_str(body).context("the answer is not JSON")
}

/// A request that has ended.
struct Record {
    sent: Instant,
    answer: Result<Value>,
}

/// Requests that keep coming until [`Load::finish`].
pub(crate) struct Load {
    records: Arc<Mutex<Vec<Record>>>,
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts to send.
    pub(crate) fn start(address: SocketAddr, path: &'static str) -> Self {
        let (records, stop) = (Arc::<Mutex<Vec<Record>>>::default(), Arc::<AtomicBool>::default());
        let sender = |number: u32| {
            let (records, stop) = (Arc::clone(&records), Arc::clone(&stop));
            thread::spawn(move || send(address, path, number, &records, &stop))
        };
        let senders = (0..SENDERS).map(sender).collect();
        Self { records, stop, senders }
    }

    /// Waits until so many more requests have ended.
    pub(crate) fn more(&self, requests: usize) -> Result<()> {
        let count = || self.records.lock().unwrap_or_else(PoisonError::into_inner).len();
        let (begun, wanted) = (Instant::now(), count() + requests);
        while count() < wanted {
            if begun.elapsed() > Duration::from_secs(30) {
                bail!("fewer than {requests} requests ended within 30 s");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Stops sending and gives the account.
    pub(crate) fn finish(self) -> Result<Account> {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().map_err(|_| anyhow!("a sender of requests has panicked"))?;
        }
        let records = std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Account { records })
    }
}

fn send(address: SocketAddr, path: &str, number: u32, records: &Mutex<Vec<Record>>, stop: &AtomicBool) {
    let pause = Duration::from_secs(1) * SENDERS / RATE;
    let mut due = Instant::now() + pause * number / SENDERS;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += pause;
        let sent = Instant::now();
        let answer = get(address, path);
        records.lock().unwrap_or_else(PoisonError::into_inner).push(Record { sent, answer });
    }
}

/// What came of the requests.
pub(crate) struct Account {
    records: Vec<Record>,
}

impl Account {
    /// Requests that were sent at `mark` or later, or all.
    pub(crate) fn by(
        &self,
        since: Option<Instant>,
        name: impl Fn(&Value) -> String,
    ) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for record in self.records.iter().filter(|record| since.is_none_or(|mark| record.sent >= mark)) {
            if let Ok(answer) = &record.answer {
                *counts.entry(name(answer)).or_default() += 1;
            }
        }
        counts
    }

    /// Why requests failed, each time.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.records
            .iter()
            .filter_map(|record| record.answer.as_ref().err())
            .map(|e| format!("{e:#}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn good_and_bad_answers_are_told_apart() {
        let good = server("HTTP/1.0 200 OK\r\nx: y\r\n\r\n{\"version\":\"v1\"}\n");
        assert_eq!(get(good, "/").unwrap()["version"], "v1");
        for (answer, cause) in [
            ("HTTP/1.0 503 Busy\r\n\r\nno room\n", "status 503: no room"),
            ("HTTP/1.0 200 OK\r\n\r\nhello", "not JSON"),
            ("HTTP/1.0 200 OK\r\n", "cut off"),
        ] {
            let error = format!("{:#}", get(server(answer), "/").unwrap_err());
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn every_request_is_counted() {
        let load = Load::start(server("HTTP/1.0 200 OK\r\n\r\n{\"version\":\"v1\"}"), "/");
        load.more(20).unwrap();
        let account = load.finish().unwrap();
        assert_eq!(account.failures(), Vec::<String>::new());
        assert!(account.by(None, |answer| answer["version"].to_string())["\"v1\""] >= 20);
        assert!(account.by(Some(Instant::now()), Value::to_string).is_empty());
    }
}
