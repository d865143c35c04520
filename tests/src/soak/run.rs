//! A soak from its start to its report: the lattice, the apps, the load, the rollouts, the closing of the accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::app::{Shop, Variant, zone};
use super::audit::{Broken, Law};
use super::book::{Book, Micros};
use super::closing::{self, Closing};
use super::course::{Course, Director};
use super::dice::Dice;
use super::fault;
use super::hand::Hand;
use super::kind::{self, Kind, Turn};
use super::report::{Process, Report};
use super::stage::Who;
use super::traffic::Traffic;
use super::trail::Trail;
use crate::{Lattice, Setup, ports};

/// Load before the first rollout.
const BEFORE: Duration = Duration::from_secs(5);
/// Load without a rollout between two of them.
const BETWEEN: Duration = Duration::from_secs(3);
/// Load with which the accounts are closed.
const CLOSING: Duration = Duration::from_secs(5);

/// What a soak does.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rollouts, at least 1.
    pub rollouts: u32,
    /// Requests a second to all apps together, at least 1.
    pub rate: u32,
    /// Hosts, 1 to 9.
    pub hosts: usize,
    /// No rollout begins after so long.
    pub minutes: Option<u64>,
    /// Chooses the sequence.
    pub seed: u64,
    /// Kinds of rollouts to choose from, at least one.
    pub kinds: Vec<Kind>,
    /// Kill the manager in some of the rollouts.
    pub kill: bool,
    /// Keep the folder with all logs also when all is well.
    pub keep: bool,
}

/// Runs a soak, and tells of each rollout by `tell`.
///
/// # Panics
/// When the lattice does not start, or a part of it that was killed does not come back.
pub async fn soak(options: &Options, tell: impl Fn(&str)) -> Report {
    let mut soak = Soak::start(options).await;
    tell(&format!("transcript, logs and data: {}", soak.lattice.folder().display()));
    let stopped = soak.all(options, &tell).await.err();
    if let Some(cause) = stopped {
        soak.broken.push(Broken { shop: None, what: "stopped", how: cause });
    }
    soak.report(options)
}

struct Soak {
    lattice: Lattice,
    book: Arc<Book>,
    trail: Trail,
    director: Director,
    hand: Hand,
    addresses: [SocketAddr; 3],
    law: Law,
    /// The first request of which the law says nothing, because a rollout did not come to its end.
    law_until: usize,
    courses: Vec<Course>,
    broken: Vec<Broken>,
    closings: Vec<Closing>,
    /// First request of the closing load.
    closing_from: Option<usize>,
    turns: Vec<Turn>,
    dice: Dice,
    before: Vec<Process>,
    began: Instant,
}

impl Soak {
    async fn start(options: &Options) -> Self {
        let hosts = (0..options.hosts).map(|host| format!("zone={}", zone(host)));
        let setup = hosts.fold(Setup::default(), |setup, label| setup.host(&[&label]));
        let lattice = setup.start().await;
        let book = Arc::new(Book::new());
        let hand = Hand::of(&lattice, Arc::clone(&book)).await;
        let mut dice = Dice::of(options.seed);
        let turns = kind::turns(&mut dice, options.rollouts, &options.kinds);
        Self {
            trail: Trail::of(lattice.folder(), options.hosts),
            director: Director::new(hand.clone(), dice.clone()),
            addresses: [lattice.address, ports::free_address(), ports::free_address()],
            lattice,
            book,
            hand,
            law: Law::default(),
            law_until: 0,
            courses: Vec::new(),
            broken: Vec::new(),
            closings: Vec::new(),
            closing_from: None,
            turns,
            dice,
            before: Vec::new(),
            began: Instant::now(),
        }
    }

    async fn all(&mut self, options: &Options, tell: &dyn Fn(&str)) -> Result<(), String> {
        for shop in Shop::ALL {
            let first = Variant::first(shop, self.addresses[shop.index()], options.hosts);
            let revision = self.director.begin(first).await?;
            self.law.stages[shop.index()].set(0, BTreeSet::from([revision]));
            self.learn(shop, revision).await?;
        }
        self.before = self.processes();
        self.began = Instant::now();
        let load = Traffic::start(Arc::clone(&self.book), self.addresses, options.rate);
        tokio::time::sleep(BEFORE).await;
        let rolled_out = self.rollouts(options, tell).await;
        load.finish().await;
        rolled_out?;
        self.close(options).await
    }

