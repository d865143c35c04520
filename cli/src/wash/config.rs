//! `lath config`: named configs of the lattice, which what is started by hand refers to.

use clap::Args;
use lath_wasmcloud::NamedConfig;
use lath_wasmcloud::subject::Control;
use serde_json::json;

use super::{Lattice, PatienceArgs, pair};
use crate::call::Call;
use crate::failure::{Exit, Failure};

/// Arguments of `lath config put`.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The config's name
    name: String,
    /// Its pairs
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Arguments of `lath config get` and `lath config del`.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The config's name
    name: String,
    #[command(flatten)]
    patience: PatienceArgs,
}

pub(super) async fn put(args: PutArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let name = checked(&args.name)?;
    let values: NamedConfig = args.pairs.into_iter().collect();
    lattice.tell(Control::PutConfig(name), &values).await?;
    said(call, &format!("Configuration '{name}' put successfully."))
}

pub(super) async fn get(args: NameArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let name = checked(&args.name)?;
    let found: Option<NamedConfig> = lattice.ask(Control::Config(name), Vec::new()).await?.response;
    let Some(values) = found else {
        return Err(Failure::new(Exit::NotFound, format!("No configuration found for name: {name}")));
    };
    call.out.print_bare(&json!(values), || {
        values.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    })?;
    Ok(Exit::Done)
}

pub(super) async fn delete(args: NameArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let name = checked(&args.name)?;
    lattice.ask::<serde_json::Value>(Control::DeleteConfig(name), Vec::new()).await?;
    said(call, &format!("configuration '{name}' deleted successfully."))
}

fn said(call: &Call, message: &str) -> Result<Exit, Failure> {
    call.out.print_bare(&json!({ "message": message, "success": true }), || format!("{message}\n"))?;
    Ok(Exit::Done)
}

/// A name is a part of a subject.
fn checked(name: &str) -> Result<&str, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '/');
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(name);
    }
    let message = format!("`{}` cannot be the name of a config", name.escape_debug());
    Err(Failure::new(Exit::Usage, message).help("letters, digits, `-`, `_`, `=` and `/`"))
}
