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
use crate::rollout::{Rates, Screen, Seen, Steered};
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
        Some(
            EventData::Heartbeat(_)
            | EventData::Inventory(_)
            | EventData::Calls(_)
            | EventData::HostStopped(_),
        ) => None,
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
    /// The user pressed the key that leaves.
    Detached,
}

/// What following has shown.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Why it stopped.
    pub(crate) stop: Stop,
    /// The last status, where there was one.
    pub(crate) status: Option<AppStatus>,
    /// Calls that ended meanwhile.
    pub(crate) calls: Seen,
}

/// Follows a change on the screen, in lines, or as a stream of documents.
pub(crate) struct Following<'a> {
    pub(crate) news: &'a mut News,
    pub(crate) reporter: &'a mut Reporter,
    pub(crate) out: &'a Output,
    /// The picture, where there is a terminal for it.
    pub(crate) screen: Option<Screen>,
    /// When waiting is over; never, where there is none.
    pub(crate) deadline: Option<Instant>,
}

/// What has been heard.
#[derive(Debug, Default)]
struct Heard {
    status: Option<AppStatus>,
    rates: Rates,
    /// Why the manager could not be asked the last time.
    silent: Option<String>,
}

impl Following<'_> {
    /// Follows until the end.
    pub(crate) async fn follow(mut self, follower: &mut Follower) -> Result<Followed, Failure> {
        let mut paint = interval(PAINT_EVERY);
        paint.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut heard = Heard::default();
        let mut left = std::pin::pin!(tokio::signal::ctrl_c());
        let stop = loop {
            tokio::select! {
                biased;
                _ = &mut left => break Stop::Interrupted,
                steered = steered(&mut self.screen, heard.status.as_ref()) => {
                    match steered {
                        Steered::Left => break Stop::Detached,
                        // Who steers is there, and does not want to be left alone at the first pause.
                        Steered::Asked => follower.attend(),
                        Steered::Told => {}
                    }
                    self.repaint(follower, &heard);
                }
                piece = self.news.next() => {
                    if let Some(end) = self.take(piece, follower, &mut heard)? {
                        break Stop::Ended(end);
                    }
                }
                () = until(self.deadline) => break Stop::TimedOut,
                _ = paint.tick() => self.repaint(follower, &heard),
            }
        };
        Ok(Followed { stop, status: heard.status, calls: heard.rates.seen() })
    }

    fn take(
        &mut self,
        piece: Piece,
        follower: &mut Follower,
        heard: &mut Heard,
    ) -> Result<Option<End>, Failure> {
        let now = match piece {
            Piece::Status(now) => *now,
            Piece::Gone => return Ok(Some(follower.gone())),
            Piece::Silent(failure) => {
                heard.silent = Some(failure.message);
                return Ok(None);
            }
        };
        heard.silent = None;
        let at = self.reporter.elapsed();
        heard.rates.see(&now, at);
        let step = follower.see(&now, at);
        if heard.status.as_ref() != Some(&now) {
            self.out.stream("AppStatus", &now)?;
        }
        // The picture shows how far things are; what happens to them is told beside it.
        let drawn = self.screen.is_some();
        for line in step.lines.iter().filter(|line| line.event || !drawn) {
            self.reporter.line(&line.text);
        }
        heard.status = Some(now);
        Ok(step.end)
    }

    fn repaint(&mut self, follower: &mut Follower, heard: &Heard) {
        let silent = heard.silent.as_deref();
        match (&mut self.screen, &heard.status) {
            (Some(screen), Some(status)) => screen.paint(status, &heard.rates, silent, self.reporter),
            (Some(_) | None, _) if self.reporter.is_live() => {
                let standing = silent.map_or_else(|| follower.standing(), str::to_owned);
                self.reporter.paint(if standing.is_empty() { "waiting" } else { &standing });
            }
            (Some(_) | None, _) => {
                if let Some(line) = follower.still(self.reporter.elapsed()) {
                    self.reporter.line(silent.unwrap_or(&line));
                }
            }
        }
    }
}

async fn steered(screen: &mut Option<Screen>, status: Option<&AppStatus>) -> Steered {
    match screen {
        Some(screen) => screen.steered(status).await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
