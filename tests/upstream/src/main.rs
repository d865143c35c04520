//! Serves and calls a small function by `wrpc-transport-nats` 0.31, for the comparison of `cargo xtask bench`.
//!
//! `upstream-wrpc serve URL` answers until it is killed. `upstream-wrpc call URL ADDRESS` listens on ADDRESS for lines
//! `IN-FLIGHT MILLISECONDS`, calls for so long, and answers each line with the calls that it made in a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use wrpc_transport::{InvokeExt as _, ServeExt as _};
use wrpc_transport_nats::Client;

const PREFIX: &str = "bench.upstream";
const INSTANCE: &str = "lath:bench/echo@0.1.0";
const FUNCTION: &str = "text";
const NO_PATHS: [&[Option<usize>]; 0] = [];
/// As long as what the others send.
const TEXT: &str = "xxxxxxxxxxxxxxxx";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", url] => serve(&client(url).await?).await,
        ["call", url, address] => call(Arc::new(client(url).await?), address).await,
        _ => bail!("say `serve URL` or `call URL ADDRESS`"),
    }
}

async fn client(url: &str) -> Result<Client> {
    let nats = upstream_nats::connect(url).await.context("no connection")?;
    Client::new(nats, PREFIX, Some(PREFIX.into())).await
}

async fn serve(client: &Client) -> Result<()> {
    let calls = client.serve_values::<(String,), (String,)>(INSTANCE, FUNCTION, Arc::from([])).await?;
    let mut calls = std::pin::pin!(calls);
    while let Some(call) = calls.next().await {
        let Ok((_, (text,), _, answer)) = call else { continue };
        tokio::spawn(async move { answer((text,)).await });
    }
    Ok(())
}

async fn call(client: Arc<Client>, address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await.context("cannot listen")?;
    loop {
        let (stream, _) = listener.accept().await?;
        if let Err(error) = measure(&client, stream).await {
            eprintln!("{error:#}");
        }
    }
}

async fn measure(client: &Arc<Client>, stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let (in_flight, time) = line.trim().split_once(' ').context("two numbers are needed")?;
    let (in_flight, time): (u32, u64) = (in_flight.parse()?, time.parse()?);
    let (begun, time) = (Instant::now(), Duration::from_millis(time));
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let client = Arc::clone(client);
            tokio::spawn(async move {
                let mut calls = 0_u32;
                loop {
                    let call =
                        client.invoke_values_blocking(None, INSTANCE, FUNCTION, (TEXT.to_owned(),), NO_PATHS);
                    let (answer,): (String,) = call.await?;
                    if answer != TEXT {
                        bail!("another answer came back");
                    }
                    calls += 1;
                    if begun.elapsed() >= time {
                        return Ok(calls);
                    }
                }
            })
        })
        .collect();
    let mut calls = 0;
    for caller in callers {
        calls += caller.await??;
    }
    let rate = f64::from(calls) / begun.elapsed().as_secs_f64();
    stream.write_all(format!("{rate}\n").as_bytes()).await?;
    Ok(())
}
