//! Rules on components by themselves: names, ids, code, scalers.
//!
//! Rules E5, E6 and E15 to E19 of 1.x, and what 1.x took and then stumbled over.

use std::collections::BTreeMap;

use lath_control_api::{ComponentId, ComponentName};

use super::ids;
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, DraftComponent, DraftScaler};
use crate::limits::MAX_NAME;
use crate::manifest::{ImageRef, ImageRefError, Kind, Spread};
use crate::position::Span;
use crate::report::{At, Report, Spanned, shown};

pub(super) fn names_are_component_names(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in &draft.components {
        if let Some(name) = component.name.filter(|name| name.value.parse::<ComponentName>().is_err()) {
            bad_name(report, name, "component name", ComponentName::RULE);
        }
        if let Some(id) = component.id.filter(|id| id.value.parse::<ComponentId>().is_err()) {
            bad_name(report, id, "component id", ComponentId::RULE);
        }
    }
}

fn bad_name(report: &mut Report<'_>, name: Spanned<&str>, what: &str, rule: &str) {
    let message = format!("the {what} `{}` is not valid", shown(name.value));
    let diagnostic = Diagnostic::error(code::COMPONENT_NAME, message);
    report.add(name.at, "", diagnostic.help(format!("it has {rule}")));
}

pub(super) fn names_are_unique(report: &mut Report<'_>, draft: &Draft<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in draft.components.iter().filter_map(|component| component.name) {
        let Some(first) = seen.get(name.value).copied() else {
            seen.insert(name.value, name.at.span);
            continue;
        };
        let message = format!("there are two components called `{}`", shown(name.value));
        let diagnostic = Diagnostic::error(code::DUPLICATE_COMPONENT, message).label(first, "the first one");
        report.add(name.at, "the second one", diagnostic.help("give one of them another name"));
    }
}

/// The explicit ids of rule E6, and the generated ones too: `a.b` and `a_b` make the same.
pub(super) fn ids_are_unique(report: &mut Report<'_>, draft: &Draft<'_>) {
    let mut seen: BTreeMap<ComponentId, (At, Option<&str>)> = BTreeMap::new();
    for component in draft.components.iter().filter(|component| component.application.is_none()) {
        let Some(id) = ids::component(draft, component) else { continue };
        let name = component.name.map(|name| name.value);
        let at = component.id.map_or(component.at, |id| id.at);
        let Some((first, first_name)) = seen.get(&id).copied() else {
            seen.insert(id, (at, name));
            continue;
        };
        // Two of one name are reported as that.
        if name == first_name && component.id.is_none() {
            continue;
        }
        let message = format!("two components would have the id `{id}`");
        let diagnostic = Diagnostic::error(code::DUPLICATE_ID, message)
            .label(first.span, "the first one")
            .help("give one of them another name, or an `id` in its properties")
            .note("in an id every character of the names that is not a letter or digit becomes `_`");
        report.add(at, "the second one", diagnostic);
    }
}

pub(super) fn images_are_references(report: &mut Report<'_>, draft: &Draft<'_>) {
    for image in draft.components.iter().filter_map(|component| component.image) {
        match image.value.parse::<ImageRef>() {
            Ok(reference) => warn_of_moving_tag(report, image, &reference),
            Err(error) => {
                let diagnostic = Diagnostic::error(code::IMAGE, error.to_string()).help(image_help(&error));
                report.add(image.at, "", diagnostic);
            }
        }
    }
}

