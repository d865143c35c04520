//! Refusals as they cross the wire, with codes that never change meaning.

use serde::{Deserialize, Serialize};

/// What kind of refusal it is. The number is stable; scripts may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The request could not be read, or a value in it is out of range.
    #[serde(rename = "E0101")]
    BadRequest,
    /// What was named is not there.
    #[serde(rename = "E0102")]
    NotFound,
    /// It changed since the caller looked.
    #[serde(rename = "E0103")]
    Conflict,
    /// Larger than the limit that the message names.
    #[serde(rename = "E0104")]
    TooLarge,
    /// A defect or a broken machine on the other side.
    #[serde(rename = "E0105")]
    Internal,
    /// The other side does not know this operation or version.
    #[serde(rename = "E0106")]
    UnknownOperation,
    /// The manifest is wrong; `details` holds every diagnostic.
    #[serde(rename = "E0300")]
    InvalidManifest,
    /// Another app has this HTTP route.
    #[serde(rename = "E0401")]
    RouteTaken,
    /// Another app has this component id.
    #[serde(rename = "E0402")]
    IdTaken,
    /// No host can take what is asked for.
    #[serde(rename = "E0403")]
    Unsatisfiable,
    /// The code is not where the manifest says.
    #[serde(rename = "E0501")]
    ImageUnavailable,
    /// Code of this kind, or from this place, cannot be used.
    #[serde(rename = "E0502")]
    ImageUnsupported,
    /// The bytes are not those of the digest.
    #[serde(rename = "E0503")]
    DigestMismatch,
    /// The registry of an image could not be reached, or is not to be trusted.
    #[serde(rename = "E0504")]
    RegistryUnreachable,
    /// The registry wants other credentials, or the ones there are could not be read.
    #[serde(rename = "E0505")]
    RegistryDenied,
    /// The registry has had too many requests.
    #[serde(rename = "E0506")]
    RegistryBusy,
    /// The registry failed, or answered what no registry answers.
    #[serde(rename = "E0507")]
    RegistryFailed,
    /// The registry was too slow, or stopped half way.
    #[serde(rename = "E0508")]
    RegistryTooSlow,
    /// There is no room on the disk.
    #[serde(rename = "E0509")]
    DiskFull,
    /// There is no earlier good revision.
    #[serde(rename = "E0601")]
    NoPrevious,
    /// The revision failed before, or is the one that runs.
    #[serde(rename = "E0602")]
    UnfitRevision,
    /// The command is older than one that was obeyed.
    #[serde(rename = "E0603")]
    Stale,
    /// The same fence came with other content.
    #[serde(rename = "E0604")]
    FenceReused,
    /// The manager cannot reach its store.
    #[serde(rename = "E0701")]
    StoreUnavailable,
    /// Nobody manages this lattice.
    #[serde(rename = "E0702")]
    NoManager,
    /// No NATS server, or no answer in time.
    #[serde(rename = "E0703")]
    Unreachable,
    /// The other side is starting or stopping.
    #[serde(rename = "E0704")]
    NotReady,
}

impl ErrorCode {
    /// Exit code of a command that ends with this refusal.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Internal | Self::UnknownOperation | Self::Stale | Self::FenceReused | Self::DiskFull => 1,
            Self::NotFound | Self::NoPrevious => 3,
            Self::BadRequest
            | Self::TooLarge
            | Self::InvalidManifest
            | Self::ImageUnavailable
            | Self::ImageUnsupported
            | Self::DigestMismatch => 4,
            Self::Conflict | Self::RouteTaken | Self::IdTaken | Self::Unsatisfiable | Self::UnfitRevision => {
                5
            }
            Self::StoreUnavailable
            | Self::NoManager
            | Self::Unreachable
            | Self::NotReady
            | Self::RegistryUnreachable
            | Self::RegistryBusy
            | Self::RegistryFailed
            | Self::RegistryTooSlow => 6,
            Self::RegistryDenied => 7,
        }
    }

    /// The stable text, such as `E0102`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "E0101",
            Self::NotFound => "E0102",
            Self::Conflict => "E0103",
            Self::TooLarge => "E0104",
            Self::Internal => "E0105",
            Self::UnknownOperation => "E0106",
            Self::InvalidManifest => "E0300",
            Self::RouteTaken => "E0401",
            Self::IdTaken => "E0402",
            Self::Unsatisfiable => "E0403",
            Self::ImageUnavailable => "E0501",
            Self::ImageUnsupported => "E0502",
            Self::DigestMismatch => "E0503",
            Self::RegistryUnreachable => "E0504",
            Self::RegistryDenied => "E0505",
            Self::RegistryBusy => "E0506",
            Self::RegistryFailed => "E0507",
            Self::RegistryTooSlow => "E0508",
            Self::DiskFull => "E0509",
            Self::NoPrevious => "E0601",
            Self::UnfitRevision => "E0602",
            Self::Stale => "E0603",
            Self::FenceReused => "E0604",
            Self::StoreUnavailable => "E0701",
            Self::NoManager => "E0702",
            Self::Unreachable => "E0703",
            Self::NotReady => "E0704",
        }
    }
}

/// A refusal: what, why, and one next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct ApiError {
    /// Kind of refusal.
    pub code: ErrorCode,
    /// What is wrong, with the names of the things.
    pub message: String,
    /// One next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// More that belongs to the code, such as the diagnostics of a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl ApiError {
    /// A refusal without a next step.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, details: None }
    }

    /// The same refusal with a next step.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_on_the_wire_is_the_code_in_messages() {
        for code in
            [ErrorCode::BadRequest, ErrorCode::RouteTaken, ErrorCode::NotReady, ErrorCode::FenceReused]
        {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
