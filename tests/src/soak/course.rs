//! One rollout from its command to rest: the next variant of the app is made, the commands of its kind are given, and
//! what should come of it is compared with what has. How the requests fared meanwhile is judged elsewhere.

mod script;

use std::time::Duration;

use serde_json::{Value, json};

use super::app::{Shop, Variant};
use super::book::Micros;
use super::dice::Dice;
use super::hand::{Hand, Note};
use super::kind::{Kind, Turn};
use super::stage::Who;

/// What a rollout was and came to.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub(super) turn: Turn,
    /// The revision that served before, and the one that serves after.
    pub(super) before: u32,
    pub(super) after: u32,
    /// The highest revision that there was before.
    pub(super) highest: u32,
    pub(super) started: Micros,
    /// When its last command ended.
    pub(super) said_done: Micros,
    /// When it was done: when that was said, or at rest where the manager was killed and nothing said counts.
    pub(super) done: Micros,
    /// When nothing moved any more.
    pub(super) rest: Micros,
    /// Who may answer from when on.
    pub(super) who: Vec<(Micros, Who)>,
    pub(super) notes: Vec<Note>,
    /// How long it took from a person's command to what was before.
    pub(super) commanded_back: Option<Duration>,
    /// The manager was killed, in its course or soon after it.
    pub(super) killed: bool,
    /// That was before its last command had ended.
    pub(super) cut_short: bool,
    /// What is not as it should be.
    pub(super) wrong: Vec<String>,
}

/// What a rollout should lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    New,
    Old,
}

/// Who rolls out: the apps as they are, and how to change them.
#[derive(Debug)]
pub(super) struct Director {
    hand: Hand,
    dice: Dice,
    /// Every variant that was made; its place is its number.
    pub(super) variants: Vec<Variant>,
    /// Number of the variant that serves, by app.
    current: [usize; 3],
}

impl Director {
    pub(super) fn new(hand: Hand, dice: Dice) -> Self {
        Self { hand, dice, variants: Vec::new(), current: [0; 3] }
    }

