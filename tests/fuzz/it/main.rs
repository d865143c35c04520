//! Everything that is kept of fuzzing, run again as ordinary tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod replay;