fn image_help(error: &ImageRefError) -> &'static str {
    match error {
        ImageRefError::Scheme(scheme) if matches!(scheme.as_str(), "http" | "https" | "oci" | "docker") => {
            "leave out what stands before the registry: `REGISTRY/REPOSITORY:TAG`"
        }
        ImageRefError::Empty | ImageRefError::Scheme(_) => {
            "write `REGISTRY/REPOSITORY:TAG`, `file://PATH` or `builtin://NAME`"
        }
        ImageRefError::File(_) => "write `file://` and the path of a file, from the folder of this manifest",
        ImageRefError::Builtin(_) => "the HTTP server is `builtin://http-server`",
        ImageRefError::Registry(_) => "write it such as `registry.example:5000`",
        ImageRefError::Repository(_) => "write it such as `shop/api`; for a local file write `file://PATH`",
        ImageRefError::TooLong => "shorten the repository",
        ImageRefError::Tag(_) => "write a tag such as `:1.2.0`",
        ImageRefError::Digest(_) => "copy the digest from the registry, or leave it out",
    }
}

fn warn_of_moving_tag(report: &mut Report<'_>, image: Spanned<&str>, reference: &ImageRef) {
    let ImageRef::Oci(_) = reference else { return };
    let message = match (reference.digest(), reference.tag()) {
        (None, Some("latest")) => {
            "the image tag `latest` moves: the same manifest may bring other code tomorrow"
        }
        (None, None) => {
            "an image without a tag means `latest`, which moves: the same manifest may bring other code tomorrow"
        }
        (Some(_), _) | (None, Some(_)) => return,
    };
    let diagnostic = Diagnostic::warning(code::MOVING_TAG, message);
    report.add(image.at, "", diagnostic.help("name a version, such as `:1.2.0`, or a digest"));
}

pub(super) fn shared_ones_belong_to_another_app(report: &mut Report<'_>, draft: &Draft<'_>) {
    for shared in draft.components.iter().filter_map(|component| component.application) {
        let (app, component) = (shared.value.app, shared.value.component);
        if let Some(app) = app.filter(|app| app.value.parse::<lath_control_api::AppName>().is_err()) {
            bad_name(report, app, "app name", lath_control_api::AppName::RULE);
        }
        if let Some(name) = component.filter(|name| name.value.parse::<ComponentName>().is_err()) {
            bad_name(report, name, "component name", ComponentName::RULE);
        }
        let own = draft.name.map(|name| name.value);
        if let Some(app) = app.filter(|app| Some(app.value) == own) {
            let message = "an app cannot share a component with itself";
            let diagnostic = Diagnostic::error(code::SHARED, message);
            report.add(app.at, "this app", diagnostic.help("link to the component by its name instead"));
        }
    }
}

/// Rules E17 to E19 of 1.x, and what has no effect on a shared component.
pub(super) fn shared_ones_take_nothing(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in draft.components.iter().filter(|component| component.application.is_some()) {
        let mut refuse = |at: At, what: &str| {
            let message = format!("a shared component takes no {what} here");
            let diagnostic = Diagnostic::error(code::SHARED, message);
            report.add(
                at,
                "",
                diagnostic.help("set it in the manifest of the app that the component belongs to"),
            );
        };
        if let Some(config) = component.config.first() {
            refuse(config.name.at, "config");
        }
        if let Some(secret) = component.secrets.first() {
            refuse(secret.name.at, "secrets");
        }
        if let Some(scaler) = component.scalers.first() {
            refuse(scaler.at, "scaler");
        }
        let ignored = component
            .probes
            .iter()
            .map(|probe| probe.at)
            .chain(component.limits.iter().map(|limits| limits.at))
            .chain(component.instances.iter().map(|instances| instances.at))
            .chain(component.grants.iter().map(|grants| grants.at));
        for at in ignored {
            let diagnostic =
                Diagnostic::warning(code::IGNORED_FIELD, "this has no effect on a shared component");
            report.add(at, "", diagnostic.help("remove it"));
        }
    }
}

/// 1.x lets several scalers fight over one component.
pub(super) fn one_scaler_each(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in &draft.components {
        let [first, others @ ..] = component.scalers.as_slice() else { continue };
        for other in others {
            let diagnostic = Diagnostic::error(code::SCALERS, "a component has one scaler at most")
                .label(first.at.span, "the first one")
                .help("put the rules into one scaler as several spreads, or make two components");
            report.add(other.at, "another one", diagnostic);
        }
    }
}

