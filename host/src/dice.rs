//! Which calls go to which of two revisions, so that each gets its share of any run of calls and not only of many.

use std::sync::atomic::{AtomicU64, Ordering};

/// 2^64 divided by the golden ratio: its multiples spread over a range more evenly than any other number's.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers from 0 to 99 in turn, spread evenly. Every second or third of them is spread evenly as well, so callers that
/// take turns do not end up on one side.
#[derive(Debug, Default)]
pub(crate) struct Dice {
    at: AtomicU64,
}

impl Dice {
    /// The next number.
    pub(crate) fn roll(&self) -> u8 {
        let at = self.at.fetch_add(STEP, Ordering::Relaxed);
        // The high half of a product with 100 is below 100.
        u8::try_from((u128::from(at) * 100) >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_met_within_six_of_ten_thousand_calls() {
        let dice = Dice::default();
        let rolled: Vec<u8> = (0..10_000).map(|_| dice.roll()).collect();
        for weight in [1, 5, 25, 50, 99, 100] {
            for every in [1, 2, 3, 7] {
                let part: Vec<&u8> = rolled.iter().step_by(every).collect();
                let below = part.iter().filter(|roll| ***roll < weight).count();
                let share = part.len() * usize::from(weight) / 100;
                assert!(below.abs_diff(share) <= 6, "{weight}, every {every}: {below} instead of {share}");
            }
        }
    }
}
