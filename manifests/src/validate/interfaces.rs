//! The rule on WIT interfaces that are well known: a near miss of one is a slip, another one is only unusual.
//!
//! Rule W1 of 1.x. Interfaces of namespaces that are not listed are the owner's own and are never judged.

use super::links::links;
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, DraftLink};
use crate::read::listed;
use crate::report::{Report, Spanned, shown};
use crate::suggest::closest;

type Package = (&'static str, &'static [&'static str]);

/// Namespaces with their packages and interfaces.
const KNOWN: &[(&str, &[Package])] = &[
    (
        "wasi",
        &[
            ("blobstore", &["blobstore", "container", "types"]),
            ("config", &["runtime", "store"]),
            ("http", &["incoming-handler", "outgoing-handler", "types", "handler", "client", "service"]),
            ("keyvalue", &["store", "atomics", "batch", "watch", "watcher"]),
            ("logging", &["logging"]),
        ],
    ),
    (
        "wrpc",
        &[
            ("blobstore", &["blobstore", "types"]),
            ("http", &["incoming-handler", "outgoing-handler", "types"]),
            ("keyvalue", &["store", "atomics", "batch", "watcher"]),
        ],
    ),
    (
        "wasmcloud",
        &[
            ("bus", &["lattice"]),
            ("couchbase", &["document", "subdocument", "types"]),
            ("messaging", &["consumer", "handler", "types", "producer", "request-reply", "incoming-handler"]),
            ("postgres", &["query", "prepared", "types", "managed-query"]),
            ("secrets", &["store", "reveal"]),
        ],
    ),
];

pub(super) fn interfaces_are_known(report: &mut Report<'_>, draft: &Draft<'_>) {
    for (_, link) in links(draft) {
        check(report, link);
    }
}

fn check(report: &mut Report<'_>, link: &DraftLink<'_>) {
    let (Some(namespace), Some(package)) = (link.namespace, link.package) else { return };
    let Some((_, packages)) = KNOWN.iter().find(|(known, _)| *known == namespace.value) else {
        return check_namespace(report, namespace, package);
    };
    let Some((_, interfaces)) = packages.iter().find(|(known, _)| *known == package.value) else {
        let names: Vec<&str> = packages.iter().map(|(known, _)| *known).collect();
        return unknown(report, package, &format!("package of the namespace `{}`", namespace.value), &names);
    };
    for interface in &link.interfaces {
        if !interfaces.contains(&interface.value) {
            let owner = format!("interface of {}:{}", namespace.value, package.value);
            unknown(report, *interface, &owner, interfaces);
        }
    }
}

/// A namespace of one's own may resemble a known one; with a package of the known one it is a slip.
fn check_namespace(report: &mut Report<'_>, namespace: Spanned<&str>, package: Spanned<&str>) {
    let owners =
        KNOWN.iter().filter(|(_, packages)| packages.iter().any(|(known, _)| *known == package.value));
    if let Some(near) = closest(namespace.value, owners.map(|(known, _)| *known)) {
        let message = format!("`{}:{}` is not a known WIT package", shown(namespace.value), package.value);
        let diagnostic = Diagnostic::error(code::INTERFACE, message);
        report.add(namespace.at, "", diagnostic.help(format!("did you mean `{near}`?")));
    }
}

fn unknown(report: &mut Report<'_>, name: Spanned<&str>, what: &str, known: &[&'static str]) {
    let message = format!("`{}` is not a known {what}", shown(name.value));
    let diagnostic = match closest(name.value, known.iter().copied()) {
        Some(near) => Diagnostic::error(code::INTERFACE, message).help(format!("did you mean `{near}`?")),
        None => {
            Diagnostic::warning(code::UNKNOWN_INTERFACE, message).help(format!("known are {}", listed(known)))
        }
    };
    report.add(name.at, "", diagnostic);
}
