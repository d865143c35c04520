//! Load from outside: one request at its time, whether those before it are answered or not, each in the book from
//! before it is sent. Nothing is retried.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::app::{Shop, look_of};
use super::book::{Book, End};
use crate::ledger::{Clients, Load};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that may be out at once. More would mean that nothing is answered any more.
const MOST_OUT: u64 = 5_000;
/// One request in so many goes over a connection of its own, as a new client's would.
const FRESH_EVERY: usize = 10;
/// Which app gets the next request, over and over.
const SHARES: [Shop; 10] = [
    Shop::Near,
    Shop::Ten,
    Shop::Far,
    Shop::Near,
    Shop::Ten,
    Shop::Near,
    Shop::Far,
    Shop::Near,
    Shop::Ten,
    Shop::Near,
];

/// Sends requests until it is stopped.
#[derive(Debug)]
pub(super) struct Traffic {
    sender: Arc<Sender>,
    stop: Arc<AtomicBool>,
    clock: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Sender {
    book: Arc<Book>,
    addresses: [SocketAddr; 3],
    clients: Clients,
    out: AtomicU64,
}

impl Traffic {
    /// Starts to send, so many requests a second to all apps together.
    pub(super) fn start(book: Arc<Book>, addresses: [SocketAddr; 3], rate: u32) -> Self {
        let sender = Arc::new(Sender { book, addresses, clients: Clients::new(), out: AtomicU64::new(0) });
        let stop = Arc::new(AtomicBool::new(false));
        let (its_sender, its_stop, tasks) = (Arc::clone(&sender), Arc::clone(&stop), Handle::current());
        let clock = std::thread::spawn(move || {
            let begun = Instant::now();
            for number in 0_u64.. {
                // From the beginning and not from the last one: what is late is made up for.
                let due =
                    begun + Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(rate));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if its_stop.load(Ordering::Relaxed) {
                    return;
                }
                let turn = usize::try_from(number).unwrap_or_default() % SHARES.len();
                its_sender.begin(SHARES[turn], due, &tasks);
            }
        });
        Self { sender, stop, clock: Some(clock) }
    }

    /// Sends no more and waits for what is out.
    ///
    /// # Panics
    /// When the clock of the load has failed.
    pub(super) async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let clock = self.clock.take().expect("the load is finished once");
        tokio::task::spawn_blocking(move || clock.join())
            .await
            .expect("no wait")
            .expect("the load has failed");
        // Every request ends by its own deadline.
        while self.sender.out.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Sender {
    fn begin(self: &Arc<Self>, shop: Shop, due: Instant, tasks: &Handle) {
        let number = self.book.open(shop, due);
        if self.out.fetch_add(1, Ordering::Relaxed) >= MOST_OUT {
            self.out.fetch_sub(1, Ordering::Relaxed);
            let cause = self.book.word(&format!("not sent: {MOST_OUT} requests are without an answer"));
            self.book.close(number, End::Failed(cause));
            return;
        }
        let sender = Arc::clone(self);
        tasks.spawn(async move {
            let end = sender.send(shop, number).await;
            sender.book.close(number, end);
            sender.out.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn send(&self, shop: Shop, number: usize) -> End {
        let id = number.to_string();
        let address = self.addresses[shop.index()];
        let request = Load::new(address, &format!("/?name={id}")).host(&shop.host());
        let answer = async {
            if number.is_multiple_of(FRESH_EVERY) {
                self.clients.fresh(&request, &id).await
            } else {
                self.clients.kept(&request, &id, number as u64).await
            }
        };
        let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else { return End::Late };
        match answer.and_then(|answer| look_of(shop, &answer, &id)) {
            Ok(look) => End::Answered(self.book.word(&look)),
            Err(cause) => End::Failed(self.book.word(&without_ids(&cause, &id))),
        }
    }
}

/// The same cause for all requests.
fn without_ids(cause: &str, id: &str) -> String {
    cause.replace(id, "ID")
}
