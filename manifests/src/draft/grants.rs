//! Reads what a component may reach and see: the trait `grants`, and the policy that holds the app's own list.
//!
//! How an entry of `allowed_hosts` is written is the grammar of `lath_control_api::egress`; here its problems get
//! their places. Which of two lists counts is decided when the manifest is built.

use std::collections::BTreeSet;

use lath_control_api::egress::{AllowedHost, EntryError};
use lath_control_api::preopen::{Access, PathError, Preopen};

use super::{bounded_list, shapes};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::NodeId;
use crate::limits::{MAX_ALLOWED_HOSTS, MAX_CONFIG_VALUE, MAX_ENVIRONMENT, MAX_NAME, MAX_PREOPENS};
use crate::problem::{Place, Problem};
use crate::read::Pair;
use crate::report::{At, Report, Spanned, shown};
use crate::rollout::Part;
use crate::suggest::closest;

/// The one property of the policy, and a field of the trait.
const ALLOWED_HOSTS: &str = "allowed_hosts";

/// What a component may reach and see, as written. What cannot be is left out, and reported.
#[derive(Debug, Default)]
pub(crate) struct DraftGrants<'t> {
    /// Absent when the app's own list is to count.
    pub(crate) allowed_hosts: Option<BTreeSet<AllowedHost>>,
    pub(crate) env: Vec<Pair<'t>>,
    pub(crate) arguments: Vec<String>,
    pub(crate) preopens: Vec<Preopen>,
}

pub(super) fn read<'t>(report: &mut Report<'t>, id: NodeId) -> DraftGrants<'t> {
    let mut grants = DraftGrants::default();
    let Some(object) = report.object(id, &shapes::GRANTS) else { return grants };
    if let Some(list) = object.get(report, ALLOWED_HOSTS) {
        let items = bounded_list(report, list, "allowed hosts", MAX_ALLOWED_HOSTS);
        let mut hosts = BTreeSet::new();
        for item in items {
            let Some(text) = report.text(*item) else { continue };
            add(report, &mut hosts, text.at, Part::whole(text.value));
        }
        grants.allowed_hosts = Some(hosts);
    } else if let Some(key) = object.key(ALLOWED_HOSTS) {
        // Read as nothing at all, it would open what the app may reach to a component that was to reach less.
        let message =
            format!("`{ALLOWED_HOSTS}` has no value, which could mean the list of the app, or none");
        let help = "write `[]` to deny all, or leave it out to have the list of the app";
        report.add(key, "", Diagnostic::error(code::GRANT, message).help(help));
    }
    if let Some(env) = object.get(report, "env") {
        let pairs = report.pairs(env, "`env`");
        if let Some(first_too_many) = pairs.get(MAX_ENVIRONMENT) {
            let message =
                format!("there are {} variables, and at most {MAX_ENVIRONMENT} are allowed", pairs.len());
            let diagnostic = Diagnostic::error(code::COUNT, message).help("put them into a configuration");
            report.add(first_too_many.key.at, "", diagnostic);
        }
        for pair in pairs.iter().take(MAX_ENVIRONMENT) {
            if is_variable(report, pair) {
                grants.env.push(*pair);
            }
        }
    }
    if let Some(list) = object.get(report, "arguments") {
        for item in bounded_list(report, list, "arguments", MAX_ENVIRONMENT) {
            let Some(text) = report.text(*item) else { continue };
            if fits(report, text, "an argument") {
                grants.arguments.push(text.value.to_owned());
            }
        }
    }
    if let Some(list) = object.get(report, "preopens") {
        for item in bounded_list(report, list, "folders", MAX_PREOPENS) {
            let Some(preopen) = read_preopen(report, *item) else { continue };
            if let Some(other) = grants.preopens.iter().find(|other| other.path() == preopen.path()) {
                let message = format!("two folders are seen at `{}`", other.path());
                let at = report.at(*item);
                report.add(
                    at,
                    "",
                    Diagnostic::error(code::GRANT, message).help("give each a path of its own"),
                );
                continue;
            }
            grants.preopens.push(preopen);
        }
    }
    grants
}

