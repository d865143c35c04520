//! A rollout on a terminal: the picture, repainted in place, and the keys that steer it.
//!
//! What is drawn is `tree.rs`; what a key asks for is a request like that of the command of the same name.

use std::pin::Pin;
use std::time::{Duration, Instant};

use lath_control_api::app::{AppStatus, Cause, ChangeReply, RolloutAction, RolloutRequest};
use lath_control_api::{AppName, AppVerb};

use super::keys::{Key, Keys};
use super::rates::Rates;
use super::tree::{Paper, View, frame};
use crate::call::Call;
use crate::connect::Session;
use crate::failure::Failure;
use crate::output::Glyphs;
use crate::progress::Reporter;
use crate::words;

/// How long a second `a` counts as a yes to the first.
const SURE_WITHIN: Duration = Duration::from_secs(5);
/// How long the answer to a key stays on the screen.
const TOLD_FOR: Duration = Duration::from_secs(8);

type Answer = Pin<Box<dyn Future<Output = (RolloutAction, Result<ChangeReply, Failure>)> + Send>>;

/// What has come of waiting for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steered {
    /// There is something new to be read.
    Told,
    /// The rollout was told something.
    Asked,
    /// The person wants to leave.
    Left,
}

/// The screen of one app.
pub(crate) struct Screen {
    session: Session,
    app: AppName,
    glyphs: Glyphs,
    keys: Option<Keys>,
    answer: Option<Answer>,
    told: Option<(String, Instant)>,
    abort_asked: Option<Instant>,
}

impl Screen {
    /// Takes the keyboard, where there is one.
    pub(crate) fn of(session: &Session, app: &AppName, call: &Call) -> Self {
        Self {
            session: session.clone(),
            app: app.clone(),
            glyphs: call.out.glyphs,
            keys: if call.global.no_input { None } else { Keys::open() },
            answer: None,
            told: None,
            abort_asked: None,
        }
    }

    /// Whether keys steer the rollout.
    pub(crate) const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Draws how the app stands; `silent` says why there is no news.
    pub(crate) fn paint(
        &mut self,
        status: &AppStatus,
        rates: &Rates,
        silent: Option<&str>,
        reporter: &mut Reporter,
    ) {
        self.told.take_if(|(_, since)| since.elapsed() > TOLD_FOR);
        let told = silent.or_else(|| self.told.as_ref().map(|(text, _)| text.as_str()));
        let (width, height) = Reporter::room();
        let keys = self.keys.is_some();
        let view = View { status, rates, now: words::now(), told, keys };
        reporter.paint_lines(&frame(&view, &Paper { width, height, glyphs: self.glyphs }));
    }

    /// Waits for a key, or for the answer to one. Never returns where nothing can happen. Nothing is lost when the
    /// future is dropped.
    pub(crate) async fn steered(&mut self, status: Option<&AppStatus>) -> Steered {
        let Some(keys) = &mut self.keys else { return std::future::pending().await };
        let key = match &mut self.answer {
            None => keys.next().await,
            Some(answer) => tokio::select! {
                key = keys.next() => key,
                (action, answered) = answer => {
                    self.answer = None;
                    self.tell(outcome(action, answered));
                    return Steered::Told;
                }
            },
        };
        self.press(key, status)
    }

    fn press(&mut self, key: Key, status: Option<&AppStatus>) -> Steered {
        let paused =
            status.and_then(|status| status.rollout.as_ref()).is_some_and(|rollout| rollout.paused.is_some());
        let sure = self.abort_asked.take().is_some_and(|asked| asked.elapsed() < SURE_WITHIN);
        match key {
            Key::Quit => return Steered::Left,
            Key::Promote => self.ask(RolloutAction::Promote),
            Key::Pause if paused => self.ask(RolloutAction::Resume),
            Key::Pause => self.ask(RolloutAction::Pause),
            Key::Abort if sure => self.ask(RolloutAction::Abort),
            Key::Abort => {
                self.abort_asked = Some(Instant::now());
                self.tell("abort? press a again; the revision before gets everything back".to_owned());
                return Steered::Told;
            }
        }
        Steered::Asked
    }

    fn ask(&mut self, action: RolloutAction) {
        if self.answer.is_some() {
            self.tell("one thing after the other: the manager has not answered yet".to_owned());
            return;
        }
        let (session, app) = (self.session.clone(), self.app.clone());
        self.tell(format!("{} ...", words::stable(&action)));
        self.answer = Some(Box::pin(async move {
            let cause = Cause { by: Call::user(), message: None };
            let ask = RolloutRequest { app, action, cause, if_generation: None, dry_run: false };
            (action, session.change(AppVerb::Rollout, &ask).await)
        }));
    }

    fn tell(&mut self, text: String) {
        self.told = Some((text, Instant::now()));
    }
}

fn outcome(action: RolloutAction, answered: Result<ChangeReply, Failure>) -> String {
    let action = words::stable(&action);
    match answered {
        Ok(reply) if reply.unchanged => format!("{action}: it was so before"),
        Ok(_) => format!("{action}: accepted"),
        Err(failure) => format!("{action}: {}", failure.message),
    }
}
