//! The time of the pieces whose instructions are counted.

use std::time::{Duration, Instant};

use crate::row::{Row, Value};
use crate::run::{Run, middle};

const SUITE: &str = "micro";

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let time = run.time() / 10;
    lath_counted::cases()
        .into_iter()
        .map(|case| {
            let mut work = (case.prepare)();
            let rounds = (0..run.rounds()).map(|_| {
                let (begun, mut times) = (Instant::now(), 0_u32);
                while times == 0 || begun.elapsed() < time {
                    work();
                    times += 1;
                }
                begun.elapsed().as_secs_f64() / f64::from(times)
            });
            let each = Duration::from_secs_f64(middle(rounds.collect()));
            Row::new(SUITE, case.name, Value::us(each))
        })
        .collect()
}
