//! Building the guest components, each in the versions that demos and tests need. Which variants there are stands
//! in one table here, those in other languages than Rust in one in `languages`, and nowhere else. An artefact is
//! replaced by a rename, so that nobody ever reads half of one.

mod languages;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::workspace::{Workspace, files_below, hex, output, run};

/// What guests are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";
const VERSION: &str = "LATH_GUEST_VERSION";
const TRAP_AT_START: &str = "LATH_GUEST_TRAP_AT_START";

/// Guests built in one go, since they share their build-time settings.
struct Batch {
    env: &'static [(&'static str, &'static str)],
    artefacts: &'static [Artefact],
}

/// A package of the guests' workspace, and the name under which its component is put down.
struct Artefact {
    package: &'static str,
    file: &'static str,
}

const BATCHES: &[Batch] = &[
    Batch {
        env: &[(VERSION, "v1")],
        artefacts: &[
            Artefact { package: "http-hello", file: "http-hello-v1" },
            Artefact { package: "http-front", file: "http-front-v1" },
            Artefact { package: "http-caller", file: "http-caller-v1" },
            Artefact { package: "greeter", file: "greeter-v1" },
            Artefact { package: "chooser", file: "chooser-v1" },
            Artefact { package: "keeper", file: "keeper-v1" },
            Artefact { package: "messenger", file: "messenger-v1" },
            Artefact { package: "blobber", file: "blobber-v1" },
            Artefact { package: "confidant", file: "confidant-v1" },
            Artefact { package: "misbehave", file: "misbehave-v1" },
            Artefact { package: "needs-missing", file: "needs-missing-v1" },
            Artefact { package: "echoer", file: "echoer-v1" },
            Artefact { package: "http-bench", file: "http-bench-v1" },
            Artefact { package: "http-least", file: "http-least-v1" },
            Artefact { package: "http-least-p3", file: "http-least-p3-v1" },
            Artefact { package: "http-hello-p3", file: "http-hello-p3-v1" },
            Artefact { package: "http-front-p3", file: "http-front-p3-v1" },
            Artefact { package: "http-relay-p3", file: "http-relay-p3-v1" },
            Artefact { package: "greeter-p3", file: "greeter-p3-v1" },
            Artefact { package: "asker-p3", file: "asker-p3-v1" },
            Artefact { package: "tallies", file: "tallies-v1" },
            Artefact { package: "tally-user", file: "tally-user-v1" },
            Artefact { package: "flows-p3", file: "flows-p3-v1" },
            Artefact { package: "flow-user-p3", file: "flow-user-p3-v1" },
        ],
    },
    Batch {
        env: &[(VERSION, "v2")],
        artefacts: &[
            Artefact { package: "http-hello", file: "http-hello-v2" },
            Artefact { package: "http-front", file: "http-front-v2" },
            Artefact { package: "greeter", file: "greeter-v2" },
            Artefact { package: "messenger", file: "messenger-v2" },
            Artefact { package: "http-hello-p3", file: "http-hello-p3-v2" },
        ],
    },
    Batch {
        env: &[(VERSION, "v1"), (TRAP_AT_START, "1")],
        artefacts: &[Artefact { package: "misbehave", file: "misbehave-trap-at-start-v1" }],
    },
];

/// Whether artefacts that match their sources are built again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    UpToDate,
    Anew,
}

/// Which guests are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guests {
    /// Those in Rust.
    Rust,
    /// Also those in languages whose tools are fetched first.
    All,
}

/// Builds what is needed, prints each artefact with its size, and gives the folder they are in.
pub(crate) fn build(workspace: &Workspace, guests: Guests, wanted: Wanted) -> Result<PathBuf> {
    let folder = workspace.components();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Batches share cargo's output folder: a second builder would replace a file between our build and our copy.
    let lock = File::create(folder.join(".lock")).context("cannot create the lock of target/components")?;
    lock.lock().context("cannot lock target/components")?;

    let sources = sources_digest(workspace)?;
    for batch in BATCHES {
        build_batch(workspace, &folder, batch, &sources, wanted)?;
    }
    if guests == Guests::All {
        for guest in languages::GUESTS {
            build_in_language(workspace, &folder, guest, wanted)?;
        }
    }
    Ok(folder)
}

