//! The manager as a process, on a real nats-server, with stand-ins for hosts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod apps;
mod counts;
mod host;
mod lattice;
mod leadership;
#[path = "../../../control-api/client/tests/it/nats.rs"]
#[expect(dead_code, reason = "the module is shared, and no test here needs all of it")]
mod nats;
#[path = "../../../tests/src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
mod providers;
mod rollouts;
mod store;
mod wadm;

use clap::Parser;
use lath_manager::ManagerArgs;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    manager: ManagerArgs,
}

/// Not a test: the process that tests start when they need a manager to kill.
#[test]
#[ignore = "started by other tests as a process"]
fn manager_process() {
    let Ok(settings) = std::env::var("LATH_TEST_MANAGER") else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (url, folder) = settings.split_once(' ').unwrap();
    let (data, ready) = (format!("{folder}/data"), format!("{folder}/ready.json"));
    let arguments = Arguments::parse_from([
        "manager",
        "--lattice",
        "test",
        "--nats-url",
        url,
        "--http",
        "127.0.0.1:0",
        "--data-dir",
        &data,
        "--ready-file",
        &ready,
        "--allow-file-load",
    ]);
    let filter = tracing_subscriber::EnvFilter::new("info,lath_manager=debug,lath_control_api_client=debug");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(lath_manager::run(arguments.manager)).unwrap();
}
