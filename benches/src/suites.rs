//! What is measured, suite by suite. Each starts what it needs, gives its lines, and leaves nothing behind.

mod density;
mod http;
mod keyvalue;
mod latency;
mod lattice;
mod linked;
mod messaging;
mod micro;
mod planner;
mod rollout;
mod small;
mod streams;
mod telemetry;
mod wrpc;

use std::pin::Pin;

use crate::row::Row;
use crate::run::Run;

pub use wrpc::serve as serve_peer;

/// The rows of a suite, once they are measured.
type Measured<'a> = Pin<Box<dyn Future<Output = Vec<Row>> + 'a>>;

/// A suite.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// How it is asked for.
    pub name: &'static str,
    /// Measures.
    pub run: for<'a> fn(&'a Run) -> Measured<'a>,
    /// Whether it measures the program `lath`, and not what is compiled into this one.
    pub is_of_lath: bool,
}

/// All of them, in the order of the table.
pub const SUITES: &[Suite] = &[
    Suite { name: "http", run: |run| Box::pin(http::measure(run)), is_of_lath: true },
    Suite { name: "linked", run: |run| Box::pin(linked::measure(run)), is_of_lath: true },
    Suite { name: "streams", run: |run| Box::pin(streams::measure(run)), is_of_lath: true },
    Suite { name: "keyvalue", run: |run| Box::pin(keyvalue::measure(run)), is_of_lath: true },
    Suite { name: "messaging", run: |run| Box::pin(messaging::measure(run)), is_of_lath: true },
    Suite { name: "rollout", run: |run| Box::pin(rollout::measure(run)), is_of_lath: true },
    Suite { name: "telemetry", run: |run| Box::pin(telemetry::measure(run)), is_of_lath: true },
    Suite { name: "wrpc", run: |run| Box::pin(wrpc::measure(run)), is_of_lath: false },
    Suite { name: "density", run: |run| Box::pin(density::measure(run)), is_of_lath: true },
    Suite { name: "small", run: |run| Box::pin(small::measure(run)), is_of_lath: true },
    Suite { name: "latency", run: |run| Box::pin(latency::measure(run)), is_of_lath: true },
    Suite { name: "planner", run: |run| Box::pin(planner::measure(run)), is_of_lath: false },
    Suite { name: "lattice", run: |run| Box::pin(lattice::measure(run)), is_of_lath: true },
    Suite { name: "micro", run: |run| Box::pin(micro::measure(run)), is_of_lath: false },
];
