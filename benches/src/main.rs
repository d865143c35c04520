//! Runs suites and tells what they measured; `cargo xtask bench` builds what it needs and starts it.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints, and stops at once when it cannot measure"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use lath_benches::numbers::machine;
use lath_benches::row::Row;
use lath_benches::run::Run;
use lath_benches::suites::{SUITES, Suite, serve_peer};
use lath_benches::table;

/// Where the generated part of the documentation begins and ends.
const MARKS: (&str, &str) = ("<!-- begin of the generated part -->", "<!-- end of the generated part -->");

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure, and print one table
    Run(RunArgs),
    /// Answer calls of a measurement until killed
    Peer { kind: String, url: String },
}

#[derive(Args)]
struct RunArgs {
    /// Less of everything
    #[arg(long)]
    quick: bool,
    /// Only this suite; may be repeated
    #[arg(long)]
    suite: Vec<String>,
    /// The `lath` to measure
    #[arg(long)]
    lath: PathBuf,
    /// Another one, to compare with in alternation
    #[arg(long)]
    against: Option<PathBuf>,
    #[arg(long)]
    hyper: PathBuf,
    #[arg(long)]
    wasmtime: Option<PathBuf>,
    #[arg(long)]
    upstream: Option<PathBuf>,
    /// The document whose generated part is written anew
    #[arg(long)]
    docs: Option<PathBuf>,
    /// What the document says of the method and the day
    #[arg(long, default_value = "")]
    told: String,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match Arguments::parse().task {
        Task::Run(args) => runtime.block_on(run(&args)),
        Task::Peer { kind, url } => {
            runtime.block_on(serve_peer(&kind, &url));
            ExitCode::SUCCESS
        }
    }
}

async fn run(args: &RunArgs) -> ExitCode {
    let chosen: Vec<&Suite> = SUITES
        .iter()
        .filter(|suite| args.suite.is_empty() || args.suite.iter().any(|name| name == suite.name))
        .collect();
    let known = |name: &&String| !SUITES.iter().any(|suite| suite.name == **name);
    if let Some(unknown) = args.suite.iter().find(known) {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        eprintln!("there is no suite `{unknown}`; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let ours = Run {
        quick: args.quick,
        lath: args.lath.clone(),
        hyper: args.hyper.clone(),
        wasmtime: args.wasmtime.clone(),
        upstream: args.upstream.clone(),
    };
    let machine = machine();
    println!("{machine}");
    if let Some(other) = &args.against {
        return compare(&chosen, &ours, other).await;
    }
    let mut rows = Vec::new();
    for suite in chosen {
        let begun = Instant::now();
        let measured = (suite.run)(&ours).await;
        println!("\n== {} ({:.0} s)\n{}", suite.name, begun.elapsed().as_secs_f64(), table::text(&measured));
        rows.extend(measured);
    }
    println!("\n{}", table::text(&rows));
    let missed = rows.iter().filter(|row| row.reached() == Some(false)).count();
    let aimed = rows.iter().filter(|row| row.reached().is_some()).count();
    println!("{} of {aimed} aims are reached", aimed - missed);
    match &args.docs {
        Some(docs) => write_docs(docs, &format!("{}{machine}", args.told), &rows),
        None => ExitCode::SUCCESS,
    }
}

/// Two revisions of Lath in alternation: three runs of each, suite by suite, and what ours is of the other.
async fn compare(chosen: &[&Suite], ours: &Run, other: &Path) -> ExitCode {
    const TURNS: usize = 3;
    let theirs = Run { lath: other.to_owned(), wasmtime: None, upstream: None, ..ours.clone() };
    let ours = Run { wasmtime: None, upstream: None, ..ours.clone() };
    let mut rows = Vec::new();
    for suite in chosen.iter().filter(|suite| suite.is_of_lath) {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            here.push((suite.run)(&ours).await);
            there.push((suite.run)(&theirs).await);
        }
        let middle = |runs: &[Vec<Row>], at: usize| {
            let amounts = runs.iter().filter_map(|rows| rows.get(at)).map(|row| row.ours.amount).collect();
            lath_benches::run::middle(amounts)
        };
        for (at, row) in here.first().into_iter().flatten().enumerate() {
            let value = |runs: &[Vec<Row>]| lath_benches::row::Value { amount: middle(runs, at), ..row.ours };
            rows.push(Row::new(row.suite, row.work.clone(), value(&here)).beside("before", value(&there)));
        }
    }
    println!("\n{}", table::text(&rows));
    ExitCode::SUCCESS
}

fn write_docs(docs: &Path, told: &str, rows: &[Row]) -> ExitCode {
    let document = std::fs::read_to_string(docs).expect("the document can be read");
    let part = format!("{told}\n{}", table::markdown(rows));
    match table::put_between(&document, MARKS.0, MARKS.1, &part) {
        Some(document) => {
            std::fs::write(docs, document).expect("the document can be written");
            println!("written to {}", docs.display());
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("{} lacks `{}` or `{}`", docs.display(), MARKS.0, MARKS.1);
            ExitCode::FAILURE
        }
    }
}
