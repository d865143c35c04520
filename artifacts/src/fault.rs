//! What goes wrong between us and a registry: one kind for each, the same in inventory, refusals and exit codes.

use std::time::Duration;

use lath_control_api::{ApiError, ErrorCode, Reason};

/// Kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No such name, no connection.
    Unreachable,
    /// The certificate is not to be trusted, or what answers does not speak TLS.
    Untrusted,
    /// The registry wants other credentials, or asks for them in a way in which they are not given.
    Denied,
    /// Credentials are configured and could not be had.
    Credentials,
    /// There is no such repository, tag, manifest or blob.
    NotFound,
    /// Too many requests; how long the registry wants to be left alone, if it said so.
    Busy {
        /// From its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The registry failed, or answered what no registry answers.
    Failed,
    /// Nothing came for too long, or all of it took too long.
    TooSlow,
    /// The answer ended before its end.
    CutShort,
    /// The bytes are not those of the digest.
    DigestMismatch,
    /// What is there is no code that can be taken.
    Unsupported,
    /// More bytes than are taken.
    TooLarge,
    /// There is no room on the disk.
    DiskFull,
    /// The disk failed in another way.
    Disk,
}

impl Fault {
    /// The reason in a host's inventory.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Unreachable => Reason::RegistryUnreachable,
            Self::Untrusted => Reason::RegistryUntrusted,
            Self::Denied | Self::Credentials => Reason::RegistryDenied,
            Self::NotFound => Reason::ImageNotFound,
            Self::Busy { .. } => Reason::RegistryBusy,
            Self::Failed => Reason::RegistryFailed,
            Self::TooSlow => Reason::FetchTooSlow,
            Self::CutShort => Reason::FetchCutShort,
            Self::DigestMismatch => Reason::DigestMismatch,
            Self::Unsupported | Self::TooLarge => Reason::ImageUnsupported,
            Self::DiskFull => Reason::DiskFull,
            Self::Disk => Reason::FetchFailed,
        }
    }

    /// The code of a refusal.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Unreachable | Self::Untrusted => ErrorCode::RegistryUnreachable,
            Self::Denied | Self::Credentials => ErrorCode::RegistryDenied,
            Self::NotFound => ErrorCode::ImageUnavailable,
            Self::Busy { .. } => ErrorCode::RegistryBusy,
            Self::Failed => ErrorCode::RegistryFailed,
            Self::TooSlow | Self::CutShort => ErrorCode::RegistryTooSlow,
            Self::DigestMismatch => ErrorCode::DigestMismatch,
            Self::Unsupported => ErrorCode::ImageUnsupported,
            Self::TooLarge => ErrorCode::TooLarge,
            Self::DiskFull => ErrorCode::DiskFull,
            Self::Disk => ErrorCode::Internal,
        }
    }

    /// Whether the same request may well succeed within seconds.
    pub(crate) const fn is_hiccup(self) -> bool {
        match self {
            Self::Unreachable | Self::Busy { .. } | Self::Failed | Self::CutShort => true,
            Self::Untrusted
            | Self::Denied
            | Self::Credentials
            | Self::NotFound
            | Self::TooSlow
            | Self::DigestMismatch
            | Self::Unsupported
            | Self::TooLarge
            | Self::DiskFull
            | Self::Disk => false,
        }
    }

    /// Whether another registry would not help: what fails is here.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::DiskFull | Self::Disk)
    }

    const fn usual_help(self) -> &'static str {
        match self {
            Self::Unreachable => "check the registry's name and the network between here and there",
            Self::Untrusted => "name its authority: --registry-ca FILE",
            Self::Denied => "log in with an account that may do this: lath login REGISTRY",
            Self::Credentials => "mend the Docker configuration, or name another: --registry-auth FILE",
            Self::NotFound => "check the reference, and that the image was pushed: lath inspect REFERENCE",
            Self::Busy { .. } => "wait, log in for a higher limit, or name a mirror: --registry-mirror",
            Self::Failed => "ask who runs the registry, or name a mirror: --registry-mirror",
            Self::TooSlow | Self::CutShort => "try again, or name a mirror that is nearer: --registry-mirror",
            Self::DigestMismatch => {
                "do not trust this registry or mirror; push the image anew or use another"
            }
            Self::Unsupported => "push a WebAssembly component: lath push REFERENCE FILE",
            Self::TooLarge => "make the component smaller",
            Self::DiskFull => "make room on the disk",
            Self::Disk => "look at the disk and at who may write there",
        }
    }
}

/// Why code could not be had from a registry, or not be put there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// What kind of failure.
    pub fault: Fault,
    /// Place and cause, without a full stop. Never holds credentials.
    pub message: String,
    /// One next step.
    pub help: String,
}

impl RegistryError {
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), help: fault.usual_help().to_owned() }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The same failure said of `place`.
    pub(crate) fn at(self, place: impl std::fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// What a failed read or write of a file is.
    #[must_use]
    pub fn of_disk(what: &str, error: &std::io::Error) -> Self {
        let fault = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Fault::DiskFull,
            _ => Fault::Disk,
        };
        Self::new(fault, format!("{what}: {error}"))
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        Self::new(error.fault.code(), error.message).with_help(error.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_come_right_is_looked_at_again() {
        let busy = Fault::Busy { retry_after: None };
        for fault in [Fault::Unreachable, Fault::Denied, busy, Fault::Failed, Fault::TooSlow, Fault::CutShort]
        {
            assert!(fault.reason().may_pass(), "{fault:?}");
        }
        for fault in [Fault::NotFound, Fault::DigestMismatch, Fault::Unsupported, Fault::TooLarge] {
            assert!(!fault.reason().may_pass() && !fault.is_hiccup(), "{fault:?}");
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(RegistryError::of_disk("cannot write", &full).fault, Fault::DiskFull);
        let broken = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(RegistryError::of_disk("cannot write", &broken).fault, Fault::Disk);
    }
}
