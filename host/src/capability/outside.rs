//! What all components of a host share to reach the outside: the name servers that are asked, and whom TLS trusts.
//!
//! Nothing here decides who may reach what. Proxy settings of the environment are not looked at: a proxy would connect
//! to addresses that nobody has judged.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All addresses of `name`, which is lower-case and has no dot at the end.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Asks what the system asks: its hosts file and its name servers.
struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The ways out of a host. A clone is the same.
#[derive(Clone)]
pub struct Outside {
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
}

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The file with certificates cannot be used.
    #[error("the certificates in {} cannot be used: {cause}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Outside {
    /// Trusts the certificates of the system, those of Mozilla where the system has none, and those of `extra`, a PEM
    /// file, beside them.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no certificate.
    pub fn new(extra: Option<&Path>) -> Result<Self, OutsideError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some certificates of the system cannot be read");
        }
        let (usable, unusable) = roots.add_parsable_certificates(system.certs);
        tracing::debug!(usable, unusable, "certificates of the system");
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if let Some(path) = extra {
            let wrong = |cause: String| OutsideError::Certificates { path: path.to_owned(), cause };
            let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            let mut count = 0_u32;
            for certificate in found {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                count += 1;
            }
            if count == 0 {
                return Err(wrong("there is none in it; write one or more in PEM form".to_owned()));
            }
        }
        Self::with(Arc::new(System), roots)
    }

    /// The same with another resolver and other roots of trust.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn with(resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Result<Self, OutsideError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OutsideError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { resolver, tls: Arc::new(tls) })
    }

    /// All addresses of a name. That of this machine is not asked for elsewhere.
    pub(crate) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.resolver.resolve(name).await
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
