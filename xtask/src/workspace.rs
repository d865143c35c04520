//! Where things are in the checkout, and running other programs in it. Nothing here knows a task. A command that
//! fails is always named in the error, with its arguments.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The checkout: the folder of the root `Cargo.toml`.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that this xtask belongs to, whatever folder it was started in.
    pub(crate) fn find() -> Result<Self> {
        let xtask =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&xtask).parent().context("xtask has no parent folder")?;
        Ok(Self { root: root.to_path_buf() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where built guests are put, for tests, the demo and people.
    pub(crate) fn components(&self) -> PathBuf {
        self.root.join("target/components")
    }

    /// Where cargo puts what it builds, wherever its settings say.
    pub(crate) fn target(&self) -> Result<PathBuf> {
        let mut cargo = self.cargo();
        let text = output(cargo.args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata wrote what is not JSON")?;
        let folder = metadata.get("target_directory").and_then(Value::as_str);
        folder.map(PathBuf::from).context("cargo metadata does not say where it builds")
    }

    /// Where programs that we fetch are kept.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// cargo on the main workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// cargo on the guests' workspace, with a target folder of its own, so that neither build waits for the other.
    pub(crate) fn guests_cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(self.root.join("components"));
        command.env("CARGO_TARGET_DIR", self.guests_target());
        command
    }

    /// cargo on the workspace of the tests against old peers, whose crates stay out of ours. Its target folder is its
    /// own for the same reason as the guests'.
    pub(crate) fn compat_cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(self.root.join("tests/compat"));
        command.env("CARGO_TARGET_DIR", self.root.join("target/compat"));
        command
    }

    /// cargo on the workspace of the last wRPC of the 1.x world, which measurements have beside ours.
    pub(crate) fn upstream_cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(self.root.join("tests/upstream"));
        command.env("CARGO_TARGET_DIR", self.upstream_target());
        command
    }

    pub(crate) fn upstream_target(&self) -> PathBuf {
        self.root.join("target/upstream")
    }

    /// cargo on the workspace of the programs that fuzz, which builds everything with instruments in it.
    pub(crate) fn fuzz_cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(self.root.join("fuzz"));
        command.env("CARGO_TARGET_DIR", self.fuzz_target());
        command
    }

    pub(crate) fn fuzz_target(&self) -> PathBuf {
        self.root.join("target/fuzz")
    }

    pub(crate) fn guests_target(&self) -> PathBuf {
        self.root.join("target/guests")
    }
}

/// The cargo that runs us, so that a toolchain chosen by `cargo +…` holds for all we start. What it has told us of our own
/// package is not handed on: build scripts look at those variables, and everything above `ring` would be built again
/// whenever somebody calls cargo directly.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let about_this = |name: &OsString| {
        name.to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| about_this(name)) {
        command.env_remove(name);
    }
    command
}

/// Runs a command with our own input and output; an error if it cannot start or does not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and gives what it wrote to its output; what it wrote to its error output goes into the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", shown(command), output.status, cause.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote what is not text", shown(command)))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Every file below `folder`, in order of name, but for build output and hidden files.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect_files(folder, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Bytes in lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
