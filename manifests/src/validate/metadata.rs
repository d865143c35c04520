//! Rules on the app's name, version, labels and annotations.
//!
//! Rules E1 to E4 of 1.x, with a narrower grammar of names: ASCII only, since names become parts of NATS subjects.

use lath_control_api::AppName;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::Draft;
use crate::label::{KEY_RULE, is_key};
use crate::limits::{MAX_METADATA, MAX_METADATA_VALUE, MAX_VERSION};
use crate::read::Pair;
use crate::report::{Report, shown};

/// Annotation with the version of the app.
pub(super) const VERSION: &str = "version";
/// Annotation with the line that lists show.
pub(super) const DESCRIPTION: &str = "description";
/// Annotation that opens the components to other apps.
pub(super) const SHARED: &str = "experimental.wasmcloud.dev/shared";
/// What begins with this is written by Lath alone.
const RESERVED_PREFIX: &str = "lath.dev/";
/// Words that commands and documents use for something else.
const RESERVED_NAMES: [&str; 3] = ["latest", "default", "system"];

/// The value of an annotation.
pub(super) fn annotation<'t>(draft: &Draft<'t>, key: &str) -> Option<Pair<'t>> {
    draft.annotations.iter().copied().find(|pair| pair.key.value == key)
}

pub(super) fn name_is_an_app_name(report: &mut Report<'_>, draft: &Draft<'_>) {
    let Some(name) = draft.name else { return };
    if name.value.parse::<AppName>().is_err() {
        let message = format!("the app name `{}` is not valid", shown(name.value));
        let diagnostic =
            Diagnostic::error(code::APP_NAME, message).help(format!("a name has {}", AppName::RULE));
        report.add(name.at, "", diagnostic);
    } else if RESERVED_NAMES.contains(&name.value) {
        let message = format!("the app name `{}` is reserved", name.value);
        report.add(name.at, "", Diagnostic::error(code::APP_NAME, message).help("choose another name"));
    }
}

pub(super) fn version_is_fit(report: &mut Report<'_>, draft: &Draft<'_>) {
    let Some(version) = annotation(draft, VERSION) else { return };
    let text = version.value.value;
    let problem = if text.is_empty() {
        "is empty"
    } else if text == "latest" {
        "cannot be `latest`: that word always means the newest one"
    } else if text.len() > MAX_VERSION {
        "has more than 64 bytes"
    } else if !text.chars().all(|c| c.is_ascii_graphic()) {
        "has characters other than visible ASCII"
    } else {
        return;
    };
    let diagnostic = Diagnostic::error(code::VERSION, format!("the version {problem}"));
    report.add(
        version.value.at,
        "",
        diagnostic.help("write one such as `v1.2.0`, or leave it out to have one made"),
    );
}

pub(super) fn labels_are_fit(report: &mut Report<'_>, draft: &Draft<'_>) {
    check_pairs(report, &draft.labels, "label");
}

pub(super) fn annotations_are_fit(report: &mut Report<'_>, draft: &Draft<'_>) {
    check_pairs(report, &draft.annotations, "annotation");
}

pub(super) fn shared_is_a_bool(report: &mut Report<'_>, draft: &Draft<'_>) {
    let Some(shared) = annotation(draft, SHARED) else { return };
    if shared.value.value.parse::<bool>().is_err() {
        let message =
            format!("`{}` is neither true nor false and counts as false", shown(shared.value.value));
        let diagnostic = Diagnostic::warning(code::NOT_A_BOOL, message);
        report.add(shared.value.at, "", diagnostic.help("write `\"true\"` or `\"false\"`, with quotes"));
    }
}

fn check_pairs(report: &mut Report<'_>, pairs: &[Pair<'_>], what: &str) {
    if let Some(first_too_many) = pairs.get(MAX_METADATA) {
        let message = format!("there are {} {what}s, and at most {MAX_METADATA} are allowed", pairs.len());
        let diagnostic = Diagnostic::error(code::COUNT, message).help("remove some");
        return report.add(first_too_many.key.at, "the limit is passed here", diagnostic);
    }
    for pair in pairs {
        check_pair(report, pair, what);
    }
}

fn check_pair(report: &mut Report<'_>, pair: &Pair<'_>, what: &str) {
    let key = pair.key.value;
    if key.starts_with(RESERVED_PREFIX) {
        let message = format!("{what}s that begin with `{RESERVED_PREFIX}` are written by Lath alone");
        report.add(
            pair.key.at,
            "",
            Diagnostic::error(code::METADATA, message).help("use a prefix of your own"),
        );
    } else if !is_key(key) {
        let message = format!("`{}` cannot be the key of {what}s", shown(key));
        report.add(pair.key.at, "", Diagnostic::error(code::METADATA, message).help(KEY_RULE));
    }
    if pair.value.value.len() > MAX_METADATA_VALUE {
        let message = format!("the value of a {what} has at most {MAX_METADATA_VALUE} bytes");
        let diagnostic = Diagnostic::error(code::METADATA, message);
        report.add(pair.value.at, "", diagnostic.help("keep long texts in a file or a document"));
    }
}
