//! `lath migrate`: what was made for wasmCloud 1.x becomes what Lath says today: the old forms of a manifest, the apps
//! that wadm keeps, and the links and configs that hosts keep.
//!
//! A manifest keeps its text, and buckets of 1.x are only read.

mod lattice;
mod order;
mod stored;

use std::path::{Path, PathBuf};

use clap::Args;
use lath_manifests::Diagnostic;
use lath_manifests::migrate::{Migrated, migrate as rewritten};
use serde::Serialize;

use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::manifest_file::ManifestFile;
use crate::output::{Document, clean, tell};

const AFTER_HELP: &str = "\
    Of a manifest the old forms are rewritten in its own text (`actor`, `provider`, `replicas`, `source_config`, `target_config`, a \
    link target that is only a name); what stands beside them stays, comments too. --from-wadm takes every version of every app \
    that wadm keeps for this lattice over into Lath, deploys nothing unless --deploy is given (then apps that share components \
    before those that take them), and changes nothing in wadm's buckets; doing it again is harmless. Stop wadm first: two managers of one lattice undo each other's work. --from-1x \
    takes over the links and named configs that hosts of 1.x keep for this lattice, after --from-wadm, since what belongs to a \
    manifest is left to it; it starts nothing, and changes nothing in their buckets.";

/// Arguments of `lath migrate`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MigrateArgs {
    /// Manifest; `-` is standard input. Its new text goes to standard output
    #[arg(value_name = "FILE", required_unless_present_any = ["from_wadm", "from_1x"], conflicts_with_all = ["from_wadm", "from_1x"])]
    file: Option<PathBuf>,
    /// Write the new text into the file
    #[arg(long, requires = "file")]
    write: bool,
    /// Take over the apps that wadm keeps
    #[arg(long)]
    from_wadm: bool,
    /// Take over the links and named configs of the lattice
    #[arg(long, conflicts_with = "from_wadm")]
    from_1x: bool,
    /// Deploy what is deployed by wadm, too
    #[arg(long, requires = "from_wadm")]
    deploy: bool,
    /// Bucket of wadm's manifests
    #[arg(long, value_name = "NAME", default_value = stored::MANIFESTS, requires = "from_wadm")]
    manifest_bucket: String,
    /// Bucket of what wadm has seen of the lattice
    #[arg(long, value_name = "NAME", default_value = stored::STATE, requires = "from_wadm")]
    state_bucket: String,
}

/// Rewrites a manifest, or takes over what wadm keeps.
pub(crate) async fn migrate(args: MigrateArgs, call: &Call) -> Result<Exit, Failure> {
    match &args.file {
        Some(path) => file(path, args.write, call),
        None if args.from_1x => Box::pin(lattice::take_over(call)).await,
        None => {
            let buckets = stored::Buckets { manifests: args.manifest_bucket, state: args.state_bucket };
            Box::pin(stored::take_over(&buckets, args.deploy, call)).await
        }
    }
}

/// The document.
#[derive(Debug, Serialize)]
struct MigratedManifest<'a> {
    file: &'a str,
    changed: bool,
    manifest: &'a str,
    changes: &'a [Diagnostic],
    notes: &'a [Diagnostic],
}

fn file(path: &Path, write: bool, call: &Call) -> Result<Exit, Failure> {
    if write && path == Path::new("-") {
        return Err(Failure::new(Exit::Usage, "--write needs a file").help("lath migrate - > FILE"));
    }
    let file = ManifestFile::read(path)?;
    let dot = call.out.glyphs.pick("·", "-");
    let migrated = rewritten(file.text().as_bytes()).map_err(|found| file.refused(&found, dot))?;
    let text = text(&migrated)?;
    let changed = !migrated.changes.is_empty();
    tell_of(&file.name, &migrated, call);
    if write && changed {
        std::fs::write(path, &text).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let Migrated { changes, notes, .. } = &migrated;
    let document = MigratedManifest { file: &file.name, changed, manifest: &text, changes, notes };
    if call.out.format.is_machine() {
        call.out.print(&Document::new("MigratedManifest", &document), |_wide| String::new())?;
    } else if !write {
        call.out.write_exactly(&text)?;
    }
    Ok(Exit::Done)
}

/// The new text: the old one with its old forms rewritten, or all of it anew, in the language that it was in.
fn text(migrated: &Migrated) -> Result<String, Failure> {
    match &migrated.text {
        Some(text) => Ok(text.clone()),
        None => serde_saphyr::to_string(&migrated.value)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write YAML: {error}"))),
    }
}

fn tell_of(name: &str, migrated: &Migrated, call: &Call) {
    let line = |found: &Diagnostic| {
        let at = found.labels.first().map(|label| format!(":{}", label.span.line)).unwrap_or_default();
        let help = found.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        clean(&format!("{name}{at}: {}{help}", found.message))
    };
    for change in &migrated.changes {
        call.out.say(&format!("rewritten  {}", line(change)));
    }
    for note in &migrated.notes {
        call.out.say(&format!("note       {}", line(note)));
    }
    match (migrated.changes.len(), &migrated.text) {
        (0, _) => call.out.say(&format!("{name} has no old forms")),
        (_, Some(_)) => {}
        // Said in any case: something is lost.
        (_, None) => tell(&format!(
            "{name}: its old forms stand so that all of it was written anew; its comments and its order are lost"
        )),
    }
}
