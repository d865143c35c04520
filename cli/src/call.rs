//! One call of the binary: global flags, outputs and environment, as every command gets them.
//!
//! Nothing else may be global. The environment is read here and in `main.rs` only.

use std::str::FromStr;

use lath_wasmcloud::subject::PrefixError;

use crate::args::GlobalArgs;
use crate::connect::{Session, Target};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::progress::Reporter;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Call {
    /// Flags that any command takes.
    pub(crate) global: GlobalArgs,
    /// Where it writes.
    pub(crate) out: Output,
}

impl Call {
    /// A variable of the environment that is set and not empty.
    pub(crate) fn env(name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// What subjects of 1.x begin with: the variable of that name says so, or nothing does.
    pub(crate) fn prefix<P: Default + FromStr<Err = PrefixError>>(variable: &str) -> Result<P, Failure> {
        Self::env(variable).map_or_else(
            || Ok(P::default()),
            |text| {
                text.parse().map_err(|error: PrefixError| {
                    Failure::new(
                        Exit::Usage,
                        format!("`{}` cannot begin a subject: {error}", text.escape_debug()),
                    )
                    .note(format!("from the environment variable {variable}"))
                })
            },
        )
    }

    /// Which lattice on which server this call is about.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        Target::choose(&self.global, Self::env)
    }

    /// Connects to the lattice.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let target = self.target()?;
        Session::open(&self.global, target).await
    }

    /// Starts to show progress.
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter::new(self.global.progress, &self.out, Self::env)
    }

    /// Name of the account that runs this process: services and containers often lack the variables.
    fn account() -> Option<String> {
        nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten().map(|user| user.name)
    }

    /// Name of the user, for histories.
    pub(crate) fn user() -> String {
        ["LATH_USER", "GITHUB_ACTOR", "USER", "LOGNAME"]
            .iter()
            .find_map(|name| Self::env(name))
            .or_else(Self::account)
            .unwrap_or_else(|| "unknown".into())
    }
}
