//! The gates of a rollout: `errors<=1%, p95<=1.5x, samples>=20`.
//!
//! Each gate is a metric, a comparison and a bound; how counts become a verdict is the manager's.

use std::time::Duration;

use super::HOUR;
use super::part::Part;
use super::values::meant;
use crate::code;
use crate::limits::MAX_SAMPLES;
use crate::manifest::{Bound, GateLimit, Gates, Metric};
use crate::problem::Problem;
use crate::read::listed;
use crate::report::shown;
use crate::units::{decimal, duration_within};

/// What stands for the number of calls, which is no metric but the least that a verdict needs.
const SAMPLES: &str = "samples";
/// Every metric twice, as a bound and against the stable revision, and the samples.
const MOST: usize = 2 * Metric::ALL.len() + 1;
/// Millionths of the calls in one percent, and the digits after its point that they are.
const PERCENT: u32 = 10_000;
const RATIO_DIGITS: usize = 4;
/// Bounds of [`Bound::TimesStable`] in thousandths, and the digits after the point that they are.
const TIMES: (u32, u32) = (100, 1_000_000);
const TIMES_DIGITS: usize = 3;
/// Bounds of [`Bound::Time`]: hosts do not tell shorter ones apart, and no call takes longer.
const TIME: (Duration, Duration) = (Duration::from_millis(1), HOUR);

/// What one gate says.
#[derive(Debug, Clone, Copy)]
enum Gate {
    Limit(GateLimit),
    Samples(u32),
}

/// The limits of a text, and how many calls they need.
pub(super) fn read(text: &str) -> Result<(Vec<GateLimit>, u32), Vec<Problem>> {
    let parts: Vec<Part<'_>> = Part::whole(text).listed().collect();
    if parts.len() > MOST {
        let message = format!("`gates` has {} gates, and at most {MOST} are allowed", parts.len());
        return Err(vec![Problem::new(code::COUNT, message, "leave out those that repeat another one")]);
    }
    let (mut limits, mut samples, mut problems) = (Vec::<GateLimit>::new(), None, Vec::new());
    for part in parts {
        match read_one(part) {
            Err(problem) => problems.push(problem),
            Ok(Gate::Samples(_)) if samples.is_some() => problems.push(repeated(part)),
            Ok(Gate::Samples(count)) => samples = Some(count),
            Ok(Gate::Limit(limit)) if limits.iter().any(|other| same_kind(*other, limit)) => {
                problems.push(repeated(part));
            }
            Ok(Gate::Limit(limit)) => limits.push(limit),
        }
    }
    // Alone it would do nothing: calls are counted for the verdict of the other gates.
    if problems.is_empty() && limits.is_empty() {
        let message = "`gates` has only `samples`, which says how many calls the other gates need";
        problems.push(Problem::new(code::POLICY, message, "add a gate, such as `errors<=1%`"));
    }
    let samples = samples.unwrap_or_else(|| Gates::default().samples);
    if problems.is_empty() { Ok((limits, samples)) } else { Err(problems) }
}

/// Whether two gates bound the same metric in the same way, so that one of them says nothing.
fn same_kind(one: GateLimit, other: GateLimit) -> bool {
    let relative = |limit: GateLimit| match limit.bound {
        Bound::Ratio(_) | Bound::Time(_) => false,
        Bound::AboveStable(_) | Bound::TimesStable(_) => true,
    };
    one.metric == other.metric && relative(one) == relative(other)
}

fn repeated(part: Part<'_>) -> Problem {
    let message = format!("`gates` has another gate of the same kind as `{}`", shown(part.text));
    Problem::new(code::POLICY, message, "leave one of them out").at(part.place())
}

