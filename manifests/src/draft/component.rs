//! Reads components: their type, where their code comes from, and what they take.
//!
//! Traits are read in `traits.rs`, links in `link.rs`.

use super::{
    DraftComponent, DraftShared, bounded_list, deprecated, read_configs, read_secrets, shapes, traits,
};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::{NodeId, Value};
use crate::limits::MAX_COMPONENTS;
use crate::manifest::Kind;
use crate::report::{At, Report, Spanned, shown};
use crate::suggest::closest;

pub(super) fn read_all<'t>(report: &mut Report<'t>, id: NodeId, at: At) -> Vec<DraftComponent<'t>> {
    let items = bounded_list(report, id, "components", MAX_COMPONENTS);
    if matches!(report.tree.value(id), Value::List(all) if all.is_empty()) {
        let diagnostic = Diagnostic::error(code::COUNT, "the app has no components");
        report.add(at, "", diagnostic.help("add at least one component, or delete the app"));
    }
    items.iter().filter_map(|item| read_one(report, *item)).collect()
}

fn read_one<'t>(report: &mut Report<'t>, id: NodeId) -> Option<DraftComponent<'t>> {
    let object = report.object(id, &shapes::COMPONENT)?;
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let kind = object.required(report, "type").and_then(|id| read_kind(report, id));
    let mut component = DraftComponent {
        at: name.map_or(object.at, |name| name.at),
        name,
        kind,
        image: None,
        application: None,
        id: None,
        config: Vec::new(),
        secrets: Vec::new(),
        scalers: Vec::new(),
        links: Vec::new(),
        probes: Vec::new(),
        limits: Vec::new(),
        instances: Vec::new(),
        grants: Vec::new(),
        other_traits: Vec::new(),
    };
    if let Some(properties) = object.required(report, "properties") {
        read_properties(report, properties, &mut component);
    }
    if let Some(list) = object.get(report, "traits") {
        traits::read_all(report, list, &mut component);
    }
    Some(component)
}

fn read_kind(report: &mut Report<'_>, id: NodeId) -> Option<Kind> {
    let kind = report.text(id)?;
    match kind.value {
        "component" => Some(Kind::Component),
        "capability" => Some(Kind::Capability),
        "actor" => {
            deprecated(report, kind.at, "`type: actor`", "`type: component`");
            Some(Kind::Component)
        }
        "provider" => {
            deprecated(report, kind.at, "`type: provider`", "`type: capability`");
            Some(Kind::Capability)
        }
        unknown => {
            let near = closest(unknown, ["component", "capability"]);
            let help = near.map_or_else(
                || "the types are `component` and `capability`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("`{}` is not a type of component", shown(unknown));
            report.add(kind.at, "", Diagnostic::error(code::COMPONENT_TYPE, message).help(help));
            None
        }
    }
}

fn read_properties<'t>(report: &mut Report<'t>, id: NodeId, component: &mut DraftComponent<'t>) {
    let Some(object) = report.object(id, &shapes::PROPERTIES) else { return };
    component.image = object.get(report, "image").and_then(|id| report.text(id));
    component.id = object.get(report, "id").and_then(|id| report.text(id));
    component.application = object.get(report, "application").and_then(|id| read_shared(report, id));
    component.config = read_configs(report, &object, "config");
    component.secrets = read_secrets(report, &object);
    source_is_one(report, &object, component);
}

fn read_shared<'t>(report: &mut Report<'t>, id: NodeId) -> Option<Spanned<DraftShared<'t>>> {
    let object = report.object(id, &shapes::SHARED)?;
    let app = object.required(report, "name").and_then(|id| report.text(id));
    let component = object.required(report, "component").and_then(|id| report.text(id));
    Some(Spanned { value: DraftShared { app, component }, at: object.at })
}

/// Rules E15 and E16 of 1.x.
fn source_is_one<'t>(
    report: &mut Report<'t>,
    object: &crate::read::Object<'t>,
    component: &DraftComponent<'t>,
) {
    let image = object.get_with_key(report, "image").map(|(_, key)| key);
    let application = object.get_with_key(report, "application").map(|(_, key)| key);
    match (image, application) {
        (Some(_), None) | (None, Some(_)) => {}
        (Some(image), Some(application)) => {
            let diagnostic =
                Diagnostic::error(code::SOURCE, "a component has either `image` or `application`, not both")
                    .label(image.span, "its own code")
                    .help("remove `image` to use the component of the other app");
            report.add(application, "the component of another app", diagnostic);
        }
        (None, None) => {
            let diagnostic = Diagnostic::error(code::SOURCE, "a component needs `image` or `application`")
                .help("add `image: …` to its `properties`");
            report.add(component.at, "", diagnostic);
        }
    }
}
