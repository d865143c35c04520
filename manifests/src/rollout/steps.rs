//! The steps of a canary: `5%/30s, 25%/promote, 100%`.
//!
//! What a weight does is the manager's. The steps that come out grow and end with all of the traffic.

use std::time::Duration;

use super::part::Part;
use super::{DAY, values};
use crate::code;
use crate::limits::MAX_ROLLOUT_STEPS;
use crate::manifest::{Bake, CanaryStep};
use crate::problem::Problem;
use crate::report::shown;
use crate::units::{DURATION_RULE, duration_within};

/// How a step is written, for messages.
const RULE: &str = "a step is `WEIGHT%`, `WEIGHT%/TIME` or `WEIGHT%/promote`, such as `5%/30s`";
/// The word for a step that ends when a person says so.
const PROMOTE: &str = "promote";

/// The steps of a text; one of 100 % is added when it does not end with one.
pub(super) fn read(text: &str) -> Result<Vec<CanaryStep>, Vec<Problem>> {
    let parts: Vec<Part<'_>> = Part::whole(text).listed().collect();
    if parts.len() > MAX_ROLLOUT_STEPS {
        return Err(vec![too_many(parts.len())]);
    }
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    for part in parts {
        match read_one(part) {
            Ok(step) => steps.push((part, step)),
            Err(problem) => problems.push(problem),
        }
    }
    for ((_, before), (part, step)) in steps.iter().zip(steps.iter().skip(1)) {
        if step.weight <= before.weight {
            problems.push(not_growing(*part, before.weight, step.weight));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut steps: Vec<CanaryStep> = steps.into_iter().map(|(_, step)| step).collect();
    if steps.last().is_none_or(|last| last.weight < 100) {
        steps.push(CanaryStep { weight: 100, bake: Bake::MinHealthyTime });
    }
    if steps.len() > MAX_ROLLOUT_STEPS {
        return Err(vec![too_many(steps.len())]);
    }
    Ok(steps)
}

fn too_many(count: usize) -> Problem {
    let message =
        format!("`steps` has {count} steps with that of 100%, and at most {MAX_ROLLOUT_STEPS} are allowed");
    Problem::new(code::COUNT, message, "leave some steps out")
}

fn not_growing(part: Part<'_>, before: u8, weight: u8) -> Problem {
    let message = format!("`steps` goes from {before}% to {weight}%, and must grow with each step");
    Problem::new(code::POLICY, message, "put the weights in order, each of them once").at(part.place())
}

fn read_one(part: Part<'_>) -> Result<CanaryStep, Problem> {
    if part.text.is_empty() {
        let help = format!("remove the comma, or write the step: {RULE}");
        return Err(Problem::new(code::POLICY, "a step of `steps` is empty", help).at(part.place()));
    }
    let (weight, bake) = match part.split_once('/') {
        Some((weight, bake)) => (weight.trimmed(), Some(bake.trimmed())),
        None => (part, None),
    };
    Ok(CanaryStep { weight: read_weight(weight)?, bake: bake.map_or(Ok(Bake::MinHealthyTime), read_bake)? })
}

fn read_weight(part: Part<'_>) -> Result<u8, Problem> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some(number) = part.text.strip_suffix('%').filter(|number| digits(number)) else {
        let help = match part.text.trim_end_matches('%').trim_end() {
            number if digits(number) => format!("did you mean `{}%`? {RULE}", shown(number)),
            _ => format!("a weight is a whole percentage; {RULE}"),
        };
        return Err(Problem::unit("a weight of `steps`", part.text, help).at(part.place()));
    };
    let weight = number.parse().ok().filter(|weight| (1..=100).contains(weight));
    weight.ok_or_else(|| Problem::range("a weight of `steps`", part.text, "1%", "100%").at(part.place()))
}

fn read_bake(part: Part<'_>) -> Result<Bake, Problem> {
    let what = "the time of a step of `steps`";
    if part.text == PROMOTE {
        return Ok(Bake::Promotion);
    }
    let found = duration_within(part.text, what, &(Duration::ZERO..=DAY)).map(Bake::For);
    found.map_err(|problem| {
        let word = part.text.starts_with(|c: char| c.is_alphabetic());
        let allowed = format!("{DURATION_RULE}; or the word `{PROMOTE}`, which waits for a person");
        let help = if word { values::meant(part.text, &[PROMOTE], &allowed) } else { problem.help };
        Problem { help, ..problem }.at(part.place())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(u8, Bake)> {
        read(text).unwrap().into_iter().map(|step| (step.weight, step.bake)).collect()
    }

    #[test]
    fn steps_have_a_weight_and_what_ends_them() {
        let seconds = |seconds| Bake::For(Duration::from_secs(seconds));
        let all = (100, Bake::MinHealthyTime);
        assert_eq!(steps("5%/30s, 25%/1m, 100%"), [(5, seconds(30)), (25, seconds(60)), all]);
        assert_eq!(steps(" 5% / promote ,50%"), [(5, Bake::Promotion), (50, Bake::MinHealthyTime), all]);
        assert_eq!(steps("100%/promote"), [(100, Bake::Promotion)]);
        assert_eq!(steps("1%/0s"), [(1, seconds(0)), all]);
    }

    #[test]
    fn each_bad_step_is_named() {
        for (text, expected) in [
            ("", ["a step of `steps` is empty"].as_slice()),
            ("5%,", &["a step of `steps` is empty"]),
            ("0%, 101%", &["a weight of `steps` is 0%, and", "a weight of `steps` is 101%, and"]),
            ("999999999999999999999%", &["a weight of `steps` is 999"]),
            ("5", &["a weight of `steps` cannot be `5`"]),
            ("+5%", &["a weight of `steps` cannot be `+5%`"]),
            ("5.5%/1m", &["a weight of `steps` cannot be `5.5%`"]),
            ("25%, 10%, 10%", &["from 25% to 10%", "from 10% to 10%"]),
            ("100%, 100%", &["from 100% to 100%"]),
            ("5%/", &["the time of a step of `steps` cannot be ``"]),
            ("5%/1y", &["the time of a step of `steps` cannot be `1y`"]),
            ("5%/24h1ms", &["the time of a step of `steps` is 24h1ms, and must be from 0s to 24h"]),
            ("5%/1m/2m", &["the time of a step of `steps` cannot be `1m/2m`"]),
        ] {
            let found = read(text).unwrap_err();
            assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
            for (problem, expected) in found.iter().zip(expected) {
                assert!(problem.message.contains(expected), "{text}: {problem:?}");
            }
        }
        assert!(read("5").unwrap_err()[0].help.starts_with("did you mean `5%`?"));
        assert!(read("5%/promot").unwrap_err()[0].help.starts_with("did you mean `promote`?"));
    }

    #[test]
    fn the_number_of_steps_is_bounded_with_the_one_that_is_added() {
        let growing =
            |count: usize| (1..=count).map(|weight| format!("{weight}%")).collect::<Vec<_>>().join(",");
        assert_eq!(steps(&growing(MAX_ROLLOUT_STEPS - 1)).len(), MAX_ROLLOUT_STEPS);
        assert_eq!(steps(&(growing(MAX_ROLLOUT_STEPS - 1) + ",100%")).len(), MAX_ROLLOUT_STEPS);
        for text in [growing(MAX_ROLLOUT_STEPS), growing(MAX_ROLLOUT_STEPS) + ",100%"] {
            let found = read(&text).unwrap_err();
            assert_eq!((found.len(), found[0].code), (1, code::COUNT), "{text}");
            assert!(found[0].message.contains("21 steps"), "{}", found[0].message);
        }
    }
}
