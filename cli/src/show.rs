//! `lath show`: a revision as it was accepted, its manifest byte for byte.
//!
//! Nothing is added to the manifest; what else is known of the revision is in the machine forms.

use clap::Args;
use lath_control_api::AppVerb;
use lath_control_api::app::{RevisionRequest, RevisionShown};

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Document, Format};
use crate::reference::Reference;

/// Arguments of `lath show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// APP for the deployed revision, APP@REV or APP@TAG for another
    #[arg(value_name = "APP[@REV]")]
    revision: Reference,
}

/// Prints the manifest of a revision, or all that is known of it.
pub(crate) async fn show(args: ShowArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let shown = read(&session, &args.revision).await?;
    match call.out.format {
        Format::Table | Format::Wide => call.out.write_exactly(&shown.manifest)?,
        Format::Json | Format::Yaml | Format::Ndjson | Format::Name => {
            let name = format!("{}@{}", shown.app, shown.revision);
            call.out.print(&Document::new("Revision", &shown).names([name]), |_wide| String::new())?;
        }
    }
    Ok(Exit::Done)
}

async fn read(session: &Session, reference: &Reference) -> Result<RevisionShown, Failure> {
    let app = &reference.app;
    let revision = match &reference.revision {
        Some(name) => Some(name.number(session, app).await?),
        None => None,
    };
    let ask = RevisionRequest { app: app.clone(), revision };
    match session.ask(AppVerb::Show, &ask).await {
        Ok(shown) => Ok(shown),
        Err(failure) => Err(near::revision(session, app, failure).await),
    }
}
