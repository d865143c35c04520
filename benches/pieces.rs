//! The time of each piece whose instructions are counted, by criterion.
//!
//! Run with `cargo bench --workspace --bench pieces`; a name or a part of one chooses some.

use criterion::{Criterion, criterion_group, criterion_main};

fn pieces(criterion: &mut Criterion) {
    for case in lath_counted::cases() {
        let mut work = (case.prepare)();
        criterion.bench_function(case.name, |bench| bench.iter(&mut work));
    }
}

criterion_group!(benches, pieces);
criterion_main!(benches);
