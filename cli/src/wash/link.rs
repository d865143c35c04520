//! `lath link put|del`: links of what was started by hand.

use clap::Args;
use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{DEFAULT_LINK, DeleteLink, Link};
use serde_json::json;

use super::{Lattice, PatienceArgs};
use crate::call::Call;
use crate::failure::{Exit, Failure};

/// Arguments of `lath link put`.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Who calls
    #[arg(value_name = "SOURCE")]
    source_id: String,
    /// Who answers
    target: String,
    /// Namespace of the interfaces, such as `wasi`
    #[arg(value_name = "NAMESPACE")]
    wit_namespace: String,
    /// Their package, such as `http`
    #[arg(value_name = "PACKAGE")]
    wit_package: String,
    /// Name of an interface; may be given several times
    #[arg(long = "interface", required = true, value_name = "NAME")]
    interfaces: Vec<String>,
    /// Name of a config for the source; may be given several times
    #[arg(long = "source-config", value_name = "NAME")]
    source_config: Vec<String>,
    /// Name of a config for the target; may be given several times
    #[arg(long = "target-config", value_name = "NAME")]
    target_config: Vec<String>,
    /// Name of the link
    #[arg(short = 'l', long, value_name = "NAME", default_value = DEFAULT_LINK)]
    link_name: String,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath link del`.
#[derive(Debug, Args)]
pub(crate) struct DelArgs {
    /// Who calls
    #[arg(value_name = "SOURCE")]
    source_id: String,
    /// Namespace of the interfaces
    #[arg(value_name = "NAMESPACE")]
    wit_namespace: String,
    /// Their package
    #[arg(value_name = "PACKAGE")]
    wit_package: String,
    /// Name of the link
    #[arg(short = 'l', long, value_name = "NAME", default_value = DEFAULT_LINK)]
    link_name: String,
    #[command(flatten)]
    patience: PatienceArgs,
}

pub(super) async fn put(args: PutArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let link = Link {
        source_id: args.source_id,
        target: args.target,
        name: args.link_name,
        wit_namespace: args.wit_namespace,
        wit_package: args.wit_package,
        interfaces: args.interfaces,
        source_config: args.source_config,
        target_config: args.target_config,
    };
    lattice.tell(Control::PutLink, &link).await?;
    let said = json!({ "source_id": link.source_id, "target": link.target, "success": true });
    let (package, source, target) =
        (format!("{}:{}", link.wit_namespace, link.wit_package), link.source_id, link.target);
    call.out.print_bare(&said, || {
        format!("Published link ({source}) -> ({target}) for {package} successfully\n")
    })?;
    Ok(Exit::Done)
}

pub(super) async fn delete(args: DelArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let (source_id, name) = (args.source_id, args.link_name);
    let (wit_namespace, wit_package) = (args.wit_namespace, args.wit_package);
    let ask = DeleteLink { source_id, name, wit_namespace, wit_package };
    lattice.tell(Control::DeleteLink, &ask).await?;
    let said = json!({
        "source_id": ask.source_id, "wit_namespace": ask.wit_namespace, "wit_package": ask.wit_package,
        "link_name": ask.name, "success": true,
    });
    let DeleteLink { source_id, name, wit_namespace, wit_package } = ask;
    call.out.print_bare(&said, || {
        format!("Deleted link for {source_id} on {wit_namespace}:{wit_package} ({name}) successfully\n")
    })?;
    Ok(Exit::Done)
}
