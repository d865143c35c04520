//! What the measurements share: a host process of its own with a nats-server, bundles for it, and the numbers. Nothing
//! is judged here: a measurement prints what it found, and whoever reads it compares.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made stops at once"
)]

pub mod bundle;
pub mod numbers;
pub mod process;
