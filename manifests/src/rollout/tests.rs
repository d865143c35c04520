//! All properties at and beyond their bounds, those that must agree, and overriding.

mod properties;

use super::*;
use crate::limits::MAX_INSTANCES;
use crate::manifest::{Bake, CanaryStep, Share, Waves};
use lath_control_api::UnverifiedLinks;

/// The policy of these properties alone.
fn policy(given: &[Given<'_>]) -> RolloutPolicy {
    let reading = read(RolloutPolicy::default(), given);
    assert!(reading.problems.is_empty(), "{given:?}: {:?}", reading.problems);
    reading.policy
}

/// What is wrong with these properties: which one is to blame, and the message.
fn problems<'a>(given: &[Given<'a>]) -> Vec<(&'a str, String)> {
    let found = read(RolloutPolicy::default(), given).problems;
    found.into_iter().map(|(index, problem)| (given[index].0, problem.message)).collect()
}

/// What else a property needs to have an effect.
fn with(name: &str) -> &'static [Given<'static>] {
    match name {
        "steps" => &[("strategy", "canary")],
        "webhook_timeout" => &[("webhook", "http://a")],
        "inconclusive" => &[("gates", "errors<=1%")],
        // Only shorter than this may it be.
        "min_healthy_time" => &[("progress_deadline", "24h")],
        "progress_deadline" => &[("min_healthy_time", "0s")],
        "max_surge" => &[("max_unavailable", "1")],
        _ => &[],
    }
}

#[test]
fn every_value_is_taken_up_to_its_bounds_and_refused_beyond() {
    let many = MAX_INSTANCES.to_string();
    let too_many = (MAX_INSTANCES + 1).to_string();
    let cases: [(&str, &[&str], &[&str]); 20] = [
        (
            "strategy",
            &["rolling", "canary", "blue-green", "recreate"],
            &["", "Rolling", "bluegreen", "rolling "],
        ),
        ("steps", &["1%/0s", "99%/23h59m59s999ms", "100%/24h"], &["", "0%", "101%", "1%/24h1ms"]),
        ("gates", &["errors<=0%", "p50<=1000x"], &["", "errors<=100.1%", "p50<=1001x"]),
        ("inconclusive", &["pause", "wait"], &["", "fail", "waits"]),
        ("webhook", &["http://a", "https://a/b"], &["", "a", "ftp://a"]),
        ("webhook_timeout", &["100ms", "101ms", "59s999ms", "1m"], &["", "99ms", "1m1ms", "10"]),
        ("max_parallel", &["1", "2", &many, "1%", "100%"], &["", "0", "0%", "101%", "-1", &too_many]),
        ("waves", &["label zone: a"], &["", "zone: a", "label zone"]),
        ("max_surge", &["0", "1", &many, "0%", "100%"], &["", "101%", "1.5%", &too_many]),
        ("max_unavailable", &["0", "1", &many, "0%", "100%"], &["", "101%", "+1", &too_many]),
        ("min_healthy_time", &["0s", "1ms", "59m59s999ms", "1h"], &["", "1h1ms", "5"]),
        ("healthy_deadline", &["1s", "1s1ms", "24h"], &["", "999ms", "24h1ms"]),
        ("progress_deadline", &["1s", "1s1ms", "24h"], &["", "999ms", "24h1ms"]),
        ("auto_promote", &["true", "false"], &["", "yes", "True", "1"]),
        ("auto_rollback", &["true", "false"], &["", "no", "FALSE", "0"]),
        ("rollback", &["allowed", "manual", "forbidden"], &["", "allow", "never"]),
        ("keep_warm", &["0s", "1ms", "24h"], &["", "24h1ms"]),
        ("drain_deadline", &["100ms", "101ms", "1h"], &["", "99ms", "1h1ms"]),
        ("hold_time", &["0s", "1ms", "1m"], &["", "1m1ms"]),
        ("unverified_links", &["allow", "fail"], &["", "Fail", "true", "refuse"]),
    ];
    let named: Vec<&str> = cases.iter().map(|(name, _, _)| *name).chain([COMPONENTS]).collect();
    assert_eq!(named, PROPERTIES);
    for (name, taken, refused) in cases {
        for text in taken {
            policy(&[with(name), &[(name, text)]].concat());
        }
        for text in refused {
            let found = problems(&[with(name), &[(name, text)]].concat());
            let [(blamed, message)] = found.as_slice() else { panic!("{name}: {text}: {found:?}") };
            assert_eq!(*blamed, name, "{text}");
            assert!(message.contains(&format!("`{name}`")), "{message}");
        }
    }
}

