//! Flags that many commands share, and how their values are read.
//!
//! Nothing is carried out here. A value that cannot be right is refused while arguments are parsed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use lath_control_api::{LatticeId, Revision};

use crate::output::Format;

const GLOBAL: &str = "Global options";

/// Flags that stand before or after any command.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Lattice to work on
    #[arg(short = 'x', long, global = true, value_name = "NAME", env = "LATH_LATTICE", hide_env_values = true, help_heading = GLOBAL)]
    pub(crate) lattice: Option<LatticeId>,
    /// NATS servers, separated by commas [env: LATH_SERVER, LATH_NATS_URL, NATS_URL] [default: nats://127.0.0.1:4222]
    #[arg(short = 's', long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub(crate) server: Option<String>,
    /// Credentials file for NATS
    #[arg(long, global = true, value_name = "FILE", env = "NATS_CREDS", hide_env_values = true, help_heading = GLOBAL)]
    pub(crate) creds: Option<PathBuf>,
    /// Form of standard output
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM", hide_possible_values = true, help = "Form of standard output: table, wide, json, yaml, ndjson, name", help_heading = GLOBAL)]
    pub(crate) output: Format,
    /// Longest wait for one answer
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = duration, help_heading = GLOBAL)]
    pub(crate) request_timeout: Duration,
    /// Progress of changes: auto, live, plain, json, none
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW", hide_possible_values = true, help_heading = GLOBAL)]
    pub(crate) progress: Progress,
    /// Colours: auto, always, never
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true, help_heading = GLOBAL)]
    pub(crate) color: Color,
    /// No characters beyond ASCII in tables and messages
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) ascii: bool,
    /// Tables without their first line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_headers: bool,
    /// Never ask; a question becomes exit code 2
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_input: bool,
    /// Only results and errors
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Live on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// The last line is painted anew.
    Live,
    /// One line for each change, never painted anew.
    Plain,
    /// One JSON object for each change, as a line of standard error.
    Json,
    /// Nothing.
    None,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On terminals that take them.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// How long a changing command stays.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Wait until the change is true (this is what happens without the flag)
    #[arg(long, conflicts_with = "detach")]
    wait: bool,
    /// Return as soon as the change is accepted
    #[arg(long)]
    pub(crate) detach: bool,
    /// Longest wait; the change itself goes on
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// What stands beside a change for others, and what it depends on.
#[derive(Debug, Clone, Args)]
pub(crate) struct CauseArgs {
    /// Why, for the history
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

/// A duration such as `90s`, `5m` or `1m30s`; more than nothing, at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time such as 500ms, 30s, 5m or 1m30s, at most 24h".to_owned();
    let signed: SignedDuration = text.parse().map_err(|_unexplained| wrong())?;
    let duration = Duration::try_from(signed).map_err(|_negative| wrong())?;
    if duration.is_zero() || duration > Duration::from_secs(86_400) { Err(wrong()) } else { Ok(duration) }
}

/// A revision as people write it, or 0 for "not deployed".
pub(crate) fn revision_or_none(text: &str) -> Result<Revision, String> {
    text.parse().map(Revision).map_err(|_unexplained| "a revision's number, or 0 for none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_bound() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        for wrong in ["", "5", "-5s", "0s", "25h", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