fn read_preopen(report: &mut Report<'_>, id: NodeId) -> Option<Preopen> {
    let object = report.object(id, &shapes::PREOPEN)?;
    let folder = object.required(report, "folder").and_then(|id| report.text(id));
    let path = object.required(report, "path").and_then(|id| report.text(id));
    let access = match object.get(report, "access") {
        None => Access::Read,
        Some(id) => {
            let text = report.text(id)?;
            match text.value {
                "read" => Access::Read,
                "write" => Access::Write,
                other => {
                    let message = format!("there is no access `{}`", shown(other));
                    let help = "it is `read` or `write`";
                    report.add(text.at, "", Diagnostic::error(code::GRANT, message).help(help));
                    return None;
                }
            }
        }
    };
    let (folder, path) = (folder?, path?);
    match Preopen::new(folder.value, path.value, access) {
        Ok(preopen) => Some(preopen),
        Err(PathError { message, help, in_component }) => {
            let at = if in_component { path.at } else { folder.at };
            report.add(at, "", Diagnostic::error(code::GRANT, message).help(help));
            None
        }
    }
}

/// The list of the app: a text with commas, since the properties of a policy are texts.
pub(super) fn read_policy(report: &mut Report<'_>, properties: &[Pair<'_>]) -> BTreeSet<AllowedHost> {
    let mut hosts = BTreeSet::new();
    for pair in properties {
        if pair.key.value != ALLOWED_HOSTS {
            let name = shown(pair.key.value);
            let message = format!("the property `{name}` is not known in a policy of grants");
            let help = match closest(pair.key.value, [ALLOWED_HOSTS]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the one property is `{ALLOWED_HOSTS}`; the trait `grants` has more"),
            };
            report.add(pair.key.at, "", Diagnostic::error(code::UNKNOWN_FIELD, message).help(help));
            continue;
        }
        let whole = Part::whole(pair.value.value);
        if whole.trimmed().text.is_empty() {
            continue;
        }
        let parts: Vec<Part<'_>> = whole.listed().take(MAX_ALLOWED_HOSTS + 1).collect();
        if parts.len() > MAX_ALLOWED_HOSTS {
            let message = format!("there are more than {MAX_ALLOWED_HOSTS} allowed hosts");
            let diagnostic = Diagnostic::error(code::COUNT, message);
            report.add(
                pair.value.at,
                "",
                diagnostic.help("name a network or a wildcard instead of its hosts"),
            );
            continue;
        }
        for part in parts {
            add(report, &mut hosts, pair.value.at, part);
        }
    }
    hosts
}

/// One entry, which is a part of the text at `at`.
fn add(report: &mut Report<'_>, hosts: &mut BTreeSet<AllowedHost>, at: At, part: Part<'_>) {
    match part.text.parse::<AllowedHost>() {
        Ok(entry) => {
            let normal = entry.to_string();
            if !hosts.insert(entry) {
                let at = report.part(at, &part.range());
                let diagnostic = Diagnostic::warning(code::REPEATED, format!("`{normal}` is listed twice"));
                report.add(at, "", diagnostic.help("remove one of the two"));
            }
        }
        Err(EntryError { message, help, part: wrong }) => {
            let start = part.range().start;
            let wrong = start + wrong.start..start + wrong.end;
            let place = if wrong.is_empty() { part.place() } else { Place::Part(wrong) };
            report.problem(at, Problem::new(code::GRANT, message, help).at(place));
        }
    }
}

fn is_variable(report: &mut Report<'_>, pair: &Pair<'_>) -> bool {
    let name = pair.key.value;
    if name.is_empty() || name.len() > MAX_NAME || name.contains('=') || name.chars().any(char::is_control) {
        let message = format!("a variable cannot be called `{}`", shown(name));
        let help = "a name has 1 to 128 bytes, without `=` and control characters";
        report.add(pair.key.at, "", Diagnostic::error(code::GRANT, message).help(help));
        return false;
    }
    fits(report, pair.value, "the value of a variable")
}

/// Programs take these texts up to their first NUL, and hosts pass them on whole.
fn fits(report: &mut Report<'_>, text: Spanned<&str>, what: &str) -> bool {
    let fits = text.value.len() <= MAX_CONFIG_VALUE && !text.value.contains('\0');
    if !fits {
        let message = format!("{what} has more than {MAX_CONFIG_VALUE} bytes, or the character NUL");
        report.add(text.at, "", Diagnostic::error(code::GRANT, message).help("put larger data into a store"));
    }
    fits
}
