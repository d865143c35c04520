//! A component on our host and a peer of the published wRPC crates call each other with values of all types: the types
//! are made up by `build.rs`, the values here. The published encoder makes the parameters, our host reads them, hands
//! them to a component, which calls the peer with them, so that our host writes them anew; the peer reads and writes
//! them by the published crates. At each step the bytes are the same.
//!
//! `LATH_CALLS` says how many calls are made in all; `LATH_TYPES_SEED` and `LATH_VALUES_SEED` choose others.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "values/dice.rs"]
mod dice;
#[path = "values/middle.rs"]
mod middle;
#[path = "../../src/ports.rs"]
#[expect(unreachable_pub, reason = "it is part of a library")]
mod ports;
#[expect(dead_code, reason = "nothing here takes HTTP requests")]
#[path = "lath/up.rs"]
mod up;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::codec::{Decoder as _, Encoder as _};
use wasmcloud_control_interface::{ClientBuilder, Link};
use wrpc_transport::{Decode, Encode, Invoke as _, Serve as _};
use wrpc_transport_nats::{Client as Upstream, ParamWriter, Reader};

use dice::{Dice, Random};
use up::Up;

#[allow(
    dead_code,
    unused_qualifications,
    clippy::all,
    reason = "made up, or made by the published generator"
)]
mod made {
    use super::Function;
    use super::dice::{Dice, Random};
    use bytes::Bytes;

    include!(concat!(env!("OUT_DIR"), "/values.rs"));
}

/// Calls that are made when nobody says how many: enough for each function to have some.
const CALLS: u64 = 2_000;
/// Calls from outside at a time.
const CALLERS: u64 = 8;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const NO_PATHS: [&[Option<usize>]; 0] = [];
const ECHO: &str = "lath-compat:values/echo@0.1.0";
const RELAY: &str = "lath-compat:values/relay@0.1.0";

/// A function with what the published crates know of its parameters.
pub(crate) struct Function {
    name: &'static str,
    /// Random parameters, encoded.
    random: fn(&mut Dice) -> Bytes,
    /// Parameters that are decoded, and encoded again.
    again: fn(&[u8]) -> anyhow::Result<Bytes>,
}

