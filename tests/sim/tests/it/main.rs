//! Seeds; the ones that failed once, always; and proof that a bug would be noticed.
#![expect(clippy::panic, reason = "a test ends at the first surprise")]

mod planted;
mod seeds;
