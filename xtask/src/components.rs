//! Building the guest components, each in the versions that demos and tests need. Which variants there are stands
//! in one table here and nowhere else. An artefact is replaced by a rename, so that nobody ever reads half of one.

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
            Artefact { package: "keeper", file: "keeper-v1" },
            Artefact { package: "misbehave", file: "misbehave-v1" },
            Artefact { package: "needs-missing", file: "needs-missing-v1" },
        ],
    },
    Batch {
        env: &[(VERSION, "v2")],
        artefacts: &[
            Artefact { package: "http-hello", file: "http-hello-v2" },
            Artefact { package: "http-front", file: "http-front-v2" },
            Artefact { package: "greeter", file: "greeter-v2" },
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

/// Builds what is needed, prints each artefact with its size, and gives the folder they are in.
pub(crate) fn build(workspace: &Workspace, wanted: Wanted) -> Result<PathBuf> {
    let folder = workspace.components();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Batches share cargo's output folder: a second builder would replace a file between our build and our copy.
    let lock = File::create(folder.join(".lock")).context("cannot create the lock of target/components")?;
    lock.lock().context("cannot lock target/components")?;

    let sources = sources_digest(workspace)?;
    for batch in BATCHES {
        build_batch(workspace, &folder, batch, &sources, wanted)?;
    }
    Ok(folder)
}

fn build_batch(
    workspace: &Workspace,
    folder: &Path,
    batch: &Batch,
    sources: &str,
    wanted: Wanted,
) -> Result<()> {
    let inputs = format!("{sources} {:?}\n", batch.env);
    let is_due = |artefact: &&Artefact| wanted == Wanted::Anew || !is_current(folder, artefact, &inputs);
    let due: Vec<_> = batch.artefacts.iter().filter(is_due).collect();
    if !due.is_empty() {
        ensure_target()?;
        compile(workspace, batch, &due)?;
    }
    for artefact in &due {
        put_down(workspace, folder, artefact, &inputs)?;
    }
    for artefact in batch.artefacts {
        let path = folder.join(format!("{}.wasm", artefact.file));
        let size = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        let state = if due.iter().any(|built| built.file == artefact.file) { "built" } else { "up to date" };
        let shown = path.strip_prefix(workspace.root()).unwrap_or(&path).display();
        println!("{shown:<56} {:>6} KiB  {state}", size.div_ceil(1024));
    }
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
    // Written last: a build that was cut off is done again.
    fs::write(inputs_file(folder, artefact), inputs).context("cannot note what the artefact was built from")
}

fn is_current(folder: &Path, artefact: &Artefact, inputs: &str) -> bool {
    folder.join(format!("{}.wasm", artefact.file)).is_file()
        && fs::read_to_string(inputs_file(folder, artefact)).is_ok_and(|noted| noted == inputs)
}

fn inputs_file(folder: &Path, artefact: &Artefact) -> PathBuf {
    folder.join(format!(".{}.inputs", artefact.file))
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

/// A digest of all that guests are built from: the compiler, and each file of the guests' workspace.
fn sources_digest(workspace: &Workspace) -> Result<String> {
    let root = workspace.root().join("components");
    let mut digest = Sha256::new();
    digest.update(output(Command::new("rustc").arg("-vV"))?);
    for file in files_below(&root)? {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
        // Lengths keep a file's name, its content and the next file apart.
        digest.update(format!("{} {name} {}\n", name.len(), content.len()));
        digest.update(content);
    }
    Ok(hex(&digest.finalize()))
}
