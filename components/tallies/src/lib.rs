//! Keeps `lath:handles/tallies` for its callers: each tally lives in the instance that made it. Nothing but tallies and
//! the number of calls is kept, so that a caller can tell by them which instance it has.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen::generate!({
        path: "../wit/handles",
        world: "keeps-tallies",
    });

    use super::Keeper;
    export!(Keeper);
}

use std::cell::Cell;

use bindings::exports::lath::handles::tallies::{Guest, GuestTally, Tally, TallyBorrow};

thread_local! {
    static LIVING: Cell<u32> = const { Cell::new(0) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

struct Keeper;

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

impl Guest for Keeper {
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