fn read_one(part: Part<'_>) -> Result<Gate, Problem> {
    let (name, rest) = part.leading(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let (comparison, bound) = rest.trimmed().leading(|c| "<>=!~≤≥".contains(c));
    let bound = bound.trimmed();
    if name.text == SAMPLES {
        compared(comparison, part, ">=", SAMPLES_RULE)?;
        return read_samples(bound).map(Gate::Samples);
    }
    let Some(metric) = Metric::ALL.into_iter().find(|metric| metric.name() == name.text) else {
        return Err(unknown(part, name));
    };
    let rule = rule(metric);
    compared(comparison, part, "<=", &rule)?;
    let bound = match metric {
        Metric::Errors | Metric::Traps => read_ratio(bound, metric, &rule),
        Metric::Latency { .. } => read_latency(bound, metric, &rule),
    };
    bound.map(|bound| Gate::Limit(GateLimit { metric, bound }))
}

const SAMPLES_RULE: &str = "write a whole number of calls, such as `samples>=20`";

/// How a gate of a metric is written, for messages.
fn rule(metric: Metric) -> String {
    let name = metric.name();
    match metric {
        Metric::Errors | Metric::Traps => format!(
            "write `{name}<=1%` for a part of the calls, or `{name}<=+1%` for so many points more than the stable revision has"
        ),
        Metric::Latency { .. } => format!(
            "write `{name}<=200ms` for a time, or `{name}<=1.5x` for so many times that of the stable revision"
        ),
    }
}

fn unknown(part: Part<'_>, name: Part<'_>) -> Problem {
    let metrics = Metric::ALL.map(Metric::name);
    let mut names: Vec<&str> = metrics.iter().map(String::as_str).collect();
    names.push(SAMPLES);
    let allowed = format!("a gate begins with one of {}", listed(&names));
    if part.text.is_empty() {
        let help = format!("remove the comma, or write a gate such as `errors<=1%`; {allowed}");
        return Problem::new(code::POLICY, "a gate of `gates` is empty", help).at(part.place());
    }
    let (shown_name, place) = if name.text.is_empty() { (part, part) } else { (name, name) };
    let message = format!("`gates` has no metric `{}`", shown(shown_name.text));
    Problem::new(code::POLICY, message, meant(name.text, &names, &allowed)).at(place.place())
}

fn compared(found: Part<'_>, gate: Part<'_>, wanted: &str, rule: &str) -> Result<(), Problem> {
    if found.text == wanted {
        return Ok(());
    }
    let message = format!("the gate `{}` of `gates` must compare by `{wanted}`", shown(gate.text));
    let place = if found.text.is_empty() { gate } else { found };
    Err(Problem::new(code::POLICY, message, rule).at(place.place()))
}

fn read_samples(part: Part<'_>) -> Result<u32, Problem> {
    let what = "`samples` of `gates`";
    if part.text.is_empty() || !part.text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::unit(what, part.text, SAMPLES_RULE).at(part.place()));
    }
    let count = part.text.parse().ok().filter(|count| (1..=MAX_SAMPLES).contains(count));
    count.ok_or_else(|| Problem::range(what, part.text, "1", &MAX_SAMPLES.to_string()).at(part.place()))
}

/// `1%`, or `+1%`.
fn read_ratio(part: Part<'_>, metric: Metric, rule: &str) -> Result<Bound, Problem> {
    let what = format!("`{}` of `gates`", metric.name());
    let number = part.without("+").map_or(part, Part::trimmed);
    let millionths =
        number.text.strip_suffix('%').and_then(|number| decimal(number, RATIO_DIGITS)).ok_or_else(|| {
            let help = if number.text.ends_with('%') {
                format!("{rule}; a percentage is digits with at most {RATIO_DIGITS} after the point")
            } else if decimal(number.text, RATIO_DIGITS).is_some() {
                format!("did you mean `{}%`? {rule}", shown(part.text))
            } else {
                rule.to_owned()
            };
            Problem::unit(&what, part.text, help).at(part.place())
        })?;
    let fitting = u32::try_from(millionths).ok().filter(|found| *found <= 100 * PERCENT);
    let ratio = fitting.ok_or_else(|| Problem::range(&what, part.text, "0%", "100%").at(part.place()))?;
    Ok(if part.text.starts_with('+') { Bound::AboveStable(ratio) } else { Bound::Ratio(ratio) })
}