#[test]
fn the_bound_on_texts_is_exact() {
    let long = |bytes: usize| format!("label zone:{}a", " ".repeat(bytes - 12));
    for bytes in [MAX_ROLLOUT_TEXT - 1, MAX_ROLLOUT_TEXT] {
        policy(&[("waves", &long(bytes))]);
    }
    let too_long = long(MAX_ROLLOUT_TEXT + 1);
    let found = problems(&[("waves", &too_long)]);
    assert!(matches!(found.as_slice(), [("waves", message)] if message.contains("65537 bytes")), "{found:?}");
    assert_eq!(problems(&[(COMPONENTS, &"a".repeat(MAX_ROLLOUT_TEXT + 1))]).len(), 1);
    let names: Vec<String> = (0..crate::limits::MAX_COMPONENTS).map(|n| format!("{n:063}")).collect();
    assert_eq!(policy(&[(COMPONENTS, &names.join(", "))]).components.len(), names.len());
}

#[test]
fn every_property_is_where_it_belongs() {
    let found = policy(&[
        ("webhook_timeout", "2s"),
        ("strategy", "rolling"),
        ("gates", "traps<=0%, samples>=7"),
        ("inconclusive", "wait"),
        ("webhook", "https://gate.example/"),
        ("max_parallel", "2"),
        ("waves", "label zone: b, a"),
        ("max_surge", "0"),
        ("max_unavailable", "10%"),
        ("min_healthy_time", "1s"),
        ("healthy_deadline", "2s"),
        ("progress_deadline", "3s"),
        ("auto_promote", "false"),
        ("auto_rollback", "false"),
        ("rollback", "manual"),
        ("keep_warm", "4s"),
        ("drain_deadline", "5s"),
        ("hold_time", "6s"),
        ("unverified_links", "fail"),
        ("components", "api"),
    ]);
    let zone = Waves { label: "zone".to_owned(), values: vec!["b".to_owned(), "a".to_owned()] };
    let expected = RolloutPolicy {
        strategy: Strategy::Rolling,
        steps: CanaryStep::usual(),
        gates: Gates { samples: 7, inconclusive: Inconclusive::Wait, limits: found.gates.limits.clone() },
        webhook: Some(Webhook { url: "https://gate.example/".to_owned(), timeout: 2 * SECOND }),
        max_parallel: Share::Count(2),
        max_surge: Share::Count(0),
        max_unavailable: Share::Percent(10),
        min_healthy_time: SECOND,
        healthy_deadline: 2 * SECOND,
        progress_deadline: 3 * SECOND,
        auto_rollback: false,
        auto_promote: Some(false),
        keep_warm: Some(4 * SECOND),
        drain_deadline: 5 * SECOND,
        hold_time: 6 * SECOND,
        unverified_links: UnverifiedLinks::Fail,
        rollback: RollbackRule::Manual,
        waves: Some(zone),
        components: ["api".parse().unwrap()].into(),
    };
    assert_eq!(found, expected);
    assert_eq!(found.gates.limits.len(), 1);
    assert_eq!(policy(&[]), RolloutPolicy::default());
    let usual = policy(&[("strategy", "canary"), ("steps", "5%/1m, 25%/2m, 50%/2m")]);
    assert_eq!(usual.steps, CanaryStep::usual());
    assert_eq!(policy(&[("webhook", "http://a")]).webhook.map(|found| found.timeout), Some(10 * SECOND));
}

