//! Which host runs what: feasible hosts first, then the best of them, the same for the same input.
//!
//! The scalers mean what they mean in 1.x: a spread of a component puts its whole share on one host, a spread of
//! a capability takes as many hosts as its share, a daemon is on every eligible host. What runs stays where it
//! is as long as its host may keep it.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use lath_control_api::app::Problem;
use lath_control_api::{AppName, ComponentName, HostId, Labels};
use lath_manifests::manifest::{Scaling, Spread};

use crate::desired::AppSpec;
use crate::observed::{ObservedHost, ObservedState};
use crate::record::Assignment;

/// A host that may take work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// What spreads choose by, beside the host's id.
    pub labels: Cow<'a, Labels>,
    /// Units of other apps that it runs: fewer is better.
    pub load: usize,
}

/// Where everything goes, and what could not be placed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Hosts and what they run.
    pub assignment: Assignment,
    /// Spreads without enough hosts.
    pub problems: Vec<Problem>,
}

impl Candidate<'_> {
    /// Whether the host suits a spread, which may name it: no host need say its own id as a label.
    fn suits(&self, id: &HostId, spread: &Spread) -> bool {
        spread.requirements.0.iter().all(|(key, value)| match self.labels.0.get(key) {
            _ if key == Labels::HOST_ID => value == id.as_str(),
            found => found == Some(value),
        })
    }
}

/// Hosts that may take work of `app`, from what was observed; `takes_work` judges each.
#[must_use]
pub fn candidates<'a>(
    observed: &'a ObservedState,
    app: &AppName,
    takes_work: impl Fn(&ObservedHost) -> bool,
) -> BTreeMap<HostId, Candidate<'a>> {
    let able = observed.hosts().filter(|(_, host)| takes_work(host));
    able.map(|(id, host)| {
        let others =
            host.inventory.iter().flat_map(|inventory| &inventory.apps).filter(|entry| entry.app != *app);
        let load = others.map(|entry| entry.components.len()).sum();
        (id.clone(), Candidate { labels: Cow::Borrowed(&host.summary.labels), load })
    })
    .collect()
}

/// Places every component of `spec`, keeping to `current` where it can.
#[must_use]
pub fn place(spec: &AppSpec, hosts: &BTreeMap<HostId, Candidate<'_>>, current: &Assignment) -> Placement {
    let mut placing = Placing { hosts, current, placement: Placement::default() };
    // Daemons and what already has a place first: the rest is drawn to them.
    let mut names: Vec<&ComponentName> = spec.components.keys().collect();
    names.sort_by_key(|name| {
        let daemon =
            spec.components.get(*name).is_some_and(|plan| matches!(plan.scaling, Scaling::Daemon { .. }));
        let placed = current.0.values().any(|components| components.contains_key(*name));
        (!daemon, !placed, *name)
    });
    for name in names {
        let Some(plan) = spec.components.get(name) else { continue };
        match &plan.scaling {
            Scaling::None => {}
            Scaling::Daemon { instances, spreads } => {
                placing.daemon(name, plan.capability, *instances, spreads);
            }
            Scaling::Spread { instances, spreads } => {
                for (spread, share) in shares(*instances, spreads) {
                    if plan.capability {
                        placing.several(name, spread, share);
                    } else {
                        placing.one(name, spread, share);
                    }
                }
            }
        }
    }
    placing.placement
}

struct Placing<'a> {
    hosts: &'a BTreeMap<HostId, Candidate<'a>>,
    current: &'a Assignment,
    placement: Placement,
}

