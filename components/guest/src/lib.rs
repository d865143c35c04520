//! What the guests share: their build-time version, their config, and answering HTTP requests. Nothing here may
//! decide what a component answers. Every answer is written to its end or given up when the caller went away.

pub mod config;
pub mod fault;
pub mod http;
pub mod query;

/// The version this component was built as: `LATH_GUEST_VERSION` of the build, `dev` where it is not set.
pub const VERSION: &str = match option_env!("LATH_GUEST_VERSION") {
    Some(version) => version,
    None => "dev",
};