pub(super) fn spreads_can_be_followed(report: &mut Report<'_>, draft: &Draft<'_>) {
    for scaler in draft.components.iter().flat_map(|component| &component.scalers) {
        weights_are_not_all_zero(report, scaler);
        spread_names_are_unique(report, scaler);
    }
}

fn weights_are_not_all_zero(report: &mut Report<'_>, scaler: &DraftScaler<'_>) {
    let zero = |weight: Option<u32>| weight.unwrap_or(Spread::DEFAULT_WEIGHT) == 0;
    if scaler.daemon || scaler.spreads.is_empty() || !scaler.spreads.iter().all(|spread| zero(spread.weight))
    {
        return;
    }
    let at = scaler.spreads.iter().find_map(|spread| spread.name).map_or(scaler.at, |name| name.at);
    let message = "the weights of the spreads sum to 0, so no spread would get an instance";
    let diagnostic = Diagnostic::error(code::SPREADS, message);
    report.add(at, "", diagnostic.help("give at least one spread a weight above 0"));
}

fn spread_names_are_unique(report: &mut Report<'_>, scaler: &DraftScaler<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in scaler.spreads.iter().filter_map(|spread| spread.name) {
        if name.value.is_empty() || name.value.len() > MAX_NAME || name.value.chars().any(char::is_control) {
            let diagnostic = Diagnostic::error(
                code::TEXT,
                "a spread has a name of 1 to 128 bytes without control characters",
            );
            report.add(name.at, "", diagnostic.help("give it a short name"));
        }
        let Some(first) = seen.get(name.value).copied() else {
            seen.insert(name.value, name.at.span);
            continue;
        };
        let message = format!("two spreads are called `{}`", shown(name.value));
        let diagnostic = Diagnostic::error(code::SPREADS, message).label(first, "the first one");
        report.add(name.at, "the second one", diagnostic.help("give one of them another name"));
    }
}

pub(super) fn traits_of_one_kind_are_one(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in &draft.components {
        let probes: Vec<At> = component.probes.iter().map(|probe| probe.at).collect();
        let limits: Vec<At> = component.limits.iter().map(|limits| limits.at).collect();
        let grants: Vec<At> = component.grants.iter().map(|grants| grants.at).collect();
        let instances: Vec<At> = component.instances.iter().map(|instances| instances.at).collect();
        let kinds =
            [(probes, "`probe`"), (limits, "`limits`"), (instances, "`instances`"), (grants, "`grants`")];
        for (places, what) in kinds {
            check_places(report, component, &places, what);
        }
    }
}

fn check_places(report: &mut Report<'_>, component: &DraftComponent<'_>, places: &[At], what: &str) {
    let [first, others @ ..] = places else { return };
    for other in others {
        let diagnostic = Diagnostic::error(code::COUNT, format!("a component has one trait {what} at most"))
            .label(first.span, "the first one");
        report.add(*other, "another one", diagnostic.help("remove one of them"));
    }
    if component.kind == Some(Kind::Capability) {
        let message = format!("the trait {what} has no effect on a capability");
        report.add(*first, "", Diagnostic::warning(code::IGNORED_FIELD, message).help("remove it"));
    }
}

/// 1.x says nothing and starts nothing.
pub(super) fn something_starts_them(report: &mut Report<'_>, draft: &Draft<'_>) {
    for component in &draft.components {
        let own = component.image.is_some() && component.application.is_none();
        if own && component.kind == Some(Kind::Component) && component.scalers.is_empty() {
            let message = "a component without a scaler is never started";
            let diagnostic = Diagnostic::warning(code::NEVER_STARTED, message)
                .help("add a trait `type: spreadscaler` with `properties: { instances: 1 }`");
            report.add(component.at, "", diagnostic);
        }
    }
}
