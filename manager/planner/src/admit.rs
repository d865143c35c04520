//! What apps may not share: component ids and HTTP routes. Checked when a change is asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use lath_control_api::{ApiError, ErrorCode};

use crate::desired::AppSpec;

/// Refuses `new` when another app has one of its ids or routes, or when a component changes its id.
///
/// `others` are the revisions that other apps run or are going to; `own` are those of the app itself. `default`
/// is where hosts listen for routes without an address, when they say so.
///
/// # Errors
/// Names what is taken and by whom.
pub fn admit(
    new: &AppSpec,
    own: &[Arc<AppSpec>],
    others: &[Arc<AppSpec>],
    default: Option<SocketAddr>,
) -> Result<(), ApiError> {
    for other in others.iter().filter(|other| other.app != new.app) {
        same_id(new, other)?;
        same_route(new, other, default)?;
    }
    own.iter().try_for_each(|old| moved_id(new, old))
}

fn same_id(new: &AppSpec, other: &AppSpec) -> Result<(), ApiError> {
    for (name, component) in &new.components {
        if let Some((theirs, _)) = other.components.iter().find(|(_, their)| their.id == component.id) {
            return Err(ApiError::new(
                ErrorCode::IdTaken,
                format!(
                    "component id `{}` of `{name}` is taken by `{theirs}` of app `{}`",
                    component.id, other.app
                ),
            )
            .with_help("give the component another `id`"));
        }
    }
    Ok(())
}

fn same_route(new: &AppSpec, other: &AppSpec, default: Option<SocketAddr>) -> Result<(), ApiError> {
    for route in new.routes() {
        if other.routes().any(|theirs| theirs.collides(route, default)) {
            return Err(ApiError::new(
                ErrorCode::RouteTaken,
                format!("the HTTP route {} is taken by app `{}`", route.describe(), other.app),
            )
            .with_help("give the link another `address`, or its own `path` or `host`"));
        }
    }
    Ok(())
}

/// Hosts know a component by its id, people by its name, and one host may be told of both revisions at once: a
/// name keeps its id, and an id keeps its name.
fn moved_id(new: &AppSpec, old: &AppSpec) -> Result<(), ApiError> {
    let conflict =
        |message: String, help: &str| Err(ApiError::new(ErrorCode::Conflict, message).with_help(help));
    for (name, component) in &new.components {
        let id = &component.id;
        if let Some(before) = old.components.get(name).filter(|before| before.id != *id) {
            let message = format!("component `{name}` has the id `{}` and cannot become `{id}`", before.id);
            return conflict(message, "rename the component as well, or keep its id");
        }
        if let Some((before, _)) =
            old.components.iter().find(|(old, before)| *old != name && before.id == *id)
        {
            let message =
                format!("the id `{id}` of component `{name}` is that of `{before}` in what runs now");
            return conflict(message, "give the component an `id` of its own, or keep its name");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
