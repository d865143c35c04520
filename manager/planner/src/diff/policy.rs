//! What two rollout policies differ in, property by property, in the words of a manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use lath_control_api::{ComponentName, Digest};
use lath_manifests::manifest::{Bake, Bound, CanaryStep, GateLimit, RolloutPolicy, Share, Webhook};

/// The properties of the policies of a revision, by which of them it is and by name. A policy for all components is there
/// in any case: the usual one, where the manifest has none.
pub(super) fn properties(policies: &[RolloutPolicy]) -> BTreeMap<String, String> {
    let usual = RolloutPolicy::default();
    let general = policies.iter().any(|policy| policy.components.is_empty());
    let all = policies.iter().chain((!general).then_some(&usual));
    all.flat_map(|policy| {
        let whose: Vec<&str> = policy.components.iter().map(ComponentName::as_str).collect();
        let whose = if whose.is_empty() { String::new() } else { format!(" (of {})", whose.join(", ")) };
        of(policy).into_iter().map(move |(name, value)| (format!("{name}{whose}"), value))
    })
    .collect()
}

/// Every property that has a value, also the usual one.
fn of(policy: &RolloutPolicy) -> Vec<(&'static str, String)> {
    let RolloutPolicy {
        strategy,
        steps,
        gates,
        webhook,
        max_parallel,
        max_surge,
        max_unavailable,
        min_healthy_time,
        healthy_deadline,
        progress_deadline,
        auto_rollback,
        auto_promote: _,
        keep_warm: _,
        drain_deadline,
        hold_time,
        unverified_links,
        rollback,
        waves,
        components: _,
        ..
    } = policy;
    let mut found = vec![
        ("strategy", strategy.as_str().to_owned()),
        ("max_parallel", share(*max_parallel)),
        ("max_surge", share(*max_surge)),
        ("max_unavailable", share(*max_unavailable)),
        ("min_healthy_time", time(*min_healthy_time)),
        ("healthy_deadline", time(*healthy_deadline)),
        ("progress_deadline", time(*progress_deadline)),
        ("auto_rollback", auto_rollback.to_string()),
        ("auto_promote", policy.promotes_itself().to_string()),
        ("keep_warm", time(policy.keep_warm())),
        ("drain_deadline", time(*drain_deadline)),
        ("hold_time", time(*hold_time)),
        ("unverified_links", unverified_links.as_str().to_owned()),
        ("rollback", rollback.as_str().to_owned()),
    ];
    // Steps mean nothing to the other strategies.
    if *strategy == lath_manifests::manifest::Strategy::Canary {
        found.push(("steps", steps.iter().map(step).collect::<Vec<_>>().join(", ")));
    }
    if !gates.limits.is_empty() {
        let limits = gates.limits.iter().map(limit);
        let samples = std::iter::once(format!("samples>={}", gates.samples));
        found.push(("gates", limits.chain(samples).collect::<Vec<_>>().join(", ")));
        found.push(("inconclusive", gates.inconclusive.as_str().to_owned()));
    }
    found.extend(webhook.as_ref().map(|asked| ("webhook", webhook_text(asked))));
    found.extend(
        waves.as_ref().map(|waves| ("waves", format!("label {}: {}", waves.label, waves.values.join(", ")))),
    );
    found
}

fn share(share: Share) -> String {
    match share {
        Share::Count(count) => count.to_string(),
        Share::Percent(percent) => format!("{percent}%"),
    }
}

fn step(step: &CanaryStep) -> String {
    match step.bake {
        Bake::MinHealthyTime => format!("{}%", step.weight),
        Bake::For(long) => format!("{}%/{}", step.weight, time(long)),
        Bake::Promotion => format!("{}%/promote", step.weight),
    }
}

fn limit(limit: &GateLimit) -> String {
    let metric = limit.metric.name();
    match limit.bound {
        Bound::Ratio(most) => format!("{metric}<={}%", decimal(most, 10_000)),
        Bound::AboveStable(more) => format!("{metric}<=+{}%", decimal(more, 10_000)),
        Bound::Time(most) => format!("{metric}<={}", time(most)),
        Bound::TimesStable(times) => format!("{metric}<={}x", decimal(times, 1_000)),
    }
}

/// The address may hold a secret, so it is not repeated: that it is another one shows in the mark behind it.
fn webhook_text(webhook: &Webhook) -> String {
    let mark: String = Digest::of(webhook.url.as_bytes()).to_string();
    let mark = mark.rsplit(':').next().unwrap_or_default();
    let mark: String = mark.chars().take(8).collect();
    format!("within {} (address {mark})", time(webhook.timeout))
}

/// `number` parts of a whole of `unit` of them, without zeros at the end.
fn decimal(number: u32, unit: u32) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1m30s`, as a manifest has it.
fn time(time: Duration) -> String {
    let (seconds, rest) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (rest.into(), "ms")];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use lath_manifests::manifest::{Metric, Strategy, Waves};

    use super::*;

    #[test]
    fn properties_read_as_in_a_manifest() {
        let mut policy = RolloutPolicy::default();
        policy.strategy = Strategy::Canary;
        let step = |weight, bake| CanaryStep { weight, bake };
        policy.steps = vec![
            step(5, Bake::For(Duration::from_secs(90))),
            step(50, Bake::Promotion),
            step(100, Bake::MinHealthyTime),
        ];
        let limit = |metric, bound| GateLimit { metric, bound };
        policy.gates.limits = vec![
            limit(Metric::Errors, Bound::Ratio(10_000)),
            limit(Metric::Errors, Bound::AboveStable(5_050)),
            limit(Metric::Latency { percentile: 95 }, Bound::TimesStable(1_500)),
            limit(Metric::Latency { percentile: 99 }, Bound::Time(Duration::from_millis(200))),
        ];
        policy.max_parallel = Share::Count(1);
        policy.keep_warm = Some(Duration::from_millis(3_600_500));
        policy.waves = Some(Waves { label: "zone".into(), values: vec!["a".into(), "b".into()] });
        let found = properties(&[policy]);
        for (name, value) in [
            ("strategy", "canary"),
            ("steps", "5%/1m30s, 50%/promote, 100%"),
            ("gates", "errors<=1%, errors<=+0.505%, p95<=1.5x, p99<=200ms, samples>=20"),
            ("max_parallel", "1"),
            ("max_surge", "25%"),
            ("keep_warm", "1h500ms"),
            ("waves", "label zone: a, b"),
        ] {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name} of {found:#?}");
        }
    }

    #[test]
    fn an_address_is_told_apart_and_not_told() {
        let webhook = |url: &str| {
            let mut policy = RolloutPolicy::default();
            policy.webhook = Some(Webhook { url: url.into(), timeout: Webhook::DEFAULT_TIMEOUT });
            properties(&[policy])["webhook"].clone()
        };
        let (one, other) = (webhook("https://one/secret"), webhook("https://other/secret"));
        assert_ne!(one, other);
        assert!(!one.contains("one/") && !one.contains("secret"), "{one}");
    }
}
