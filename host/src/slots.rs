//! What the supervisor holds of each unit: its product, and the one task that works for it at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lath_host_core::{News, Ticket, UnitKey};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::Prepared;
use crate::prepare::Product;
use crate::provider::Provider;

/// One unit's place.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) max_instances: u32,
    pub(crate) product: Option<Product>,
    /// The episode that the task works for.
    ticket: Ticket,
    /// Ends the task when it is replaced or dropped.
    task: Option<(CancellationToken, DropGuard)>,
    /// Whether it was last told that the component ails.
    ailing: bool,
    /// When it was last tried whether the component can be started.
    tried: Option<Instant>,
}

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: BTreeMap<UnitKey, Slot>,
}

impl Slots {
    /// A place for a unit that is going to be prepared.
    pub(crate) fn add(&mut self, unit: UnitKey, max_instances: u32) {
        let slot =
            Slot { max_instances, product: None, ticket: Ticket(0), task: None, ailing: false, tried: None };
        self.slots.insert(unit, slot);
    }

    /// Begins an episode. The one before it, if any, is over; the token that is returned ends with this one.
    pub(crate) fn begin(&mut self, unit: &UnitKey, ticket: Ticket) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(slot) = self.slots.get_mut(unit) {
            slot.ticket = ticket;
            slot.task = Some((token.clone(), token.clone().drop_guard()));
        }
        token
    }

    /// Ends the episode, if there is one.
    pub(crate) fn end(&mut self, unit: &UnitKey) {
        if let Some(slot) = self.slots.get_mut(unit) {
            slot.task = None;
        }
    }

    /// Puts the product of a preparation in its place; false when that preparation is over.
    pub(crate) fn fill(&mut self, unit: &UnitKey, ticket: Ticket, product: Product) -> bool {
        let Some(slot) = self.slots.get_mut(unit).filter(|slot| slot.ticket == ticket) else { return false };
        slot.product = Some(product);
        true
    }

    pub(crate) fn get(&self, unit: &UnitKey) -> Option<&Slot> {
        self.slots.get(unit)
    }

    pub(crate) fn component(&self, unit: &UnitKey) -> Option<&Arc<Prepared>> {
        self.slots.get(unit)?.product.as_ref()?.component()
    }

    /// A provider that is ready, to be told of it in the unit's present episode.
    pub(crate) fn provider_episode(&self, unit: &UnitKey) -> Option<(Ticket, Arc<Provider>)> {
        let slot = self.slots.get(unit)?;
        Some((slot.ticket, Arc::clone(slot.product.as_ref()?.provider()?)))
    }

    /// Every provider that is ready, with the episode of its unit.
    pub(crate) fn providers(&self) -> impl Iterator<Item = (&UnitKey, Ticket, &Arc<Provider>)> {
        self.slots
            .iter()
            .filter_map(|(unit, slot)| Some((unit, slot.ticket, slot.product.as_ref()?.provider()?)))
    }

    /// A token that ends with the unit's present episode, also of one that has no task.
    pub(crate) fn accompany(&mut self, unit: &UnitKey) -> CancellationToken {
        let token = CancellationToken::new();
        match self.slots.get_mut(unit) {
            Some(slot) => {
                let (held, _) = slot.task.get_or_insert_with(|| (token.clone(), token.clone().drop_guard()));
                held.clone()
            }
            None => {
                token.cancel();
                token
            }
        }
    }

    /// What components say of their health now that is not what was said before.
    pub(crate) fn news_of_health(&mut self) -> Vec<(UnitKey, Ticket, News)> {
        let mut news = Vec::new();
        for (unit, slot) in &mut self.slots {
            let Some(component) = slot.product.as_ref().and_then(Product::component) else { continue };
            let ails = component.ails();
            if std::mem::replace(&mut slot.ailing, ails.is_some()) || ails.is_some() {
                let found = match ails {
                    Some((reason, message)) => News::Unhealthy { reason, message },
                    None => News::Healthy,
                };
                news.push((unit.clone(), slot.ticket, found));
            }
        }
        news
    }

    /// The component of a unit, to try whether it can be started; none when that was tried less than `every` ago.
    pub(crate) fn begin_trial(&mut self, unit: &UnitKey, every: Duration) -> Option<(Ticket, Arc<Prepared>)> {
        let slot = self.slots.get_mut(unit)?;
        let prepared = Arc::clone(slot.product.as_ref()?.component()?);
        if slot.tried.is_some_and(|tried| tried.elapsed() < every) {
            return None;
        }
        slot.tried = Some(Instant::now());
        Some((slot.ticket, prepared))
    }

    /// Takes what a unit's preparation made out of its place; its task ends.
    pub(crate) fn empty(&mut self, unit: &UnitKey) -> Option<Product> {
        let slot = self.slots.get_mut(unit)?;
        slot.task = None;
        slot.product.take()
    }

    /// Takes a unit out; its task ends.
    pub(crate) fn remove(&mut self, unit: &UnitKey) -> Option<Product> {
        self.slots.remove(unit)?.product
    }
}