fn build_in_language(
    workspace: &Workspace,
    folder: &Path,
    guest: &languages::Guest,
    wanted: Wanted,
) -> Result<()> {
    let root = workspace.root().join("components");
    let files = [files_below(&root.join(guest.folder))?, files_below(&root.join("wit"))?].concat();
    let inputs = digest_of(&root, &files, guest.file)?;
    let is_due = wanted == Wanted::Anew || !is_current(folder, guest.file, &inputs);
    if is_due {
        languages::build(workspace, guest, &folder.join(format!("{}.wasm", guest.file)))?;
        note_inputs(folder, guest.file, &inputs)?;
    }
    tell(workspace, folder, guest.file, is_due)
}

fn build_batch(
    workspace: &Workspace,
    folder: &Path,
    batch: &Batch,
    sources: &str,
    wanted: Wanted,
) -> Result<()> {
    let inputs = format!("{sources} {:?}\n", batch.env);
    let is_due = |artefact: &&Artefact| wanted == Wanted::Anew || !is_current(folder, artefact.file, &inputs);
    let due: Vec<_> = batch.artefacts.iter().filter(is_due).collect();
    if !due.is_empty() {
        ensure_target()?;
        compile(workspace, batch, &due)?;
    }
    for artefact in &due {
        put_down(workspace, folder, artefact, &inputs)?;
    }
    for artefact in batch.artefacts {
        let is_built = due.iter().any(|built| built.file == artefact.file);
        tell(workspace, folder, artefact.file, is_built)?;
    }
    Ok(())
}

fn tell(workspace: &Workspace, folder: &Path, file: &str, is_built: bool) -> Result<()> {
    let path = folder.join(format!("{file}.wasm"));
    let size = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let state = if is_built { "built" } else { "up to date" };
    let shown = path.strip_prefix(workspace.root()).unwrap_or(&path).display();
    println!("{shown:<56} {:>6} KiB  {state}", size.div_ceil(1024));
    Ok(())
}

fn compile(workspace: &Workspace, batch: &Batch, due: &[&Artefact]) -> Result<()> {
    let mut cargo = workspace.guests_cargo();
    cargo.args(["build", "--release", "--locked", "--target", TARGET]);
    for artefact in due {
        cargo.args(["--package", artefact.package]);
    }
    // A setting that this batch does not make must not slip in from the caller's environment.
    cargo.env_remove(TRAP_AT_START).envs(batch.env.iter().copied());
    run(&mut cargo)
}

fn put_down(workspace: &Workspace, folder: &Path, artefact: &Artefact, inputs: &str) -> Result<()> {
    let name = format!("{}.wasm", artefact.package.replace('-', "_"));
    let built = workspace.guests_target().join(TARGET).join("release").join(name);
    let finished = folder.join(format!("{}.wasm", artefact.file));
    let unfinished = folder.join(format!(".{}.wasm.new", artefact.file));
    fs::copy(&built, &unfinished).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&unfinished, &finished).with_context(|| format!("cannot write {}", finished.display()))?;
    note_inputs(folder, artefact.file, inputs)
}

/// Written last: a build that was cut off is done again.
fn note_inputs(folder: &Path, file: &str, inputs: &str) -> Result<()> {
    fs::write(inputs_file(folder, file), inputs).context("cannot note what the artefact was built from")
}

fn is_current(folder: &Path, file: &str, inputs: &str) -> bool {
    folder.join(format!("{file}.wasm")).is_file()
        && fs::read_to_string(inputs_file(folder, file)).is_ok_and(|noted| noted == inputs)
}

fn inputs_file(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!(".{file}.inputs"))
}

/// Installs the standard library of the guests' target if this toolchain lacks it.
fn ensure_target() -> Result<()> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    println!("adding the Rust target {TARGET}");
    run(Command::new("rustup").args(["target", "add", TARGET]))
        .with_context(|| format!("the Rust target {TARGET} is missing and could not be added"))
}

/// A digest of all that guests in Rust are built from: the compiler, and each file of the guests' workspace.
fn sources_digest(workspace: &Workspace) -> Result<String> {
    let root = workspace.root().join("components");
    let in_rust =
        |file: &PathBuf| !languages::GUESTS.iter().any(|guest| file.starts_with(root.join(guest.folder)));
    let files: Vec<PathBuf> = files_below(&root)?.into_iter().filter(in_rust).collect();
    digest_of(&root, &files, &output(Command::new("rustc").arg("-vV"))?)
}

/// A digest of `also` and of these files below `root`.
fn digest_of(root: &Path, files: &[PathBuf], also: &str) -> Result<String> {
    let mut digest = Sha256::new();
    digest.update(also);
    for file in files {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
        // Lengths keep a file's name, its content and the next file apart.
        digest.update(format!("{} {name} {}\n", name.len(), content.len()));
        digest.update(content);
    }
    Ok(hex(&digest.finalize()))
}
