//! What people and machines read of an inventory, as snapshots.

use lath_control_api::{AppInventory, BuiltinAliases, ComponentInventory, Fence, HostSummary};

use super::*;
use crate::output::{Format, Glyphs};

const OUT: Output = Output { format: Format::Table, headers: true, glyphs: Glyphs::Unicode, quiet: false };

/// 2026-11-21T07:00:00Z, and five minutes later.
const START: Timestamp = Timestamp(1_795_244_400_000);
const NOW: Timestamp = Timestamp(1_795_244_700_000);

fn unit(image: &str, revision: u64, phase: Phase, serving: bool) -> UnitInventory {
    UnitInventory {
        role: if serving { Role::Stable } else { Role::Candidate },
        serving,
        weight: Weight::ALL,
        revision: Revision(revision),
        content: Digest::of(image.as_bytes()),
        image: image.into(),
        digest: (!image.starts_with("builtin")).then(|| Digest::of(b"code")),
        phase,
        reason: if phase.is_failed() { Reason::CompileFailed } else { Reason::AsAsked },
        message: if phase.is_failed() { "it is text".into() } else { String::new() },
        since: START,
        next_try: None,
        process: None,
        claims: None,
        links: Vec::new(),
        max_instances: 10,
        calls: CallCounts { started: 12, succeeded: 9, trapped: 1, failed: 2, ..CallCounts::default() },
    }
}

fn component(name: &str, units: Vec<UnitInventory>) -> ComponentInventory {
    ComponentInventory {
        component: name.parse().unwrap(),
        id: format!("shop-{name}").parse().unwrap(),
        units,
    }
}

fn host(name: &str, letter: &str) -> HostInventory {
    let summary = serde_json::json!({
        "host": format!("N{}", letter.repeat(55)),
        "name": name,
        "labels": { "zone": "a" },
        "version": "0.0.0",
        "boot": "01KAJ3F3Q6VNQ7Q3X5WJ0N8YQ1",
        "sequence": 3,
        "started": START,
        "state": "ready",
        "builtins": BuiltinAliases::default(),
    });
    let summary: HostSummary = serde_json::from_value(summary).unwrap();
    let cart = vec![
        unit("file://cart.wasm", 7, Phase::Running, true),
        unit("file://cart2.wasm", 8, Phase::Failed, false),
    ];
    let http = vec![unit("builtin://http-server", 7, Phase::Running, true)];
    let app = AppInventory {
        app: "shop".parse().unwrap(),
        fence: Fence { generation: Generation(9), ..Fence::default() },
        confirmed: true,
        components: vec![component("cart", cart), component("http", http)],
    };
    HostInventory { summary, listeners: Vec::new(), apps: vec![app] }
}

fn gathered() -> Gathered {
    Gathered {
        known_by: KnownBy::Manager,
        hosts: vec![host("amber-fox", "A"), host("blue-owl", "B")],
        silent: vec![Silent {
            host: format!("N{}", "C".repeat(55)).parse().unwrap(),
            name: "grey-elk".into(),
            cause: "no answer within 5000 ms".into(),
        }],
    }
}

#[test]
fn every_grouping_for_people() {
    insta::assert_snapshot!("by_host", by_host(&flatten(gathered(), By::Host), NOW, &OUT));
    insta::assert_snapshot!("by_app", by_app(&flatten(gathered(), By::App).units, &OUT));
    insta::assert_snapshot!(
        "by_component",
        by_component(&flatten(gathered(), By::Component).units, NOW, &OUT, true)
    );
}

#[test]
fn who_did_not_answer_is_said() {
    assert_eq!(gathered().remarks(), ["grey-elk did not answer: no answer within 5000 ms"]);
    let alone = Gathered { known_by: KnownBy::Ping, silent: Vec::new(), ..gathered() };
    assert_eq!(alone.remarks(), ["no manager answers, so hosts that are down are not known"]);
}

#[test]
fn machines_get_every_fact_of_a_unit() {
    let unit = flatten(gathered(), By::Host).units.remove(0);
    insta::assert_json_snapshot!(unit);
}