    /// Deploys the first variant of an app, and a second one, so that there is something to go back to.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) async fn begin(&mut self, first: Variant) -> Result<u32, String> {
        let shop = first.shop;
        self.serves(shop, self.number());
        self.variants.push(first);
        let mut revision = 0;
        for _ in 0..2 {
            let mut next = self.next(shop);
            next.front.mark = next.number.to_string();
            self.variants[next.number as usize] = next.clone();
            let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
            if note.code != Some(0) {
                return Err(format!(
                    "`{}` cannot be deployed\n{:#}\n{}",
                    shop.name(),
                    note.document,
                    note.stderr
                ));
            }
            revision = self.hand.rest(shop).await?;
            self.serves(shop, next.number);
        }
        Ok(revision)
    }

    /// A last revision of an app, which every host makes ready anew.
    ///
    /// # Errors
    /// When it does not come to serve.
    pub(super) async fn last(&mut self, shop: Shop) -> Result<u32, String> {
        let mut next = self.next(shop);
        let mark = next.number.to_string();
        (next.front.mark, next.back.mark) = (mark.clone(), mark);
        let number = next.number as usize;
        self.variants[number] = next.clone();
        let note = self.hand.deploy(&next.write(&self.hand.folder)).await;
        if note.code != Some(0) {
            return Err(format!("the last deploy of {}: {:#}\n{}", shop.name(), note.document, note.stderr));
        }
        let revision = self.hand.rest(shop).await?;
        self.hand.soon_whole(shop, revision).await?;
        Ok(revision)
    }

    /// What serves of an app now.
    pub(super) fn serves(&mut self, shop: Shop, number: u32) {
        self.current[shop.index()] = number as usize;
    }

    /// Carries out a rollout, and gives it when the app is at rest again.
    ///
    /// # Errors
    /// When it does not come to rest: nothing more can be shown then.
    pub(super) async fn carry_out(&mut self, turn: Turn, killed: bool) -> Result<Course, String> {
        let shop = turn.shop;
        let before = self.hand.rest(shop).await?;
        let highest = self.hand.highest(shop).await?.max(before);
        let started = self.hand.book.now();
        let mut course = Course {
            turn,
            before,
            after: before,
            highest,
            started,
            said_done: started,
            done: started,
            rest: started,
            who: Vec::new(),
            notes: Vec::new(),
            commanded_back: None,
            killed,
            cut_short: false,
            wrong: Vec::new(),
        };
        let goal = if turn.kind.is_bad() || turn.kind == Kind::BackWarm { Goal::Old } else { Goal::New };
        let followed = self.follow(&mut course).await;
        course.said_done = course.notes.iter().map(|note| note.ended).max().unwrap_or(course.started);
        course.done = course.said_done;
        if let Err(cause) = followed {
            course.wrong.push(cause);
        }
        if killed {
            // Its commands may have ended in the middle, and nothing said so far counts as done.
            course.wrong.clear();
            self.hand.end_pause(shop).await;
        }
        course.after = self.hand.rest(shop).await?;
        course.rest = self.hand.book.now();
        if killed {
            course.done = course.rest;
            course.who = vec![(course.started, Who::Both)];
        }
        if !killed && (course.after == before) != (goal == Goal::Old) {
            course.wrong.push(format!("it led from revision {before} to {}", course.after));
        }
        if let Err(cause) = self.hand.soon_whole(shop, course.after).await {
            course.wrong.push(format!("not one whole revision after it: {cause}"));
        }
        let number = self.hand.variant(shop, course.after).await?;
        self.serves(shop, number);
        Ok(course)
    }

    /// Another variant of what serves, with nothing changed yet.
    fn next(&mut self, shop: Shop) -> Variant {
        let mut next = self.variants[self.current[shop.index()]].clone();
        next.number = self.number();
        next.policy = Variant::usual_policy();
        self.variants.push(next.clone());
        next
    }

    /// The number of the next variant.
    fn number(&self) -> u32 {
        u32::try_from(self.variants.len()).expect("there are few variants")
    }
}

impl Hand {
    /// A rollout whose commands were cut short may wait for a person: it is given up.
    async fn end_pause(&self, shop: Shop) {
        let stands = |status: &lath_control_api::app::AppStatus| {
            let moves = status.rollout.as_ref();
            moves.is_none_or(|rollout| rollout.paused.is_some())
        };
        if let Ok(status) = self.until(shop, Duration::from_secs(60), "a pause or rest", stands).await
            && status.rollout.is_some()
        {
            self.run(&["rollout", "abort", shop.name()]).await;
        }
    }

    async fn soon_whole(&self, shop: Shop, revision: u32) -> Result<(), String> {
        let begun = std::time::Instant::now();
        loop {
            match self.is_whole(shop, revision).await {
                Err(_) if begun.elapsed() < Duration::from_secs(5) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                end => return end,
            }
        }
    }
}

impl Course {
    /// From the first command to what it should lead to.
    pub(super) fn took(&self) -> Duration {
        Duration::from_micros(self.done - self.started)
    }

    /// What the last command said.
    pub(super) fn outcome(&self) -> String {
        let Some(last) = self.notes.last() else { return "nothing".to_owned() };
        let reason = self.notes.iter().map(Note::reason).find(|reason| !reason.is_empty());
        reason.map_or_else(|| last.outcome().to_owned(), |reason| format!("{} ({reason})", last.outcome()))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "number": self.turn.number, "kind": self.turn.kind.name(), "app": self.turn.shop.name(),
            "madeToFail": self.turn.kind.is_bad(), "from": self.before, "to": self.after,
            "startedUs": self.started, "doneUs": self.done, "restUs": self.rest, "killed": self.killed,
            "cutShort": self.cut_short,
            "outcome": self.outcome(), "wrong": self.wrong,
            "commands": self.notes.iter().map(Note::json).collect::<Vec<_>>(),
        })
    }
}
