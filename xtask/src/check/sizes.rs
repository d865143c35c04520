//! The largest source files, for the eye: a file above 400 lines may hold a second idea. Never an error, since
//! length alone proves nothing. Tests at the end of a file do not count.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How many files are shown.
const SHOWN: usize = 10;

/// Prints the largest of `sources` with their lines of code, comments included.
pub(crate) fn print_largest(root: &Path, sources: &[PathBuf]) -> Result<()> {
    let mut sizes = Vec::new();
    for file in sources {
        let source = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        sizes.push((Reverse(lines_before_tests(&source)), file.strip_prefix(root).unwrap_or(file)));
    }
    sizes.sort();
    println!("largest of {} source files, in lines without tests:", sizes.len());
    for (Reverse(lines), file) in sizes.iter().take(SHOWN) {
        println!("{lines:>6}  {}", file.display());
    }
    Ok(())
}

fn lines_before_tests(source: &str) -> usize {
    source.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count() {
        assert_eq!(lines_before_tests("a\nb\n#[cfg(test)]\nmod tests {}\n"), 2);
    }
}
