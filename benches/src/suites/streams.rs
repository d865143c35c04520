//! Large bodies through a component and back, as they come: nothing may be collected on the way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::http::wasmtime_serve;
use crate::bundle::{component, guest, request, server};
use crate::process::Host;
use crate::row::{Row, Unit, Value};
use crate::run::{Run, middle};

const SUITE: &str = "streams";
/// Most that a host may grow while a body passes: far less than the body.
const PIECE: usize = 64 << 10;

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let size = run.count(256 << 20, 64 << 20);
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let host = Host::start(&run.lath, None).await;
    for (app, code) in [("two", "http-hello-v1"), ("three", "http-hello-p3-v1")] {
        let digest = host.push(&guest(code)).await;
        let web = server(app, host.address, &format!("{app}.test"), "hello");
        host.apply(&request(app, 1, vec![component(app, "hello", &digest), web])).await;
    }
    host.running(4).await;
    let mut servers = vec![(host.address, "two.test"), (host.address, "three.test")];
    let mut others = Vec::new();
    if let Some(wasmtime) = &run.wasmtime {
        let p2 = wasmtime_serve("wasmtime echo", wasmtime, &["-Scli,config"], "http-hello-v1", &folder).await;
        let flags = ["-Scli,config,p3", "-Wcomponent-model-async"];
        let p3 = wasmtime_serve("wasmtime echo p3", wasmtime, &flags, "http-hello-p3-v1", &folder).await;
        others = vec![p2, p3];
        servers.extend(others.iter().map(|server| (server.ask().address, "bench.test")));
    }
    let mut rates = vec![Vec::new(); servers.len()];
    for _ in 0..run.rounds() {
        for ((address, name), rates) in servers.iter().zip(&mut rates) {
            let took = echo(*address, name, size).await;
            rates.push(size as f64 / f64::from(1 << 20) / took.as_secs_f64());
        }
    }
    drop(others);
    let rates: Vec<f64> = rates.into_iter().map(middle).collect();
    let value = |amount: f64| Value { amount, unit: Unit::MiBPerSecond };
    let mut rows = Vec::new();
    for (at, version) in ["0.2", "0.3"].iter().enumerate() {
        let work = format!("{} MiB there and back, WASI {version}", size >> 20);
        let row = Row::new(SUITE, work, value(rates[at]));
        rows.push(match rates.get(at + 2) {
            Some(other) => row.beside("wasmtime serve", value(*other)),
            None => row,
        });
    }
    let amount = host.memory().most as f64 / f64::from(1 << 20);
    rows.push(Row::new(SUITE, "most that the host took meanwhile", Value { amount, unit: Unit::MiB }));
    rows
}

/// Sends a body of `size` bytes to `/echo`, and reads as many.
async fn echo(address: SocketAddr, host: &str, size: usize) -> Duration {
    let begun = Instant::now();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut from, mut to) = stream.into_split();
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
    let sender = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await.expect("the head is taken");
        let piece = vec![b'x'; PIECE];
        let mut left = size;
        while left > 0 {
            let now = left.min(PIECE);
            to.write_all(&piece[..now]).await.expect("the body is taken");
            left -= now;
        }
        to
    });
    let (mut read, mut buffer) = (0, vec![0; PIECE]);
    let mut status = Vec::new();
    loop {
        let now = from.read(&mut buffer).await.expect("the answer comes");
        if now == 0 {
            break;
        }
        if status.len() < 12 {
            status.extend_from_slice(&buffer[..now.min(12)]);
        }
        read += now;
    }
    let _sent = sender.await.expect("all is sent");
    assert!(status.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&status));
    assert!(read >= size, "{read} of {size} bytes came back");
    begun.elapsed()
}
