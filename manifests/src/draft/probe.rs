//! Reads the trait `probe`: a question that a component must answer well.

use std::time::Duration;

use super::shapes;
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::NodeId;
use crate::manifest::{Probe, Question};
use crate::read::Object;
use crate::report::{Report, Spanned, shown};

/// Bounds of [`Probe::timeout`]: shorter than the first cannot be told from none, longer than the last holds a rollout up.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));
/// Bounds of [`Probe::period`]: more often than the first, the question is a load of its own.
const PERIOD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// Longest name of a function, with its interface and version.
const FUNCTION_BYTES: usize = 256;

/// The probe; `None` when it cannot be made, which is reported.
pub(super) fn read(report: &mut Report<'_>, id: NodeId) -> Option<Probe> {
    let object = report.object(id, &shapes::PROBE)?;
    let question = read_question(report, &object);
    let timeout = match object.get(report, "timeout") {
        Some(id) => {
            let text = report.quantity(id)?;
            report.duration(text, "`timeout`", &(TIMEOUT.0..=TIMEOUT.1))
        }
        None => Some(Probe::DEFAULT_TIMEOUT),
    };
    let attempts = match object.get(report, "attempts") {
        Some(id) => report.whole(id, "`attempts`", 1..=100),
        None => Some(Probe::DEFAULT_ATTEMPTS),
    };
    let period = match object.get(report, "period") {
        Some(id) => {
            let text = report.quantity(id)?;
            Some(report.duration(text, "`period`", &(PERIOD.0..=PERIOD.1))?)
        }
        None => None,
    };
    let failures = match object.get(report, "failures") {
        Some(id) => Some(report.whole(id, "`failures`", 1..=100)?),
        None => None,
    };
    if let (Some(at), None) = (object.key("failures"), period) {
        let message =
            "`failures` has no meaning without a `period`: before it gets traffic, `attempts` counts";
        let diagnostic = Diagnostic::error(code::UNKNOWN_FIELD, message);
        report.add(at, "", diagnostic.help("add `period: 10s`, or remove it"));
        return None;
    }
    Some(Probe { question: question?, timeout: timeout?, attempts: attempts?, period, failures })
}

fn read_question<'t>(report: &mut Report<'t>, object: &Object<'t>) -> Option<Question> {
    let Some((id, at)) = object.get_with_key(report, "function") else {
        let path = object.required(report, "path").and_then(|id| report.text(id))?;
        return read_path(report, path).map(Question::Get);
    };
    if let Some(path) = object.key("path") {
        let diagnostic =
            Diagnostic::error(code::PROBE, "a probe asks for a `path` or calls a `function`, not both")
                .label(path.span, "the path")
                .help("remove one of them");
        report.add(at, "the function", diagnostic);
        return None;
    }
    let function = report.text(id)?;
    let text = function.value;
    let fits = !text.is_empty() && text.len() <= FUNCTION_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
    if fits && !text.starts_with('.') && !text.ends_with('.') {
        return Some(Question::Call(text.to_owned()));
    }
    let message = format!("a probe cannot call `{}`", shown(text));
    let help =
        "write `INTERFACE.FUNCTION`, such as `demo:app/health@0.1.0.check`, or the name of a function alone";
    report.add(function.at, "", Diagnostic::error(code::PROBE, message).help(help));
    None
}

/// A path is put into a request line as it is, so it must be one word of visible ASCII.
fn read_path(report: &mut Report<'_>, path: Spanned<&str>) -> Option<String> {
    let text = path.value;
    let fits = text.starts_with('/')
        && text.len() <= 1024
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if fits {
        return Some(text.to_owned());
    }
    let message = format!("a probe cannot ask for the path `{}`", shown(text));
    let help = "a path begins with `/` and has up to 1,024 visible ASCII characters, without `#`; encode others as `%XX`";
    report.add(path.at, "", Diagnostic::error(code::PROBE, message).help(help));
    None
}
