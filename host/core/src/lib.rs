//! What a host decides, and nothing of what it does.
//!
//! [`Core`] holds which apps a host was told to run, how far each of their specs has come, and where calls go. It
//! takes commands and news in, and gives [`Transition`]s out: the steps that the host's edges carry out, in an
//! order that is safe. There is no clock here (`now` is an argument, the next wake-up a result), no file, no
//! socket and no engine, so every history of a host can be played in a test.
//!
//! Three rules hold in every state:
//! 1. What serves is replaced only by what runs. A spec that is on its way or has failed never takes from what is
//!    there, and specs of one app that change in place change together.
//! 2. A decision that is older than one that was obeyed changes nothing; the same one again changes nothing.
//! 3. What was replaced finishes what it took, together with the rest of its app's revision.
//!
//! Read in this order: `unit`, `retry`, `spec`, `app`, `transition`, `core`, `routes`, `inventory`, `journal`, and by themselves `egress` and `sources`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod app;
mod core;
pub mod egress;
mod inventory;
mod journal;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod retry;
mod routes;
pub mod sources;
mod spec;
mod transition;
mod unit;

pub use crate::core::{AppState, Core, FORGET_AFTER};
pub use journal::{JournalEntry, JournalError};
pub use routes::{AppRoutes, Choice, Labelled, Listener, Reach, RouteTable, Target, Via};
pub use spec::{MAX_COMPONENTS, MAX_ROUTES};
pub use transition::Transition;
pub use unit::{LinkTerms, News, SpecKey, Ticket, UnitKey};
