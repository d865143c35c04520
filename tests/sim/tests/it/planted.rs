//! Proof that the checks check: deliberate bugs are noticed within some seeds.

use lath_sim::{BUGS, Options, run};

/// Seeds that a bug may hide for.
const SEEDS: u64 = 400;
/// Bugs that so few seeds do not show; `cargo xtask sim --bugs` takes more. A name that is noticed must go from here.
const RARE: [&str; 4] = ["ignore-failed-gate", "settle-unready", "flip-early", "stop-busy"];

/// Looks for the bugs whose place in the list has this remainder, so that tests share the work.
fn look(remainder: usize) {
    let mine = BUGS.iter().enumerate().filter(|(place, _)| place % 3 == remainder).map(|(_, bug)| bug);
    for bug in mine {
        let options = Options { bug: Some(bug.name), ..Options::default() };
        let noticed = (0..SEEDS).find_map(|seed| run(seed, options).broken.map(|broken| (seed, broken)));
        let rare = RARE.contains(&bug.name);
        match noticed {
            Some((seed, broken)) if !rare => println!("{}: seed {seed}: {broken}", bug.name),
            None if rare => {}
            Some((seed, _)) => panic!("{} is noticed by seed {seed}: take it from the list", bug.name),
            None => panic!("{} was not noticed in {SEEDS} runs: {}", bug.name, bug.does),
        }
    }
}

#[test]
fn the_first_third_of_the_bugs_is_noticed() {
    look(0);
}

#[test]
fn the_second_third_of_the_bugs_is_noticed() {
    look(1);
}

#[test]
fn the_last_third_of_the_bugs_is_noticed() {
    look(2);
}
