//! What a lattice of real processes must hold, seen from outside. One file for each part of that promise; how a
//! lattice is started and broken stands in the library. A name that begins with an invariant's id shows that one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

mod app;
mod bad_revision;
mod blue_green;
mod call;
mod canary;
mod cli;
mod control_v1;
mod control_v1_garbage;
mod control_v1_prefix;
mod control_v1_replay;
mod crashes;
mod deploy;
mod drain;
mod egress;
mod handles;
mod health;
mod invalid;
mod inventory;
mod js_domain;
mod keyvalue;
mod lattice_data;
mod limits;
mod links;
mod manager;
mod order;
mod polyglot;
mod provider;
mod provider_edges;
mod provider_secrets;
mod recovery;
mod refused;
mod registry;
mod routes;
mod shared;
mod strategies;
mod telemetry;
mod upgrade;
mod wash;
mod words;
mod worlds;
