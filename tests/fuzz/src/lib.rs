//! What must hold for every sequence of bytes that may come from outside: one check for each place that reads them.
//!
//! A check returns when its promises hold and panics when one is broken; bytes that are refused in order are fine. The
//! folder `fuzz` hands these checks what its engine makes up, `it/replay.rs` hands them everything that is kept. No
//! check may read a file, a clock or a random source: the same bytes must give the same result anywhere.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken promise ends the process: that is how an engine of fuzzing hears of it"
)]

mod bundle;
mod egress;
mod lines;
mod manifest;
mod routes;
#[cfg(feature = "values")]
mod values;

/// A place that reads what comes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its program in `fuzz/fuzz_targets`, and of its folders in `fuzz/corpus` and `fuzz/findings`.
    pub name: &'static str,
    /// What must hold there.
    pub check: fn(&[u8]),
    /// Folders, from the root of the checkout, whose files are good seeds beside those in `fuzz/corpus`.
    pub seeds: &'static [&'static str],
}

/// A manager's command to a host: its JSON, and what the host's core makes of it.
pub const BUNDLE: Target =
    Target { name: "bundle", check: bundle::check, seeds: &["control-api/tests/samples"] };
/// Application manifests.
pub const MANIFEST: Target =
    Target { name: "manifest", check: manifest::check, seeds: &["manifests/examples"] };
/// Values of components as they travel between hosts.
#[cfg(feature = "values")]
pub const VALUES: Target = Target { name: "values", check: values::check, seeds: &[] };
/// The choice of a component for an HTTP request.
pub const ROUTES: Target = Target { name: "routes", check: routes::check, seeds: &[] };
/// Entries of `allowed_hosts`, and judging by them.
pub const EGRESS: Target = Target { name: "egress", check: egress::check, seeds: &[] };

/// All of them.
#[cfg(feature = "values")]
pub const TARGETS: [Target; 5] = [BUNDLE, MANIFEST, VALUES, ROUTES, EGRESS];
