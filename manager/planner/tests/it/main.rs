//! The planner as its callers see it: scenarios with transcripts, and properties over random histories.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise; the runner of scenarios reads its files"
)]

mod host;
mod lessons;
mod lost_writes;
mod properties;
mod scenarios;
mod script;
mod show;
mod strategies;
mod world;
