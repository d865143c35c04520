//! The end of a soak: a last revision of each app, deployed without load, gets a counted load. Requests sent, calls that
//! components told of, and calls that hosts counted must then be the same number: three accounts by three parties.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::app::Shop;
use super::book::Book;
use super::hand::{Counted, Hand};

/// Longest wait for hosts to have no call in flight.
const QUIET: Duration = Duration::from_secs(10);

/// The three accounts of one component.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    pub(super) shop: Shop,
    pub(super) component: &'static str,
    pub(super) sent: u64,
    pub(super) told: u64,
    pub(super) counted: Counted,
}

impl Closing {
    /// Whether all three agree, and nothing failed or is still out.
    pub(super) fn agrees(&self) -> bool {
        let Counted { started, ended, failures, in_flight } = self.counted;
        [self.told, started, ended] == [self.sent; 3] && failures == 0 && in_flight == 0
    }

    pub(super) fn json(&self) -> Value {
        let Counted { started, ended, failures, in_flight } = self.counted;
        json!({
            "app": self.shop.name(), "component": self.component, "sent": self.sent, "told": self.told,
            "started": started, "ended": ended, "failures": failures, "inFlight": in_flight,
            "agrees": self.agrees(),
        })
    }
}

/// Closes the accounts of requests from number `first` on, which all went to these revisions.
///
/// # Errors
/// When a host does not say what it counts.
pub(super) async fn close(
    hand: &Hand,
    book: &Book,
    first: usize,
    revisions: &BTreeMap<Shop, u32>,
) -> Result<Vec<Closing>, String> {
    let mut closings = Vec::new();
    for (&shop, &revision) in revisions {
        let components = if shop.is_linked() { vec!["front", "greeter"] } else { vec!["hello"] };
        for (place, component) in components.into_iter().enumerate() {
            let counted = settled(hand, shop, component, revision).await?;
            let (mut sent, mut told) = (0, 0);
            for entry in book.entries().iter().skip(first).filter(|entry| entry.shop == shop) {
                sent += 1;
                let calls = entry.calls[place];
                told += if calls.revision == revision { u64::from(calls.count) } else { 0 };
            }
            closings.push(Closing { shop, component, sent, told, counted });
        }
    }
    Ok(closings)
}

/// What hosts count once no call is in flight.
async fn settled(hand: &Hand, shop: Shop, component: &str, revision: u32) -> Result<Counted, String> {
    let begun = std::time::Instant::now();
    loop {
        let counted = hand.counted(shop, component, revision).await?;
        if counted.in_flight == 0 || begun.elapsed() > QUIET {
            return Ok(counted);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
