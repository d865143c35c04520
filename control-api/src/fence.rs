//! The fence that every command of a manager carries, and the one rule that refuses an older command.

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, Generation, Step};

/// Which decision a command comes from. A host keeps the newest fence for each app and obeys no older one.
///
/// Newer means: a later generation of the app, or a later step of the same generation. The epoch tells which
/// term of a manager sent the command: a host refuses an epoch below the highest it has seen from anyone, so
/// a manager that was frozen while another took over can do no harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// Term of the sending manager.
    pub epoch: Epoch,
    /// Generation of the app's desired record.
    pub generation: Generation,
    /// Step within the generation.
    pub step: Step,
}

/// How a command's fence stands to the one that a host holds for the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A later decision: obey.
    Newer,
    /// The same decision sent again: nothing to do.
    Same,
    /// An earlier decision: refuse.
    Older,
}

impl Fence {
    /// How this fence stands to `held`, leaving the epoch aside: the epoch is checked against the whole host.
    #[must_use]
    pub fn order(&self, held: &Self) -> Order {
        match (self.generation, self.step).cmp(&(held.generation, held.step)) {
            std::cmp::Ordering::Greater => Order::Newer,
            std::cmp::Ordering::Equal => Order::Same,
            std::cmp::Ordering::Less => Order::Older,
        }
    }
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.generation, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_outweighs_step() {
        let fence = |generation, step| Fence {
            epoch: Epoch(1),
            generation: Generation(generation),
            step: Step(step),
        };
        assert_eq!(fence(2, 0).order(&fence(1, 9)), Order::Newer);
        assert_eq!(fence(1, 3).order(&fence(1, 3)), Order::Same);
        assert_eq!(fence(1, 2).order(&fence(1, 3)), Order::Older);
    }
}
