//! Components of other apps: what one is for an app that takes it, and what follows from links that begin at one.
//!
//! A link that begins at the HTTP server of another app is a route of the app that has the link: it gets a server of its own
//! with the settings of the other one, on the hosts where that may be. Nothing else that another app runs is told of
//! links of this one (decision 0025).

use std::collections::BTreeMap;

use lath_control_api::{
    ApiError, AppName, Builtin, ComponentId, ComponentName, ErrorCode, LinkSpec, Requirements, Workload,
};
use lath_manifests::Manifest;
use lath_manifests::manifest::{Component, Kind, Scaling, Source, Spread};

use super::ComponentPlan;
use super::expand::{Expander, Runs, is_nothing, merge, scaled, unsupported};
use super::http::names_no;
use crate::placement::shares;
use crate::record::{RevisionRecord, SharedAs};

/// What a component of `manifest` is for an app that takes it from here; none when there is no such component.
///
/// # Errors
/// Within, as [`super::expand`] of this manifest would have.
#[must_use]
pub fn shared_as(
    manifest: &Manifest,
    record: &RevisionRecord,
    name: &ComponentName,
) -> Option<(Kind, Result<SharedAs, ApiError>)> {
    let component = manifest.component(name).filter(|component| !is_elsewhere(component))?;
    let expander = Expander { manifest, record };
    let builtin = expander.workload(component).map(|workload| workload.builtin());
    let shared = builtin.and_then(|builtin| {
        let config = match builtin {
            Some(_) => merge(&record.pinned, &component.config)?,
            None => BTreeMap::new(),
        };
        let spreads = match builtin {
            Some(Builtin::HttpServer) => {
                spreads(&scaled(&component.scaling, record.scale.get(name).copied()))
            }
            Some(Builtin::KeyvalueMemory | Builtin::KeyvalueNats) | None => BTreeMap::new(),
        };
        Ok(SharedAs { id: component.id.clone(), builtin, config, spreads })
    });
    Some((component.kind, shared))
}

/// The hosts that a capability may be on.
fn spreads(scaling: &Scaling) -> BTreeMap<String, Requirements> {
    let named = |spread: &Spread| (spread.name.clone(), spread.requirements.clone());
    match scaling {
        Scaling::None | Scaling::Daemon { instances: 0, .. } => BTreeMap::new(),
        Scaling::Daemon { spreads, .. } => spreads.iter().map(named).collect(),
        Scaling::Spread { instances, spreads } => {
            let used = shares(*instances, spreads).into_iter().filter(|(_, share)| *share > 0);
            used.map(|(spread, _)| named(spread)).collect()
        }
    }
}

/// A component or capability that another app runs.
pub(super) const fn is_elsewhere(component: &Component) -> bool {
    matches!(component.source, Source::Shared { .. })
}

impl Expander<'_> {
    /// What this app runs for its links that begin at `component`, which `owner` runs; none where there are none.
    pub(super) fn begun_at(
        &self,
        component: &Component,
        owner: &AppName,
    ) -> Result<Option<ComponentPlan>, ApiError> {
        let is_something = |target: &ComponentName| {
            !self.manifest.component(target).is_some_and(|target| is_nothing(component, target))
        };
        if !component.links.iter().any(|link| is_something(&link.target)) {
            return Ok(None);
        }
        let known = self.record.pinned.shared.get(&component.name);
        match known.and_then(|known| Some((known.builtin?, known))) {
            Some((builtin @ Builtin::HttpServer, known)) if component.kind == Kind::Capability => {
                self.server(component, owner, builtin, known).map(Some)
            }
            other => Err(begins_elsewhere(component, owner, other.map(|(builtin, _)| builtin))),
        }
    }

    /// The HTTP server of `owner` as this app has it: with routes of its own.
    fn server(
        &self,
        component: &Component,
        owner: &AppName,
        builtin: Builtin,
        known: &SharedAs,
    ) -> Result<ComponentPlan, ApiError> {
        if known.spreads.is_empty() {
            let message =
                format!("`{}` is the HTTP server of app `{owner}`, which runs it nowhere", component.name);
            return Err(ApiError::new(ErrorCode::Unsatisfiable, message)
                .with_help("give it `instances` in the manifest of that app, and deploy that first"));
        }
        // On every host that the other one may be on: which of them it is on changes without this app.
        let over =
            |(name, requirements): (&String, &Requirements)| Spread::over(name.clone(), requirements.clone());
        let runs = Runs {
            id: self.own_id(component)?,
            workload: Workload::Builtin { builtin, reference: builtin.to_string() },
            config: known.config.clone(),
            scaling: Scaling::Daemon { instances: 1, spreads: known.spreads.iter().map(over).collect() },
        };
        let plan = self.planned(component, runs)?;
        // In a manifest that has both, the rules of manifests say so, with the place.
        if let Some((mode, link)) = names_no(&plan.spec.config, &plan.spec.links) {
            return Err(no_way(component, owner, mode, link));
        }
        Ok(plan)
    }

    /// The id that `component` would have if it were this app's own: that of the other app stays with that.
    fn own_id(&self, component: &Component) -> Result<ComponentId, ApiError> {
        let generated = |name: &ComponentName| ComponentId::generated(&self.manifest.name, name);
        let refused = |message: String| {
            ApiError::new(ErrorCode::InvalidManifest, message)
                .with_help("give it another name in the manifest")
        };
        let name = &component.name;
        let id =
            generated(name).map_err(|error| refused(format!("`{name}` cannot have an id here: {error}")))?;
        let has_it = |other: &&Component| {
            let theirs = match other.source {
                Source::Image(_) => Some(other.id.clone()),
                Source::Shared { .. } => generated(&other.name).ok().filter(|_| !other.links.is_empty()),
            };
            other.name != *name && theirs.as_ref() == Some(&id)
        };
        match self.manifest.components.iter().find(has_it) {
            Some(other) => {
                Err(refused(format!("`{name}` and `{}` would both have the id `{id}`", other.name)))
            }
            None => Ok(id),
        }
    }
}

fn begins_elsewhere(component: &Component, owner: &AppName, builtin: Option<Builtin>) -> ApiError {
    let name = &component.name;
    match (component.kind, builtin) {
        (Kind::Component, _) => unsupported(format!("`{name}` belongs to app `{owner}` and has links here"))
            .with_help("write the links into the manifest of that app"),
        (Kind::Capability, Some(builtin)) => unsupported(format!(
            "`{name}` is {builtin} of app `{owner}`, which calls nobody, and has links here"
        ))
        .with_help(format!("give the component the link, with `{name}` as its target")),
        (Kind::Capability, None) => unsupported(format!(
            "`{name}` is a provider of app `{owner}`, and no link of another app begins at it"
        ))
        .with_help(format!(
            "give this app a capability of its own with that image; or write the link into the manifest of \
                     `{owner}`, to a component that this app shares"
        )),
    }
}

fn no_way(component: &Component, owner: &AppName, mode: &str, link: &LinkSpec) -> ApiError {
    let message = format!(
        "`{}` of app `{owner}` routes by {mode}, and the link to `{}` names no `{mode}`",
        component.name, link.target_name
    );
    ApiError::new(ErrorCode::InvalidManifest, message)
        .with_help(format!("add `{mode}: …` to a configuration of the link's `source`"))
}

#[cfg(test)]
mod tests;
