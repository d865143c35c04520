//! What can be rolled out, and in which order a soak does it: half of all rollouts are made to fail, each kind has its
//! turn, and the same seed gives the same sequence. How a kind is carried out is in `course.rs`.

use super::app::Shop;
use super::dice::Dice;

/// A kind of rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// New code.
    Image,
    /// New settings of a component.
    Config,
    /// New settings of the link from the way in.
    Link,
    /// Code, settings and link at once.
    Everything,
    /// Another number of instances: in the manifest, or by `lath scale`.
    Scale,
    /// A second route comes or goes.
    Route,
    /// A component behind a link goes to another host.
    Move,
    /// A canary that holds its gates.
    Canary,
    /// The new beside the old, switched by itself.
    BlueGreen,
    /// The same, switched by `lath rollout promote`.
    Promote,
    /// Paused and resumed on the way.
    Pause,
    /// A newer deploy in the middle.
    Supersede,
    /// `lath rollback`.
    Back,
    /// `lath rollout abort` while the old revision is kept warm.
    BackWarm,
    /// Code that cannot be had, mended, and `lath rollout retry`.
    Retry,
    /// Code that traps when it is started.
    TrapAtStart,
    /// A file that is no component.
    NotAComponent,
    /// The store has other bytes than the digest says.
    WrongCode,
    /// Code that imports what nobody provides.
    MissingImport,
    /// Settings with which the probe is not answered well.
    BrokenProbe,
    /// A canary that answers a part of its calls with 500.
    CanaryErrors,
    /// A canary that traps in a part of its calls.
    CanaryTraps,
    /// A component for which there is no host: no progress until the deadline.
    NoProgress,
    /// The new beside the old, given up by `lath rollout abort`.
    AbortBlueGreen,
    /// A canary with traffic, given up by `lath rollout abort`.
    AbortCanary,
    /// It fails, is held where it is as its policy says, and is given up.
    Held,
}

impl Kind {
    const GOOD: [Self; 15] = [
        Self::Image,
        Self::Config,
        Self::Link,
        Self::Everything,
        Self::Scale,
        Self::Route,
        Self::Move,
        Self::Canary,
        Self::BlueGreen,
        Self::Promote,
        Self::Pause,
        Self::Supersede,
        Self::Back,
        Self::BackWarm,
        Self::Retry,
    ];
    const BAD: [Self; 11] = [
        Self::TrapAtStart,
        Self::NotAComponent,
        Self::WrongCode,
        Self::MissingImport,
        Self::BrokenProbe,
        Self::CanaryErrors,
        Self::CanaryTraps,
        Self::NoProgress,
        Self::AbortBlueGreen,
        Self::AbortCanary,
        Self::Held,
    ];

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::GOOD.into_iter().chain(Self::BAD)
    }

    /// Its name in output and arguments.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Config => "config",
            Self::Link => "link",
            Self::Everything => "everything",
            Self::Scale => "scale",
            Self::Route => "route",
            Self::Move => "move",
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Supersede => "supersede",
            Self::Back => "rollback",
            Self::BackWarm => "rollback-warm",
            Self::Retry => "retry",
            Self::TrapAtStart => "trap-at-start",
            Self::NotAComponent => "not-a-component",
            Self::WrongCode => "wrong-code",
            Self::MissingImport => "missing-import",
            Self::BrokenProbe => "broken-probe",
            Self::CanaryErrors => "canary-errors",
            Self::CanaryTraps => "canary-traps",
            Self::NoProgress => "no-progress",
            Self::AbortBlueGreen => "abort-blue-green",
            Self::AbortCanary => "abort-canary",
            Self::Held => "held",
        }
    }

    /// Whether it is made to fail.
    #[must_use]
    pub(super) fn is_bad(self) -> bool {
        Self::BAD.contains(&self)
    }

    /// Whether calls of the new revision are made to fail: only these may, and only in this rollout.
    pub(super) const fn may_fail_calls(self) -> bool {
        matches!(self, Self::CanaryErrors | Self::CanaryTraps)
    }

    /// Whether it takes some seconds, since traffic moves in steps or a deadline has to pass.
    pub(super) const fn moves_slowly(self) -> bool {
        !matches!(
            self,
            Self::Scale
                | Self::Back
                | Self::TrapAtStart
                | Self::NotAComponent
                | Self::WrongCode
                | Self::MissingImport
                | Self::BrokenProbe
                | Self::Held
        )
    }

    /// The apps that it makes sense for, in the order of their turns.
    const fn shops(self) -> &'static [Shop] {
        match self {
            Self::Scale => &[Shop::Near, Shop::Far],
            Self::Move => &[Shop::Far],
            _ => &Shop::ALL,
        }
    }
}

/// A rollout to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// From 1.
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) shop: Shop,
}

/// The rollouts of a soak in their order, of these kinds: half of them bad, where there are kinds of both.
pub(super) fn turns(dice: &mut Dice, count: u32, kinds: &[Kind]) -> Vec<Turn> {
    let (bad, good): (Vec<_>, Vec<_>) = kinds.iter().copied().partition(|kind| kind.is_bad());
    let only = if good.is_empty() { Some(true) } else { bad.is_empty().then_some(false) };
    let (mut good, mut bad) = (Deck::of(good), Deck::of(bad));
    let mut turns: Vec<Turn> = Vec::new();
    let mut bad_first = false;
    for number in 1..=count {
        // Of every two one is bad.
        if number % 2 == 1 {
            bad_first = dice.percent(50);
        }
        let is_bad = only.unwrap_or((number % 2 == 1) == bad_first);
        let kind = if is_bad { bad.draw(dice) } else { good.draw(dice) };
        let before = turns.iter().filter(|turn| turn.kind == kind).count();
        let shops = kind.shops();
        turns.push(Turn { number, kind, shop: shops[before % shops.len()] });
    }
    turns
}

/// Each kind once in each round, in another order each time.
struct Deck {
    all: Vec<Kind>,
    left: Vec<Kind>,
}

impl Deck {
    const fn of(all: Vec<Kind>) -> Self {
        Self { all, left: Vec::new() }
    }

    fn draw(&mut self, dice: &mut Dice) -> Kind {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            dice.shuffle(&mut self.left);
        }
        self.left.pop().expect("there are kinds")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of_all(seed: u64, count: u32) -> Vec<Turn> {
        turns(&mut Dice::of(seed), count, &Kind::all().collect::<Vec<_>>())
    }

    #[test]
    fn half_are_bad_and_every_kind_has_its_turn() {
        let all = of_all(1, 100);
        assert_eq!(all.iter().filter(|turn| turn.kind.is_bad()).count(), 50);
        let kinds: BTreeSet<_> = all.iter().map(|turn| turn.kind).collect();
        assert_eq!(kinds.len(), Kind::all().count());
        for pair in all.chunks(2) {
            assert_ne!(pair[0].kind.is_bad(), pair[1].kind.is_bad());
        }
    }

    #[test]
    fn a_seed_gives_the_same_again() {
        assert_eq!(of_all(7, 40), of_all(7, 40));
        assert_ne!(of_all(7, 40), of_all(8, 40));
        assert_eq!(of_all(7, 40)[..20], of_all(7, 20));
    }

    #[test]
    fn kinds_can_be_chosen() {
        let only = turns(&mut Dice::of(1), 6, &[Kind::Canary]);
        assert!(only.iter().all(|turn| turn.kind == Kind::Canary));
        let both = turns(&mut Dice::of(1), 6, &[Kind::Canary, Kind::Held]);
        assert_eq!(both.iter().filter(|turn| turn.kind == Kind::Held).count(), 3);
    }
}