#[test]
fn what_has_no_effect_is_refused() {
    for (given, blamed, expected) in [
        ([("steps", "5%"), ("hold_time", "1s")], "steps", "in the strategy `rolling`"),
        ([("steps", "5%"), ("strategy", "blue-green")], "steps", "in the strategy `blue-green`"),
        ([("strategy", "canary"), ("max_parallel", "1")], "max_parallel", "in the strategy `canary`"),
        ([("strategy", "recreate"), ("waves", "label zone: a")], "waves", "in the strategy `recreate`"),
        ([("strategy", "recreate"), ("keep_warm", "1m")], "keep_warm", "in the strategy `recreate`"),
        ([("webhook_timeout", "1s"), ("hold_time", "1s")], "webhook_timeout", "without `webhook`"),
        ([("inconclusive", "wait"), ("hold_time", "1s")], "inconclusive", "without `gates`"),
        ([("rollback", "forbidden"), ("auto_rollback", "true")], "auto_rollback", "`rollback: forbidden`"),
    ] {
        let found = problems(&given);
        assert_eq!(found.len(), 1, "{given:?}: {found:?}");
        assert_eq!(found[0].0, blamed);
        assert!(found[0].1.contains(expected), "{found:?}");
    }
    for strategy in ["blue-green", "recreate"] {
        policy(&[("strategy", strategy), ("gates", "errors<=1%"), ("inconclusive", "wait")]);
    }
    for strategy in ["rolling", "canary", "blue-green"] {
        policy(&[("strategy", strategy), ("keep_warm", "1m")]);
    }
    policy(&[("rollback", "manual")]);
    policy(&[("rollback", "manual"), ("auto_rollback", "false")]);
}

#[test]
fn what_could_never_move_is_refused() {
    let both = [("max_unavailable", "0%"), ("max_surge", "0")];
    for strategy in ["rolling", "canary", "blue-green"] {
        let found = problems(&[both.as_slice(), &[("strategy", strategy)]].concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "max_unavailable");
    }
    policy(&[both.as_slice(), &[("strategy", "recreate")]].concat());
    assert_eq!(problems(&[("max_surge", "0")]).len(), 1);
    policy(&[("max_surge", "0"), ("max_unavailable", "1")]);

    assert_eq!(problems(&[("progress_deadline", "5s")])[0].0, "progress_deadline");
    assert_eq!(problems(&[("min_healthy_time", "5m")])[0].0, "min_healthy_time");
    policy(&[("min_healthy_time", "4m59s999ms")]);
    policy(&[("progress_deadline", "5s1ms")]);
}

#[test]
fn one_mistake_is_reported_once() {
    for given in [
        [("strategy", "canari"), ("steps", "5%")],
        [("strategy", "recreat"), ("keep_warm", "5m")],
        [("webhook", "gate"), ("webhook_timeout", "1s")],
        [("gates", "error<=1%"), ("inconclusive", "wait")],
        [("max_surge", "0"), ("max_unavailable", "one")],
        [("min_healthy_time", "10m"), ("progress_deadline", "20")],
        [("rollback", "manualy"), ("auto_rollback", "true")],
    ] {
        assert_eq!(problems(&given).len(), 1, "{given:?}");
    }
}

