//! Which apps' counts are told every second, and in how many messages.

use std::collections::BTreeMap;

use lath_control_api::{AppInventory, AppName, Role, Weight};

/// Entries of apps by the messages that they go into.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batches {
    /// Each the apps of one message, in order.
    pub(super) fitting: Vec<Vec<AppInventory>>,
    /// Apps that no message takes, and their size in bytes of JSON.
    pub(super) too_large: BTreeMap<AppName, usize>,
}

/// Whether any component of the app has a candidate that takes calls: somebody is about to judge it by them.
pub(super) fn is_tried(app: &AppInventory) -> bool {
    let mut units = app.components.iter().flat_map(|component| &component.units);
    units.any(|unit| unit.role == Role::Candidate && unit.weight != Weight::NONE)
}

/// Fills messages of at most `limit` bytes of apps, as few as the apps' order allows.
pub(super) fn batches(apps: Vec<AppInventory>, limit: usize) -> Batches {
    let mut batches = Batches::default();
    let mut room = 0;
    for app in apps {
        let bytes = serde_json::to_vec(&app).map_or(usize::MAX, |json| json.len());
        if bytes > limit {
            batches.too_large.insert(app.app, bytes);
            continue;
        }
        match batches.fitting.last_mut().filter(|_| bytes <= room) {
            Some(batch) => {
                batch.push(app);
                room -= bytes;
            }
            None => {
                batches.fitting.push(vec![app]);
                room = limit - bytes;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use lath_control_api::{
        CallCounts, ComponentInventory, Digest, Fence, Phase, Reason, Revision, Timestamp, UnitInventory,
    };

    use super::*;

    fn app(name: &str, units: &[(Role, u8)]) -> AppInventory {
        let unit = |(role, weight): &(Role, u8)| UnitInventory {
            role: *role,
            serving: *weight > 0,
            weight: Weight::try_from(*weight).unwrap(),
            revision: Revision(1),
            content: Digest::of(b"content"),
            image: "file://a.wasm".into(),
            digest: None,
            phase: Phase::Running,
            reason: Reason::AsAsked,
            message: String::new(),
            since: Timestamp(0),
            next_try: None,
            max_instances: 1,
            calls: CallCounts::default(),
            process: None,
            claims: None,
            links: Vec::new(),
        };
        let components = vec![
            ComponentInventory {
                component: "first".parse().unwrap(),
                id: "first".parse().unwrap(),
                units: Vec::new(),
            },
            ComponentInventory {
                component: "a".parse().unwrap(),
                id: "a".parse().unwrap(),
                units: units.iter().map(unit).collect(),
            },
        ];
        AppInventory { app: name.parse().unwrap(), fence: Fence::default(), confirmed: true, components }
    }

    #[test]
    fn only_candidates_with_traffic_are_told_of() {
        assert!(is_tried(&app("a", &[(Role::Stable, 95), (Role::Candidate, 5)])));
        for quiet in [
            &[][..],
            &[(Role::Stable, 100)],
            &[(Role::Stable, 100), (Role::Candidate, 0)],
            &[(Role::Stable, 95), (Role::Retired, 5)],
        ] {
            assert!(!is_tried(&app("a", quiet)), "{quiet:?}");
        }
    }

    #[test]
    fn messages_are_bounded_and_keep_every_app_that_fits() {
        let names = ["a", "b", "c", "d"];
        let apps = || names.map(|name| app(name, &[(Role::Candidate, 5)])).to_vec();
        let size = serde_json::to_vec(&apps()[0]).unwrap().len();
        let by_limit = |limit| {
            let batches = batches(apps(), limit);
            let sizes: Vec<usize> = batches.fitting.iter().map(Vec::len).collect();
            (sizes, batches.too_large.len())
        };
        assert_eq!(by_limit(4 * size), (vec![4], 0));
        assert_eq!(by_limit(4 * size - 1), (vec![3, 1], 0));
        assert_eq!(by_limit(size), (vec![1; 4], 0));
        assert_eq!(by_limit(size - 1), (vec![], 4));
        let mut mixed = apps();
        mixed[1] = app("b", &[(Role::Candidate, 5); 9]);
        let batches = batches(mixed, 2 * size);
        assert_eq!(batches.fitting.concat().len(), 3);
        assert_eq!(batches.too_large.into_keys().collect::<Vec<_>>(), ["b".parse().unwrap()]);
        assert_eq!(super::batches(Vec::new(), size), Batches::default());
    }
}
