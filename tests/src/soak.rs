//! A soak: a lattice of real processes under load from outside, rollouts of changing kind one after another, half of
//! them made to fail, and an account of every request and every call that it came to. What is proved and what is not
//! stands in `docs/soak.md`; the command is `cargo xtask soak`.
//!
//! Read in this order: `kind` says what is rolled out, `course` carries it out, `traffic` sends requests into the
//! `book`, `trail` adds what the components themselves said, `audit` judges, `report` tells.

mod app;
mod audit;
mod book;
mod closing;
mod course;
mod dice;
mod fault;
mod guests;
mod hand;
mod kind;
mod report;
mod run;
mod stage;
mod traffic;
mod trail;

pub use kind::Kind;
pub use report::Report;
pub use run::{Options, soak};
