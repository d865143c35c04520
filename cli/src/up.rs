//! `lath up`: a whole lattice on this machine, each part in a process of its own.
//!
//! Starting is NATS, then the manager and the hosts; stopping is the other way round, in `down.rs`. Every process
//! is written down before the next is started, so that nothing is left behind that `lath down` does not know.

mod known;
mod nats;
mod process;
mod start;
mod state;

use std::fs::{File, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lath_artifacts::RegistryArgs;
use lath_control_api::LatticeId;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::duration;
use crate::call::Call;
use crate::connect;
use crate::down;
use crate::failure::{Exit, Failure};
use crate::output::{Document, Output, table};
use crate::progress::Reporter;

pub(crate) use process::{Gone, Process};
pub(crate) use state::UpState;

/// Arguments of `lath up`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Return when all is ready; `lath down` stops it
    #[arg(short, long)]
    detach: bool,
    /// Number of hosts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    hosts: u16,
    /// Folder for everything that is kept [default: $XDG_DATA_HOME/lath/LATTICE]
    #[arg(long, value_name = "DIR", env = "LATH_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// Use this NATS server instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "nats_port")]
    nats_url: Option<String>,
    /// Port of the NATS server that is started; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 4222)]
    nats_port: u16,
    /// Where hosts answer HTTP requests of routes without an address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    http: SocketAddr,
    /// Where the manager answers HTTP requests; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8480")]
    manager_http: SocketAddr,
    #[command(flatten)]
    registries: RegistryArgs,
    /// Longest wait for all of it to be ready, and for the manager to know every host
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
}

/// What to start, with every choice made.
#[derive(Debug, Clone)]
struct Plan {
    lattice: LatticeId,
    data: PathBuf,
    hosts: u16,
    /// A server that runs already.
    nats_url: Option<String>,
    nats_port: u16,
    creds: Option<PathBuf>,
    http: SocketAddr,
    manager_http: SocketAddr,
    registries: RegistryArgs,
    /// Longest wait for all of it.
    timeout: Duration,
}

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UpResult<'a> {
    unchanged: bool,
    #[serde(flatten)]
    state: &'a UpState,
}

/// Folder of a lattice when none is named.
pub(crate) fn data_folder(named: Option<&Path>, lattice: &LatticeId) -> Result<PathBuf, Failure> {
    let folder = match named {
        Some(folder) => folder.to_owned(),
        None => {
            let base = Call::env("XDG_DATA_HOME").map(PathBuf::from);
            let base =
                base.or_else(|| Call::env("HOME").map(|home| PathBuf::from(home).join(".local/share")));
            let missing = || {
                Failure::new(Exit::Usage, "neither HOME nor XDG_DATA_HOME is set")
                    .help("name a folder with --data")
            };
            base.ok_or_else(missing)?.join("lath").join(lattice.as_str())
        }
    };
    std::path::absolute(&folder)
        .map_err(|error| Failure::new(Exit::Usage, format!("--data {}: {error}", folder.display())))
}

/// Starts a lattice and, unless detached, stays until it is told to stop.
pub(crate) async fn up(args: UpArgs, call: &Call) -> Result<Exit, Failure> {
    let plan = plan(&args, call)?;
    std::fs::create_dir_all(&plan.data).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot make {}: {error}", plan.data.display()))
    })?;
    let lock = lock(&plan.data)?;
    if let Some(running) = running(&plan.data)? {
        print(&running, true, call)?;
        return Ok(Exit::Done);
    }
    check_addresses(&plan)?;
    let mut signals = Signals::new()?;
    let mut reporter = call.reporter();
    let mut lattice = start::Lattice::new(&plan);
    let started = tokio::select! {
        started = lattice.start(&mut reporter) => started,
        () = signals.stop() => Err(Failure::new(Exit::Interrupted, "interrupted while starting; what was started is stopped")),
    };
    if let Err(failure) = started {
        stop(lattice, &mut signals, &mut reporter).await;
        return Err(failure);
    }
    drop(lock);
    reporter.wipe();
    print(lattice.state()?, false, call)?;
    if args.detach {
        next_steps(lattice.state()?, &args, call);
        return Ok(Exit::Done);
    }
    call.out.say("Ctrl-C stops it all");
    tokio::select! {
        on_purpose = lattice.watch(&call.out) => Ok(if on_purpose { Exit::Done } else { Exit::Failed }),
        () = signals.stop() => {
            stop(lattice, &mut signals, &mut reporter).await;
            Ok(Exit::Done)
        }
    }
}

fn plan(args: &UpArgs, call: &Call) -> Result<Plan, Failure> {
    let lattice = connect::lattice(&call.global, Call::env)?;
    Ok(Plan {
        data: data_folder(args.data.as_deref(), &lattice)?,
        lattice,
        hosts: args.hosts,
        nats_url: args.nats_url.clone().or_else(|| call.global.server.clone()),
        nats_port: args.nats_port,
        creds: call.global.creds.clone(),
        http: with_port(args.http)?,
        manager_http: args.manager_http,
        registries: args.registries.clone(),
        timeout: args.timeout,
    })
}

