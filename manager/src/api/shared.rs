//! Components that a manifest takes from other apps: they are there, and their apps share them. What they are stands fixed
//! from then on for the revision that is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use lath_control_api::{ApiError, AppName, ComponentName, ErrorCode, annotation};
use lath_manager_planner::desired::shared_as;
use lath_manager_planner::record::SharedAs;
use lath_manifests::Manifest;
use lath_manifests::manifest::{Component, Kind, Source};

use super::read::unreadable;
use crate::context::Context;
use crate::revisions::Known;

const NOT_SHARED: &str =
    "deploy that app first, with the annotation `experimental.wasmcloud.dev/shared: \"true\"`";

/// What the components of other apps are, where that is not what the manifest alone says. Refuses a manifest that takes one
/// from an app that has none of that name, or does not share it. What is started by hand links to ids, whatever stands
/// behind them or will.
pub(super) async fn resolve(
    context: &Context,
    manifest: &Manifest,
) -> Result<BTreeMap<ComponentName, SharedAs>, ApiError> {
    let mut found = BTreeMap::new();
    if manifest.components.iter().any(is_by_hand) {
        return Ok(found);
    }
    for component in &manifest.components {
        let Source::Shared { app, component: name } = &component.source else { continue };
        let fault = |what: String, help: &str| {
            let message = format!("`{}` is `{name}` of app `{app}`: {what}", component.name);
            ApiError::new(ErrorCode::InvalidManifest, message).with_help(help)
        };
        let Some(known) = of_app(context, app).await? else {
            return Err(fault(format!("there is no app `{app}` that is deployed"), NOT_SHARED));
        };
        let loaded = lath_manifests::load(known.record.manifest.as_bytes());
        let theirs = loaded.ok().map(|loaded| loaded.manifest);
        let Some(theirs) = theirs.filter(|theirs| theirs.shared) else {
            return Err(fault(format!("the app `{app}` does not share its components"), NOT_SHARED));
        };
        let Some((kind, shared)) = shared_as(&theirs, &known.record, name) else {
            let help = "name one of its components, as its manifest calls them";
            return Err(fault(format!("`{app}` has no component `{name}`"), help));
        };
        if kind != component.kind {
            let (it_is, help) = match kind {
                Kind::Component => ("it is a component", "write `type: component`"),
                Kind::Capability => ("it is a capability", "write `type: capability`"),
            };
            return Err(fault(it_is.to_owned(), help));
        }
        let shared = shared?;
        if shared.id != component.id || shared.builtin.is_some() {
            found.insert(component.name.clone(), shared);
        }
    }
    Ok(found)
}

pub(super) fn is_by_hand(component: &Component) -> bool {
    component.other_traits.iter().any(|other| other.properties.get(annotation::BY_HAND).is_some())
}

/// The revision that an app is to be; none when it is not deployed. From the store itself: it may have been deployed just now,
/// by another manager.
async fn of_app(context: &Context, app: &AppName) -> Result<Option<Arc<Known>>, ApiError> {
    let stored = context.records.read(app).await.map_err(|error| unreadable(&error))?;
    let Some(revision) = stored.and_then(|stored| stored.value.revision) else { return Ok(None) };
    Ok(context.records.revisions.get(app, revision).await.ok())
}
