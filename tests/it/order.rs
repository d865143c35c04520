//! When a lattice is in order: nothing is on its way, and every host says the same as the manager. Only looks; what
//! was done to the lattice before is not known here.

use std::time::Duration;

use lath_tests::{Lattice, eventually};
use serde_json::Value;

/// Longest time until a lattice is in order again after a fault is over.
pub(crate) const ORDER: Duration = Duration::from_secs(30);

/// Waits until no change of the app is on its way and it serves; gives its revision.
pub(crate) async fn settled(lattice: &Lattice, app: &str) -> u64 {
    let what = format!("`{app}` to be settled");
    eventually(ORDER, &what, async || {
        let ended = lattice.lath().run(["status", app, "-o", "json"]).await;
        if ended.code != Some(0) {
            return Err(ended.told());
        }
        let status = ended.json();
        let at_rest = status.get("rollout").is_none_or(Value::is_null) && status["state"] == "Serving";
        status["revision"].as_u64().filter(|_| at_rest).ok_or_else(|| format!("{status:#}"))
    })
    .await
}

/// Every unit of every host belongs to `revision` and serves.
pub(crate) async fn one_revision_everywhere(lattice: &Lattice, revision: u64) {
    let units = lattice.units().await;
    let units: Vec<_> = units.iter().filter(|unit| unit["role"] != "retired").collect();
    assert_eq!(units.len(), 2 * 3, "two hosts with three components each: {units:#?}");
    for unit in units {
        assert_eq!((&unit["revision"], &unit["phase"]), (&revision.into(), &"running".into()), "{unit:#}");
    }
}
