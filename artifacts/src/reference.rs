//! References to images in registries: what the text names, and where its registry is spoken to.

use std::fmt;
use std::str::FromStr;

use lath_control_api::Digest;
use lath_manifests::manifest::ImageRef;

/// What a reference without a registry means.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The host that speaks for it.
const DEFAULT_HOST: &str = "registry-1.docker.io";
/// The key of its credentials in Docker's configuration.
const DEFAULT_KEY: &str = "https://index.docker.io/v1/";

/// Name of a registry as references write it: a host, with `:PORT` if needed. Two names are two registries, also
/// when they lead to one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryName(Box<str>);

impl RegistryName {
    /// The name as references write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port that are connected to.
    pub(crate) fn authority(&self) -> &str {
        if &*self.0 == DEFAULT_REGISTRY { DEFAULT_HOST } else { &self.0 }
    }

    /// What Docker's configuration and credential helpers call it.
    pub(crate) fn credential_key(&self) -> &str {
        if &*self.0 == DEFAULT_REGISTRY { DEFAULT_KEY } else { &self.0 }
    }

    /// The host without the port.
    pub(crate) fn host(&self) -> &str {
        let authority = self.authority();
        authority.split_once(':').map_or(authority, |(host, _)| host)
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text names no registry or no image in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {problem}", .text.escape_debug())]
pub struct BadReference {
    text: String,
    problem: String,
}

impl BadReference {
    pub(crate) fn new(text: &str, problem: impl Into<String>) -> Self {
        Self { text: text.chars().take(80).collect(), problem: problem.into() }
    }
}

impl FromStr for RegistryName {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let lower = text.to_ascii_lowercase();
        // The grammar of references knows what a registry is; behind any name it has one.
        let image = format!("{lower}/any").parse::<ImageRef>();
        let is_registry = matches!(&image, Ok(image) if image.registry() == Some(lower.as_str()));
        match lower.as_str() {
            "index.docker.io" | DEFAULT_HOST => Ok(Self(DEFAULT_REGISTRY.into())),
            _ if is_registry => Ok(Self(lower.into())),
            _ => {
                Err(BadReference::new(text, "is not a registry: a host with a dot or `:PORT`, or localhost"))
            }
        }
    }
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: RegistryName,
    repository: Box<str>,
    tag: Option<Box<str>>,
    digest: Option<Digest>,
}

impl Reference {
    /// What `image` names in a registry; nothing when it is a file or a builtin.
    #[must_use]
    pub fn of(image: &ImageRef) -> Option<Self> {
        let repository = image.repository()?;
        let named = image.registry().map(str::parse::<RegistryName>);
        let registry = match named {
            None => RegistryName(DEFAULT_REGISTRY.into()),
            Some(named) => named.ok()?,
        };
        let official = registry.as_str() == DEFAULT_REGISTRY && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        let digest = match image.digest().map(str::parse) {
            None => None,
            Some(digest) => Some(digest.ok()?),
        };
        Some(Self { registry, repository: repository.into(), tag: image.tag().map(Into::into), digest })
    }

    /// The registry that it is in.
    #[must_use]
    pub const fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// The repository, whole.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, which is `latest` when neither tag nor digest is written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        let usual = self.digest.is_none().then_some("latest");
        self.tag.as_deref().or(usual)
    }

    /// The digest of the manifest, if it is pinned. It wins over the tag, which then is only a remark.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image pinned to a digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// What stands behind `manifests/` in an address.
    pub(crate) fn pin(&self) -> &str {
        self.digest.as_ref().map_or_else(|| self.tag().unwrap_or("latest"), Digest::as_str)
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let image: ImageRef =
            text.parse().map_err(|error| BadReference::new(text, format!("is no image: {error}")))?;
        Self::of(&image)
            .ok_or_else(|| BadReference::new(text, "is not in a registry; write REGISTRY/REPOSITORY:TAG"))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_registry_and_tag_are_filled_in() {
        for (text, whole) in [
            ("hello", "docker.io/library/hello:latest"),
            ("shop/api:1", "docker.io/shop/api:1"),
            ("localhost:5000/api", "localhost:5000/api:latest"),
            ("index.docker.io/a/b:2", "docker.io/a/b:2"),
            ("GHCR.io/a/b:2", "ghcr.io/a/b:2"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), whole);
        }
        let hub: Reference = "hello".parse().unwrap();
        assert_eq!(hub.registry().authority(), "registry-1.docker.io");
        assert_eq!(hub.registry().credential_key(), "https://index.docker.io/v1/");
    }

    #[test]
    fn a_digest_wins_over_the_tag() {
        let digest = Digest::of(b"a");
        let reference: Reference = format!("ghcr.io/a/b:1@{digest}").parse().unwrap();
        assert_eq!((reference.pin(), reference.tag()), (digest.as_str(), Some("1")));
        let reference: Reference = format!("ghcr.io/a/b@{digest}").parse().unwrap();
        assert_eq!((reference.tag(), reference.to_string()), (None, format!("ghcr.io/a/b@{digest}")));
    }

    #[test]
    fn xo16_other_texts_are_refused() {
        let deep = format!("ghcr.io/{}", "a/".repeat(1_000));
        for bad in ["file://a.wasm", "builtin://http-server", "ghcr.io/ä", "ghcr.io/a%2fb", "a@b@c", &deep] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        for bad in ["", "name", "host:99999", "https://ghcr.io", "ghcr.io/a", "user@ghcr.io"] {
            assert!(bad.parse::<RegistryName>().is_err(), "{bad}");
        }
        assert_eq!("localhost:5000".parse::<RegistryName>().unwrap().host(), "localhost");
    }
}
