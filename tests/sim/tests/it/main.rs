//! Seeds, many of them; the ones that failed once, always; and proof that a bug would be noticed.
//!
//! `LATH_SIM_SEED=n` runs one seed and prints its trace; `LATH_SIM_SEEDS=n` runs so many instead of the usual number.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise; which seeds are run may come from the environment"
)]

mod planted;
mod seeds;
