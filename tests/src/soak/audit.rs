//! Judges the book: for every request whether it was answered once, by one whole revision, and by one that might answer
//! at that time. Pure: what it goes by is handed in.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use super::app::Shop;
use super::book::{Book, End, Entry, Micros};
use super::stage::Stage;

/// Broken promises of one sort in one app that are kept with all they were about; more are only counted.
const KEPT: usize = 100;

/// What a judgement rests on.
#[derive(Debug, Default)]
pub(super) struct Law {
    /// Who might answer when, by app.
    pub(super) stages: [Stage; 3],
    /// How answers of a revision look.
    pub(super) looks: BTreeMap<(Shop, u32), String>,
    /// Revisions of which a part of the calls is made to fail.
    pub(super) faulty: Vec<(Shop, u32)>,
}

/// What came of requests. Each is in one of the first five counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Answered well.
    pub(super) answered: u64,
    /// Failed by the component that was made to fail them, in a rollout that should be rolled back for it.
    pub(super) made_to_fail: u64,
    /// Failed otherwise.
    pub(super) failed: u64,
    /// Without an answer.
    pub(super) lost: u64,
    /// Not known yet.
    pub(super) out: u64,

    /// Requests that came to more than one call of a component.
    pub(super) doubled: u64,
    /// Answered by two revisions together, or unlike the revision that says it answered.
    pub(super) mixed: u64,
    /// Answered by a revision that might not answer then.
    pub(super) foreign: u64,
    /// Answered without a call that a component told of.
    pub(super) unaccounted: u64,
    /// Calls of each kind of component.
    pub(super) calls: u64,
}

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// Which: a word of the counts, or another.
    pub(super) what: &'static str,
    /// Of which app's requests.
    pub(super) shop: Option<Shop>,
    /// In words.
    pub(super) how: String,
}

/// Counts, and what was broken.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) tally: Tally,
    pub(super) broken: Vec<Broken>,
}

impl Law {
    /// Judges the entries with these numbers. What ended later than `known` counts as out.
    pub(super) fn judge(&self, book: &Book, which: Range<usize>, known: Micros) -> Judgement {
        let mut judgement = Judgement::default();
        let entries = book.entries();
        for (number, entry) in entries.iter().enumerate().take(which.end).skip(which.start) {
            // The calls of what is out are known in parts only.
            if entry.end == End::Out || entry.ended > known {
                judgement.tally.out += 1;
            } else {
                self.judge_one(&mut judgement, book, number, entry);
            }
        }
        judgement
    }

    fn judge_one(&self, judgement: &mut Judgement, book: &Book, number: usize, entry: &Entry) {
        let [first, behind] = entry.calls;
        let tally = &mut judgement.tally;
        tally.calls += u64::from(first.count) + u64::from(behind.count);
        let mut wrong = Vec::new();
        if first.count > 1 || behind.count > 1 {
            tally.doubled += 1;
            wrong.push(("doubled", format!("{} and {} calls", first.count, behind.count)));
        }
        if first.differs || behind.differs || (behind.count > 0 && behind.revision != first.revision) {
            tally.mixed += 1;
            wrong.push(("mixed", format!("revisions {} and {}", first.revision, behind.revision)));
        }
        let allowed = self.stages[entry.shop.index()].allowed(entry.sent, entry.ended);
        if first.count > 0 && !allowed.contains(&first.revision) {
            tally.foreign += 1;
            wrong.push(("foreign", format!("revision {} and not one of {allowed:?}", first.revision)));
        }
        let fault = first.fault || behind.fault;
        let planned = fault && self.faulty.contains(&(entry.shop, first.revision));
        match entry.end {
            End::Out => tally.out += 1,
            End::Late => {
                tally.lost += 1;
                wrong.push(("lost", "no answer within 10 s".to_owned()));
            }
            End::Failed(_) if planned => tally.made_to_fail += 1,
            End::Failed(cause) => {
                tally.failed += 1;
                wrong.push(("failed", book.text(cause)));
            }
            End::Answered(look) => {
                tally.answered += 1;
                let due = if entry.shop.is_linked() { 1 } else { 0 };
                if first.count == 0 || behind.count < due {
                    tally.unaccounted += 1;
                    wrong.push(("unaccounted", format!("{} and {} calls", first.count, behind.count)));
                }
                if fault {
                    wrong.push(("doubled", "answered well although its call was made to fail".to_owned()));
                    tally.doubled += 1;
                }
                let (look, wanted) = (book.text(look), self.looks.get(&(entry.shop, first.revision)));
                if first.count > 0 && wanted != Some(&look) {
                    tally.mixed += 1;
                    let wanted = wanted.map_or("nothing known", String::as_str);
                    let told = format!("`{look}` by revision {}, which answers `{wanted}`", first.revision);
                    wrong.push(("mixed", told));
                }
            }
        }
        for (what, how) in wrong {
            let shop = Some(entry.shop);
            let alike = judgement.broken.iter().filter(|other| other.what == what && other.shop == shop);
            if alike.count() < KEPT {
                let name = entry.shop.name();
                let how = format!("request {number} to {name} at {} us: {how}; {entry:?}", entry.sent);
                judgement.broken.push(Broken { what, shop, how });
            }
        }
    }
}