/// Overrides `policy`.
fn overridden(policy: &RolloutPolicy, given: &[Given<'_>]) -> Result<RolloutPolicy, Vec<String>> {
    let given = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    override_policy(policy, &given)
}

#[test]
fn an_override_replaces_what_it_names_and_nothing_else() {
    let base = policy(&[
        ("strategy", "rolling"),
        ("waves", "label zone: a"),
        ("webhook", "http://a"),
        ("webhook_timeout", "3s"),
        ("gates", "errors<=1%, samples>=50"),
        ("inconclusive", "wait"),
        ("components", "api"),
    ]);
    assert_eq!(overridden(&base, &[]), Ok(base.clone()));
    let found = overridden(
        &base,
        &[("strategy", "canary"), ("steps", "10%/promote"), ("webhook", "http://b"), ("gates", "p99<=1s")],
    )
    .unwrap();
    assert_eq!(found.steps[0], CanaryStep { weight: 10, bake: Bake::Promotion });
    assert_eq!(found.webhook, Some(Webhook { url: "http://b".to_owned(), timeout: 3 * SECOND }));
    assert_eq!((found.gates.samples, found.gates.inconclusive), (20, Inconclusive::Wait));
    assert_eq!((&found.waves, &found.components), (&base.waves, &base.components));
    // What the policy has already need not be given again.
    assert_eq!(overridden(&base, &[("webhook_timeout", "1s")]).unwrap().webhook.unwrap().timeout, SECOND);
    assert_eq!(
        overridden(&base, &[("inconclusive", "pause")]).unwrap().gates.inconclusive,
        Inconclusive::Pause
    );
}

#[test]
fn an_override_says_everything_that_is_wrong() {
    let base = RolloutPolicy::default();
    assert_eq!(
        overridden(
            &base,
            &[
                ("max_parallel", "0"),
                ("colour", "red"),
                ("stategy", "canary"),
                ("gates", "erors<=1%,p95<=1%")
            ]
        )
        .unwrap_err(),
        [
            "the property `colour` is not known in a rollout policy; a rollout policy may have `strategy`, `steps`, `gates`, `inconclusive`, `webhook`, `webhook_timeout`, `max_parallel`, `waves`, `max_surge`, `max_unavailable`, `min_healthy_time`, `healthy_deadline`, `progress_deadline`, `auto_promote`, `auto_rollback`, `rollback`, `keep_warm`, `drain_deadline`, `hold_time`, `unverified_links` and `components`",
            "`gates` has no metric `erors`; did you mean `errors`? a gate begins with one of `errors`, `traps`, `p50`, `p90`, `p95`, `p99` and `samples`",
            "`p95` of `gates` cannot be `1%`; write `p95<=200ms` for a time, or `p95<=1.5x` for so many times that of the stable revision",
            "`max_parallel` is 0, so that nothing would ever be replaced; give a number from 1 to 10000, or a percentage from `1%` to `100%`",
            "the property `stategy` is not known in a rollout policy; did you mean `strategy`?",
        ]
    );
    for text in ["api", "", "a b"] {
        let found = overridden(&base, &[("components", text)]).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("cannot be overridden"), "{found:?}");
    }
    let found = overridden(&base, &[("unverified_links", "fail")]).unwrap_err();
    assert!(found[0].contains("`unverified_links` counts for as long as the revision runs"), "{found:?}");
    // A strategy may need what the policy of the manifest does not allow.
    let recreate = policy(&[("strategy", "recreate"), ("max_surge", "0")]);
    let found = overridden(&recreate, &[("strategy", "rolling")]).unwrap_err();
    assert!(found[0].contains("`max_surge` and `max_unavailable` both 0"), "{found:?}");
    let found = overridden(&policy(&[("strategy", "canary")]), &[("max_parallel", "1")]).unwrap_err();
    assert!(found[0].contains("no effect in the strategy `canary`"), "{found:?}");
    let many: BTreeMap<String, String> = (0..1_000).map(|n| (format!("p{n}"), String::new())).collect();
    assert_eq!(override_policy(&base, &many).unwrap_err().len(), MAX_DIAGNOSTICS);
}

#[test]
fn the_document_has_every_property() {
    let page = include_str!("../../../docs/manifest.md");
    for name in PROPERTIES {
        assert!(page.contains(&format!("\n| `{name}` |")), "docs/manifest.md has no row for `{name}`");
    }
}
