//! What the names of a manifest stand for that lead out of it, decided once, when a revision is made: the lattice's own
//! configs, and components of other apps.

use std::collections::BTreeMap;

use lath_control_api::{ApiError, ErrorCode};
use lath_manager_planner::desired::no_config;
use lath_manager_planner::record::Pinned;
use lath_manifests::Manifest;
use lath_manifests::manifest::ConfigUse;

use super::shared;
use crate::context::Context;

/// Looks up what leads out of `manifest`.
///
/// # Errors
/// Names the first thing that is not there.
pub(super) async fn pin(context: &Context, manifest: &Manifest) -> Result<Pinned, ApiError> {
    let shared = shared::resolve(context, manifest).await?;
    let mut configs = BTreeMap::new();
    for name in foreign_configs(manifest) {
        if configs.contains_key(name) {
            continue;
        }
        let found = context.kept.config(name).await.map_err(|why| {
            ApiError::new(
                ErrorCode::StoreUnavailable,
                format!("the configuration `{name}` cannot be read: {why}"),
            )
            .with_help("nothing was changed; check NATS and JetStream: lath doctor")
        })?;
        configs.insert(name.to_owned(), found.ok_or_else(|| no_config(name))?.values);
    }
    Ok(Pinned { configs, shared })
}

/// Names of the configs that are the lattice's and not the app's.
fn foreign_configs(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let uses = manifest.components.iter().flat_map(|component| {
        let of_links =
            component.links.iter().flat_map(|link| link.source_config.iter().chain(&link.target_config));
        component.config.iter().chain(of_links)
    });
    uses.filter(|config: &&ConfigUse| config.properties.is_none()).map(|config| config.name.as_str())
}
