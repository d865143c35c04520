//! `lath revision`: names that people give to revisions.
//!
//! A tag stands for one revision of an app at a time; giving it to another takes it away from the first.

use clap::{Args, Subcommand};
use lath_control_api::app::{TagRequest, Tags};
use lath_control_api::{AppName, AppVerb, ErrorCode};

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Document, Output, table};
use crate::reference::{RevisionName, Tag};

/// The commands of `lath revision`.
#[derive(Debug, Subcommand)]
pub(crate) enum RevisionCommand {
    /// Give a revision a name
    Tag(TagArgs),
    /// Take a name away
    Untag(UntagArgs),
    /// List the names of an app's revisions
    Tags(TagsArgs),
}

/// Arguments of `lath revision tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The app
    app: AppName,
    /// The revision, by number or by another tag
    #[arg(value_name = "REV")]
    revision: RevisionName,
    /// The name: 1 to 64 letters, digits, `-`, `_` and `.`, not only digits
    tag: Tag,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `lath revision untag`.
#[derive(Debug, Args)]
pub(crate) struct UntagArgs {
    /// The app
    app: AppName,
    /// The name
    tag: Tag,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `lath revision tags`.
#[derive(Debug, Args)]
pub(crate) struct TagsArgs {
    /// The app
    app: AppName,
}

/// Carries a command out.
pub(crate) async fn revision(command: RevisionCommand, call: &Call) -> Result<Exit, Failure> {
    match command {
        RevisionCommand::Tag(args) => tag(args, call).await,
        RevisionCommand::Untag(args) => untag(args, call).await,
        RevisionCommand::Tags(args) => tags(args, call).await,
    }
}

async fn tag(args: TagArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let revision = args.revision.number(&session, &args.app).await?;
    let before = known(&session, &args.app).await?.tags.get(args.tag.as_str()).copied();
    let text = match before {
        Some(before) if before == revision => {
            format!("Unchanged: {} is revision {revision}", args.tag.as_str())
        }
        Some(before) => format!("{} is now revision {revision}, and no longer {before}", args.tag.as_str()),
        None => format!("{} is now revision {revision}", args.tag.as_str()),
    };
    let ask = TagRequest {
        app: args.app,
        tag: args.tag.as_str().to_owned(),
        revision: Some(revision),
        dry_run: args.dry_run,
    };
    change(&session, &ask, &text, call).await
}

/// A name that nothing has need not be taken away.
async fn untag(args: UntagArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let text = match known(&session, &args.app).await?.tags.get(args.tag.as_str()) {
        Some(revision) => format!("{} no longer stands for revision {revision}", args.tag.as_str()),
        None => format!("Unchanged: no revision has the tag {}", args.tag.as_str()),
    };
    let ask = TagRequest {
        app: args.app,
        tag: args.tag.as_str().to_owned(),
        revision: None,
        dry_run: args.dry_run,
    };
    change(&session, &ask, &text, call).await
}

async fn tags(args: TagsArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let tags = known(&session, &args.app).await?;
    if tags.tags.is_empty() {
        call.out.say(&format!(
            "no revision of {} has a tag; give one with: lath revision tag {} REV TAG",
            tags.app, tags.app
        ));
    }
    print(&tags, call, |out| tags_table(&tags, out))?;
    Ok(Exit::Done)
}

/// The tags of an app; an unknown app is an error with near names.
async fn known(session: &Session, app: &AppName) -> Result<Tags, Failure> {
    match near::history(session, app).await {
        Ok(history) => Ok(Tags { app: history.app, tags: history.tags }),
        Err(failure) => Err(near::app(session, app, failure).await),
    }
}

async fn change(session: &Session, ask: &TagRequest, text: &str, call: &Call) -> Result<Exit, Failure> {
    let dot = call.out.glyphs.pick("·", "-");
    call.out.say(&format!("Lattice {} {dot} app {}", session.target.lattice, ask.app));
    let tags: Tags = match session.change(AppVerb::Tag, ask).await {
        Ok(tags) => tags,
        // The revision may be older than what is kept.
        Err(failure) if failure.code.as_deref() == Some(ErrorCode::NotFound.as_str()) => {
            return Err(near::revision(session, &ask.app, failure).await);
        }
        Err(failure) => return Err(failure),
    };
    let dry = if ask.dry_run { " (dry run: nothing was changed)" } else { "" };
    print(&tags, call, |_out| format!("{text}{dry}\n"))?;
    Ok(Exit::Done)
}

fn print(tags: &Tags, call: &Call, text: impl FnOnce(&Output) -> String) -> Result<(), Failure> {
    let document = Document::new("Tags", tags).names(tags.tags.keys().cloned());
    call.out.print(&document, |_wide| text(&call.out))
}

fn tags_table(tags: &Tags, out: &Output) -> String {
    let rows = tags.tags.iter().map(|(tag, revision)| vec![tag.clone(), revision.to_string()]);
    table(out.headers, &["TAG", "REV"], rows.collect())
}
