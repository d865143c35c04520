//! Arguments of `lath app`, as `wash app` has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::Source;
use crate::args::duration;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// List apps with their newest and their deployed version
    List(ListArgs),
    /// Print the manifest of an app; without a name, list apps
    Get(GetArgs),
    /// Show how an app stands, by its scalers
    Status(NameArgs),
    /// List the versions of an app
    History(NameArgs),
    /// Keep a manifest under its version, and deploy nothing
    Put(SourceArgs),
    /// Deploy a version that was put, or put a manifest and deploy it
    Deploy(DeployArgs),
    /// Stop an app and keep its versions
    Undeploy(UndeployArgs),
    /// Delete a version of an app, or all of it
    #[command(visible_alias = "del")]
    Delete(DeleteArgs),
    /// Check a manifest, offline
    Validate(ValidateArgs),
}

impl AppCommand {
    /// How often it is shown again, if it is.
    pub(crate) fn watch(&self) -> Option<Duration> {
        match self {
            Self::List(args) => args.watch,
            Self::Get(args) => args.list.watch,
            Self::Status(_)
            | Self::History(_)
            | Self::Put(_)
            | Self::Deploy(_)
            | Self::Undeploy(_)
            | Self::Delete(_)
            | Self::Validate(_) => None,
        }
    }
}

/// Arguments of `lath app list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Show it again after this time, until Ctrl-C: a duration or a number of milliseconds
    #[arg(short, long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5000", value_parser = pause)]
    pub(crate) watch: Option<Duration>,
}

/// Arguments of `lath app get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The app
    pub(crate) name: Option<String>,
    /// Which version; the newest if not given
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// Arguments of verbs about one app.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The app
    pub(crate) name: String,
}

/// Arguments of `lath app put`.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Manifest; standard input if not given
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(crate) source: PathBuf,
}

/// Arguments of `lath app deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// App, or manifest; standard input if not given
    #[arg(value_name = "NAME|FILE", default_value = "-", hide_default_value = true)]
    pub(crate) source: AppOrFile,
    /// Which version of an app; the newest if not given
    pub(crate) version: Option<String>,
    /// Delete the version that the manifest names before it is put
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Arguments of `lath app undeploy`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["source", "all"]))]
pub(crate) struct UndeployArgs {
    /// App, or a manifest of it
    #[arg(value_name = "NAME|FILE")]
    pub(crate) source: Option<AppOrFile>,
    /// Every app that is deployed
    #[arg(long)]
    all: bool,
}

/// Arguments of `lath app delete`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["source", "all_undeployed"]))]
pub(crate) struct DeleteArgs {
    /// App, or a manifest of it
    #[arg(value_name = "NAME|FILE")]
    pub(crate) source: Option<AppOrFile>,
    /// Which version; the one of the file, or all of the app if not given
    pub(crate) version: Option<String>,
    /// Every app that is not deployed
    #[arg(long)]
    all_undeployed: bool,
}

/// Arguments of `lath app validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Manifest; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) source: PathBuf,
}

/// A word that is a file if there is one of that name, and an app otherwise.
#[derive(Debug, Clone)]
pub(crate) struct AppOrFile(String);

impl From<String> for AppOrFile {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl AppOrFile {
    /// Which of the two.
    pub(super) fn named(&self) -> Source {
        let path = PathBuf::from(&self.0);
        let is_app = self.0.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        if self.0 != "-" && is_app && !path.exists() {
            Source::App(self.0.clone())
        } else {
            Source::File(path)
        }
    }
}

/// A duration, or a number of milliseconds as `wash` takes it.
fn pause(text: &str) -> Result<Duration, String> {
    text.parse().map(|ms: u64| Duration::from_millis(ms.max(100))).or_else(|_| duration(text))
}
