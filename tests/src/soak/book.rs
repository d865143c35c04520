//! The book of all requests: when each was due, sent and answered, with what, and which calls of components it came to.
//! Small entries, since a soak has millions. Nothing is judged here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::app::Shop;

/// Microseconds since the beginning of the soak.
pub(super) type Micros = u64;

/// One request. Its number is its place in the book.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) shop: Shop,
    /// When it should have been sent: what latencies are counted from, so that a stall of the sender shows.
    pub(super) due: Micros,
    /// When it was sent.
    pub(super) sent: Micros,
    /// When it was clear what came of it; 0 before.
    pub(super) ended: Micros,
    pub(super) end: End,
    /// Calls of the component that took it, and of the one behind that.
    pub(super) calls: [Calls; 2],
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing yet.
    Out,
    /// A good answer that looks like this word of the book.
    Answered(Word),
    /// An answer that is not good, or a broken connection: the cause is this word.
    Failed(Word),
    /// No answer until the deadline.
    Late,
}

/// What components said of their calls for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Calls {
    /// The revision of the first.
    pub(super) revision: u32,
    /// How many there were.
    pub(super) count: u16,
    /// One of them was made to fail by its config.
    pub(super) fault: bool,
    /// One of them was of another revision than the first.
    pub(super) differs: bool,
}

/// A text that stands in the book once.
pub(super) type Word = u16;

/// All requests, to be written by many tasks.
#[derive(Debug)]
pub(super) struct Book {
    begun: Instant,
    entries: Mutex<Vec<Entry>>,
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    texts: Vec<String>,
    places: BTreeMap<String, Word>,
}

impl Book {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), entries: Mutex::default(), words: Mutex::default() }
    }

    /// The time by the book's clock.
    pub(super) fn now(&self) -> Micros {
        self.at(Instant::now())
    }

    /// A moment by the book's clock.
    pub(super) fn at(&self, moment: Instant) -> Micros {
        let since = moment.saturating_duration_since(self.begun);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Opens an entry for a request that is sent now, and gives its number.
    pub(super) fn open(&self, shop: Shop, due: Instant) -> usize {
        let (due, sent) = (self.at(due), self.now());
        let entry = Entry { shop, due, sent, ended: 0, end: End::Out, calls: [Calls::default(); 2] };
        let mut entries = self.entries();
        entries.push(entry);
        entries.len() - 1
    }

    /// Closes an entry.
    pub(super) fn close(&self, number: usize, end: End) {
        let ended = self.now().max(1);
        let mut entries = self.entries();
        let entry = &mut entries[number];
        (entry.ended, entry.end) = (ended, end);
    }

    /// Every entry. Senders wait while this is held.
    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The word for a text.
    ///
    /// # Panics
    /// With more different texts than there are words.
    pub(super) fn word(&self, text: &str) -> Word {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(word) = words.places.get(text) {
            return *word;
        }
        let word = Word::try_from(words.texts.len()).expect("the answers differ without end");
        words.texts.push(text.to_owned());
        words.places.insert(text.to_owned(), word);
        word
    }

    /// The text of a word.
    pub(super) fn text(&self, word: Word) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.texts.get(usize::from(word)).cloned().unwrap_or_default()
    }
}
