//! The one task that keeps a process running: starts it, asks how it is, gives it its links, starts it again, ends it.
//!
//! A process that was never well is not started again here: that fails a preparation, and the core decides when the
//! next one is. One that was well is started again at once, and a second time after a pause; a third end within a
//! minute is the core's matter too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use lath_control_api::{LinkAnswer, LinkState, Reason};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::health::{Ask, Health};
use super::host_data::Start;
use super::launch;
use super::link::{Link, LinkId};
use super::pool::Around;
use super::process::{ActorSide, Order, Recipe, State, Wish, forget, known, note};
use super::seal::Keys;
use super::stop;
use super::talk::Talk;
use super::words::{LastWords, copy};
use crate::capability::output::{GuestLog, Source};
use crate::engine::PrepareError;

/// Longest time from the start of a process to its first healthy answer.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Pauses before a process that was well is started again, for each end within [`FORGIVEN`].
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// After how long an end is forgotten.
const FORGIVEN: Duration = Duration::from_secs(60);
/// How long the output of a process that has ended is waited for.
const OUTPUT: Duration = Duration::from_millis(300);
/// How long a process must not have been called before it goes: what was sent before has ended then, or has far to go.
const QUIET: Duration = Duration::from_secs(2);
/// Longest time that a process nobody needs is kept because calls still pass to it.
const LINGER: Duration = Duration::from_secs(30);
/// How long a process may take to end that is asked to.
const END_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Actor {
    pub(super) recipe: Recipe,
    pub(super) around: Arc<Around>,
    pub(super) side: ActorSide,
    talk: Talk,
    key: String,
    /// The links that the process is to have, also while it does not run.
    links: BTreeMap<LinkId, Link>,
    words: LastWords,
    log: Arc<GuestLog>,
    health: Health,
}

/// How one start of the process has ended.
enum End {
    /// As it was asked to.
    Left,
    /// It was never well.
    Unready(PrepareError),
    /// By itself, when it was well.
    Exited(String),
}

/// A process that runs.
struct Running {
    child: Child,
    keys: Keys,
    output: JoinSet<()>,
}

impl Actor {
    pub(super) fn new(recipe: Recipe, key: String, around: Arc<Around>, side: ActorSide) -> Self {
        let talk = Talk::new(around.nats.clone(), around.lattice.clone(), around.host.clone(), key.clone());
        let log = Arc::new(GuestLog::new(&recipe.identity, &recipe.limits));
        let links = recipe.links.iter().map(|link| (link.id.clone(), link.clone())).collect();
        let health = Health::new(around.events.clone(), &around.host, &recipe.identity.id);
        Self { recipe, around, side, talk, key, links, words: LastWords::default(), log, health }
    }

    /// Keeps the process running until nobody wants it, or it cannot be kept.
    pub(super) async fn run(mut self) {
        let mut ends = VecDeque::new();
        loop {
            let why = match self.live().await {
                End::Left => return drop(self.side.state.send_replace(State::Gone)),
                End::Unready(error) => return self.give_up(error),
                End::Exited(why) => why,
            };
            ends.retain(|end: &Instant| end.elapsed() < FORGIVEN);
            let Some(pause) = PAUSES.get(ends.len()) else {
                return self.give_up(PrepareError::new(Reason::ProviderExited, why));
            };
            ends.push_back(Instant::now());
            tracing::warn!(provider = self.key, why, "a provider has ended; it is started again");
            self.ails(Reason::ProviderExited, why);
            if !self.rest(*pause).await {
                return drop(self.side.state.send_replace(State::Gone));
            }
        }
    }

    fn give_up(self, error: PrepareError) {
        tracing::warn!(provider = self.key, reason = ?error.reason, message = error.message, "a provider does not run");
        self.side.state.send_replace(State::Ended(error));
    }

    fn ails(&self, reason: Reason, message: String) {
        self.side.state.send_replace(State::Ailing(reason, message));
    }