/// Hosts share their address, so a free port is chosen here, once for all of them.
fn with_port(address: SocketAddr) -> Result<SocketAddr, Failure> {
    if address.port() != 0 {
        return Ok(address);
    }
    let free = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    free.map_err(|error| {
        Failure::new(Exit::Conflict, format!("{address} cannot be used for HTTP requests: {error}"))
    })
}

/// Two commands that start in one folder at the same time would start everything twice.
fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join("up.lock");
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot lock {}: {error}", path.display()))
    };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another `lath up` is starting in {}", data.display());
            Err(Failure::new(Exit::Conflict, message).help("wait for it, or choose another --data"))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// What runs in this folder: nothing, all of what was started, or, as an error, only a part.
fn running(data: &Path) -> Result<Option<UpState>, Failure> {
    let Some(state) = UpState::read(data)? else { return Ok(None) };
    let (alive, dead): (Vec<_>, Vec<_>) = state.processes().partition(|(_, process)| process.is_alive());
    if alive.is_empty() {
        return Ok(None);
    }
    if dead.is_empty() {
        return Ok(Some(state));
    }
    let names = |part: &[(String, &Process)]| {
        part.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ")
    };
    let failure =
        Failure::new(Exit::Conflict, format!("a part of the lattice in {} has ended", data.display()))
            .note(format!("runs: {}", names(&alive)));
    let failure = dead.iter().fold(failure, |failure, (name, process)| {
        failure.note(format!("ended: {name} (see {})", process.log.display()))
    });
    Err(failure.help(format!("lath down --data {}", data.display())))
}

/// Hosts share their address with other hosts, so a lattice that listens there already would not show by itself.
fn check_addresses(plan: &Plan) -> Result<(), Failure> {
    let nats = plan.nats_url.is_none().then(|| SocketAddr::from(([127, 0, 0, 1], plan.nats_port)));
    let wanted = [
        (nats, "the NATS server", "choose another --nats-port, or use the running server with --nats-url"),
        (Some(plan.http), "HTTP requests", "choose another --http"),
        (Some(plan.manager_http), "the manager", "choose another --manager-http"),
    ];
    for (address, what, help) in wanted {
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        TcpListener::bind(address).map_err(|error| {
            let help = format!("{help}; `lath down` stops a lattice that was started with `lath up`");
            Failure::new(Exit::Conflict, format!("{address} cannot be used for {what}: {error}")).help(help)
        })?;
    }
    Ok(())
}

/// Signals that end the foreground: Ctrl-C, a service manager's stop, and a closed terminal.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Stops all in order; a second signal ends everything at once.
async fn stop(mut lattice: start::Lattice, signals: &mut Signals, reporter: &mut Reporter) {
    reporter.wipe();
    let Ok(state) = lattice.state().cloned() else { return };
    let children = lattice.reap();
    tokio::select! {
        stopped = down::stop_all(&state) => {
            for one in stopped {
                reporter.headline(&format!("  {}", one.text()));
            }
        }
        () = signals.stop() => {
            reporter.headline("  killed what was left");
            state.processes().for_each(|(_, process)| process.kill());
        }
    }
    UpState::remove(&state.data);
    children.await;
}

fn print(state: &UpState, unchanged: bool, call: &Call) -> Result<(), Failure> {
    let names = state.hosts.iter().map(|host| host.name.clone());
    let document = Document::new("UpResult", &UpResult { unchanged, state }).names(names);
    call.out.print(&document, |_wide| text(state, unchanged, &call.out))
}

fn text(state: &UpState, unchanged: bool, out: &Output) -> String {
    let pid = |process: &Process| format!("pid {}", process.pid);
    let ours = if unchanged { "runs" } else { "started" };
    let row = |name: String, address: String, how: &str, process: Option<&Process>| {
        vec![format!("  {name}"), address, how.to_owned(), process.map(pid).unwrap_or_default()]
    };
    let nats_how = if state.nats.process.is_some() { ours } else { "not ours" };
    let url = connect::without_user(&state.nats.url);
    let mut rows = vec![row("nats".into(), url, nats_how, state.nats.process.as_ref())];
    rows.extend(state.manager.iter().map(|manager| {
        row("manager".into(), format!("http://{}/", manager.http), "ready", Some(&manager.process))
    }));
    rows.extend(state.hosts.iter().map(|host| {
        row(format!("host {}", host.name), format!("http://{}/", host.http), "ready", Some(&host.process))
    }));
    let mark = out.glyphs.pick("✔", "OK");
    let word = if unchanged { "Unchanged: lattice" } else { "Lattice" };
    format!(
        "{}{mark} {word} {} is up; data and logs in {}\n",
        table(false, &[], rows),
        state.lattice,
        state.data.display()
    )
}

/// What to type next, with the settings that differ from the defaults.
fn next_steps(state: &UpState, args: &UpArgs, call: &Call) {
    if state.nats.url != connect::DEFAULT_URL {
        call.out.say(&format!(
            "Other commands find it with: export LATH_SERVER={}",
            connect::without_user(&state.nats.url)
        ));
    }
    if state.lattice.as_str() != "default" {
        call.out.say(&format!("Other commands find it with: export LATH_LATTICE={}", state.lattice));
    }
    let data = if args.data.is_some() { format!(" --data {}", state.data.display()) } else { String::new() };
    call.out.say(&format!("Next: lath deploy FILE; stop it with: lath down{data}"));
}
