//! The program behind `cargo xtask soak`, which builds it and what it needs. Arguments, output and exit code are here;
//! what a soak is stands in `lath_tests::soak`.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use lath_tests::soak::{Kind, Options, soak};

/// A lattice of real processes under load, rollouts one after another, half of them made to fail, and an account of
/// every request. Ends with exit code 1 when a promise was broken.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
struct Arguments {
    /// Rollouts
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rollouts: u32,
    /// Requests a second, to all apps together
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Hosts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    hosts: u8,
    /// No rollout begins after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Chooses the sequence of rollouts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these kinds of rollouts, with commas between them
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    only: Vec<Kind>,
    /// None of these kinds
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    without: Vec<Kind>,
    /// Kill the manager in the middle of some rollouts
    #[arg(long)]
    kill: bool,
    /// Goals that depend on the machine must be reached, too: exit code 1 when one is not
    #[arg(long)]
    goals: bool,
    /// Keep transcript, logs and data also when all is well
    #[arg(long)]
    keep: bool,
    /// Form of the report; progress goes to the error output
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Table,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = |kind: &Kind| {
        (arguments.only.is_empty() || arguments.only.contains(kind)) && !arguments.without.contains(kind)
    };
    let kinds: Vec<_> = Kind::all().filter(chosen).collect();
    if kinds.is_empty() {
        eprintln!("error: --only and --without leave no kind of rollout");
        return ExitCode::from(2);
    }
    let options = Options {
        rollouts: arguments.rollouts,
        rate: arguments.rate,
        hosts: arguments.hosts.into(),
        minutes: arguments.minutes,
        seed: arguments.seed,
        kinds,
        kill: arguments.kill,
        keep: arguments.keep,
    };
    let report = soak(&options, |line| eprintln!("{line}")).await;
    match arguments.output {
        Form::Table => print!("{}", report.text()),
        Form::Json => println!("{:#}", report.json()),
    }
    if report.is_good() && (report.reaches_goals() || !arguments.goals) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::all().map(Kind::name).collect::<Vec<_>>().join(", ");
    Kind::all().find(|kind| kind.name() == name).ok_or_else(|| format!("the kinds are {}", known()))
}