    /// Takes orders in, and carries none out; false when nobody wants the process any more.
    async fn rest(&mut self, pause: Duration) -> bool {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            if *self.side.wish.borrow_and_update() != Wish::Stay {
                return !self.around.pool_lets_go(&self.recipe.wire);
            }
            tokio::select! {
                () = &mut pause => return true,
                _ = self.side.wish.changed() => {}
                Some(order) = self.side.orders.recv() => match order {
                    Order::Put(link, reply) => {
                        note(&self.side.standings, &link.id, &LinkAnswer::Absent);
                        self.links.insert(link.id.clone(), *link);
                        drop(reply.send(LinkAnswer::Absent));
                    }
                    Order::Delete(id, reply) => {
                        forget(&self.side.standings, &id);
                        self.links.remove(&id);
                        drop(reply.send(LinkAnswer::Accepted));
                    }
                },
            }
        }
    }

    /// One start of the process, until it has ended.
    async fn live(&mut self) -> End {
        self.words.clear();
        let mut running = match self.start().await {
            Ok(running) => running,
            Err(error) => return End::Unready(error),
        };
        let ready = self.become_ready(&mut running).await;
        let end = match ready {
            None => self.serve(&mut running).await,
            Some(end) => end,
        };
        if !matches!(end, End::Exited(_)) {
            let until = match *self.side.wish.borrow() {
                Wish::End(until) => until,
                Wish::Stay | Wish::Leave => Instant::now() + END_WITHIN,
            };
            stop::stop(&mut running.child, &self.talk, until).await;
        }
        end
    }

    async fn start(&mut self) -> Result<Running, PrepareError> {
        let failed = |what: String| PrepareError::new(Reason::StartFailed, what);
        let program = &self.recipe.program.path;
        let child = launch::start(program, launch::environment()).await;
        let mut child = child.map_err(|error| failed(format!("the provider cannot be started: {error}")))?;
        let mut output = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            output.spawn(copy(stdout, Arc::clone(&self.log), Source::Stdout, self.words.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            output.spawn(copy(stderr, Arc::clone(&self.log), Source::Stderr, self.words.clone()));
        }
        let keys = Keys::new();
        let links = self.links.values().map(|link| link.on_wire(&self.key, &keys)).collect::<Result<_, _>>();
        let start = Start {
            host: &self.around.host,
            lattice: &self.around.lattice,
            access: &self.around.access,
            key: &self.key,
            keys: &keys,
            config: &self.recipe.config,
            secrets: &self.recipe.secrets,
            links: links.map_err(|error| failed(error.to_string()))?,
        };
        let line = start.line().map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that reads nothing may end well before: then that is what is told of it.
            let _unread = timeout(READY_WITHIN, stdin.write_all(line.as_bytes())).await;
        }
        tracing::info!(provider = self.key, pid = child.id(), "a provider was started");
        Ok(Running { child, keys, output })
    }

    /// Waits for the first healthy answer, and gives the links once more, so that the provider may answer; nothing when
    /// it is ready.
    async fn become_ready(&mut self, running: &mut Running) -> Option<End> {
        let late = sleep(READY_WITHIN);
        tokio::pin!(late);
        let mut said = None;
        loop {
            if self.must_go() {
                return Some(End::Left);
            }
            let asked = tokio::select! {
                status = running.child.wait() => {
                    let why = self.last_words(running, status, "before it was ready").await;
                    return Some(End::Unready(PrepareError::new(Reason::ProviderExited, why)));
                }
                () = &mut late => {
                    let words = self.words.text().map(|words| format!("; its last words: {words}"));
                    let said = said.unwrap_or_else(|| "it has not answered requests for its health".to_owned());
                    let seconds = READY_WITHIN.as_secs();
                    let message = format!("the provider was not ready within {seconds} s: {said}{}", words.unwrap_or_default());
                    return Some(End::Unready(PrepareError::new(Reason::ProbeFailed, message)));
                }
                _ = self.side.wish.changed() => continue,
                asked = self.health.ask_soon(&self.talk) => asked,
            };
            match asked {
                Ask::Well => break,
                Ask::Ill(message) => said = Some(format!("it says that it is not healthy: {message}")),
                Ask::Silent => {}
            }
        }
        let refused = self.put_all(running).await;
        self.health.passed().await;
        match refused {
            None => drop(self.side.state.send_replace(State::Up)),
            Some(message) => self.ails(Reason::LinkRefused, message),
        }
        None
    }

    /// Gives the process all of its links as requests; the words of a refusal, if there is one.
    async fn put_all(&mut self, running: &Running) -> Option<String> {
        let (talk, public) = (&self.talk, running.keys.provider_public());
        let put = self.links.values().map(|link| {
            let wire = link.on_wire(&self.key, &running.keys);
            let public = &public;
            async move {
                match wire {
                    Ok(wire) => (link.id.clone(), talk.put(public, &wire).await),
                    Err(error) => (link.id.clone(), LinkAnswer::Refused { message: error.to_string() }),
                }
            }
        });
        let mut refused = None;
        for (id, answer) in join_all(put).await {
            note(&self.side.standings, &id, &answer);
            if let LinkAnswer::Refused { message } = answer {
                refused.get_or_insert_with(|| refusal(&id, &message));
            }
        }
        refused
    }

    /// Looks after the process until it ends or has to.
    async fn serve(&mut self, running: &mut Running) -> End {
        let mut leaving: Option<Instant> = None;
        loop {
            let wish = *self.side.wish.borrow_and_update();
            match wish {
                Wish::Stay => leaving = None,
                Wish::Leave => {
                    let since = *leaving.get_or_insert_with(Instant::now);
                    let quiet = since.elapsed() >= QUIET && self.side.calls.are_quiet(QUIET);
                    if (quiet || since.elapsed() >= LINGER) && self.around.pool_lets_go(&self.recipe.wire) {
                        return End::Left;
                    }
                }
                Wish::End(_) => {
                    self.around.pool_lets_go(&self.recipe.wire);
                    return End::Left;
                }
            }
            let look_again = sleep(if leaving.is_some() { QUIET / 8 } else { LINGER });
            tokio::select! {
                status = running.child.wait() => {
                    let why = self.last_words(running, status, "by itself").await;
                    return End::Exited(why);
                }
                _ = self.side.wish.changed() => {}
                () = look_again => {}
                Some(order) = self.side.orders.recv() => self.obey(order, running).await,
                asked = self.health.ask_in_turn(&self.talk) => self.heard(asked),
            }
        }
    }

    fn heard(&self, asked: Ask) {
        let ailing = matches!(&*self.side.state.borrow(), State::Ailing(Reason::ProbeFailed, _));
        match asked {
            Ask::Well if ailing => drop(self.side.state.send_replace(State::Up)),
            Ask::Well => {}
            Ask::Ill(message) => {
                self.ails(
                    Reason::ProbeFailed,
                    format!("the provider says that it is not healthy: {message}"),
                );
            }
            Ask::Silent => {
                let message = "the provider does not answer requests for its health".to_owned();
                self.ails(Reason::ProbeFailed, message);
            }
        }
    }

    async fn obey(&mut self, order: Order, running: &Running) {
        match order {
            Order::Put(link, reply) => drop(reply.send(self.put(*link, running).await)),
            Order::Delete(id, reply) => drop(reply.send(self.delete(&id).await)),
        }
    }

    /// Providers ignore a link that they know: another one under the same id is deleted first.
    async fn put(&mut self, link: Link, running: &Running) -> LinkAnswer {
        let held = self.links.get(&link.id);
        if held == Some(&link) {
            match known(&self.side.standings, &link.id) {
                Some(LinkState::Accepted) => return LinkAnswer::Accepted,
                Some(LinkState::Unverified) => return LinkAnswer::Unverified,
                // What was refused may have come right.
                Some(LinkState::Waiting | LinkState::Refused) | None => {}
            }
        } else if let Some(held) = held {
            self.talk.delete(&held.bare(&self.key), self.was_silent(&link.id)).await;
        }
        let answer = match link.on_wire(&self.key, &running.keys) {
            Ok(wire) => self.talk.put(&running.keys.provider_public(), &wire).await,
            Err(error) => LinkAnswer::Refused { message: error.to_string() },
        };
        note(&self.side.standings, &link.id, &answer);
        self.links.insert(link.id.clone(), link);
        answer
    }

    async fn delete(&mut self, id: &LinkId) -> LinkAnswer {
        let silent = self.was_silent(id);
        forget(&self.side.standings, id);
        match self.links.remove(id) {
            Some(held) => self.talk.delete(&held.bare(&self.key), silent).await,
            None => LinkAnswer::Accepted,
        }
    }

    fn was_silent(&self, id: &LinkId) -> bool {
        known(&self.side.standings, id) == Some(LinkState::Unverified)
    }

    fn must_go(&mut self) -> bool {
        match *self.side.wish.borrow_and_update() {
            Wish::Stay => false,
            Wish::Leave => self.around.pool_lets_go(&self.recipe.wire),
            Wish::End(_) => {
                self.around.pool_lets_go(&self.recipe.wire);
                true
            }
        }
    }

    /// How the process has ended, and what it said last.
    async fn last_words(
        &self,
        running: &mut Running,
        status: std::io::Result<std::process::ExitStatus>,
        when: &str,
    ) -> String {
        let how = match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let _rest_of_it =
            timeout(OUTPUT, async { while running.output.join_next().await.is_some() {} }).await;
        let words = self.words.text().map(|words| format!("; its last words: {words}")).unwrap_or_default();
        format!("the provider ended {when} ({how}){words}")
    }
}

/// A refusal in words, with the link that it is about.
pub(crate) fn refusal(link: &LinkId, message: &str) -> String {
    let LinkId { end, peer, namespace, package, name } = link;
    let way = match end {
        super::link::End::Target => "from",
        super::link::End::Source => "to",
    };
    format!("the provider refuses the link {way} {peer} ({namespace}:{package}, {name}): {message}")
}
