//! A message that a component answers, by way of a provider: from NATS to the provider, from it to the component, and the answer
//! back the same way. Beside it NATS alone: a request and its reply.
//!
//! The provider is a process of ours that does what a messaging provider of 1.x does, and nothing else: the published ones
//! are not built here.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use lath_control_api::{ComponentId, LatticeId};
use lath_tests::eventually;
use lath_tests::process::Process;
use lath_wrpc::serve::Call;
use lath_wrpc::{Client, Export, HeaderMap, Limits, ServeOptions, Service, Target};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bundle::{component, guest, request, sending_messages};
use crate::process::Host;
use crate::row::{Row, Value};
use crate::run::{Run, middle};

const SUITE: &str = "messaging";
const IN_FLIGHT: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);
const APP: &str = "messages";
/// Where the component takes messages, and where NATS alone answers.
const TAKEN: &str = "bench.taken";
const ALONE: &str = "bench.alone";
/// How the provider is asked for as a process.
pub(super) const PEER: &str = "messages";

fn lattice() -> LatticeId {
    "default".parse().expect("a name")
}

fn id(of: &str) -> ComponentId {
    format!("{APP}-{of}").parse().expect("an id")
}

/// The provider, and whoever answers without one, until it is killed.
pub(super) async fn serve(nats: async_nats::Client) {
    let client = Client::new(nats.clone(), Limits::default()).await.expect("an inbox");
    let publisher = nats.clone();
    let publish = move |mut call: Call| {
        let nats = publisher.clone();
        async move {
            let params = call.params().await;
            if let Ok(params) = &params {
                let (subject, rest) = short(params);
                let (body, _reply_to) = short(rest);
                let subject = std::str::from_utf8(subject).expect("a subject").to_owned();
                nats.publish(subject, Bytes::copy_from_slice(body)).await.expect("a connection");
            }
            let _caller_gone = call.finish(params.map(|_| Bytes::from_static(b"\0"))).await;
        }
    };
    let service = Service { handler: Arc::new(publish), permits: Arc::new(Semaphore::new(1_000)) };
    let exports = [Export::plain(Some("wasmcloud:messaging/consumer@0.2.0"), "publish")];
    let (lattice, broker) = (lattice(), id("broker"));
    let serving = lath_wrpc::serve(&client, &lattice, &broker, &exports, service, ServeOptions::default());
    let _serving = serving.await.expect("it is served");
    let mut taken = nats.subscribe(TAKEN).await.expect("a subscription");
    let mut alone = nats.subscribe(ALONE).await.expect("a subscription");
    let target =
        Target::new(&lattice, &id("messenger"), Some("wasmcloud:messaging/handler@0.2.0"), "handle-message");
    let target = target.expect("a subject");
    loop {
        tokio::select! {
            Some(message) = taken.next() => {
                let (client, target) = (client.clone(), target.clone());
                tokio::spawn(async move {
                    let params = broker_message(&message);
                    let deadline = (Instant::now() + PATIENCE).into();
                    // Who waits for the answer notices.
                    let _taken = client.invoke(&target, HeaderMap::new(), params, deadline).await;
                });
            }
            Some(message) = alone.next() => {
                let Some(reply) = message.reply else { continue };
                let nats = nats.clone();
                tokio::spawn(async move { nats.publish(reply, message.payload).await });
            }
        }
    }
}

/// A message as a component takes it: subject, body, and where the answer goes.
fn broker_message(message: &async_nats::Message) -> Bytes {
    let reply = message.reply.as_ref().expect("somebody waits");
    let mut bytes = BytesMut::new();
    put(&mut bytes, message.subject.as_bytes());
    put(&mut bytes, &message.payload);
    // There is one.
    bytes.put_u8(1);
    put(&mut bytes, reply.as_bytes());
    bytes.freeze()
}

fn put(bytes: &mut BytesMut, text: &[u8]) {
    bytes.put_u8(u8::try_from(text.len()).ok().filter(|length| *length < 128).expect("a short text"));
    bytes.extend_from_slice(text);
}

/// A text of less than 128 bytes, and what follows it.
fn short(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first().expect("a length");
    assert!(*length < 128, "a short text");
    rest.split_at(usize::from(*length))
}

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    let folder = tempfile::Builder::new().prefix("lath-bench-").tempdir().expect("a folder");
    let host = Host::start(&run.lath, None).await;
    let digest = host.push(&guest("messenger-v1")).await;
    let messenger = sending_messages(component(APP, "messenger", &digest), APP, "broker");
    host.apply(&request(APP, 1, vec![messenger])).await;
    host.running(1).await;
    let mut provider = Command::new(std::env::current_exe().expect("this program"));
    provider.args(["peer", PEER, &host.nats_url()]);
    let _provider = Process::start("provider", provider, &folder.path().join("provider.log"));
    let nats = async_nats::connect(host.nats_url()).await.expect("a connection");
    for subject in [TAKEN, ALONE] {
        eventually(PATIENCE, "an answer", async || {
            let asked = tokio::time::timeout(Duration::from_secs(1), nats.request(subject, "hello".into()));
            let answered = asked.await.map_err(|error| error.to_string())?;
            answered.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
    let mut one = [const { Vec::new() }; 2];
    let mut many = [const { Vec::new() }; 2];
    for _ in 0..run.rounds() {
        for (at, subject) in [TAKEN, ALONE].into_iter().enumerate() {
            one[at].push(1.0 / rate(&nats, subject, 1, run.time() / 2).await);
            many[at].push(rate(&nats, subject, IN_FLIGHT, run.time() / 2).await);
        }
    }
    let [ours, alone] = one.map(|times| Value::us(Duration::from_secs_f64(middle(times))));
    let [ours_many, alone_many] = many.map(|rates| Value::per_second(middle(rates)));
    let beside = "a request and its reply";
    vec![
        Row::new(SUITE, "a message and a component's answer, one after another", ours).beside(beside, alone),
        Row::new(SUITE, "the same, 64 in flight", ours_many).beside(beside, alone_many),
    ]
}

/// Answers in a second, with so many at the same time.
async fn rate(nats: &async_nats::Client, subject: &'static str, in_flight: usize, time: Duration) -> f64 {
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..in_flight {
        let nats = nats.clone();
        tasks.spawn(async move {
            let mut answers = 0_u32;
            while begun.elapsed() < time {
                nats.request(subject, "hello".into()).await.expect("an answer");
                answers += 1;
            }
            answers
        });
    }
    let answers: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(answers) / begun.elapsed().as_secs_f64()
}