impl Tally {
    /// All requests.
    pub(super) const fn sent(&self) -> u64 {
        self.answered + self.made_to_fail + self.failed + self.lost + self.out
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "sent": self.sent(), "answered": self.answered, "madeToFail": self.made_to_fail,
            "failed": self.failed, "lost": self.lost, "out": self.out, "doubled": self.doubled,
            "mixed": self.mixed, "foreign": self.foreign, "unaccounted": self.unaccounted, "calls": self.calls,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use super::*;
    use crate::soak::book::Calls;

    const BY_ONE: Calls = Calls { revision: 1, count: 1, fault: false, differs: false };

    fn judged(change: impl FnOnce(&Book, &mut Entry)) -> Tally {
        let book = Book::new();
        let number = book.open(Shop::Near, Instant::now());
        let look = book.word("v1/1 > v1/1");
        book.close(number, End::Answered(look));
        {
            let mut entry = book.entries()[number].clone();
            entry.calls = [BY_ONE, BY_ONE];
            change(&book, &mut entry);
            book.entries()[number] = entry;
        }
        let mut law = Law::default();
        for stage in &mut law.stages {
            stage.set(0, BTreeSet::from([1]));
        }
        law.looks.insert((Shop::Near, 1), "v1/1 > v1/1".to_owned());
        law.faulty.push((Shop::Near, 1));
        let judgement = law.judge(&book, 0..1, Micros::MAX);
        let Tally { doubled, mixed, foreign, unaccounted, failed, lost, .. } = judgement.tally;
        let count = doubled + mixed + foreign + unaccounted + failed + lost;
        assert_eq!(judgement.broken.len() as u64, count, "{judgement:?}");
        judgement.tally
    }

    #[test]
    fn a_good_answer_breaks_nothing() {
        let tally = judged(|_, _| {});
        assert_eq!(tally, Tally { answered: 1, calls: 2, ..Tally::default() });
    }

    #[test]
    fn each_broken_promise_is_seen() {
        let twice = Calls { count: 2, ..BY_ONE };
        assert_eq!(judged(|_, entry| entry.calls[1] = twice).doubled, 1);
        let two = Calls { revision: 2, ..BY_ONE };
        assert_eq!(judged(|_, entry| entry.calls[1] = two).mixed, 1);
        let tally = judged(|_, entry| entry.calls = [two, two]);
        assert_eq!((tally.foreign, tally.mixed), (1, 1), "neither allowed, nor known by its look");
        assert_eq!(judged(|_, entry| entry.calls[1] = Calls::default()).unaccounted, 1);
        assert_eq!(judged(|book, entry| entry.end = End::Answered(book.word("v2/1 > v1/1"))).mixed, 1);
        assert_eq!(judged(|book, entry| entry.end = End::Failed(book.word("status 503"))).failed, 1);
        assert_eq!(judged(|_, entry| entry.end = End::Late).lost, 1);
    }

    #[test]
    fn only_planned_faults_may_fail() {
        let fault = Calls { fault: true, ..BY_ONE };
        let tally = judged(|book, entry| {
            entry.calls[0] = fault;
            entry.calls[1] = Calls::default();
            entry.end = End::Failed(book.word("status 500"));
        });
        assert_eq!((tally.made_to_fail, tally.failed), (1, 0));
        // A call that was made to fail has no good answer, unless it was made again.
        assert_eq!(judged(|_, entry| entry.calls[0] = fault).doubled, 1);
    }
}
