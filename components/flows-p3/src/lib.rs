//! `lath:handles` for WASI 0.3: tallies as those of `tallies`, and `flows`, which reads and writes streams and futures.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen_p3::generate!({
        path: "../wit/handles",
        world: "pours",
        runtime_path: "::wit_bindgen_p3::rt",
    });

    use super::Pours;
    export!(Pours);
}

use std::cell::Cell;

use bindings::exports::lath::handles::flows::{self, GuestSource};
use bindings::exports::lath::handles::tallies::{self, GuestTally, Tally, TallyBorrow};
use bindings::{wit_future, wit_stream};
use wasip3::clocks::monotonic_clock;
use wit_bindgen_p3::rt::async_support::{FutureReader, StreamReader, StreamResult};
use wit_bindgen_p3::spawn_local;

thread_local! {
    static LIVING: Cell<u32> = const { Cell::new(0) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Most elements that are read at once.
const PIECE: usize = 1000;

struct Pours;

/// One tally.
#[derive(Debug)]
pub struct Number(Cell<u32>);

impl Number {
    fn of(value: u32) -> Self {
        LIVING.set(LIVING.get() + 1);
        Self(Cell::new(value))
    }

    fn grow(&self, by: u32) -> u32 {
        self.0.set(self.0.get() + by);
        self.0.get()
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        LIVING.set(LIVING.get() - 1);
    }
}

impl tallies::Guest for Pours {
    type Tally = Number;

    fn merge(into: TallyBorrow<'_>, from: Tally) -> u32 {
        into.get::<Number>().grow(from.get::<Number>().0.get())
    }

    fn largest(among: Vec<Tally>) -> Result<(u32, Option<Tally>), String> {
        let value = |tally: &Tally| tally.get::<Number>().0.get();
        let sum = among.iter().map(value).sum();
        let largest = among.into_iter().max_by_key(value).ok_or_else(|| "there is none".to_owned())?;
        Ok((sum, (value(&largest) > 0).then_some(largest)))
    }

    fn calls() -> u32 {
        CALLS.set(CALLS.get() + 1);
        CALLS.get()
    }
}

impl GuestTally for Number {
    fn new(start: u32) -> Self {
        Self::of(start)
    }

    fn add(&self, by: u32) -> u32 {
        self.grow(by)
    }

    fn copy(&self) -> Tally {
        Tally::new(Self::of(self.0.get()))
    }

    fn fail(&self) {
        std::process::abort();
    }

    fn hang(&self) {
        loop {
            std::hint::spin_loop();
        }
    }

    fn living() -> u32 {
        LIVING.get()
    }
}

/// Writes the numbers of a range as fast as they are read; `then` is done when all were.
fn numbers(range: std::ops::Range<u32>, then: impl FnOnce() + 'static) -> StreamReader<u32> {
    let (mut output, numbers) = wit_stream::new();
    spawn_local(async move {
        let mut next = range.start;
        while next < range.end {
            let until = range.end.min(next.saturating_add(1000));
            if !output.write_all((next..until).collect()).await.is_empty() {
                // Nobody reads on.
                return;
            }
            next = until;
        }
        then();
    });
    numbers
}

/// Writes each element that `input` gives, changed, before it reads the next.
fn changed<T: 'static>(
    mut input: StreamReader<T>,
    (mut output, changed): (wit_bindgen_p3::rt::async_support::StreamWriter<T>, StreamReader<T>),
    change: fn(T) -> T,
) -> StreamReader<T> {
    spawn_local(async move {
        while let Some(element) = input.next().await {
            if output.write_one(change(element)).await.is_some() {
                return;
            }
        }
    });
    changed
}

async fn sum_of(mut numbers: StreamReader<u32>, most: usize) -> u64 {
    let (mut sum, mut read) = (0, 0);
    while read < most {
        let (status, piece) = numbers.read(Vec::with_capacity(PIECE.min(most - read))).await;
        read += piece.len();
        sum += piece.into_iter().map(u64::from).sum::<u64>();
        if matches!(status, StreamResult::Dropped) {
            break;
        }
    }
    sum
}

impl flows::Guest for Pours {
    type Source = Source;

    async fn sum(numbers: StreamReader<u32>) -> u64 {
        sum_of(numbers, usize::MAX).await
    }

    async fn count(most: u32) -> StreamReader<u32> {
        numbers(1..most + 1, || {})
    }

    async fn shout(words: StreamReader<String>) -> StreamReader<String> {
        changed(words, wit_stream::new(), |word| word.to_uppercase())
    }

    async fn echo(mut bytes: StreamReader<u8>) -> StreamReader<u8> {
        let (mut output, echoed) = wit_stream::new();
        spawn_local(async move {
            loop {
                let (status, piece) = bytes.read(Vec::with_capacity(64 << 10)).await;
                if !output.write_all(piece).await.is_empty() || matches!(status, StreamResult::Dropped) {
                    return;
                }
            }
        });
        echoed
    }

    async fn pass(bytes: StreamReader<u8>) -> StreamReader<u8> {
        bytes
    }

    async fn reverse(lists: StreamReader<Vec<u32>>) -> StreamReader<Vec<u32>> {
        changed(lists, wit_stream::new(), |list| list.into_iter().rev().collect())
    }

    async fn later(word: String, ms: u32) -> FutureReader<String> {
        let (output, later) = wit_future::new(String::new);
        spawn_local(async move {
            monotonic_clock::wait_for(u64::from(ms) * 1_000_000).await;
            // Nobody may wait for it any more.
            let _unwanted = output.write(word).await;
        });
        later
    }

    async fn length(word: FutureReader<String>) -> u32 {
        u32::try_from(word.await.len()).unwrap_or(u32::MAX)
    }

    async fn break_off(most: u32) -> StreamReader<u32> {
        numbers(1..most + 1, || std::process::abort())
    }

    async fn some(numbers: StreamReader<u32>, most: u32) -> u64 {
        sum_of(numbers, usize::try_from(most).unwrap_or(usize::MAX)).await
    }
}

/// Where the next numbers begin.
#[derive(Debug)]
pub struct Source(Cell<u32>);

impl GuestSource for Source {
    fn new(start: u32) -> Self {
        Self(Cell::new(start))
    }

    async fn next(&self, most: u32) -> StreamReader<u32> {
        let start = self.0.get();
        self.0.set(start + most);
        numbers(start..start + most, || {})
    }

    async fn after(&self, ms: u32) -> u32 {
        monotonic_clock::wait_for(u64::from(ms) * 1_000_000).await;
        let next = self.0.get();
        self.0.set(next + 1);
        next
    }
}
