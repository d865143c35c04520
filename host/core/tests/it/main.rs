//! The host's decisions as a host meets them: one binary for scenarios, routes and properties.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod health;
mod model;
mod properties;
mod routes;
mod scenarios;
