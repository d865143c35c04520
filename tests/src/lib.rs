//! A lattice to test against: a real nats-server, hosts and a manager as processes of the real `lath`, load from
//! outside, and the means to break each of them. No test is here, and nothing that a product crate may depend on.
//! Whatever is started here is ended here, however the test ends; a wait has a deadline and says what it waited for.

#![warn(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what goes wrong here is a failed test, and a panic is how a test fails"
)]

pub mod binary;
pub mod cli;
pub mod collector;
pub mod control_v1;
mod eventually;
mod guard;
pub mod lattice;
pub mod ledger;
pub mod manifest;
pub mod nats;
pub mod ports;
pub mod process;
pub mod provider;
pub mod registry;
pub mod registry_proxy;
pub mod soak;
pub mod store;

pub use cli::{Ended, Lath};
pub use control_v1::ToolV1;
pub use eventually::eventually;
pub use lattice::{Lattice, Setup};
pub use ledger::{Accounts, Answer, Ledger, Load};
pub use manifest::{App, Scaling, guest};