impl Function {
    const fn of<P>(name: &'static str) -> Self
    where
        P: Random + Encode<ParamWriter> + Decode<Reader>,
    {
        Self { name, random: |dice| encode(P::random(dice)).unwrap(), again: again::<P> }
    }
}

fn encode<P: Encode<ParamWriter>>(values: P) -> anyhow::Result<Bytes> {
    let mut bytes = BytesMut::new();
    let mut encoder = P::Encoder::default();
    encoder.encode(values, &mut bytes).ok().context("the published crate writes no such value")?;
    Ok(bytes.freeze())
}

fn again<P: Encode<ParamWriter> + Decode<Reader>>(bytes: &[u8]) -> anyhow::Result<Bytes> {
    let mut rest = BytesMut::from(bytes);
    let values = P::Decoder::default().decode(&mut rest).ok().flatten();
    let values = values.context("the published crate cannot read it")?;
    ensure!(rest.is_empty(), "{} bytes are left over", rest.len());
    encode(values)
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

async fn upstream(up: &Up, id: &str) -> Upstream {
    let client = upstream_nats::connect(&up.nats).await.unwrap();
    let prefix = format!("default.{id}");
    Upstream::new(client, prefix.clone(), Some(prefix.into())).await.unwrap()
}

/// How far calls of the peer have come, all together: who hangs can be seen by it.
#[derive(Debug, Default)]
struct Progress {
    /// Accepted by the published transport.
    taken: AtomicU64,
    /// Whose parameters have come to their end.
    read: AtomicU64,
    /// Whose results are sent.
    answered: AtomicU64,
}

/// Serves every function of `echo` as `peer`.
async fn serve_peer(up: &Up, progress: &Arc<Progress>) -> Upstream {
    let peer = upstream(up, "peer").await;
    for function in &made::FUNCTIONS {
        let calls = peer.serve(ECHO, function.name, Arc::from([])).await.unwrap();
        let progress = Arc::clone(progress);
        tokio::spawn(async move {
            let mut calls = std::pin::pin!(calls);
            while let Some(call) = calls.next().await {
                let Ok((_, mut outgoing, mut incoming)) = call else { continue };
                progress.taken.fetch_add(1, Ordering::Relaxed);
                let progress = Arc::clone(&progress);
                tokio::spawn(async move {
                    let mut params = Vec::new();
                    incoming.read_to_end(&mut params).await.unwrap();
                    progress.read.fetch_add(1, Ordering::Relaxed);
                    // A peer that fails gives no results, and the caller shows which function it was.
                    let written = (function.again)(&params).unwrap();
                    assert_eq!(written, params, "{}: our host wrote other bytes", function.name);
                    outgoing.write_all(&written).await.unwrap();
                    outgoing.shutdown().await.unwrap();
                    progress.answered.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    }
    peer
}

/// Starts the component in the middle by hand, linked to the peer.
async fn start_middle(up: &Up, folder: &tempfile::TempDir) {
    let file = folder.path().join("middle.wasm");
    std::fs::write(&file, middle::component(made::WIT)).unwrap();
    let nats = client_nats::connect(&up.nats).await.unwrap();
    let client = ClientBuilder::new(nats).timeout(PATIENCE).auction_timeout(Duration::from_secs(1)).build();
    let hosts = client.get_hosts().await.unwrap();
    let host = hosts[0].data().unwrap().id().to_owned();
    let link = Link::builder()
        .source_id("middle")
        .target("peer")
        .name("default")
        .wit_namespace("lath-compat")
        .wit_package("values")
        .interfaces(vec!["echo".into()])
        .build()
        .unwrap();
    let linked = client.put_link(link).await.unwrap();
    assert!(linked.succeeded(), "{}", linked.message());
    let image = format!("file://{}", file.display());
    let scaled = client.scale_component(&host, &image, "middle", 100, None, Vec::new(), false).await.unwrap();
    assert!(scaled.succeeded(), "{}", scaled.message());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let inventory = client.get_host_inventory(&host).await.unwrap().into_data().unwrap();
        if inventory.components().iter().any(|component| component.max_instances() == 100) {
            return;
        }
        assert!(Instant::now() < deadline, "{inventory:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One call of the component with random values, and one of the peer by the component.
async fn exchange(caller: &Upstream, function: &Function, dice: &mut Dice) -> anyhow::Result<usize> {
    let params = (function.random)(dice);
    let called = caller.invoke(None, RELAY, function.name, params.clone(), NO_PATHS);
    let (mut outgoing, mut incoming) = called.await?;
    outgoing.shutdown().await?;
    let mut results = Vec::new();
    incoming.read_to_end(&mut results).await?;
    let name = function.name;
    ensure!(results == params, "{name}: {} came back for {}", hex(&results), hex(&params));
    ensure!((function.again)(&results)? == params, "{name}: the published crate reads something else");
    Ok(params.len())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(500).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_published_crate_understands_itself() {
    let mut dice = Dice(number("LATH_VALUES_SEED", 1));
    for function in &made::FUNCTIONS {
        for _ in 0..50 {
            let params = (function.random)(&mut dice);
            assert_eq!((function.again)(&params).unwrap(), params, "{}", function.name);
        }
    }
}

/// All of the published transport runs on one thread. On several it loses a message now and then: its queue of
/// subscriptions shows none of them while a thread that was interrupted has not put in an earlier one, and what arrives
/// for a subscription that is not seen yet is dropped. The call then waits for its deadline. On two busy processors that
/// was one of some 40,000 calls.
#[tokio::test]
async fn a_component_and_a_published_peer_call_each_other_with_all_values() {
    let calls = number("LATH_CALLS", CALLS);
    let up = Up::start();
    let folder = tempfile::tempdir().unwrap();
    let progress = Arc::new(Progress::default());
    let _peer = serve_peer(&up, &progress).await;
    start_middle(&up, &folder).await;
    let began = Instant::now();
    let exchanges = calls.div_ceil(2);
    let next = AtomicU64::new(0);
    let callers = (0..CALLERS).map(async |number_of_caller| {
        let caller = upstream(&up, "middle").await;
        let mut dice = Dice(number("LATH_VALUES_SEED", 1) ^ number_of_caller << 32);
        let mut bytes = 0;
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= exchanges {
                return anyhow::Ok(bytes);
            }
            let function = &made::FUNCTIONS[usize::try_from(turn).unwrap() % made::FUNCTIONS.len()];
            let exchanged = timeout(PATIENCE, exchange(&caller, function, &mut dice)).await;
            bytes += exchanged.with_context(|| format!("{}: no answer", function.name))??;
        }
    });
    let bytes = try_join_all(callers).await.unwrap_or_else(|error| panic!("{error:#}; {progress:?}"));
    let bytes: usize = bytes.into_iter().sum();
    assert_eq!(progress.answered.load(Ordering::Relaxed), exchanges);
    println!(
        "{} calls of {} functions, {bytes} bytes of parameters each way, all bytes equal, in {:.1} s",
        2 * exchanges,
        made::FUNCTIONS.len(),
        began.elapsed().as_secs_f64()
    );
}
