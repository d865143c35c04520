//! Reads traits by their type: scalers, links, probes, limits, grants, and what other tools put there.
//!
//! 1.x chose the shape of a trait's properties by trying; here the type decides, so a slip is reported as what it is.

use super::{
    DraftComponent, DraftScaler, DraftSpread, bounded_list, deprecated, grants, instances, limits, link,
    probe, shapes,
};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::NodeId;
use crate::limits::{MAX_INSTANCES, MAX_LINKS, MAX_SPREADS, MAX_WEIGHT};
use crate::manifest::OtherTrait;
use crate::read::Object;
use crate::report::{At, Report, Spanned, shown};
use crate::suggest::closest;

/// The types that mean something here.
const KNOWN: [&str; 7] = ["spreadscaler", "daemonscaler", "link", "probe", "limits", "instances", "grants"];

pub(super) fn read_all<'t>(report: &mut Report<'t>, list: NodeId, component: &mut DraftComponent<'t>) {
    for item in bounded_list(report, list, "traits", MAX_LINKS) {
        read_one(report, *item, component);
    }
}

fn read_one<'t>(report: &mut Report<'t>, id: NodeId, component: &mut DraftComponent<'t>) {
    let Some(object) = report.object(id, &shapes::TRAIT) else { return };
    let kind = object.required(report, "type").and_then(|id| report.text(id));
    let properties = object.required(report, "properties");
    let (Some(kind), Some(properties)) = (kind, properties) else { return };
    let at = kind.at;
    match kind.value {
        "spreadscaler" => component.scalers.extend(read_scaler(report, properties, at, false)),
        "daemonscaler" => component.scalers.extend(read_scaler(report, properties, at, true)),
        "link" => component.links.extend(link::read(report, properties, at)),
        "probe" => component.probes.push(Spanned { value: probe::read(report, properties), at }),
        "limits" => component.limits.push(Spanned { value: limits::read(report, properties), at }),
        "instances" => {
            component.instances.push(Spanned { value: instances::read(report, properties), at });
        }
        "grants" => component.grants.push(Spanned { value: grants::read(report, properties), at }),
        _ => component.other_traits.extend(read_other(report, kind, properties)),
    }
}

fn read_other(report: &mut Report<'_>, kind: Spanned<&str>, properties: NodeId) -> Option<OtherTrait> {
    let name = shown(kind.value);
    if let Some(near) = closest(kind.value, KNOWN) {
        let message = format!("`{name}` is not a type of trait");
        let diagnostic = Diagnostic::error(code::COMPONENT_TYPE, message);
        report.add(kind.at, "", diagnostic.help(format!("did you mean `{near}`?")));
        return None;
    }
    if kind.value == OtherTrait::AUTOSCALER {
        let message = "traits of type `autoscaler` are kept and do not act yet";
        let help = "until they do, `instances` of the scaler is what runs; `lath scale` changes it";
        report.add(kind.at, "", Diagnostic::warning(code::NOT_YET, message).help(help));
        return Some(OtherTrait { kind: name.clone(), properties: report.tree.to_json(properties) });
    }
    let message = format!("traits of type `{name}` are not known and have no effect");
    let help = "remove the trait, unless another tool reads it";
    report.add(kind.at, "", Diagnostic::warning(code::UNKNOWN_TRAIT, message).help(help));
    Some(OtherTrait { kind: kind.value.to_owned(), properties: report.tree.to_json(properties) })
}

fn read_scaler<'t>(report: &mut Report<'t>, id: NodeId, at: At, daemon: bool) -> Option<DraftScaler<'t>> {
    let object = report.object(id, &shapes::SCALER)?;
    let instances = read_instances(report, &object);
    let spreads = match object.get(report, "spread") {
        Some(list) => bounded_list(report, list, "spreads", MAX_SPREADS),
        None => &[],
    };
    let spreads = spreads.iter().filter_map(|item| read_spread(report, *item)).collect();
    Some(DraftScaler { at, daemon, instances, spreads })
}

fn read_instances<'t>(report: &mut Report<'t>, object: &Object<'t>) -> Option<u32> {
    let range = 0..=MAX_INSTANCES;
    let Some((old, at)) = object.get_with_key(report, "replicas") else {
        return object.required(report, "instances").and_then(|id| report.whole(id, "`instances`", range));
    };
    if let Some(new) = object.key("instances") {
        let diagnostic =
            Diagnostic::error(code::DUPLICATE_KEY, "`replicas` and `instances` are the same field")
                .label(new.span, "the number is also here")
                .help("remove `replicas`");
        report.add(at, "", diagnostic);
        return None;
    }
    deprecated(report, at, "`replicas`", "`instances`");
    report.whole(old, "`replicas`", range)
}

fn read_spread<'t>(report: &mut Report<'t>, id: NodeId) -> Option<DraftSpread<'t>> {
    let object = report.object(id, &shapes::SPREAD)?;
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let requirements =
        object.get(report, "requirements").map(|id| report.pairs(id, "requirements")).unwrap_or_default();
    let weight = object.get(report, "weight").and_then(|id| report.whole(id, "`weight`", 0..=MAX_WEIGHT));
    Some(DraftSpread { name, requirements, weight })
}
