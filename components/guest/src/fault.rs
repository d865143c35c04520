//! What tests ask of any guest by config: a part of the calls goes wrong, so that a rollout has something to notice, and
//! a line in the host's log for each call, by which calls can be counted. Without these keys nothing happens.

use wasip2::random::random::get_random_u64;

use crate::config;

/// How many calls of a hundred go wrong.
const PERCENT: &str = "fail-percent";
/// How they do: `error`, which is so without the key, or `trap`.
const HOW: &str = "fail-how";
/// With `yes`, each call is told to standard output as `call ID`, or as `call ID fault` when it is to go wrong.
const ACCOUNT: &str = "account";

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers with an error.
    Error,
    /// It traps.
    Trap,
}

/// To be asked once at the beginning of each call: whether this one goes wrong, by chance. `id` is that of the request.
///
/// # Errors
/// When one of the keys has a value that means nothing, or cannot be read.
pub fn begin(id: &str) -> Result<Option<Fault>, String> {
    let fault = if is_due()? { Some(how()?) } else { None };
    if config::get(ACCOUNT)?.as_deref() == Some("yes") {
        println!("call {id}{}", if fault.is_some() { " fault" } else { "" });
    }
    Ok(fault)
}

fn is_due() -> Result<bool, String> {
    let Some(text) = config::get(PERCENT)? else { return Ok(false) };
    let percent: u64 = text
        .parse()
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("config key `{PERCENT}` is `{text}`; 0 to 100 are allowed"))?;
    Ok(get_random_u64() % 100 < percent)
}

fn how() -> Result<Fault, String> {
    match config::get(HOW)?.as_deref() {
        None | Some("error") => Ok(Fault::Error),
        Some("trap") => Ok(Fault::Trap),
        Some(other) => Err(format!("config key `{HOW}` is `{other}`; allowed are `error` and `trap`")),
    }
}
