//! `lath rollout watch`: the picture of a rollout until it has ended, or once.
//!
//! Nothing is changed but by a key of the person who looks on.

use std::time::Duration;

use clap::Args;
use lath_control_api::AppName;
use lath_control_api::app::AppStatus;

use super::control::status;
use super::rates::Rates;
use super::tree::{Paper, View, frame};
use crate::args::duration;
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::output::{Document, Glyphs};
use crate::wait::Change;
use crate::words;
use crate::work::{Stay, Work};

const AFTER_HELP: &str = "\
    On a terminal, keys steer the rollout: p promotes, a (twice) aborts, space pauses and resumes, q leaves. A rollout \
    that waits for a person is then waited out. Elsewhere it ends the command with exit 0, as it ends `lath deploy`, and so \
    does one that only keeps the revision before warm. With -o ndjson each status is a line, and the last is the result.";

/// Arguments of `lath rollout watch`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct WatchArgs {
    /// The app
    app: AppName,
    /// Show how it stands now, and return
    #[arg(long)]
    once: bool,
    /// Longest wait; the rollout itself goes on [default: until it ends]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "once")]
    timeout: Option<Duration>,
}

/// Shows a rollout. What has ended already is told at once, with the same exit code.
pub(super) async fn watch(args: WatchArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    if args.once {
        let status = status(&session, &args.app).await?;
        let document = Document::new("AppStatus", &status).names([status.app.to_string()]);
        call.out.print(&document, |_wide| picture(&status, call.out.glyphs))?;
        return Ok(Exit::Done);
    }
    let stay = Stay { detach: false, timeout: args.timeout };
    let work = Work::begin(call, &session, &args.app, Change::Watch, stay).await;
    let status = status(&session, &args.app).await?;
    work.look_on(&status).await
}

/// All of it: a reader that is no terminal has no edges.
fn picture(status: &AppStatus, glyphs: Glyphs) -> String {
    let view = View { status, rates: &Rates::default(), now: words::now(), told: None, keys: false };
    let paper = Paper { width: usize::MAX, height: usize::MAX, glyphs };
    frame(&view, &paper).iter().map(|line| format!("{line}\n")).collect()
}
