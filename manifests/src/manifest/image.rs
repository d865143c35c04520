//! Image references: the three forms, their grammar, and why a text is none of them.
//!
//! Nothing is looked up here: a reference that parses may still name nothing.

use std::fmt;
use std::str::FromStr;

/// Where code is fetched from. Made from text by [`FromStr`], which holds the grammar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageRef {
    /// `[REGISTRY[:PORT]/]REPOSITORY[:TAG][@sha256:…]`, as written.
    Oci(String),
    /// The path behind `file://`, as written; a relative one starts at the folder of the manifest.
    File(String),
    /// The name behind `builtin://` (or `wasmcloud+builtin://`) of something that hosts have in them.
    Builtin(String),
}

impl ImageRef {
    /// The registry of an OCI reference, if it names one: a host, with `:PORT` if needed.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        match self {
            Self::Oci(text) => split_oci(text).registry,
            Self::File(_) | Self::Builtin(_) => None,
        }
    }

    /// The repository of an OCI reference, as written.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Oci(text) => Some(split_oci(text).repository),
            Self::File(_) | Self::Builtin(_) => None,
        }
    }

    /// The tag of an OCI reference, if it has one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Oci(text) => split_oci(text).tag,
            Self::File(_) | Self::Builtin(_) => None,
        }
    }

    /// The digest of an OCI reference, `sha256:` and 64 hexadecimal digits, if it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Oci(text) => split_oci(text).digest,
            Self::File(_) | Self::Builtin(_) => None,
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oci(reference) => f.write_str(reference),
            Self::File(path) => write!(f, "{FILE}{path}"),
            Self::Builtin(name) => write!(f, "{BUILTIN}{name}"),
        }
    }
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// Nothing, or only spaces.
    #[error("the image reference is empty")]
    Empty,
    /// A form with `://` that is not known.
    #[error("image references do not begin with `{0}://`")]
    Scheme(String),
    /// A path that cannot be one file.
    #[error("the path of a `file://` image {0}")]
    File(&'static str),
    /// A name that no builtin can have.
    #[error(
        "`{0}` cannot be the name of a builtin: lower-case letters, digits and `-`, beginning with a letter"
    )]
    Builtin(String),
    /// The registry is not a host name with an optional port.
    #[error("`{0}` is not a registry: a host name, then `:PORT` if needed")]
    Registry(String),
    /// The repository breaks the OCI grammar.
    #[error(
        "`{0}` is not a repository name: lower-case letters and digits, with single `.`, `_`, `__` or dashes between them"
    )]
    Repository(String),
    /// More text than the grammar allows.
    #[error("the registry and repository of an image have at most {MAX_NAME} characters")]
    TooLong,
    /// The tag breaks the OCI grammar.
    #[error(
        "`{0}` is not a tag: 1 to {MAX_TAG} letters, digits, `_`, `.` or `-`, not beginning with `.` or `-`"
    )]
    Tag(String),
    /// The digest is of another kind or length.
    #[error("`{0}` is not a digest: `sha256:` and 64 digits from 0-9 and a-f")]
    Digest(String),
}

const FILE: &str = "file://";
const BUILTIN: &str = "builtin://";
/// How manifests of the 1.x world write it.
const BUILTIN_1X: &str = "wasmcloud+builtin://";
/// Bound of the distribution specification on registry and repository together.
const MAX_NAME: usize = 255;
/// Bound of the distribution specification on a tag.
const MAX_TAG: usize = 128;
/// Longest path that Linux takes, `PATH_MAX` without its final zero.
const MAX_PATH: usize = 4095;

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        if text.trim().is_empty() {
            return Err(ImageRefError::Empty);
        }
        if let Some(path) = text.strip_prefix(FILE) {
            return file(path);
        }
        if let Some(name) = text.strip_prefix(BUILTIN).or_else(|| text.strip_prefix(BUILTIN_1X)) {
            return builtin(name);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(ImageRefError::Scheme(shown(scheme)));
        }
        oci(text)
    }
}

fn file(path: &str) -> Result<ImageRef, ImageRefError> {
    let problem = if path.is_empty() {
        "is missing"
    } else if path.len() > MAX_PATH {
        "has more than 4,095 bytes"
    } else if path.ends_with('/') || path.ends_with("/.") || path.ends_with("..") {
        "names a folder, not a file"
    } else if path.chars().any(char::is_control) {
        "contains a control character"
    } else {
        return Ok(ImageRef::File(path.to_owned()));
    };
    Err(ImageRefError::File(problem))
}

