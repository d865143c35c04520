//! Waiting for a state with a deadline. The only loop of the tests that pauses; whoever waits for something else
//! than a state of the lattice does not need this file.

use std::time::{Duration, Instant};

/// How often a state is looked at. Short against every deadline, long against what a look costs.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` finds what it wants and gives that; fails the test when `within` has passed before.
///
/// `look` says in its error what it found instead: the last of these texts stands in the failure.
///
/// # Panics
/// When the state was not reached in time.
pub async fn eventually<T>(
    within: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) if begun.elapsed() >= within => {
                panic!("waited {within:?} for {what}; at last: {instead}");
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
