//! Where a host's calls really go, found out by calling: for each component, which revision answers which part.

use std::collections::BTreeMap;

use lath_control_api::{AppName, ComponentId, Revision};
use lath_host_core::{Reach, RouteTable, UnitKey};

/// What a host answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Face(pub(crate) BTreeMap<ComponentId, Served>);

/// Who answers the calls of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) app: AppName,
    /// Revisions and the percent of the calls that each answers; one or two.
    pub(crate) shares: Vec<(Revision, u8)>,
}

impl Face {
    pub(crate) fn of(routes: &RouteTable<UnitKey>) -> Self {
        let serving = routes.targets().filter(|(_, target)| target.is_serving());
        let served = serving.filter_map(|(id, _)| Some((id.clone(), served(routes, id)?)));
        Self(served.collect())
    }

    /// Whether calls of a component are answered.
    pub(crate) fn serves(&self, id: &ComponentId) -> bool {
        self.0.contains_key(id)
    }

    /// For the trace.
    pub(crate) fn describe(&self) -> String {
        let one = |(id, served): (&ComponentId, &Served)| {
            let shares: Vec<String> =
                served.shares.iter().map(|(revision, percent)| format!("r{revision}:{percent}%")).collect();
            format!("{id}={}", shares.join("+"))
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

/// A call is thrown with a number from 0 to 99. The numbers that lead to one of two units are the lowest ones, so where
/// the other begins is found by halving.
fn served(routes: &RouteTable<UnitKey>, id: &ComponentId) -> Option<Served> {
    let thrown = |dice: u8| routes.pick(id, None, Reach::Host, dice);
    let (first, last) = (thrown(0)?, thrown(99)?);
    let app = first.app.clone();
    if first == last {
        return Some(Served { app, shares: vec![(first.spec.revision, 100)] });
    }
    let (mut low, mut high) = (0_u8, 99_u8);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if thrown(middle) == Some(first) { low = middle } else { high = middle }
    }
    Some(Served { app, shares: vec![(first.spec.revision, high), (last.spec.revision, 100 - high)] })
}
