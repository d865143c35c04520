//! Reads the `link` trait, the old forms of its two ends included.
//!
//! Whether the other end exists is not asked here.

use lath_control_api::Transport;

use super::{
    DraftConfig, DraftLink, DraftSecret, bounded_list, deprecated, read_configs, read_secrets, shapes,
};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::{NodeId, Value};
use crate::limits::MAX_INTERFACES;
use crate::read::{Object, listed};
use crate::report::{At, Report, Spanned, shown};
use crate::suggest::closest;

pub(super) fn read<'t>(report: &mut Report<'t>, id: NodeId, at: At) -> Option<DraftLink<'t>> {
    let object = report.object(id, &shapes::LINK)?;
    let name = object.get(report, "name").and_then(|id| report.text(id));
    let namespace = object.required(report, "namespace").and_then(|id| report.text(id));
    let package = object.required(report, "package").and_then(|id| report.text(id));
    let interfaces = read_interfaces(report, &object);
    let (target, target_config, target_secrets) = read_target(report, &object);
    let (source_config, source_secrets) = read_source(report, &object);
    let transport = read_transport(report, &object);
    Some(DraftLink {
        at,
        name,
        namespace,
        package,
        interfaces,
        target,
        source_config,
        target_config,
        source_secrets,
        target_secrets,
        transport,
    })
}

fn read_transport(report: &mut Report<'_>, object: &Object<'_>) -> Option<Spanned<Transport>> {
    let said = object.get(report, "transport").and_then(|id| report.text(id))?;
    if let Some(value) = Transport::named(said.value) {
        return Some(Spanned { value, at: said.at });
    }
    let message = format!("`transport` cannot be `{}`", shown(said.value));
    let allowed = format!("it is one of {}, or left out", listed(&Transport::NAMED));
    let help = match closest(said.value, Transport::NAMED) {
        Some(near) => format!("did you mean `{near}`? {allowed}"),
        None => allowed,
    };
    report.add(said.at, "", Diagnostic::error(code::LINK, message).help(help));
    None
}

fn read_interfaces<'t>(report: &mut Report<'t>, object: &Object<'t>) -> Vec<Spanned<&'t str>> {
    let Some(id) = object.required(report, "interfaces") else { return Vec::new() };
    if matches!(report.tree.value(id), Value::List(items) if items.is_empty()) {
        let at = report.at(id);
        let diagnostic = Diagnostic::error(code::LINK, "a link without interfaces carries nothing");
        report.add(at, "", diagnostic.help("list the interfaces, such as `interfaces: [incoming-handler]`"));
    }
    let items = bounded_list(report, id, "interfaces", MAX_INTERFACES);
    items.iter().filter_map(|item| report.text(*item)).collect()
}

type Target<'t> = (Option<Spanned<&'t str>>, Vec<DraftConfig<'t>>, Vec<DraftSecret<'t>>);

fn read_target<'t>(report: &mut Report<'t>, object: &Object<'t>) -> Target<'t> {
    let Some(id) = object.required(report, "target") else { return Target::default() };
    if let Value::Text(name) = report.tree.value(id) {
        let name = Spanned { value: &**name, at: report.at(id) };
        deprecated(
            report,
            name.at,
            "a link target that is only a name",
            &format!("`target: {{ name: {} }}`", name.value),
        );
        return (Some(name), old_config(report, object, "target_config", "target"), Vec::new());
    }
    ignored_config(report, object, "target_config", "target");
    let Some(target) = report.object(id, &shapes::LINK_TARGET) else { return Target::default() };
    let name = target.required(report, "name").and_then(|id| report.text(id));
    (name, read_configs(report, &target, "config"), read_secrets(report, &target))
}

fn read_source<'t>(
    report: &mut Report<'t>,
    object: &Object<'t>,
) -> (Vec<DraftConfig<'t>>, Vec<DraftSecret<'t>>) {
    let Some(id) = object.get(report, "source") else {
        return (old_config(report, object, "source_config", "source"), Vec::new());
    };
    ignored_config(report, object, "source_config", "source");
    let Some(source) = report.object(id, &shapes::LINK_SOURCE) else { return (Vec::new(), Vec::new()) };
    (read_configs(report, &source, "config"), read_secrets(report, &source))
}

fn old_config<'t>(
    report: &mut Report<'t>,
    object: &Object<'t>,
    old: &str,
    new: &str,
) -> Vec<DraftConfig<'t>> {
    let Some((_, at)) = object.get_with_key(report, old) else { return Vec::new() };
    deprecated(report, at, &format!("`{old}`"), &format!("the list as `config` inside `{new}`"));
    read_configs(report, object, old)
}

/// As in 1.x the old field has no effect beside the new one; unlike there, it is said.
fn ignored_config<'t>(report: &mut Report<'t>, object: &Object<'t>, old: &str, new: &str) {
    let Some((_, at)) = object.get_with_key(report, old) else { return };
    let message = format!("`{old}` has no effect beside `{new}` and is ignored");
    let diagnostic = Diagnostic::warning(code::IGNORED_FIELD, message);
    report.add(at, "", diagnostic.help(format!("move the list to `config` inside `{new}`")));
}
