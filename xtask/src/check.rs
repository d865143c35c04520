//! `cargo xtask check`: what no compiler checks. The layers between our crates and files that no `mod` reaches
//! are errors; the list of the largest files is only there to be read. The rules are in the modules below.

mod layers;
mod modules;
mod sizes;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{Workspace, files_below, output};
use layers::{Crate, Dependency, Kind};

/// Prints every violation and the largest files; an error if there was a violation.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let ours = metadata(workspace.cargo())?;
    let guests = metadata(workspace.guests_cargo())?;
    let compat = metadata(workspace.compat_cargo())?;
    let fuzz = metadata(workspace.fuzz_cargo())?;
    let upstream = metadata(workspace.upstream_cargo())?;
    let sources: Vec<PathBuf> = files_below(workspace.root())?
        .into_iter()
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
        .collect();

    let mut problems: Vec<String> =
        layers::violations(&crates(&ours)?).iter().map(ToString::to_string).collect();
    let others =
        [&guests, &compat, &fuzz, &upstream].into_iter().map(target_roots).collect::<Result<Vec<_>>>()?;
    let roots = [target_roots(&ours)?, others.concat()].concat();
    for file in modules::unreached(&sources, &roots)? {
        let shown = file.strip_prefix(workspace.root()).unwrap_or(&file).display();
        problems.push(format!("{shown}: no `mod` reaches this file; declare it or delete it"));
    }

    sizes::print_largest(workspace.root(), &sources)?;
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems found; the rules are in docs/architecture.md", problems.len());
    }
    println!("layers hold; every source file is reached");
    Ok(())
}

fn metadata(mut cargo: Command) -> Result<Value> {
    let text = output(cargo.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("cargo metadata wrote what is not JSON")
}

fn crates(metadata: &Value) -> Result<Vec<Crate>> {
    items(metadata, "packages")?
        .iter()
        .map(|package| {
            let dependencies =
                items(package, "dependencies")?.iter().map(dependency).collect::<Result<_>>()?;
            Ok(Crate { name: text(package, "name")?.to_owned(), dependencies })
        })
        .collect()
}

fn dependency(value: &Value) -> Result<Dependency> {
    let kind = match value.get("kind").and_then(Value::as_str) {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some("dev") => Kind::Dev,
        Some(other) => bail!("cargo metadata has a kind of dependency that is not known: {other}"),
    };
    Ok(Dependency { name: text(value, "name")?.to_owned(), kind })
}

/// The root source file of every library, binary, test, bench, example and build script.
fn target_roots(metadata: &Value) -> Result<Vec<PathBuf>> {
    let mut roots = Vec::new();
    for package in items(metadata, "packages")? {
        for target in items(package, "targets")? {
            roots.push(PathBuf::from(text(target, "src_path")?));
        }
    }
    Ok(roots)
}

fn items<'a>(value: &'a Value, key: &str) -> Result<&'a [Value]> {
    let items = value.get(key).and_then(Value::as_array);
    items.map(Vec::as_slice).with_context(|| format!("cargo metadata lacks the list `{key}`"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("cargo metadata lacks the text `{key}`"))
}
