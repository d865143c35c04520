//! `lath`: the one binary. The tree of commands, and the exit code.
//!
//! No command is carried out here. Read on in `args.rs`, then the file of a command; `failure.rs` has the exit
//! codes, `output.rs` the forms of output.

mod app;
mod apps;
mod args;
mod artifacts;
mod call;
mod change;
mod completions;
mod connect;
mod daemon;
mod deploy;
mod diff;
mod differences;
mod doctor;
mod down;
mod failure;
mod follow;
mod gather;
mod host;
mod hosts;
mod inventory;
mod links;
mod login;
mod manifest_file;
mod migrate;
mod near;
mod output;
mod plan;
mod progress;
mod reference;
mod render;
mod result;
mod revision;
mod rollout;
mod scale;
mod show;
mod up;
mod validate;
mod version;
mod wait;
mod wash;
mod words;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use args::{Color, GlobalArgs};
use call::Call;
use failure::{Exit, Failure};
use output::{Format, Glyphs, Output};

/// Every request allocates, on several threads at once: with the allocator of the system a host answers a tenth fewer.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs apps of WebAssembly components on a lattice of hosts, and changes them without losing a call
#[derive(Debug, Parser)]
#[command(name = "lath", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

const AFTER_HELP: &str = "\
Begin with `lath up -d`, then `lath deploy FILE`.
Exit codes: 0 done or already so, 1 failed, 2 usage, 3 not found, 4 invalid, 5 conflict,
6 unreachable, 7 denied, 8 time-out, 9 rolled back, 10 degraded, 20 there are changes,
130 interrupted.";

/// The commands, in the order in which they are needed.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start a lattice on this machine: NATS, a manager, hosts
    Up(up::UpArgs),
    /// Stop what `up` has started
    Down(down::DownArgs),
    /// Check every part of a lattice and say how to mend it
    Doctor,
    /// Check manifests, offline
    Validate(validate::ValidateArgs),
    /// Show what deploying a manifest would change
    Plan(Box<plan::PlanArgs>),
    /// Make a revision of a manifest and roll it out
    Deploy(Box<deploy::DeployArgs>),
    /// List apps
    Apps,
    /// Show how an app stands
    Status(apps::StatusArgs),
    /// Show the changes of an app
    History(apps::HistoryArgs),
    /// Print the manifest of a revision
    Show(show::ShowArgs),
    /// Compare two revisions
    Diff(diff::DiffArgs),
    /// Give names to revisions
    #[command(subcommand)]
    Revision(revision::RevisionCommand),
    /// Look on at a rollout and steer it
    #[command(subcommand, after_help = rollout::AFTER_HELP)]
    Rollout(rollout::RolloutCommand),
    /// Set the number of instances of a component
    Scale(Box<scale::ScaleCommand>),
    /// Go back to an earlier revision
    Rollback(Box<change::RollbackArgs>),
    /// Stop an app and keep its revisions
    Undeploy(change::UndeployArgs),
    /// Stop an app and forget it
    Delete(change::DeleteArgs),
    /// List hosts
    Hosts(hosts::HostsArgs),
    /// Show everything that runs, as the hosts say it
    Inventory(inventory::InventoryArgs),
    /// Show who calls whom
    Links(links::LinksArgs),
    /// Ask hosts as tools of wasmCloud 1.x do
    #[command(subcommand)]
    Get(wash::GetCommand),
    /// Start a component or provider by hand, without a manifest
    #[command(subcommand)]
    Start(Box<wash::StartCommand>),
    /// Stop what was started by hand, or a host
    #[command(subcommand)]
    Stop(wash::StopCommand),
    /// Change what was started by hand
    #[command(subcommand)]
    Update(wash::UpdateCommand),
    /// Put, print and delete named configs of the lattice
    #[command(subcommand)]
    Config(wash::ConfigCommand),
    /// Put, list and delete links of what was started by hand
    #[command(subcommand)]
    Link(wash::LinkCommand),
    /// Set and remove labels of a host
    Label(wash::LabelArgs),
    /// Call a function of a component
    Call(Box<wash::CallArgs>),
    /// Look on at the calls to a component and to what it is linked with
    Spy(wash::SpyArgs),
    /// Show what a component is, in a file or in a registry
    Inspect(artifacts::InspectArgs),
    /// Put a component into a registry
    Push(artifacts::PushArgs),
    /// Get a component out of a registry
    Pull(artifacts::PullArgs),
    /// Log in at a registry
    Login(login::LoginArgs),
    /// Do as `wash app` does: the same verbs, arguments and JSON
    #[command(subcommand)]
    App(app::AppCommand),
    /// Bring manifests, and the apps that wadm keeps, over from wasmCloud 1.x
    Migrate(migrate::MigrateArgs),
    /// Run a host; or show, drain, undrain, label one
    Host(Box<host::HostCommand>),
    /// Run a manager
    Manager(Box<lath_manager::ManagerArgs>),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Print the version
    Version,
}