fn builtin(name: &str) -> Result<ImageRef, ImageRefError> {
    let valid = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if valid { Ok(ImageRef::Builtin(name.to_owned())) } else { Err(ImageRefError::Builtin(shown(name))) }
}

fn oci(text: &str) -> Result<ImageRef, ImageRefError> {
    let parts = split_oci(text);
    if parts.name_len() > MAX_NAME {
        return Err(ImageRefError::TooLong);
    }
    if let Some(registry) = parts.registry.filter(|registry| !is_registry(registry)) {
        return Err(ImageRefError::Registry(shown(registry)));
    }
    if !parts.repository.split('/').all(is_path_part) {
        return Err(ImageRefError::Repository(shown(parts.repository)));
    }
    if let Some(tag) = parts.tag.filter(|tag| !is_tag(tag)) {
        return Err(ImageRefError::Tag(shown(tag)));
    }
    if let Some(digest) = parts.digest.filter(|digest| !is_digest(digest)) {
        return Err(ImageRefError::Digest(shown(digest)));
    }
    Ok(ImageRef::Oci(text.to_owned()))
}

struct OciParts<'a> {
    registry: Option<&'a str>,
    repository: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl OciParts<'_> {
    fn name_len(&self) -> usize {
        self.registry.map_or(0, |registry| registry.len() + 1) + self.repository.len()
    }
}

/// Splits without judging: the first part is a registry when only a registry can look like it.
fn split_oci(text: &str) -> OciParts<'_> {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    // A colon behind the last slash begins a tag; one before it belongs to a port.
    let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest.get(after_slash..).and_then(|last| last.find(':')) {
        Some(colon) => rest.split_at(after_slash + colon),
        None => (rest, ""),
    };
    let looks_like_registry = |part: &str| {
        part.contains(['.', ':']) || part == "localhost" || part.chars().any(|c| c.is_ascii_uppercase())
    };
    let (registry, repository) = match name.split_once('/') {
        Some((first, repository)) if looks_like_registry(first) => (Some(first), repository),
        _ => (None, name),
    };
    OciParts { registry, repository, tag: tag.strip_prefix(':'), digest }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let port_fits = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    port_fits && host.split('.').all(label)
}

/// One part of a repository: runs of lower-case letters and digits with `.`, `_`, `__` or dashes between them.
fn is_path_part(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    part.starts_with(alphanumeric)
        && part.ends_with(alphanumeric)
        && part.split(alphanumeric).filter(|run| !run.is_empty()).all(separator)
}

fn is_tag(tag: &str) -> bool {
    (1..=MAX_TAG).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// Refused text for a message: short, and without characters that a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_established_forms_parse_and_print_as_written() {
        let with_digest = format!("localhost:5000/shop/api:1.0@{DIGEST}");
        for text in [
            "ghcr.io/wasmcloud/keyvalue-redis:0.28.1",
            "hello",
            "127.0.0.1:5000/a/b__c-d.e:v1",
            "Registry.Example/a",
            "file://../../target/http-hello.wasm",
            "file:///srv/a b.wasm",
            "builtin://http-server",
            with_digest.as_str(),
        ] {
            assert_eq!(text.parse::<ImageRef>().unwrap().to_string(), text);
        }
        let builtin: ImageRef = "wasmcloud+builtin://http-server".parse().unwrap();
        assert_eq!(builtin, ImageRef::Builtin("http-server".into()));
    }

    #[test]
    fn tags_and_digests_are_told_from_ports() {
        let image: ImageRef = format!("localhost:5000/api@{DIGEST}").parse().unwrap();
        assert_eq!((image.tag(), image.digest()), (None, Some(DIGEST)));
        assert_eq!((image.registry(), image.repository()), (Some("localhost:5000"), Some("api")));
        let image: ImageRef = "api:latest".parse().unwrap();
        assert_eq!((image.tag(), image.digest()), (Some("latest"), None));
        assert_eq!((image.registry(), image.repository()), (None, Some("api")));
    }

    #[test]
    fn xm32_bad_references_are_refused() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = "a".repeat(256);
        for bad in [
            "",
            "  ",
            "http://registry/a",
            "file://",
            "file:///srv/",
            "file://..",
            "file://a\nb",
            "builtin://",
            "builtin://Http",
            "builtin://*",
            "../../x",
            "registry.example/Shop/api",
            "a b",
            "a:",
            "a:.b",
            "a@sha256:12",
            "a@sha1:0123456789abcdef0123456789abcdef01234567",
            "host:0/a",
            "host:65536/a",
            "host:+80/a",
            "-bad.example/a",
            "a//b",
            "a...b",
            "a@",
            "/a",
            long_tag.as_str(),
            long_name.as_str(),
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad:?}");
        }
    }
}
