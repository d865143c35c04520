//! `lath scale`: another number of instances for a component, until a manifest is deployed again.
//!
//! The change is a revision of its own, and waited for like any other.

use std::str::FromStr;

use clap::{Args, Subcommand};
use lath_control_api::app::ScaleRequest;
use lath_control_api::{AppName, AppVerb, ComponentName, IdError, Revision};

use crate::args::{CauseArgs, WaitArgs, revision_or_none};
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::wait::Change;
use crate::wash;
use crate::work::{Work, cause};

/// Arguments of `lath scale`: of an app's component, or of one that was started by hand.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ScaleCommand {
    #[command(subcommand)]
    verb: Option<ScaleVerb>,
    #[command(flatten)]
    args: ScaleArgs,
}

/// What of `wash` has this name.
#[derive(Debug, Subcommand)]
enum ScaleVerb {
    /// A component that was started by hand, on one host
    Component(wash::ScaleComponentArgs),
}

/// Arguments of `lath scale APP/COMPONENT N`.
#[derive(Debug, Args)]
struct ScaleArgs {
    /// The component
    #[arg(value_name = "APP/COMPONENT", required = true)]
    component: Option<OfApp>,
    /// Instances over all hosts
    #[arg(value_name = "N", required = true, value_parser = clap::value_parser!(u32).range(1..))]
    instances: Option<u32>,
    /// Refuse when the deployed revision is another one
    #[arg(long, value_name = "REV", value_parser = revision_or_none)]
    if_revision: Option<Revision>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cause: CauseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// A component of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfApp {
    app: AppName,
    component: ComponentName,
}

impl FromStr for OfApp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (app, component) = text.split_once('/').ok_or("an app and a component of it: APP/COMPONENT")?;
        let wrong = |error: IdError| error.to_string();
        Ok(Self { app: app.parse().map_err(wrong)?, component: component.parse().map_err(wrong)? })
    }
}

/// Scales a component of an app, or one without.
pub(crate) async fn command(command: ScaleCommand, call: &Call) -> Result<Exit, Failure> {
    match command.verb {
        Some(ScaleVerb::Component(args)) => wash::scale(args, call).await,
        None => scale(command.args, call).await,
    }
}

async fn scale(args: ScaleArgs, call: &Call) -> Result<Exit, Failure> {
    // Both are required where no verb of `wash` stands in their place.
    let (Some(OfApp { app, component }), Some(instances)) = (args.component, args.instances) else {
        return Err(Failure::new(Exit::Usage, "no component and number are named").help("lath help scale"));
    };
    let session = call.session().await?;
    let work = Work::begin(call, &session, &app, Change::Scale, args.wait.into()).await;
    let ask = ScaleRequest {
        app,
        component,
        instances,
        cause: cause(args.cause),
        if_revision: args.if_revision,
        dry_run: args.dry_run,
    };
    match session.change(AppVerb::Scale, &ask).await {
        Ok(reply) => work.finish(reply, ask.dry_run).await,
        Err(failure) => Err(absent(&session, &ask, failure).await),
    }
}

/// The failure with the nearest app or component, when one of them is not there.
async fn absent(session: &Session, ask: &ScaleRequest, failure: Failure) -> Failure {
    if !near::is_absent(&failure) {
        return failure;
    }
    let Ok(status) = crate::rollout::status(session, &ask.app).await else {
        return near::app(session, &ask.app, failure).await;
    };
    let names: Vec<&str> = status.components.iter().map(|one| one.component.as_str()).collect();
    if names.contains(&ask.component.as_str()) {
        return failure;
    }
    near::instead(failure, "components", ask.component.as_str(), &names, &format!("lath status {}", ask.app))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_named_with_its_app() {
        let named: OfApp = "shop/cart.v2".parse().unwrap();
        assert_eq!((named.app.as_str(), named.component.as_str()), ("shop", "cart.v2"));
        for wrong in ["shop", "shop/", "/cart", "a.b/cart", "shop/cart/x"] {
            assert!(wrong.parse::<OfApp>().is_err(), "{wrong}");
        }
    }
}
