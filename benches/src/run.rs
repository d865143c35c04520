//! What a run measures with: the programs, and how long it may take.

use std::path::PathBuf;
use std::time::Duration;

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Less of everything: in a few minutes, for a look.
    pub quick: bool,
    /// The `lath` that is measured.
    pub lath: PathBuf,
    /// A bare HTTP server.
    pub hyper: PathBuf,
    /// The `wasmtime` of the command line; rows stay without it when it is not there.
    pub wasmtime: Option<PathBuf>,
    /// The last wRPC of the 1.x world over NATS; rows stay without it when it is not there.
    pub upstream: Option<PathBuf>,
}

impl Run {
    /// How long one server is loaded in one round. A whole run fits into half an hour with it.
    #[must_use]
    pub const fn time(&self) -> Duration {
        if self.quick { Duration::from_millis(1_500) } else { Duration::from_secs(3) }
    }

    /// Rounds in which all servers come in turn. What is told is the middle one of each.
    #[must_use]
    pub const fn rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// `whole`, or the smaller number of a quick run.
    #[must_use]
    pub const fn count(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

/// Measures each of several in turn, round after round, and gives the middle value of each.
///
/// # Panics
/// When there is no round.
pub fn in_turn<const N: usize>(rounds: usize, mut measure: impl FnMut(usize) -> f64) -> [f64; N] {
    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (at, values) in values.iter_mut().enumerate() {
            values.push(measure(at));
        }
    }
    values.map(middle)
}

/// The middle one of some values.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_round_decides_nothing() {
        let mut round = 0;
        let [one, two] = in_turn(3, |at| {
            round += 1;
            if round == 1 { 1_000.0 } else { at as f64 }
        });
        assert_eq!((one, two), (0.0, 1.0));
    }
}
