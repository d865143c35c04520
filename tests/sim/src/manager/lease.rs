//! Who acts: the model of the lease, with the numbers of the real one.

use std::time::Duration;

use lath_control_api::{Epoch, Timestamp};

use super::{Manager, Out, View, Waiting};
use crate::message::Ask;
use crate::store::{LeaseRecord, Number, Written};

/// Silence after which another manager's lease may be taken.
const ABANDONED: Duration = Duration::from_secs(5);
/// Time for which a renewed lease is acted on.
const TERM: Duration = Duration::from_millis(4_500);
/// Time between renewals.
const RENEWAL: Duration = Duration::from_millis(1_500);

/// How a manager stands to the lease.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lease {
    held: Option<Held>,
    /// Another's record, and since when it has not changed.
    watched: Option<(Number, Timestamp)>,
    highest: Epoch,
    /// The highest epoch that any host has obeyed.
    pub(super) obeyed: Epoch,
    /// An answer is on its way.
    pub(super) asking: bool,
    next_turn: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    number: Number,
    epoch: Epoch,
    until: Timestamp,
}

impl Manager {
    /// The epoch in which this manager may act now.
    pub(crate) fn acts(&self, now: Timestamp) -> Option<Epoch> {
        self.lease.held.filter(|held| now < held.until).map(|held| held.epoch)
    }

    pub(super) fn lease_turn(&mut self, view: View<'_>, out: &mut Out) {
        if self.lease.asking || view.now < self.lease.next_turn {
            return;
        }
        match self.lease.held {
            None => self.ask_lease(false, out),
            Some(held) if view.now >= held.until => self.lose_lease(),
            Some(held) if self.lease.obeyed > held.epoch => {
                self.take_lease(Some(held.number), held.epoch, view.now, out);
            }
            Some(held) => self.write_lease(Some(held.number), held.epoch, view.now, out),
        }
    }

    fn ask_lease(&mut self, look_again: bool, out: &mut Out) {
        self.lease.asking = true;
        self.ask(Ask::Lease, Waiting::Lease { look_again }, out);
    }

    pub(super) fn look_again(&mut self, out: &mut Out) {
        self.ask_lease(true, out);
    }

    pub(super) fn lease_found(
        &mut self,
        look_again: bool,
        found: Option<(Number, LeaseRecord)>,
        view: View<'_>,
        out: &mut Out,
    ) {
        self.lease.asking = false;
        if look_again {
            self.compare_lease(found.as_ref());
            return;
        }
        let Some((number, record)) = found else {
            self.take_lease(None, Epoch(0), view.now, out);
            return;
        };
        self.lease.highest = self.lease.highest.max(record.epoch);
        if record.holder == self.at.manager || self.is_abandoned(number, view.now) {
            self.take_lease(Some(number), record.epoch, view.now, out);
        }
    }

    /// After a write that may or may not have happened: the lease is ours if the record says so.
    fn compare_lease(&mut self, found: Option<&(Number, LeaseRecord)>) {
        let manager = self.at.manager;
        let ours = |held: &Held| {
            found
                .filter(|(_, record)| record.holder == manager && record.epoch == held.epoch)
                .map(|(number, _)| *number)
        };
        match self.lease.held.and_then(|held| Some(Held { number: ours(&held)?, ..held })) {
            Some(held) => self.lease.held = Some(held),
            None => self.lose_lease(),
        }
    }

    fn is_abandoned(&mut self, number: Number, now: Timestamp) -> bool {
        match self.lease.watched {
            Some((seen, since)) if seen == number => now.since(since) >= ABANDONED,
            Some(_) | None => {
                self.lease.watched = Some((number, now));
                false
            }
        }
    }

    fn take_lease(&mut self, over: Option<Number>, last: Epoch, now: Timestamp, out: &mut Out) {
        let highest = self.lease.highest.max(last).max(self.lease.obeyed);
        let keeps = planted!("keep-epoch") && highest > Epoch(0);
        self.write_lease(over, if keeps { highest } else { highest.next() }, now, out);
    }

    fn write_lease(&mut self, expected: Option<Number>, epoch: Epoch, now: Timestamp, out: &mut Out) {
        self.lease.asking = true;
        let lease = LeaseRecord { holder: self.at.manager, epoch };
        self.ask(Ask::TakeLease { expected, lease }, Waiting::TakeLease { epoch, begun: now }, out);
    }

    pub(super) fn lease_written(
        &mut self,
        epoch: Epoch,
        begun: Timestamp,
        written: Written,
        view: View<'_>,
        out: &mut Out,
    ) {
        self.lease.asking = false;
        let Written::Done(number) = written else {
            self.look_again(out);
            return;
        };
        let begins = self.lease.held.is_none_or(|held| held.epoch != epoch);
        self.lease.held = Some(Held { number, epoch, until: begun.plus(TERM) });
        self.lease.highest = self.lease.highest.max(epoch);
        self.lease.watched = None;
        self.lease.next_turn = view.now.plus(RENEWAL);
        if begins {
            out.begins = Some(epoch);
            out.lines.push(format!("acts in epoch {epoch}"));
            self.sent.clear();
            self.all_due(view.now);
        }
    }

    fn lose_lease(&mut self) {
        self.lease.held = None;
        self.sent.clear();
    }
}
