//! Rules on links: both ends exist, and none is there twice.
//!
//! Rules E7 to E9, E20, W2 and W3 of 1.x.

use std::collections::{BTreeMap, BTreeSet};

use lath_control_api::LinkName;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, DraftComponent, DraftLink};
use crate::limits::MAX_NAME;
use crate::manifest::Kind;
use crate::report::{Report, Spanned, shown};

pub(super) fn names_are_fit(report: &mut Report<'_>, draft: &Draft<'_>) {
    for name in links(draft).filter_map(|(_, link)| link.name) {
        let text = name.value;
        if text.is_empty()
            || text.len() > MAX_NAME
            || text.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            let message = format!("`{}` cannot be the name of a link", shown(text));
            let diagnostic = Diagnostic::error(code::LINK, message);
            report.add(
                name.at,
                "",
                diagnostic.help("a name has 1 to 128 bytes, without spaces and control characters"),
            );
        }
    }
}

pub(super) fn interfaces_are_wit_names(report: &mut Report<'_>, draft: &Draft<'_>) {
    for (_, link) in links(draft) {
        for (name, what) in [(link.namespace, "namespace"), (link.package, "package")] {
            if let Some(name) = name {
                check_wit_name(report, name, what);
            }
        }
        let mut seen = BTreeMap::new();
        for interface in &link.interfaces {
            check_wit_name(report, *interface, "interface");
            if let Some(first) = seen.insert(interface.value, interface.at.span) {
                let message = format!("the interface `{}` is listed twice", shown(interface.value));
                let diagnostic = Diagnostic::warning(code::REPEATED, message).label(first, "first here");
                report.add(interface.at, "again here", diagnostic.help("remove one of the two"));
            }
        }
    }
}

fn check_wit_name(report: &mut Report<'_>, name: Spanned<&str>, what: &str) {
    if is_wit_name(name.value) {
        return;
    }
    let message = format!("`{}` is not a WIT {what}", shown(name.value));
    let help = match name.value.split_once('@') {
        Some((before, _)) if is_wit_name(before) => format!("leave the version out: `{before}`"),
        _ => {
            "it has words of letters and digits with `-` between them, such as `incoming-handler`".to_owned()
        }
    };
    report.add(name.at, "", Diagnostic::error(code::LINK, message).help(help));
}

fn is_wit_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('-').all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric()))
}

pub(super) fn targets_exist(report: &mut Report<'_>, draft: &Draft<'_>) {
    let names: BTreeMap<&str, Spanned<&str>> = draft
        .components
        .iter()
        .filter_map(|component| component.name)
        .map(|name| (name.value, name))
        .collect();
    for (component, target) in links(draft).filter_map(|(component, link)| Some((component, link.target?))) {
        if component.name.is_some_and(|name| name.value == target.value) {
            let message = format!("the link of `{}` leads back to itself", shown(target.value));
            let diagnostic = Diagnostic::error(code::SELF_LINK, message);
            report.add(target.at, "", diagnostic.help("name another component as the target"));
        } else if !names.contains_key(target.value) {
            dangling(report, target, &names);
        }
    }
}

fn dangling(report: &mut Report<'_>, target: Spanned<&str>, names: &BTreeMap<&str, Spanned<&str>>) {
    let message = format!("link target `{}` does not exist", shown(target.value));
    let mut diagnostic = Diagnostic::error(code::DANGLING_LINK, message);
    let near = report.suggest(target.value, names.keys().copied()).and_then(|near| names.get(near));
    diagnostic = match near {
        Some(near) => diagnostic
            .label(near.at.span, "a component with a similar name is defined here")
            .help(format!("did you mean `{}`?", near.value)),
        None => diagnostic.help("add a component of this name, or name one that is there"),
    };
    report.add(target.at, "no component has this name", diagnostic);
}

/// Rule E20: one link name carries an interface of a package to one target only.
pub(super) fn links_are_unique(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in &draft.components {
        let mut seen = BTreeMap::new();
        for (index, link) in component.links.iter().enumerate() {
            let (Some(namespace), Some(package)) = (link.namespace, link.package) else { continue };
            let default = LinkName::default().0;
            let name = link.name.map_or(default, |name| name.value.to_owned());
            for interface in &link.interfaces {
                let key = (name.clone(), namespace.value, package.value, interface.value);
                let (first_index, first) = *seen.entry(key).or_insert((index, link.at.span));
                if first_index == index {
                    continue;
                }
                let what = format!("{}:{}/{}", namespace.value, package.value, interface.value);
                let message = format!("the component has two links `{}` for {}", shown(&name), shown(&what));
                let diagnostic = Diagnostic::error(code::DUPLICATE_LINK, message)
                    .label(first, "the first one")
                    .help("give one of the links a `name`, or remove it");
                report.add(interface.at, "the second one", diagnostic);
            }
        }
    }
}

/// 1.x parses such links and drops them.
pub(super) fn capabilities_are_not_linked_together(report: &mut Report<'_>, draft: &Draft<'_>) {
    let kinds: BTreeMap<&str, Option<Kind>> = draft
        .components
        .iter()
        .filter_map(|component| component.name.map(|name| (name.value, component.kind)))
        .collect();
    for (component, link) in links(draft) {
        let Some(target) = link.target else { continue };
        let target_kind = kinds.get(target.value).copied().flatten();
        if component.kind == Some(Kind::Capability) && target_kind == Some(Kind::Capability) {
            let message = "a link between two capabilities has no effect";
            let diagnostic = Diagnostic::warning(code::CAPABILITY_LINK, message);
            report.add(link.at, "", diagnostic.help("link a component to each of them"));
        }
    }
}

/// Requests come to a component by its HTTP server, and capabilities are where they are: only between components is there a choice.
pub(super) fn transports_are_between_components(report: &mut Report<'_>, draft: &Draft<'_>) {
    let capabilities: BTreeSet<&str> = draft
        .components
        .iter()
        .filter(|component| component.kind == Some(Kind::Capability))
        .filter_map(|component| component.name.map(|name| name.value))
        .collect();
    for (component, link) in links(draft) {
        let (Some(transport), Some(target)) = (link.transport, link.target) else { continue };
        let capability = match component.name {
            Some(name) if capabilities.contains(name.value) => name.value,
            _ if capabilities.contains(target.value) => target.value,
            _ => continue,
        };
        let message = format!(
            "a link with a `transport` is one between components, and `{}` is a capability",
            shown(capability)
        );
        let diagnostic = Diagnostic::error(code::LINK, message);
        report.add(transport.at, "", diagnostic.help("leave `transport` out"));
    }
}

/// Every link with the component that holds it.
pub(super) fn links<'d, 't>(
    draft: &'d Draft<'t>,
) -> impl Iterator<Item = (&'d DraftComponent<'t>, &'d DraftLink<'t>)> {
    draft.components.iter().flat_map(|component| component.links.iter().map(move |link| (component, link)))
}
