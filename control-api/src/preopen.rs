//! A folder of hosts that a component sees: which one, where in the component's files, and whether it may write.
//!
//! How both paths are written is decided here and nowhere else. Whether the folder is there, only a host knows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest path, in bytes.
pub const MAX_PATH: usize = 512;

/// Whether a component may change what is in a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It may read.
    #[default]
    Read,
    /// It may read, write, make and remove.
    Write,
}

/// One folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Written")]
pub struct Preopen {
    path: String,
    folder: String,
    #[serde(skip_serializing_if = "is_read")]
    access: Access,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_read(access: &Access) -> bool {
    *access == Access::Read
}

/// As it travels, before it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    path: String,
    folder: String,
    #[serde(default)]
    access: Access,
}

impl TryFrom<Written> for Preopen {
    type Error = PathError;

    fn try_from(written: Written) -> Result<Self, PathError> {
        Self::new(&written.folder, &written.path, written.access)
    }
}

/// Why a path cannot be one of a granted folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    /// What is wrong, with the path.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
    /// Whether it is the path in the component that is wrong, and not the folder.
    pub in_component: bool,
}

impl Preopen {
    /// `folder` below what hosts give to components, seen as `path`.
    ///
    /// # Errors
    /// When one of them is not written as such a path is.
    pub fn new(folder: &str, path: &str, access: Access) -> Result<Self, PathError> {
        let wrong = |shown: &str, what: &str, help, in_component| {
            Err(PathError {
                message: format!("the path `{}` {what}", shown.escape_debug()),
                help,
                in_component,
            })
        };
        let below = "write a path below the folder that hosts give, such as `reports/2026`";
        if folder.starts_with('/') {
            return wrong(folder, "begins with `/`", below, false);
        }
        if let Some(what) = fault(folder) {
            return wrong(folder, what, below, false);
        }
        let whole = "write a whole path as the component sees it, such as `/reports`";
        let Some(inner) = path.strip_prefix('/') else {
            return wrong(path, "does not begin with `/`", whole, true);
        };
        match fault(inner) {
            Some(what) => wrong(path, what, whole, true),
            None => Ok(Self { path: path.to_owned(), folder: folder.to_owned(), access }),
        }
    }

    /// The folder, relative to what a host gives to components: parts with `/` between them, none of them `.` or `..`.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Where the component sees it: begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the component may do there.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }
}

impl fmt::Display for Preopen {
    /// For people: `reports as /reports, to read`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "to read",
            Access::Write => "to write",
        };
        write!(f, "{} as {}, {access}", self.folder, self.path)
    }
}

/// What is wrong with a path without its first `/`.
fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("names no folder");
    }
    if path.len() > MAX_PATH {
        return Some("is too long: 512 bytes are the most");
    }
    if path.contains(|c: char| c.is_control() || c == '\\') {
        return Some("has a control character or a backslash");
    }
    let is_no_name = |part: &str| matches!(part, "" | "." | "..");
    path.split('/').any(is_no_name).then_some("has an empty part, `.` or `..`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain() {
        for (folder, path) in [("a", "/a"), ("a/b", "/a/b"), ("..a", "/a..")] {
            let preopen = Preopen::new(folder, path, Access::Write).unwrap();
            assert_eq!((preopen.folder(), preopen.path()), (folder, path));
        }
        for folder in ["", "/", "/a", ".", "..", "a/..", "a//b", "a/", "a\\b", "a\0", "./a"] {
            assert!(!Preopen::new(folder, "/a", Access::Read).unwrap_err().in_component, "{folder}");
        }
        for path in ["", "/", "a", "/.", "/a/../b", "//a", "/a/", "/a\n"] {
            assert!(Preopen::new("a", path, Access::Read).unwrap_err().in_component, "{path}");
        }
        assert!(Preopen::new(&"a".repeat(MAX_PATH), "/a", Access::Read).is_ok());
        assert!(Preopen::new(&"a".repeat(MAX_PATH + 1), "/a", Access::Read).is_err());
    }

    #[test]
    fn what_travels_is_looked_at_again() {
        let text = r#"{"path":"/a","folder":"b"}"#;
        let preopen: Preopen = serde_json::from_str(text).unwrap();
        assert_eq!(
            (preopen.access(), serde_json::to_string(&preopen).unwrap().as_str()),
            (Access::Read, text)
        );
        for wrong in [r#"{"path":"/a","folder":"../b"}"#, r#"{"path":"a","folder":"b"}"#] {
            assert!(serde_json::from_str::<Preopen>(wrong).is_err(), "{wrong}");
        }
    }
}
