//! Pieces of work without waiting in them, small enough that their instructions can be counted: the same number on every
//! run, however busy the machine is. Benchmarks that take the time of the same pieces use them too.
//!
//! What is here needs no engine, network or file. The rule: a case makes its input before it is measured.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement whose input cannot be made stops at once"
)]

mod cases;
pub mod lattice;

pub use cases::cases;

/// A piece of work.
pub struct Case {
    /// What it is called, such as `planner: a settled app of 30, 20 hosts`.
    pub name: &'static str,
    /// Makes the input, and gives the work on it, which may be done again and again.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Does the work once. Instructions are counted in here and nowhere else, by the name of this function.
#[inline(never)]
pub fn counted_region(work: &mut dyn FnMut()) {
    work();
}