fn main() -> ExitCode {
    // Before anything else: this process may have been started to become a provider of a host.
    if let Some(failed) = lath_host::launched() {
        return failed;
    }
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    colour(cli.global.color);
    let out = Output {
        format: cli.global.output,
        headers: !cli.global.no_headers,
        glyphs: if cli.global.ascii { Glyphs::Ascii } else { Glyphs::of_locale(Call::env) },
        quiet: cli.global.quiet,
    };
    let call = Call { global: cli.global, out };
    let exit = run(cli.command, &call).unwrap_or_else(|failure| {
        out.fail(&failure);
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// The call that arguments ask for.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(args)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    // `lath host` has a default of its own for the lattice. It is no choice of the caller's, and other variables of the
    // environment may still name one.
    if matches.value_source("lattice") == Some(ValueSource::DefaultValue) {
        cli.global.lattice = None;
    }
    Ok(cli)
}

fn run(command: Command, call: &Call) -> Result<Exit, Failure> {
    // The only provider of cryptography, whichever crate asks first. It is refused only when one is there already.
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start threads: {error}")))?;
    let exit = runtime.block_on(dispatch(command, call));
    // What still runs in the background has no result that anybody waits for.
    runtime.shutdown_background();
    exit
}

async fn dispatch(command: Command, call: &Call) -> Result<Exit, Failure> {
    match command {
        Command::Up(args) => Box::pin(up::up(args, call)).await,
        Command::Down(args) => down::down(args, call).await,
        Command::Doctor => doctor::doctor(call).await,
        Command::Validate(args) => validate::validate(&args, &call.out),
        Command::Deploy(args) => Box::pin(deploy::deploy(*args, call)).await,
        Command::Plan(args) => Box::pin(plan::plan(*args, call)).await,
        Command::Apps => apps::apps(call).await,
        Command::Status(args) => apps::status(args, call).await,
        Command::History(args) => apps::history(args, call).await,
        Command::Show(args) => show::show(args, call).await,
        Command::Diff(args) => diff::diff(args, call).await,
        Command::Revision(command) => revision::revision(command, call).await,
        Command::Rollout(command) => Box::pin(rollout::rollout(command, call)).await,
        Command::Scale(command) => Box::pin(scale::command(*command, call)).await,
        Command::Rollback(args) => Box::pin(change::rollback(*args, call)).await,
        Command::Undeploy(args) => Box::pin(change::undeploy(args, call)).await,
        Command::Delete(args) => Box::pin(change::delete(args, call)).await,
        Command::Hosts(args) => hosts::hosts(args, call).await,
        Command::Inventory(args) => inventory::inventory(args, call).await,
        Command::Links(args) => links::links(args, call).await,
        Command::Get(command) => Box::pin(wash::get(command, call)).await,
        Command::Start(command) => Box::pin(wash::start(*command, call)).await,
        Command::Stop(command) => Box::pin(wash::stop(command, call)).await,
        Command::Update(command) => Box::pin(wash::update(command, call)).await,
        Command::Config(command) => Box::pin(wash::config(command, call)).await,
        Command::Link(command) => Box::pin(wash::link(command, call)).await,
        Command::Label(args) => Box::pin(wash::label(args, call)).await,
        Command::Call(args) => Box::pin(wash::call(*args, call)).await,
        Command::Spy(args) => Box::pin(wash::spy(args, call)).await,
        Command::Inspect(args) => Box::pin(artifacts::inspect(args, call)).await,
        Command::Push(args) => Box::pin(artifacts::push(args, call)).await,
        Command::Pull(args) => Box::pin(artifacts::pull(args, call)).await,
        Command::Login(args) => Box::pin(login::login(args, call)).await,
        Command::App(command) => Box::pin(app::app(command, call)).await,
        Command::Migrate(args) => Box::pin(migrate::migrate(args, call)).await,
        Command::Host(command) => Box::pin(host::host(*command, call)).await,
        Command::Manager(args) => Box::pin(daemon::manager(*args, call)).await,
        Command::Completions(args) => completions::completions(&args, Cli::command(), &call.out),
        Command::Version => version::version(&call.out),
    }
}

/// Help and version are answers; a wrong argument is a failure, and one that machines can read if they asked for it.
fn misused(error: &clap::Error) -> ExitCode {
    let asked: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match machine_format(&asked) {
        Some(format) if error.use_stderr() => {
            let text = error.to_string();
            let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let out = Output { format, headers: true, glyphs: Glyphs::Ascii, quiet: false };
            out.fail(&Failure::new(Exit::Usage, message).help("lath help"));
        }
        // Nobody reads it: there is nothing left to do about it.
        Some(_) | None => _ = error.print(),
    }
    ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() })
}

