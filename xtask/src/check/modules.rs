//! Source files that no `mod` reaches: they look alive, and nothing compiles or tests them. Declarations are read
//! line by line, as rustfmt writes them; no macro is expanded. `#[path]` on the line before is followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The files of `sources` that cannot be reached from `roots`, each the root file of a target.
pub(crate) fn unreached(sources: &[PathBuf], roots: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<(PathBuf, PathBuf)> =
        roots.iter().map(|root| (root.clone(), root.parent().unwrap_or(root).to_path_buf())).collect();
    while let Some((file, folder)) = waiting.pop() {
        if !file.is_file() || !reached.insert(file.clone()) {
            continue;
        }
        let source = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        waiting.extend(children(&source, &file, &folder));
    }
    Ok(sources.iter().filter(|file| !reached.contains(*file)).cloned().collect())
}

/// Files that `source` declares as modules, each with the folder in which its own modules are looked for.
/// `folder` is where the modules of `file` itself are.
fn children(source: &str, file: &Path, folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut children = Vec::new();
    let mut path = None;
    for line in source.lines().map(str::trim) {
        if let Some(given) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            path = Some(given);
            continue;
        }
        if let Some(name) = declared(line) {
            let child = match path {
                Some(given) => file.parent().unwrap_or(folder).join(given),
                None => folder.join(format!("{name}.rs")),
            };
            let below = child.with_extension("");
            children.push((child, below));
        }
        // Other attributes and comments may stand between the path and its module.
        if !line.starts_with("#[") && !line.starts_with("//") {
            path = None;
        }
    }
    children
}

/// The name in `mod name;`, with or without a visibility before it.
fn declared(line: &str) -> Option<&str> {
    let (before, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
    let before = before.trim_end();
    let is_visibility =
        before.is_empty() || before == "pub" || (before.starts_with("pub(") && before.ends_with(')'));
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_visibility && is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_told_from_other_lines() {
        assert_eq!(declared("mod wave;"), Some("wave"));
        assert_eq!(declared("pub(crate) mod wave;"), Some("wave"));
        assert_eq!(declared("pub mod wave;"), Some("wave"));
        assert_eq!(declared("// mod wave;"), None);
        assert_eq!(declared("mod wave {"), None);
        assert_eq!(declared("let a = b mod c;"), None);
    }

    #[test]
    fn modules_lie_beside_the_root_and_below_the_others() {
        let source = "mod a;\n#[cfg(test)]\nmod tests;\n#[path = \"other/b.rs\"]\n#[cfg(unix)]\nmod b;\n";
        let found = children(source, Path::new("/x/src/rollout.rs"), Path::new("/x/src/rollout"));
        let files: Vec<_> = found.iter().map(|(file, _)| file.to_str().unwrap()).collect();
        assert_eq!(files, ["/x/src/rollout/a.rs", "/x/src/rollout/tests.rs", "/x/src/other/b.rs"]);
        assert_eq!(found[0].1, Path::new("/x/src/rollout/a"));
    }

    #[test]
    fn our_own_sources_are_reached_and_a_stray_file_is_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let sources = crate::workspace::files_below(&folder).unwrap();
        let stray = folder.join("stray.rs");
        let with_stray = [sources, vec![stray.clone()]].concat();
        assert_eq!(unreached(&with_stray, &[folder.join("main.rs")]).unwrap(), [stray]);
    }
}
