//! Where the owner of a serving leaves word for its loop, and the loop says how busy it is.
//!
//! One of these exists for each component of a host, most of which are idle: it takes as little memory as that allows.
//! The lock is taken when there is word, not for a call.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::accept::Command;
use super::{Load, Service};

pub(super) struct Desk {
    held: Mutex<Held>,
    /// Whether anything was left that the loop has not taken.
    word: AtomicBool,
    news: Notify,
    queued: AtomicUsize,
    running: AtomicUsize,
}

struct Held {
    service: Service,
    replaced: bool,
    commands: VecDeque<Command>,
    /// The loop has ended: nobody reads what is left here any more.
    over: bool,
}

/// What the loop finds.
pub(super) enum Told {
    Command(Command),
    /// There is another service.
    Replaced,
}

impl Desk {
    pub(super) fn new(service: Service) -> Self {
        let held = Held { service, replaced: false, commands: VecDeque::new(), over: false };
        let (queued, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let word = AtomicBool::new(false);
        Self { held: Mutex::new(held), word, news: Notify::new(), queued, running }
    }

    /// Leaves a command; false when nobody will read it.
    pub(super) fn tell(&self, command: Command) -> bool {
        let mut held = self.held();
        if held.over {
            return false;
        }
        held.commands.push_back(command);
        self.word.store(true, Ordering::Release);
        drop(held);
        self.news.notify_one();
        true
    }

    pub(super) fn replace(&self, service: Service) {
        let mut held = self.held();
        held.service = service;
        held.replaced = true;
        self.word.store(true, Ordering::Release);
        drop(held);
        self.news.notify_one();
    }

    pub(super) fn service(&self) -> Service {
        self.held().service.clone()
    }

    /// Whether there is word that the loop has not taken, perhaps of another service.
    pub(super) fn has_word(&self) -> bool {
        self.word.load(Ordering::Acquire)
    }

    /// The next word for the loop, for which it waits; no commands unless they are asked for. Loses nothing when it is
    /// dropped.
    pub(super) async fn next(&self, commands: bool) -> Told {
        loop {
            // Made before the look, so that what comes after the look is heard.
            let news = self.news.notified();
            if let Some(told) = self.take(commands) {
                return told;
            }
            news.await;
        }
    }

    fn take(&self, commands: bool) -> Option<Told> {
        if !self.has_word() {
            return None;
        }
        let mut held = self.held();
        let command = if commands { held.commands.pop_front() } else { None };
        let told = match command {
            Some(command) => Some(Told::Command(command)),
            None => std::mem::take(&mut held.replaced).then_some(Told::Replaced),
        };
        // Under the lock: whoever leaves more sets it after this.
        self.word.store(held.replaced || !held.commands.is_empty(), Ordering::Release);
        told
    }

    /// Says that the loop has ended. Whoever waits for an answer to a command learns that none comes.
    pub(super) fn close(&self) {
        let mut held = self.held();
        held.over = true;
        held.commands.clear();
    }

    pub(super) fn set_load(&self, load: Load) {
        self.queued.store(load.queued, Ordering::Relaxed);
        self.running.store(load.running, Ordering::Relaxed);
    }

    pub(super) fn load(&self) -> Load {
        Load { queued: self.queued.load(Ordering::Relaxed), running: self.running.load(Ordering::Relaxed) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing can panic while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
