//! Application manifests: the bytes of one become a valid [`Manifest`], or every [`Diagnostic`] at once.
//!
//! No files, clock, network or environment: the caller has the bytes and gets data. Each rule is one function, each
//! bound is in [`limits`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod limits;
pub mod manifest;

pub use manifest::Manifest;
