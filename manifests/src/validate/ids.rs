//! Names that are made from other names, as 1.x makes them.
//!
//! Every tool of the 1.x world computes these by itself, so they never change.

use lath_control_api::{AppName, ComponentId, ComponentName};

use crate::draft::{Draft, DraftComponent, DraftConfig};

/// The app's name, when it is one.
pub(super) fn app(draft: &Draft<'_>) -> Option<AppName> {
    draft.name?.value.parse().ok()
}

/// A component's name, when it is one.
pub(super) fn name(component: &DraftComponent<'_>) -> Option<ComponentName> {
    component.name?.value.parse().ok()
}

/// The id of a component: the one written, else of a shared one what the other app generates, else `{app}-{name}`.
pub(super) fn component(draft: &Draft<'_>, component: &DraftComponent<'_>) -> Option<ComponentId> {
    if let Some(id) = component.id {
        return id.value.parse().ok();
    }
    if let Some(shared) = component.application {
        let app = shared.value.app?.value.parse().ok()?;
        let name = shared.value.component?.value.parse().ok()?;
        return ComponentId::generated(&app, &name).ok();
    }
    ComponentId::generated(&app(draft)?, &name(component)?).ok()
}

/// The key of a configuration in the lattice's store: `{app}-{name}` when the app owns it, else as written.
pub(super) fn config_key(app: &AppName, config: &DraftConfig<'_>) -> String {
    match config.properties {
        Some(_) => joined(app, config.name.value),
        None => config.name.value.to_owned(),
    }
}

/// The key of a stored reference to a secret.
pub(super) fn secret_key(app: &AppName, name: &str) -> String {
    format!("SECRET_{}", joined(app, name))
}

fn joined(app: &AppName, name: &str) -> String {
    let normal = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
    };
    format!("{}-{}", normal(app.as_str()), normal(name))
}
