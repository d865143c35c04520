//! Guests in other languages than Rust. Their tools are fetched in the versions that the guests name, by the languages'
//! own clients, into `target/tools`; nothing is installed. How an artefact is put down is not decided here.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{Workspace, output, run};

/// The world of all of them, in `components/wit/polyglot`.
const WORLD: &str = "lath:polyglot/greeter-with-http@0.1.0";
/// The crate that brings the WIT of WASI to the Rust guests; the others take the same.
const WASI: &str = "wasip2";
/// Packages of the repository that the world is made of.
const PACKAGES: [&str; 2] = ["demo", "config"];

/// A language with a tool that makes components of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Language {
    Python,
    JavaScript,
}

/// A guest: its folder in `components`, its language, and the name under which its component is put down.
pub(super) struct Guest {
    pub(super) folder: &'static str,
    pub(super) language: Language,
    pub(super) file: &'static str,
}

pub(super) const GUESTS: &[Guest] = &[
    Guest { folder: "python-greeter", language: Language::Python, file: "python-greeter-v1" },
    Guest { folder: "js-greeter", language: Language::JavaScript, file: "js-greeter-v1" },
];

/// Makes the component of `guest` and writes it to `finished`, which is not there while it is not whole.
pub(super) fn build(workspace: &Workspace, guest: &Guest, finished: &Path) -> Result<()> {
    let source = workspace.root().join("components").join(guest.folder);
    let wit = gather_wit(workspace)?;
    let name = finished.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = finished.with_file_name(format!(".{name}.new"));
    match guest.language {
        Language::Python => python(workspace, &source, &wit, &unfinished),
        Language::JavaScript => javascript(workspace, &source, &wit, &unfinished),
    }
    .with_context(|| format!("the component of components/{} could not be made", guest.folder))?;
    fs::rename(&unfinished, finished).with_context(|| format!("cannot write {}", finished.display()))
}

fn python(workspace: &Workspace, source: &Path, wit: &Path, to: &Path) -> Result<()> {
    let requirements = source.join("requirements.txt");
    let tool = once(workspace, "componentize-py", &[&requirements], |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]);
        pip.args(["--only-binary=:all:", "--require-hashes", "--target"]).arg(folder);
        run(pip.arg("--requirement").arg(&requirements))
            .context("python3, 3.10 or later, with pip is needed, and its package index must be reached; on Debian and its kin install python3 and python3-pip")
    })?;
    let mut componentize = Command::new("python3");
    componentize.args(["-c", "from componentize_py import script; script()"]);
    // The guest's Python writes its byte code beside what it reads: never beside the sources.
    let modules = workspace.guests_target().join("python");
    fs::create_dir_all(&modules).with_context(|| format!("cannot create {}", modules.display()))?;
    copy(source, &modules, "py")?;
    componentize.arg("--wit-path").arg(wit).args(["--world", WORLD, "componentize", "--python-path"]);
    componentize.arg(modules).args(["app", "--output"]).arg(to);
    output(componentize.env("PYTHONPATH", tool)).map(drop)
}

fn javascript(workspace: &Workspace, source: &Path, wit: &Path, to: &Path) -> Result<()> {
    let files = ["package.json", "package-lock.json", "build.mjs"].map(|name| source.join(name));
    let inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let tool = once(workspace, "componentize-js", &inputs, |folder| {
        for file in &files {
            let name = file.file_name().unwrap_or_default();
            fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        run(&mut npm).context(
            "Node.js 20 or later with npm is needed, and its registry must be reached; on Debian and its kin install nodejs and npm",
        )
    })?;
    let mut node = Command::new("node");
    node.arg(tool.join("build.mjs")).arg(source.join("app.js")).arg(wit).arg(WORLD).arg(to);
    output(node.current_dir(&tool)).map(drop)
}

/// The folder of a tool, made by `fetch` when it is not there as `inputs` want it.
fn once(
    workspace: &Workspace,
    name: &str,
    inputs: &[&Path],
    fetch: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut wanted = String::new();
    for input in inputs {
        wanted += &fs::read_to_string(input).with_context(|| format!("cannot read {}", input.display()))?;
    }
    let folder = workspace.tools().join(name);
    let note = folder.join(".inputs");
    if fs::read_to_string(&note).is_ok_and(|noted| noted == wanted) {
        return Ok(folder);
    }
    println!("fetching {name}");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fetch(&folder)?;
    // Written last: a fetch that was cut off is done again.
    fs::write(&note, wanted).with_context(|| format!("cannot write {}", note.display()))?;
    Ok(folder)
}

/// Puts all WIT that the world needs into one folder, as the tools want it.
fn gather_wit(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.guests_target().join("wit");
    let dependencies = folder.join("deps");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&dependencies).with_context(|| format!("cannot create {}", dependencies.display()))?;
    let ours = workspace.root().join("components/wit");
    copy(&ours.join("polyglot"), &folder, "wit")?;
    for package in PACKAGES {
        copy(&ours.join(package), &dependencies, "wit")?;
    }
    copy(&wasi(workspace)?, &dependencies, "wit")?;
    Ok(folder)
}

/// Copies the files with that ending from one folder to another.
fn copy(from: &Path, to: &Path, ending: &str) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let file = entry?.path();
        if file.extension() == Some(OsStr::new(ending)) {
            let copy = to.join(file.file_name().unwrap_or_default());
            fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(())
}

/// Where the WIT of WASI lies on this machine.
fn wasi(workspace: &Workspace) -> Result<PathBuf> {
    let text = output(workspace.guests_cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata wrote what is not JSON")?;
    let packages = metadata.get("packages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = packages.iter().filter(|package| package.get("name").and_then(Value::as_str) == Some(WASI));
    // The standard library's own tools may bring an older one.
    let manifests =
        named.filter_map(|package| Some((version(package)?, package.get("manifest_path")?.as_str()?)));
    let Some((_, manifest)) = manifests.max() else { bail!("the guests do not depend on {WASI}") };
    let folder = Path::new(manifest).parent().with_context(|| format!("{manifest} is in no folder"))?;
    Ok(folder.join("wit/deps"))
}

/// The numbers of a package's version.
fn version(package: &Value) -> Option<Vec<u64>> {
    let text = package.get("version")?.as_str()?;
    let numbers = text.split(['+', '-']).next()?.split('.').map(str::parse);
    numbers.collect::<Result<_, _>>().ok()
}
