//! A fault on request: a part of the calls goes wrong, so that a rollout has something to notice.

use wasip2::random::random::get_random_u64;

use crate::config;

/// Whether this call is one of those that go wrong: `fail-percent` of a hundred, by chance; none without that key.
///
/// # Errors
/// When the key is no number from 0 to 100.
pub fn is_due() -> Result<bool, String> {
    let Some(text) = config::get("fail-percent")? else { return Ok(false) };
    let percent: u64 = text
        .parse()
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("config key `fail-percent` is `{text}`; 0 to 100 are allowed"))?;
    Ok(get_random_u64() % 100 < percent)
}
