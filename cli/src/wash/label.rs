//! `lath label`: labels of a host that runs.

use clap::Args;
use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{DeleteLabel, PutLabel};
use serde_json::json;

use super::{Lattice, PatienceArgs};
use crate::call::Call;
use crate::failure::{Exit, Failure};

/// Arguments of `lath label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The host: its id, the beginning of its id, or its name
    #[arg(value_name = "HOST")]
    host_id: String,
    /// Labels to set, or with --delete those to remove, with commas between them
    #[arg(required = true, value_name = "KEY=VALUE", value_delimiter = ',')]
    labels: Vec<String>,
    /// Remove them
    #[arg(short, long)]
    delete: bool,
    #[command(flatten)]
    patience: PatienceArgs,
}

pub(super) async fn label(args: LabelArgs, call: &Call) -> Result<Exit, Failure> {
    let lattice = Lattice::open(call, args.patience).await?;
    let host = lattice.host(&args.host_id).await?;
    let mut processed = Vec::new();
    for label in &args.labels {
        let (key, value) = match label.split_once('=') {
            Some((key, value)) => {
                (key.to_owned(), if args.delete { String::new() } else { value.to_owned() })
            }
            None if args.delete => (label.clone(), String::new()),
            None => {
                return Err(Failure::new(Exit::Usage, format!("`{}` is no KEY=VALUE", label.escape_debug())));
            }
        };
        if args.delete {
            lattice.tell(Control::DeleteLabel(&host), &DeleteLabel { key: key.clone() }).await?;
        } else {
            let (key, value) = (key.clone(), value.clone());
            lattice.tell(Control::PutLabel(&host), &PutLabel { key, value }).await?;
        }
        processed.push((key, value));
    }
    let said = json!({ "processed": processed, "deleted": args.delete, "success": true });
    let word = if args.delete { "deleted from" } else { "added to" };
    call.out.print_bare(&said, || {
        let names: Vec<&str> = processed.iter().map(|(key, _)| key.as_str()).collect();
        format!("{} {word} {host}\n", names.join(", "))
    })?;
    Ok(Exit::Done)
}
