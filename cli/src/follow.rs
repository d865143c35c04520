//! Follows a change over the network until it has ended, the time is over, or the user leaves.
//!
//! What a status means is decided in `wait.rs`. Events only make it quicker: the status is also asked for
//! every half second, so a lost event costs that, not the command.

use std::pin::Pin;
use std::time::Duration;

use lath_control_api::app::{AppRequest, AppStatus, Cause};
use lath_control_api::{AppName, AppVerb, ErrorCode, EventData};
use lath_control_api_client::Events;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Reporter;
use crate::wait::{End, Follower};

/// How often the status is asked for when no event comes: an app that is gone sends none.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How often the painted line is renewed.
const PAINT_EVERY: Duration = Duration::from_millis(250);

type Poll = Pin<Box<dyn Future<Output = Result<AppStatus, Failure>> + Send>>;

/// News of one app.
pub(crate) struct News {
    session: Session,
    app: AppName,
    events: Option<Events>,
    poll: Poll,
}

/// One piece of news.
#[derive(Debug)]
pub(crate) enum Piece {
    /// How the app stands.
    Status(Box<AppStatus>),
    /// There is no such app.
    Gone,
    /// The manager could not be asked; it is asked again.
    Silent(Failure),
}

impl News {
    /// Listens from now on. Subscribe before asking for a change: then no event of it is missed.
    pub(crate) async fn of(session: &Session, app: &AppName) -> Self {
        let events = session.control.app_events(app).await.ok();
        let poll = ask(session.clone(), app.clone(), Duration::ZERO);
        Self { session: session.clone(), app: app.clone(), events, poll }
    }

    /// The next piece. Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Piece {
        loop {
            let answer = tokio::select! {
                answer = &mut self.poll => answer,
                heard = heard(&mut self.events) => match heard {
                    Some(status) => return Piece::Status(status),
                    None => continue,
                },
            };
            self.poll = ask(self.session.clone(), self.app.clone(), POLL_EVERY);
            return match answer {
                Ok(status) => Piece::Status(Box::new(status)),
                Err(failure) if failure.code.as_deref() == Some(ErrorCode::NotFound.as_str()) => Piece::Gone,
                Err(failure) => Piece::Silent(failure),
            };
        }
    }
}

fn ask(session: Session, app: AppName, pause: Duration) -> Poll {
    Box::pin(async move {
        sleep(pause).await;
        session.ask(AppVerb::Status, &AppRequest { app, cause: Cause::default(), dry_run: false }).await
    })
}

/// The status of the next event; `None` for an event that is no status. Without events it never returns.
async fn heard(events: &mut Option<Events>) -> Option<Box<AppStatus>> {
    let Some(stream) = events else { return std::future::pending().await };
    match stream.next().await.map(|heard| heard.event.event) {
        Some(EventData::App(status)) => Some(status),
        Some(EventData::Heartbeat(_) | EventData::Inventory(_) | EventData::HostStopped(_)) => None,
        None => {
            *events = None;
            None
        }
    }
}

/// How following came to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The change has ended.
    Ended(End),
    /// The time was over first.
    TimedOut,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// What following has shown.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Why it stopped.
    pub(crate) stop: Stop,
    /// The last status, where there was one.
    pub(crate) status: Option<AppStatus>,
}

/// Follows until the end, at most until `deadline`.
pub(crate) async fn follow(
    follower: &mut Follower,
    news: &mut News,
    deadline: Instant,
    reporter: &mut Reporter,
    out: &Output,
) -> Result<Followed, Failure> {
    let mut paint = interval(PAINT_EVERY);
    paint.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut status: Option<AppStatus> = None;
    let mut silent: Option<String> = None;
    let mut left = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let piece = tokio::select! {
            biased;
            _ = &mut left => return Ok(Followed { stop: Stop::Interrupted, status }),
            piece = news.next() => piece,
            () = sleep_until(deadline) => return Ok(Followed { stop: Stop::TimedOut, status }),
            _ = paint.tick() => {
                repaint(follower, silent.as_deref(), reporter);
                continue;
            }
        };
        let end = match piece {
            Piece::Status(now) => {
                silent = None;
                let step = follower.see(&now, reporter.elapsed());
                if status.as_ref() != Some(&*now) {
                    out.stream("AppStatus", &*now)?;
                }
                for line in &step.lines {
                    reporter.line(line);
                }
                status = Some(*now);
                step.end
            }
            Piece::Gone => Some(follower.gone()),
            Piece::Silent(failure) => {
                silent = Some(failure.message);
                None
            }
        };
        if let Some(end) = end {
            return Ok(Followed { stop: Stop::Ended(end), status });
        }
    }
}

fn repaint(follower: &mut Follower, silent: Option<&str>, reporter: &mut Reporter) {
    if reporter.is_live() {
        let standing = silent.map_or_else(|| follower.standing(), str::to_owned);
        reporter.paint(if standing.is_empty() { "waiting" } else { &standing });
        return;
    }
    if let Some(line) = follower.still(reporter.elapsed()) {
        reporter.line(silent.unwrap_or(&line));
    }
}
