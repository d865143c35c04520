//! How calls go, from the differences of counts between statuses.
//!
//! Pure: the time is handed in. Counts of a place that is seen for the first time count from there, and those that
//! have shrunk belong to a host that began anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lath_control_api::app::AppStatus;
use lath_control_api::{CallCounts, ComponentName, HostId, Revision};
use serde::Serialize;

/// Time over which rates are taken: hosts tell their counts every second while something moves, else more rarely.
const WINDOW: Duration = Duration::from_secs(10);
/// Time below which a difference says nothing of a rate.
const LEAST: Duration = Duration::from_millis(900);

/// One revision of one component.
type Of = (ComponentName, Revision);

/// Counts calls of an app while it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    last: BTreeMap<(ComponentName, HostId, Revision), CallCounts>,
    sums: BTreeMap<Of, Sum>,
    /// Sums as they were, oldest first; one of them is as old as the window or older.
    earlier: VecDeque<(Duration, BTreeMap<Of, Sum>)>,
}

/// Calls since the first look.
#[derive(Debug, Clone, Default)]
struct Sum {
    started: u64,
    ended: u64,
    failed: u64,
    latency_us: BTreeMap<u64, u64>,
}

/// Calls of an app while a command looked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// Calls that ended.
    pub(crate) total: u64,
    /// Those of them that ended badly.
    pub(crate) failed: u64,
}

/// How calls go of one revision of one component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// Calls begun in a second.
    pub(crate) per_second: f64,
    /// Percent of the calls that ended well, of those that ended; none when none did.
    pub(crate) well: Option<f64>,
    /// Time that 95 of 100 calls needed at most; none when it is not known.
    pub(crate) p95: Option<Duration>,
}

impl Rates {
    /// Takes a status in, `at` after the start.
    pub(crate) fn see(&mut self, status: &AppStatus, at: Duration) {
        if self.earlier.is_empty() {
            self.earlier.push_back((at, BTreeMap::new()));
        }
        for component in &status.components {
            for place in &component.places {
                let unit = (component.component.clone(), place.host.clone(), place.revision);
                let before = self.last.insert(unit, place.calls.clone());
                let sum = self.sums.entry((component.component.clone(), place.revision)).or_default();
                if let Some(before) = before {
                    sum.add(&before, &place.calls);
                }
            }
        }
        if self.earlier.back().is_some_and(|(last, _)| at.saturating_sub(*last) >= LEAST) {
            self.earlier.push_back((at, self.sums.clone()));
        }
        while self.earlier.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= WINDOW) {
            self.earlier.pop_front();
        }
    }

    /// The rate of a revision of a component; none before there are two looks far enough apart.
    pub(crate) fn of(&self, component: &ComponentName, revision: Revision) -> Option<Rate> {
        let of = (component.clone(), revision);
        let (first, old) = self.earlier.front()?;
        let (last, new) = self.earlier.back()?;
        let time = last.saturating_sub(*first);
        if time < LEAST {
            return None;
        }
        let none = Sum::default();
        Some(Sum::rate(old.get(&of).unwrap_or(&none), new.get(&of)?, time))
    }

    /// All calls so far, of whichever revision.
    pub(crate) fn seen(&self) -> Seen {
        self.sums.values().fold(Seen::default(), |seen, sum| Seen {
            total: seen.total.saturating_add(sum.ended),
            failed: seen.failed.saturating_add(sum.failed),
        })
    }
}

