//! How many instances the host has at once, over all its components.
//!
//! A call holds its instance while it waits for the calls that it makes over links. Were every place taken by
//! calls that wait so, none could go on. Hence each hop of a call has places of its own, which no earlier hop
//! can take: half of all for calls from outside, half of the rest for the next hop, and so on.

use crate::engine::CallError;
use crate::engine::gate::{Gate, Place};
use crate::engine::watch::Watch;

/// Most calls that wait for room at one hop, over all components.
const MAX_WAITING: u32 = 10_000;
/// Hops with places of their own; longer chains share those of the last.
const LEVELS: u32 = 4;

/// The places for instances of one engine.
#[derive(Debug)]
pub(crate) struct Room {
    levels: Vec<Gate>,
}

impl Room {
    /// Room for `instances`, and for one at each hop at least.
    pub(crate) fn new(instances: u32) -> Self {
        let mut rest = instances;
        let levels = (0..LEVELS)
            .map(|level| {
                let places = if level + 1 == LEVELS { rest } else { rest.div_ceil(2) };
                rest -= places;
                Gate::new(places.max(1), MAX_WAITING)
            })
            .collect();
        Self { levels }
    }

    /// Waits for a place of a call that has come through `hops` components.
    pub(crate) async fn enter(&self, hops: u32, watch: &Watch<'_>) -> Result<Place<'_>, CallError> {
        let level = usize::try_from(hops.min(LEVELS - 1)).unwrap_or_default();
        match self.levels.get(level) {
            Some(gate) => gate.enter(watch).await,
            None => Err(CallError::Failed("the host has no room for instances".into())),
        }
    }
}