    async fn rollouts(&mut self, options: &Options, tell: &dyn Fn(&str)) -> Result<(), String> {
        let until = options.minutes.map(|minutes| self.began + Duration::from_secs(60 * minutes));
        for turn in self.turns.clone() {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let first = self.book.entries().len();
            let after = fault::moment(&mut self.dice, turn.kind).filter(|_| options.kill);
            let kill = fault::kill(self.lattice.manager_mut(), after);
            let (course, killed) = tokio::join!(self.director.carry_out(turn, after.is_some()), kill);
            let mut course = course.map_err(|cause| format!("rollout {}: {cause}", turn.number))?;
            course.cut_short = killed.is_some_and(|killed| self.book.at(killed) < course.said_done);
            tokio::time::sleep(BETWEEN).await;
            self.learn_of(&course).await?;
            let known = self.book.now();
            self.trail.follow(&self.book);
            self.law_until = self.book.entries().len();
            let judged = self.law.judge(&self.book, first..self.law_until, known);
            for cause in &course.wrong {
                let how = format!("rollout {} ({}): {cause}", turn.number, turn.kind.name());
                self.broken.push(Broken { shop: None, what: "rollout", how });
            }
            tell(&super::report::line(&course, options.rollouts, &judged));
            self.note(&course);
            self.courses.push(course);
        }
        Ok(())
    }

    /// What a rollout allows, and how the answers of its revisions look.
    async fn learn_of(&mut self, course: &Course) -> Result<(), String> {
        let shop = course.turn.shop;
        let highest = self.hand.highest(shop).await?;
        let new: BTreeSet<u32> = (course.highest + 1..=highest).chain([course.after]).collect();
        for revision in &new {
            self.learn(shop, *revision).await?;
        }
        let stage = &mut self.law.stages[shop.index()];
        for (from, who) in &course.who {
            let mut may = BTreeSet::new();
            if *who != Who::New {
                may.insert(course.before);
            }
            if *who != Who::Old {
                may.extend(new.iter().filter(|revision| **revision != course.before));
            }
            stage.set(*from, may);
        }
        stage.set(course.rest, BTreeSet::from([course.after]));
        if course.turn.kind.may_fail_calls() {
            self.law.faulty.extend((course.highest + 1..=highest).map(|revision| (shop, revision)));
        }
        Ok(())
    }

    async fn learn(&mut self, shop: Shop, revision: u32) -> Result<(), String> {
        if self.law.looks.contains_key(&(shop, revision)) {
            return Ok(());
        }
        let number = self.hand.variant(shop, revision).await?;
        let look = self.director.variants[number as usize].look();
        self.law.looks.insert((shop, revision), look);
        Ok(())
    }

    async fn close(&mut self, options: &Options) -> Result<(), String> {
        let mut revisions = BTreeMap::new();
        for shop in Shop::ALL {
            let from = self.book.now();
            let revision = self.director.last(shop).await?;
            self.law.stages[shop.index()].set(from, BTreeSet::from([revision]));
            self.learn(shop, revision).await?;
            revisions.insert(shop, revision);
        }
        let first = self.book.entries().len();
        let load = Traffic::start(Arc::clone(&self.book), self.addresses, options.rate);
        tokio::time::sleep(CLOSING).await;
        load.finish().await;
        self.trail.follow(&self.book);
        self.closing_from = Some(first);
        self.law_until = self.book.entries().len();
        self.closings = closing::close(&self.hand, &self.book, first, &revisions).await?;
        Ok(())
    }

    /// The transcript: one line for each rollout.
    fn note(&self, course: &Course) {
        append(&self.lattice.folder().join("transcript.jsonl"), &course.json().to_string());
    }

    fn report(mut self, options: &Options) -> Report {
        let took = self.began.elapsed();
        self.trail.follow(&self.book);
        let gaps = std::mem::take(&mut self.trail.gaps);
        self.broken.extend(gaps.into_iter().map(|how| Broken {
            shop: None,
            what: "gap in the account",
            how,
        }));
        // Once more from the beginning: what came late counts as well.
        let judged = self.law.judge(&self.book, 0..self.law_until, Micros::MAX);
        self.broken.extend(judged.broken);
        for closing in self.closings.iter().filter(|closing| !closing.agrees()) {
            self.broken.push(Broken { shop: None, what: "counts differ", how: format!("{closing:?}") });
        }
        let folder = self.lattice.folder().to_owned();
        for broken in &self.broken {
            append(&folder.join("broken.txt"), &format!("{}: {}", broken.what, broken.how));
        }
        let kept: Option<PathBuf> = (options.keep || !self.broken.is_empty()).then(|| {
            self.lattice.keep();
            folder.clone()
        });
        super::report::note_slowest(&folder, &self.book, &self.courses);
        let (before, after) = (std::mem::take(&mut self.before), self.processes());
        Report {
            options: options.clone(),
            took,
            tally: judged.tally,
            latencies: super::report::latencies(&self.book, &self.courses, self.closing_from),
            courses: std::mem::take(&mut self.courses),
            backs: Vec::new(),
            closings: std::mem::take(&mut self.closings),
            broken: std::mem::take(&mut self.broken),
            processes: super::report::grown(before, &after),
            kept,
        }
        .with_backs(&self.book)
    }

    fn processes(&self) -> Vec<Process> {
        let ids = self.lattice.process_ids();
        let own = ("soak".to_owned(), std::process::id());
        ids.into_iter().chain([own]).filter_map(|(name, id)| Process::of(name, id)).collect()
    }
}

fn append(path: &std::path::Path, line: &str) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.expect("cannot open the transcript"), "{line}").expect("cannot write the transcript");
}
