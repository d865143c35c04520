//! Proof that the checks check: every deliberate bug is noticed within some seeds.

use lath_sim::{Options, Sabotage, run};

/// Seeds that a bug may hide for.
const SEEDS: u64 = 300;

#[test]
fn every_deliberate_bug_is_noticed() {
    let noticed = |sabotage: Sabotage| {
        let options = Options { sabotage: Some(sabotage), ..Options::default() };
        (0..SEEDS).find_map(|seed| run(seed, options).broken.map(|broken| (seed, broken)))
    };
    for sabotage in Sabotage::ALL {
        match noticed(sabotage) {
            Some((seed, broken)) => println!("{sabotage:?}: seed {seed}: {broken}"),
            None => panic!("{sabotage:?} was not noticed in {SEEDS} runs"),
        }
    }
}
