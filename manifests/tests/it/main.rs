//! The crate seen from outside: examples, bounds, properties, and another parser's opinion.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands; clippy's own exception ends at helper functions"
)]

mod bounds;
mod files;
mod golden;
mod oracle;
mod properties;