/// The machine form that arguments ask for which could not be read as a whole.
fn machine_format(args: &[String]) -> Option<Format> {
    let mut values = args.iter().enumerate().filter_map(|(index, arg)| match arg.as_str() {
        "-o" | "--output" => args.get(index + 1).map(String::as_str),
        arg => arg.strip_prefix("--output=").or_else(|| arg.strip_prefix("-o")),
    });
    let format =
        values.next_back().and_then(|value| <Format as clap::ValueEnum>::from_str(value, false).ok())?;
    format.is_machine().then_some(format)
}

fn colour(when: Color) {
    match when {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_for_people() {
        insta::assert_snapshot!("help", Cli::command().term_width(100).render_help());
        let names = [
            "up",
            "plan",
            "deploy",
            "status",
            "diff",
            "revision tag",
            "rollout",
            "rollout watch",
            "rollout promote",
            "scale",
            "host drain",
            "inventory",
            "delete",
            "inspect",
            "push",
            "pull",
            "login",
            "app",
            "app deploy",
            "migrate",
        ];
        for name in names {
            let mut cli = Cli::command().term_width(100);
            cli.build();
            let command =
                name.split(' ').fold(&mut cli, |command, verb| command.find_subcommand_mut(verb).unwrap());
            insta::assert_snapshot!(format!("help_{}", name.replace(' ', "_")), command.render_help());
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for args in [["lath", "-x", "eu", "apps"], ["lath", "apps", "-x", "eu"]] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.global.lattice.unwrap().as_str(), "eu");
        }
        let cli = parsed(&["lath", "-x", "eu", "host"]);
        let Command::Host(command) = cli.command else { panic!("not a host") };
        assert_eq!(command.to_run().unwrap().lattice.as_str(), "eu");
    }

    #[test]
    fn a_host_is_run_or_looked_after() {
        let run = parsed(&["lath", "host", "-x", "eu", "--name", "amber", "--label", "zone=a"]);
        let Command::Host(command) = run.command else { panic!("not a host") };
        let args = command.to_run().unwrap();
        assert_eq!((args.lattice.as_str(), args.name.as_deref()), ("eu", Some("amber")));
        for args in [
            ["lath", "-x", "eu", "host", "drain", "amber"],
            ["lath", "host", "drain", "amber", "-x", "eu"],
            ["lath", "host", "drain", "-x=eu", "amber", "--detach"],
        ] {
            let cli = parsed(&args);
            assert_eq!(cli.global.lattice.as_ref().map(|lattice| lattice.as_str()), Some("eu"), "{args:?}");
            let Command::Host(command) = cli.command else { panic!("not a host") };
            assert!(command.to_run().is_none());
        }
        assert_eq!(parsed(&["lath", "host", "show", "amber"]).global.lattice, None);
        assert!(Cli::try_parse_from(["lath", "host", "--name", "amber", "drain", "blue"]).is_err());
    }

    fn parsed(args: &[&str]) -> Cli {
        parse(args.iter().map(OsString::from)).unwrap()
    }

    #[test]
    fn a_wrong_name_is_refused_at_once() {
        for args in [["lath", "status", "a.b"], ["lath", "delete", "*"], ["lath", "-x=a*", "apps"]] {
            assert!(Cli::try_parse_from(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn machines_are_answered_in_their_form_even_when_misused() {
        let format =
            |args: &[&str]| machine_format(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
        assert_eq!(format(&["lath", "-o", "json"]), Some(Format::Json));
        assert_eq!(format(&["lath", "--output=yaml", "apps"]), Some(Format::Yaml));
        assert_eq!(format(&["lath", "-ondjson"]), Some(Format::Ndjson));
        assert_eq!(format(&["lath", "-o", "table"]), None);
        assert_eq!(format(&["lath", "-o"]), None);
    }
}
