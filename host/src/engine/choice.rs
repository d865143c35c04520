//! One of several links of an interface, as the component chooses while it runs (`capability/bus.rs`).
//!
//! A component that does not import that, or has one link of an interface, has no choice: its calls look at nothing here.

use std::sync::Arc;

use lath_control_api::{LinkName, LinkSpec};

use crate::engine::linked::LinkedFunction;
use crate::engine::unit::CallState;

/// Something for each link of an interface.
#[derive(Debug, Clone)]
pub(crate) struct OneOf<T> {
    /// For the link that calls go over which name none: the one with the default name, or else the first.
    pub(crate) usual: T,
    others: Vec<(LinkName, T)>,
}

impl<'a> OneOf<&'a LinkSpec> {
    /// These links; none when there are none.
    pub(crate) fn of(links: impl Iterator<Item = &'a LinkSpec>) -> Option<Self> {
        let mut links: Vec<&LinkSpec> = links.collect();
        let default = LinkName::default();
        let place = links.iter().position(|link| link.name == default).unwrap_or(0);
        let usual = (!links.is_empty()).then(|| links.remove(place))?;
        Some(Self { usual, others: links.into_iter().map(|link| (link.name.clone(), link)).collect() })
    }
}

impl<T> OneOf<T> {
    /// The usual one alone.
    pub(crate) fn only(self) -> Self {
        Self { usual: self.usual, others: Vec::new() }
    }

    /// All of them, the usual one first.
    pub(crate) fn each(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.usual).chain(self.others.iter().map(|(_, other)| other))
    }

    /// What `make` makes of each.
    pub(crate) fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> OneOf<U> {
        let usual = make(&self.usual);
        OneOf { usual, others: self.others.iter().map(|(name, other)| (name.clone(), make(other))).collect() }
    }

    /// The one of the link of this name; the usual one when no name was chosen.
    pub(crate) fn chosen(&self, name: Option<&LinkName>) -> &T {
        let other = name.and_then(|name| self.others.iter().find(|(other, _)| other == name));
        other.map_or(&self.usual, |(_, other)| other)
    }
}

/// A function that a component imports, with every link that its calls may go over.
#[derive(Clone)]
pub(crate) enum Linked {
    /// They go over one.
    One(Arc<LinkedFunction>),
    /// Each goes over the one that the component has chosen by then.
    Several(Arc<Several>),
}

/// The function over each of several links.
pub(crate) struct Several {
    /// What its interface is chosen as.
    subject: String,
    links: OneOf<Arc<LinkedFunction>>,
}

impl Linked {
    /// The function over each of `links`, where its interface is chosen as `subject`.
    pub(crate) fn new(subject: &str, links: OneOf<Arc<LinkedFunction>>) -> Self {
        if links.others.is_empty() {
            return Self::One(links.usual);
        }
        Self::Several(Arc::new(Several { subject: subject.to_owned(), links }))
    }

    /// The one over the usual link. All have the same types.
    pub(crate) fn usual(&self) -> &LinkedFunction {
        match self {
            Self::One(linked) => linked,
            Self::Several(several) => &several.links.usual,
        }
    }

    /// The one that a call goes to now.
    pub(crate) fn chosen(self, state: &CallState) -> Arc<LinkedFunction> {
        match self {
            Self::One(linked) => linked,
            Self::Several(several) => Arc::clone(several.links.chosen(state.choices.of(&several.subject))),
        }
    }
}