impl Placing<'_> {
    /// A capability runs once on a host, whatever its number and however many spreads allow the host.
    fn daemon(&mut self, name: &ComponentName, capability: bool, instances: u32, spreads: &[Spread]) {
        if instances == 0 {
            return;
        }
        for spread in spreads {
            let eligible = self.eligible(spread);
            if eligible.is_empty() {
                self.no_host(name, spread, 1, 0);
            }
            for host in eligible {
                let has = self.placement.assignment.count(&host, name);
                match (capability, has) {
                    (false, _) => self.placement.assignment.add(&host, name, instances),
                    (true, None) => self.placement.assignment.add(&host, name, 1),
                    (true, Some(_)) => {}
                }
            }
        }
    }

    fn one(&mut self, name: &ComponentName, spread: &Spread, share: u32) {
        if share == 0 {
            return;
        }
        match self.best(name, spread) {
            Some(host) => self.placement.assignment.add(&host, name, share),
            None => self.no_host(name, spread, 1, 0),
        }
    }

    /// A capability runs once on a host, so hosts that have it from another spread are left out.
    fn several(&mut self, name: &ComponentName, spread: &Spread, share: u32) {
        let wanted = usize::try_from(share).unwrap_or(usize::MAX);
        let mut ranked = self.ranked(name, spread);
        ranked.retain(|host| self.placement.assignment.count(host, name).is_none());
        if ranked.len() < wanted {
            self.no_host(name, spread, share, ranked.len());
        }
        for host in ranked.into_iter().take(wanted) {
            self.placement.assignment.add(&host, name, 1);
        }
    }

    fn eligible(&self, spread: &Spread) -> Vec<HostId> {
        self.suitable(spread).map(|(id, _)| id.clone()).collect()
    }

    fn suitable(&self, spread: &Spread) -> impl Iterator<Item = (&HostId, &Candidate<'_>)> {
        self.hosts.iter().filter(|(id, host)| host.suits(id, spread))
    }

    /// The first of [`Placing::ranked`]. Where the component is already, no other host is looked at.
    fn best(&self, name: &ComponentName, spread: &Spread) -> Option<HostId> {
        let has = self.current.0.iter().filter(|(_, components)| components.contains_key(name));
        let stays = has.filter_map(|(id, _)| self.hosts.get_key_value(id));
        let stays = stays.filter(|(id, host)| host.suits(id, spread));
        let rank = |(id, host)| (self.rank(id, host), id);
        let best = stays.map(rank).min().or_else(|| self.suitable(spread).map(rank).min());
        best.map(|(_, id): (_, &HostId)| id.clone())
    }

    /// Where most of the app is, where least else is.
    fn rank(&self, id: &HostId, host: &Candidate<'_>) -> (Reverse<usize>, usize) {
        let together = self.placement.assignment.on(id).count() + self.current.on(id).count();
        (Reverse(together), host.load)
    }

    /// Eligible hosts, best first: where it is, where most of the app is, where least else is, then by id.
    fn ranked(&self, name: &ComponentName, spread: &Spread) -> Vec<HostId> {
        let ranked = self.suitable(spread).map(|(id, host)| {
            let stays = self.current.count(id, name).is_some();
            (!stays, self.rank(id, host), id)
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, _, id)| id.clone()).collect()
    }

    fn no_host(&mut self, name: &ComponentName, spread: &Spread, wanted: u32, found: usize) {
        let asks: Vec<String> =
            spread.requirements.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let that = if asks.is_empty() { String::new() } else { format!(" with {}", asks.join(", ")) };
        let problem = Problem {
            reason: if found == 0 { "no-host" } else { "too-few-hosts" }.to_owned(),
            message: format!(
                "`{name}` needs {wanted} host{}{that} (spread `{}`): {found} of {} hosts in the lattice will do",
                if wanted == 1 { "" } else { "s" },
                spread.name,
                self.hosts.len()
            ),
            component: Some(name.clone()),
            host: None,
            host_name: None,
        };
        self.placement.problems.push(problem);
    }
}

/// Shares of `total` by weight: rounded down, the rest one by one, heaviest spread first, as 1.x does.
pub(crate) fn shares(total: u32, spreads: &[Spread]) -> Vec<(&Spread, u32)> {
    let sum: u64 = spreads.iter().map(|spread| u64::from(spread.weight)).sum();
    let mut by_weight: Vec<&Spread> = spreads.iter().collect();
    by_weight.sort_by_key(|spread| Reverse(spread.weight));
    let share = |spread: &Spread| {
        let exact = u64::from(total) * u64::from(spread.weight);
        u32::try_from(exact.checked_div(sum).unwrap_or(0)).unwrap_or(total)
    };
    let mut shares: Vec<(&Spread, u32)> =
        by_weight.into_iter().map(|spread| (spread, share(spread))).collect();
    let given: u32 = shares.iter().map(|(_, share)| *share).sum();
    let rest = usize::try_from(total.saturating_sub(given)).unwrap_or(0);
    for (_, share) in shares.iter_mut().take(rest) {
        *share += 1;
    }
    shares
}

#[cfg(test)]
mod tests;