/// `200ms`, or `1.5x`.
fn read_latency(part: Part<'_>, metric: Metric, rule: &str) -> Result<Bound, Problem> {
    let what = format!("`{}` of `gates`", metric.name());
    let Some(number) = part.text.strip_suffix('x') else {
        let time = duration_within(part.text, &what, &(TIME.0..=TIME.1)).map(Bound::Time);
        return time.map_err(|problem| {
            let help = if problem.code == code::UNIT { rule.to_owned() } else { problem.help };
            Problem { help, ..problem }.at(part.place())
        });
    };
    let thousandths = decimal(number, TIMES_DIGITS).ok_or_else(|| {
        let help = format!("{rule}; a factor is digits with at most {TIMES_DIGITS} after the point");
        Problem::unit(&what, part.text, help).at(part.place())
    })?;
    let fitting = u32::try_from(thousandths).ok().filter(|found| (TIMES.0..=TIMES.1).contains(found));
    let times = fitting.ok_or_else(|| Problem::range(&what, part.text, "0.1x", "1000x").at(part.place()))?;
    Ok(Bound::TimesStable(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Bound {
        let (limits, samples) = read(text).unwrap();
        assert_eq!((limits.len(), samples), (1, 20), "{text}");
        limits[0].bound
    }

    #[test]
    fn gates_are_metrics_with_bounds() {
        let (limits, samples) = read(" errors <= 1% ,p95<=1.5x, samples >= 50").unwrap();
        let p95 = Metric::Latency { percentile: 95 };
        let expected = [(Metric::Errors, Bound::Ratio(10_000)), (p95, Bound::TimesStable(1_500))];
        assert_eq!(limits, expected.map(|(metric, bound)| GateLimit { metric, bound }));
        assert_eq!(samples, 50);
        assert_eq!(bound("traps<=+ 1%"), Bound::AboveStable(10_000));
        assert_eq!(bound("p50<=2m30s"), Bound::Time(Duration::from_secs(150)));
        for metric in Metric::ALL {
            let text = match metric {
                Metric::Errors | Metric::Traps => "0%",
                Metric::Latency { .. } => "1ms",
            };
            assert_eq!(read(&format!("{}<={text}", metric.name())).unwrap().0[0].metric, metric);
        }
        // Both kinds of bound on one metric.
        assert_eq!(read("errors<=5%,errors<=+1%,p99<=1s,p99<=2x").unwrap().0.len(), 4);
    }

    #[test]
    fn bounds_are_exact() {
        assert_eq!(bound("errors<=0%"), Bound::Ratio(0));
        assert_eq!(bound("errors<=0.0001%"), Bound::Ratio(1));
        assert_eq!(bound("errors<=99.9999%"), Bound::Ratio(999_999));
        assert_eq!(bound("errors<=100%"), Bound::Ratio(1_000_000));
        assert_eq!(bound("errors<=+100%"), Bound::AboveStable(1_000_000));
        assert_eq!(bound("p99<=0.1x"), Bound::TimesStable(100));
        assert_eq!(bound("p99<=1000x"), Bound::TimesStable(1_000_000));
        assert_eq!(bound("p99<=1h"), Bound::Time(HOUR));
        for bad in [
            "errors<=100.0001%",
            "errors<=0.00001%",
            "errors<=+101%",
            "errors<=99999999999999999999%",
            "p99<=0.099x",
            "p99<=1000.001x",
            "p99<=0.1001x",
            "p99<=9999999999999x",
            "p99<=0ms",
            "p99<=1h1ms",
            "errors<=1%,samples>=0",
            "errors<=1%,samples>=1000001",
            "errors<=1%,samples>=99999999999999999999",
        ] {
            assert_eq!(read(bad).unwrap_err().len(), 1, "{bad}");
        }
        for count in [1, 2, MAX_SAMPLES - 1, MAX_SAMPLES] {
            assert_eq!(read(&format!("errors<=1%,samples>={count}")).unwrap().1, count);
        }
    }

    #[test]
    fn each_bad_gate_is_named_with_its_place() {
        for (text, part, expected) in [
            ("", "", "a gate of `gates` is empty"),
            ("errors<=1%,", "", "a gate of `gates` is empty"),
            ("erors<=1%", "erors", "`gates` has no metric `erors`"),
            ("p75<=1s", "p75", "`gates` has no metric `p75`"),
            ("<=1%", "<=1%", "`gates` has no metric `<=1%`"),
            ("errors", "errors", "must compare by `<=`"),
            ("errors<1%", "<", "must compare by `<=`"),
            ("errors ≤ 1%", "≤", "must compare by `<=`"),
            ("errors<=1%, samples<=20", "<=", "must compare by `>=`"),
            ("errors<=", "", "`errors` of `gates` cannot be ``"),
            ("errors<=1", "1", "`errors` of `gates` cannot be `1`"),
            ("errors<=-1%", "-1%", "`errors` of `gates` cannot be `-1%`"),
            ("errors<=200ms", "200ms", "`errors` of `gates` cannot be `200ms`"),
            ("errors<=1.5x", "1.5x", "`errors` of `gates` cannot be `1.5x`"),
            ("p95<=1%", "1%", "`p95` of `gates` cannot be `1%`"),
            ("p95<=+1x", "+1x", "`p95` of `gates` cannot be `+1x`"),
            ("p95<=0.2s", "0.2s", "`p95` of `gates` cannot be `0.2s`"),
            ("errors<=1%, errors<=2%", "errors<=2%", "another gate of the same kind"),
            ("errors<=1%, samples>=1, samples>=1", "samples>=1", "another gate of the same kind"),
            ("samples>=20", "samples>=20", "only `samples`"),
        ] {
            let found = read(text).unwrap_err();
            let [problem] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert!(problem.message.contains(expected), "{text}: {problem:?}");
            let place = match &problem.place {
                crate::problem::Place::Part(place) => &text[place.clone()],
                crate::problem::Place::Name | crate::problem::Place::Value => text,
            };
            assert_eq!(place, part, "{text}: {problem:?}");
        }
        assert!(read("erors<=1%").unwrap_err()[0].help.starts_with("did you mean `errors`?"));
        assert_eq!(read(&"errors<=1%,".repeat(MOST)).unwrap_err()[0].code, code::COUNT);
    }
}