impl Sum {
    fn add(&mut self, before: &CallCounts, now: &CallCounts) {
        let nothing = CallCounts::default();
        // A host that was started again counts from nothing.
        let before = if now.follows(before) { before } else { &nothing };
        self.started += now.started.saturating_sub(before.started);
        self.ended += judged(now).saturating_sub(judged(before));
        self.failed += now.failures().saturating_sub(before.failures());
        for (bound, count) in &now.latency_us {
            let old = before.latency_us.get(bound).copied().unwrap_or(0);
            *self.latency_us.entry(*bound).or_default() += count.saturating_sub(old);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
    fn rate(old: &Self, new: &Self, time: Duration) -> Rate {
        let ended = new.ended.saturating_sub(old.ended);
        let failed = new.failed.saturating_sub(old.failed);
        let well = ended.saturating_sub(failed);
        Rate {
            per_second: new.started.saturating_sub(old.started) as f64 / time.as_secs_f64(),
            well: (ended > 0).then(|| 100.0 * well as f64 / ended as f64),
            p95: p95(&old.latency_us, &new.latency_us),
        }
    }
}

/// The upper bound of the bucket in which the 95th of 100 calls lies; none without calls, or beyond the last bound.
fn p95(old: &BTreeMap<u64, u64>, new: &BTreeMap<u64, u64>) -> Option<Duration> {
    let count = |bound: &u64, count: &u64| count.saturating_sub(old.get(bound).copied().unwrap_or(0));
    let all: u64 = new.iter().map(|(bound, counted)| count(bound, counted)).sum();
    let wanted = all.saturating_mul(95).div_ceil(100);
    let mut below = 0;
    let bound = new.iter().find_map(|(bound, counted)| {
        below += count(bound, counted);
        (all > 0 && below >= wanted).then_some(*bound)
    })?;
    (bound != u64::MAX).then(|| Duration::from_micros(bound))
}

/// Calls that ended well or badly. Those whose caller went away say nothing of the revision.
fn judged(calls: &CallCounts) -> u64 {
    calls.succeeded.saturating_add(calls.failures())
}

#[cfg(test)]
mod tests {
    use lath_control_api::app::{AppState, ComponentStatus, Place};
    use lath_control_api::{Generation, Phase, Reason, Weight};

    use super::*;

    fn host(letter: &str) -> HostId {
        format!("N{}", letter.repeat(55)).parse().unwrap()
    }

    fn calls(started: u64, succeeded: u64, trapped: u64) -> CallCounts {
        let latency_us = BTreeMap::from([(1_000, succeeded), (8_000, trapped)]);
        CallCounts { started, succeeded, trapped, latency_us, ..CallCounts::default() }
    }

    fn status(places: &[(&str, u64, CallCounts)]) -> AppStatus {
        let place = |(letter, revision, calls): &(&str, u64, CallCounts)| Place {
            host: host(letter),
            host_name: (*letter).to_owned(),
            revision: Revision(*revision),
            phase: Some(Phase::Running),
            weight: Weight::ALL,
            calls: calls.clone(),
            reason: Reason::AsAsked,
            message: String::new(),
            links: Vec::new(),
        };
        let component = ComponentStatus {
            component: "cart".parse().unwrap(),
            id: "shop-cart".parse().unwrap(),
            desired: 2,
            ready: 2,
            places: places.iter().map(place).collect(),
        };
        AppStatus {
            app: "shop".parse().unwrap(),
            state: AppState::Progressing,
            message: String::new(),
            revision: Some(Revision(2)),
            generation: Generation(1),
            rollout: None,
            last: None,
            components: vec![component],
            problems: Vec::new(),
            routes: Vec::new(),
            description: None,
        }
    }

    /// Host, revision, counts.
    type Counted = (&'static str, u64, CallCounts);

    fn seen(looks: &[(u64, &[Counted])]) -> Rates {
        let mut rates = Rates::default();
        for (seconds, places) in looks {
            rates.see(&status(places), Duration::from_secs(*seconds));
        }
        rates
    }

    fn cart() -> ComponentName {
        "cart".parse().unwrap()
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_not_in_the_rate() {
        let rates = seen(&[
            (0, &[("A", 2, calls(1_000, 1_000, 0)), ("B", 2, calls(500, 500, 0))]),
            (2, &[("A", 2, calls(1_150, 1_146, 4)), ("B", 2, calls(550, 550, 0))]),
        ]);
        let rate = rates.of(&cart(), Revision(2)).unwrap();
        assert_eq!(
            (rate.per_second, rate.well, rate.p95),
            (100.0, Some(98.0), Some(Duration::from_millis(1)))
        );
        assert_eq!(rates.seen(), Seen { total: 200, failed: 4 });
        assert_eq!(rates.of(&cart(), Revision(1)), None);
    }

    #[test]
    fn one_look_gives_no_rate_and_silence_gives_zero() {
        assert_eq!(seen(&[(0, &[("A", 2, calls(9, 9, 0))])]).of(&cart(), Revision(2)), None);
        let still = seen(&[(0, &[("A", 2, calls(9, 9, 0))]), (1, &[("A", 2, calls(9, 9, 0))])]);
        let rate = still.of(&cart(), Revision(2)).unwrap();
        assert_eq!((rate.per_second, rate.well, rate.p95), (0.0, None, None));
    }

    #[test]
    fn a_host_that_began_anew_is_counted_from_nothing() {
        let rates = seen(&[(0, &[("A", 2, calls(900, 900, 0))]), (1, &[("A", 2, calls(30, 30, 0))])]);
        assert_eq!(rates.of(&cart(), Revision(2)).unwrap().per_second, 30.0);
    }

    #[test]
    fn the_window_moves_on() {
        let mut looks = vec![(0, calls(0, 0, 0)), (1, calls(1_000, 1_000, 0))];
        looks.extend((2..=20).map(|second| (second, calls(1_000, 1_000, 0))));
        let mut rates = Rates::default();
        for (second, calls) in looks {
            rates.see(&status(&[("A", 2, calls)]), Duration::from_secs(second));
        }
        assert_eq!(rates.of(&cart(), Revision(2)).unwrap().per_second, 0.0);
        assert_eq!(rates.seen().total, 1_000);
    }

    #[test]
    fn a_call_slower_than_every_bound_has_no_time() {
        let bounds = BTreeMap::from([(1_000, 1), (u64::MAX, 99)]);
        assert_eq!(p95(&BTreeMap::new(), &bounds), None);
        let bounds = BTreeMap::from([(1_000, 94), (2_000, 6)]);
        assert_eq!(p95(&BTreeMap::new(), &bounds), Some(Duration::from_millis(2)));
    }
}
