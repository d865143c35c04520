//! What the measurements are made of: a host process of its own with a nats-server, bundles for it, load, and the table
//! of what was measured beside what else does the same work. `cargo xtask bench` builds and runs all of it.
//!
//! A measurement judges nothing but its own sense: one that cannot be made stops the run.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made stops at once; counts are far below where floats get coarse"
)]

pub mod bundle;
pub mod load;
pub mod numbers;
pub mod process;
pub mod row;
pub mod run;
pub mod suites;
pub mod table;
