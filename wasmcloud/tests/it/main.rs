//! The types of this crate against what the 1.x world has said.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod recording;
mod subjects;
