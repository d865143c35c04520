//! Deciding what hosts should run: desired records and observations in, records and commands out.
//!
//! Pure: no clock, network, store or random source. The same input gives the same output, byte for byte. One
//! door: [`plan`] for one app. The record that it returns is committed before any of its commands is sent, and
//! every command can be derived again from the record, so a manager may die between any two instructions.
//!
//! In reading order: [`record`] (what is stored), [`desired`] (what a revision asks of hosts), [`observed`]
//! (what hosts say), [`change`] (what users ask for), [`admit`] (what apps may not share), [`placement`]
//! (which host runs what), [`bundles`] (what one host is told), [`assess`] (how far a host has come),
//! [`ladder`] (the steps of a rollout), [`gate`] (how a candidate is judged), [`rollout`] (what happens next),
//! [`steer`] (what people tell a rollout), [`versions`]
//! (manifests by their owners' names), [`status`] (what people are told), [`check`] (what must never happen).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod admit;
pub mod assess;
pub mod bundles;
pub mod change;
pub mod check;
pub mod desired;
pub mod diff;
#[cfg(any(test, feature = "example"))]
pub mod example;
pub mod gate;
pub mod ladder;
pub mod observed;
pub mod placement;
mod plan;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod preview;
pub mod record;
pub mod rollout;
pub mod status;
pub mod steer;
pub mod versions;

pub use desired::AppSpec;
pub use observed::ObservedState;
pub use plan::{Command, PlanInput, PlanLimits, PlanOutput, WebhookAsk, plan};
pub use record::{DesiredRecord, RevisionRecord};
