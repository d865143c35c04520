//! Values of rollout policies that are one word or one number: choices, truth values, shares.
//!
//! What a value is for is its property's; here is how it is written.

use crate::code;
use crate::limits::MAX_INSTANCES;
use crate::manifest::Share;
use crate::problem::Problem;
use crate::read::listed;
use crate::report::shown;
use crate::suggest::closest;
use crate::units;

/// One of a few words.
pub(super) fn word<T: Copy>(text: &str, what: &str, words: &[(&'static str, T)]) -> Result<T, Problem> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = meant(text, &names, &format!("it is one of {}", listed(&names)));
        Problem::new(code::POLICY, format!("{what} cannot be `{}`", shown(text)), help)
    })
}

/// The help for a word that is none of `names`: the near one, if any, and what is allowed.
pub(super) fn meant(word: &str, names: &[&str], allowed: &str) -> String {
    match closest(word, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {allowed}"),
        None => allowed.to_owned(),
    }
}

/// `true` or `false`.
pub(super) fn truth(text: &str, what: &str) -> Result<bool, Problem> {
    text.parse().map_err(|_| {
        let help = "write `true` or `false`; a manifest has them in quotes, as `\"true\"`";
        Problem::new(code::WRONG_TYPE, format!("{what} cannot be `{}`", shown(text)), help)
    })
}

/// A number of units, or a percentage.
pub(super) fn share(text: &str, what: &str) -> Result<Share, Problem> {
    match units::share(text) {
        Some(Share::Count(count)) if count > MAX_INSTANCES => {
            let message = format!("{what} is {count}, and must be from 0 to {MAX_INSTANCES}");
            Err(Problem::new(code::OUT_OF_RANGE, message, "give a percentage, such as `25%`"))
        }
        Some(share) => Ok(share),
        None => Err(Problem::unit(what, text, units::SHARE_RULE)),
    }
}

/// A share that is more than nothing.
pub(super) fn some_share(text: &str, what: &str) -> Result<Share, Problem> {
    let share = share(text, what)?;
    if share.is_zero() {
        let message = format!("{what} is {}, so that nothing would ever be replaced", shown(text));
        let help = format!("give a number from 1 to {MAX_INSTANCES}, or a percentage from `1%` to `100%`");
        return Err(Problem::new(code::OUT_OF_RANGE, message, help));
    }
    Ok(share)
}
