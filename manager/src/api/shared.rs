//! Components that a manifest takes from other apps: they are there, and their apps share them.

use lath_control_api::{ApiError, AppName, ErrorCode, annotation};
use lath_manager_planner::AppSpec;
use lath_manifests::Manifest;
use lath_manifests::manifest::{Component, Kind, Source};

use crate::context::Context;
use crate::records::Slot;

/// Refuses a manifest that takes a component from an app that has none of that id, or does not share it. What is started
/// by hand links to ids, whatever stands behind them or will.
pub(super) async fn are_there(context: &Context, manifest: &Manifest) -> Result<(), ApiError> {
    if manifest.components.iter().any(is_by_hand) {
        return Ok(());
    }
    for component in &manifest.components {
        if let (Source::Shared { app, component: name }, Kind::Component) =
            (&component.source, component.kind)
        {
            let found = of_app(context, app).await;
            let fault = match &found {
                None => format!("there is no app `{app}`"),
                Some((_, false)) => format!("the app `{app}` does not share its components"),
                Some((spec, true)) => match spec.components.values().find(|plan| plan.id == component.id) {
                    Some(_) => continue,
                    None => format!("`{app}` has no component with the id `{}`", component.id),
                },
            };
            let message = format!("`{}` is `{name}` of app `{app}`: {fault}", component.name);
            return Err(ApiError::new(ErrorCode::InvalidManifest, message).with_help(
                "deploy that app first, with the annotation `experimental.wasmcloud.dev/shared: \"true\"`; where its manifest writes an `id`, write the same here",
            ));
        }
    }
    Ok(())
}

fn is_by_hand(component: &Component) -> bool {
    component.other_traits.iter().any(|other| other.properties.get(annotation::BY_HAND).is_some())
}

/// What an app is to be, and whether it shares that.
async fn of_app(context: &Context, app: &AppName) -> Option<(std::sync::Arc<AppSpec>, bool)> {
    let apps = context.records.apps();
    let Slot::Sound(stored) = apps.slots.get(app)? else { return None };
    let known = context.records.revisions.get(app, stored.value.revision?).await.ok()?;
    let shares =
        lath_manifests::load(known.record.manifest.as_bytes()).is_ok_and(|loaded| loaded.manifest.shared);
    Some((std::sync::Arc::clone(known.spec.as_ref().ok()?), shares))
}
