//! The messages themselves, seen by a plain NATS client that plays a peer of the 1.x world: byte by byte as the
//! recordings of that world have them, and what of ours such a peer sees beside them.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body_util::{BodyExt as _, Empty, Full};
use lath_wrpc::http::{INCOMING, handle, incoming_export, receive};
use lath_wrpc::{Call, InvokeError, Limits, ServeOptions, StreamError, serve};
use tokio::time::timeout;

use crate::greeter::{echo, greeter, lattice, serve_greeter, service, soon, target};
use crate::nats::Nats;
use crate::settled;

/// `GET /` through the 1.x http-server provider: line 123 of the recording.
const RECORDED_REQUEST: &[u8] = b"\x00\x00\x00\x01\x01/\x01\x00\x01\x0e127.0.0.1:8000\x03\x04host\x01\x0e127.0.0.1:8000\x0auser-agent\x01\x0bcurl/7.88.1\x06accept\x01\x03*/*";
/// Its answer, 200 without headers: line 131.
const RECORDED_HEAD: &[u8] = b"\x00\x00\x00\xc8\x01\x00";
/// The body of the answer: line 133.
const RECORDED_BODY: &[u8] = b"\x11Hello from Wasm!\n\x00";

/// A peer of the 1.x world with an inbox of its own.
struct Peer {
    nats: async_nats::Client,
    inbox: String,
    messages: Subscriber,
}

impl Peer {
    async fn new(nats: &Nats) -> Self {
        let nats = nats.connect().await;
        let root = nats.new_inbox();
        let messages = nats.subscribe(format!("{root}.>")).await.unwrap();
        Self { nats, inbox: format!("{root}.8dHuHJOFnNxrxgByywAjRc"), messages }
    }

    async fn call(&self, subject: &str, payload: &'static [u8]) {
        let (subject, inbox) = (subject.to_owned(), self.inbox.clone());
        self.nats.publish_with_reply(subject, inbox, Bytes::from_static(payload)).await.unwrap();
    }

    async fn send(&self, subject: String, payload: &'static [u8]) {
        self.nats.publish(subject, Bytes::from_static(payload)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        timeout(Duration::from_secs(20), self.messages.next()).await.unwrap().unwrap()
    }

    /// The messages up to `count`, as channel and payload, in the order of arrival.
    async fn collect(&mut self, count: usize) -> Vec<(String, Bytes)> {
        let mut all = Vec::new();
        for _ in 0..count {
            let message = self.next().await;
            let channel = message.subject.strip_prefix(self.inbox.as_str()).unwrap().to_owned();
            assert!(message.headers.is_none(), "a header on {channel} for a peer that sent none of ours");
            all.push((channel, message.payload));
        }
        all
    }
}

fn of(messages: &[(String, Bytes)], channel: &str) -> Vec<Bytes> {
    messages.iter().filter(|(name, _)| name == channel).map(|(_, payload)| payload.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_call_is_answered_message_by_message_as_recorded() {
    let nats = Nats::start();
    let host = nats.client().await;
    let _serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    let mut peer = Peer::new(&nats).await;
    peer.call(target("greet").as_str(), b"\x04/bob").await;
    let accept = peer.next().await;
    assert_eq!((accept.subject.as_str(), &*accept.payload), (peer.inbox.as_str(), &b""[..]));
    assert!(accept.headers.is_none());
    let params = format!("{}.params", accept.reply.unwrap());
    peer.send(params, b"").await;
    let messages = peer.collect(2).await;
    assert_eq!(messages, [(".results".to_owned(), "\x04/bob".into()), (".results".to_owned(), Bytes::new())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_http_request_is_answered_as_recorded() {
    let nats = Nats::start();
    let host = nats.client().await;
    let handler = |call: Call| async move {
        let (request, responder) = receive(call).await.unwrap();
        assert_eq!(request.headers()["user-agent"], "curl/7.88.1");
        // Nothing of the body has come yet, nor the end of the parameters: the head is enough to answer.
        let _ = responder.respond(Response::new(Full::new(Bytes::from("Hello from Wasm!\n")))).await;
    };
    let (exports, options) = ([incoming_export()], ServeOptions::default());
    let _serving =
        serve(&host, &lattice(), &greeter(), &exports, service(4, handler), options).await.unwrap();
    let mut peer = Peer::new(&nats).await;
    peer.call("default.greeter.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle", RECORDED_REQUEST).await;
    let accept = peer.next().await;
    let inbox = accept.reply.unwrap();
    let messages = peer.collect(7).await;
    // The rest of the request comes late, with the empty message on the index between, which means nothing.
    for (channel, payload) in
        [("", b"".as_slice()), (".0", b""), (".0.0", b"\x00"), (".0.1", b"\x00"), (".0.0", b"")]
    {
        peer.send(format!("{inbox}.params{channel}"), payload).await;
    }
    assert_eq!(of(&messages, ".results"), [RECORDED_HEAD, b""]);
    assert_eq!(of(&messages, ".results.0.0").concat(), RECORDED_BODY);
    assert_eq!(of(&messages, ".results.0.1"), [b"\x00".as_slice(), b""]);
    assert!(of(&messages, ".results.0.0").last().unwrap().is_empty());
}

/// The invocation that a fake callee gets, and its way to answer.
async fn taken(subscriber: &mut Subscriber) -> (Message, String) {
    let message = timeout(Duration::from_secs(20), subscriber.next()).await.unwrap().unwrap();
    let inbox = message.reply.clone().unwrap().to_string();
    (message, inbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_1x_callee_ends_its_parameters_and_says_no_more_than_a_header() {
    let nats = Nats::start();
    let mut peer = Peer::new(&nats).await;
    let mut calls = peer
        .nats
        .queue_subscribe(target("greet").as_str().to_owned(), "default.greeter".into())
        .await
        .unwrap();
    settled(&peer.nats).await;
    let caller = nats.client().await;
    let call = tokio::spawn({
        let caller = caller.clone();
        let mut headers = HeaderMap::new();
        headers.insert("source-id", "front");
        headers.insert("link-name", "default");
        async move { caller.invoke(&target("greet"), headers, "\x04/bob".into(), soon()).await }
    });
    let (message, inbox) = taken(&mut calls).await;
    assert_eq!(&*message.payload, b"\x04/bob");
    assert_eq!(inbox.rsplit('.').next().unwrap().len(), 22);
    let mut names: Vec<String> =
        message.headers.unwrap().iter().map(|(name, _)| AsRef::<str>::as_ref(name).to_owned()).collect();
    names.sort();
    assert_eq!(names, ["lath-call", "link-name", "source-id"]);
    let (subject, reply) = (inbox.clone(), peer.inbox.clone());
    peer.nats.publish_with_reply(subject, reply, Bytes::new()).await.unwrap();
    assert_eq!(peer.collect(1).await, [(".params".to_owned(), Bytes::new())]);
    peer.send(format!("{inbox}.results"), b"\x03o").await;
    peer.send(format!("{inbox}.results"), b"k!").await;
    peer.send(format!("{inbox}.results"), b"").await;
    assert_eq!(&*call.await.unwrap().unwrap().results, b"\x03ok!");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accept_without_an_inbox_and_an_early_end_are_errors() {
    let nats = Nats::start();
    let peer = Peer::new(&nats).await;
    let mut calls = peer.nats.subscribe(target("greet").as_str().to_owned()).await.unwrap();
    settled(&peer.nats).await;
    let caller = nats.client().await;
    let start = || {
        let caller = caller.clone();
        tokio::spawn(
            async move { caller.invoke(&target("greet"), HeaderMap::new(), Bytes::new(), soon()).await },
        )
    };
    let call = start();
    let (_, inbox) = taken(&mut calls).await;
    peer.send(inbox, b"").await;
    assert!(matches!(call.await.unwrap(), Err(InvokeError::Protocol(_))));
    // A 1.x callee that fails ends the results and says nothing; the bytes alone cannot tell it from nothing.
    let call = start();
    let (_, inbox) = taken(&mut calls).await;
    peer.send(format!("{inbox}.results"), b"").await;
    assert!(call.await.unwrap().unwrap().results.is_empty());
}

/// Answers an HTTP call with a head, as a 1.x callee does; gives the inbox to go on.
async fn answer_head(peer: &Peer, calls: &mut Subscriber) -> String {
    let (_, inbox) = taken(calls).await;
    peer.nats.publish_with_reply(inbox.clone(), peer.inbox.clone(), Bytes::new()).await.unwrap();
    peer.send(format!("{inbox}.results"), RECORDED_HEAD).await;
    peer.send(format!("{inbox}.results"), b"").await;
    inbox
}

#[tokio::test(flavor = "multi_thread")]
async fn a_1x_writer_that_overruns_a_slow_reader_breaks_that_call_only() {
    let nats = Nats::start();
    let peer = Peer::new(&nats).await;
    let http = lath_wrpc::http::target(&lattice(), &greeter(), INCOMING).unwrap();
    let mut calls = peer.nats.subscribe(http.as_str().to_owned()).await.unwrap();
    settled(&peer.nats).await;
    let caller = nats.client_with(Limits { stream_buffer: 1 << 20, ..Limits::default() }).await;
    let get = || http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let (slow, slow_inbox) = tokio::join!(
        handle(&caller, &http, HeaderMap::new(), get(), None, soon()),
        answer_head(&peer, &mut calls)
    );
    let (quick, quick_inbox) = tokio::join!(
        handle(&caller, &http, HeaderMap::new(), get(), None, soon()),
        answer_head(&peer, &mut calls)
    );
    for _ in 0..2000 {
        peer.send(format!("{slow_inbox}.results.0.0"), &[1; 1024]).await;
    }
    for (channel, payload) in [("0.0", &b"\x02ok\x00"[..]), ("0.0", b""), ("0.1", b"\x00"), ("0.1", b"")] {
        peer.send(format!("{quick_inbox}.results.{channel}"), payload).await;
    }
    assert_eq!(quick.unwrap().into_body().collect().await.unwrap().to_bytes(), "ok");
    let broken = slow.unwrap().into_body().collect().await;
    assert!(matches!(broken, Err(StreamError::Overflow)), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_across_a_reconnect_is_an_error_never_a_body_with_a_hole() {
    let mut nats = Nats::start();
    let peer = Peer::new(&nats).await;
    let http = lath_wrpc::http::target(&lattice(), &greeter(), INCOMING).unwrap();
    let mut calls = peer.nats.subscribe(http.as_str().to_owned()).await.unwrap();
    settled(&peer.nats).await;
    let caller = nats.client().await;
    let request = http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let (response, inbox) = tokio::join!(
        handle(&caller, &http, HeaderMap::new(), request, None, soon()),
        answer_head(&peer, &mut calls)
    );
    let mut body = response.unwrap().into_body();
    peer.send(format!("{inbox}.results.0.0"), b"\x06one").await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    nats.stop();
    nats.restart();
    let next = timeout(Duration::from_secs(20), body.frame()).await.unwrap().unwrap();
    assert!(matches!(next, Err(StreamError::ConnectionLost)), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_between_two_lath_peers_is_two_messages() {
    let nats = Nats::start();
    let spy = nats.connect().await;
    let (host, caller) = (nats.client().await, nats.client().await);
    let _serving = serve_greeter(&host, &["greet"], service(4, echo)).await;
    let mut seen = spy.subscribe(">").await.unwrap();
    settled(&spy).await;
    let own_echo = seen.next().await.unwrap();
    assert!(own_echo.subject.starts_with("_INBOX"), "{own_echo:?}");
    for (name, payload) in [("a name", &b"\x04/bob"[..]), ("nothing", b"")] {
        let payload = Bytes::from_static(payload);
        let outcome =
            caller.invoke(&target("greet"), HeaderMap::new(), payload.clone(), soon()).await.unwrap();
        assert_eq!(outcome.results, payload, "{name}");
    }
    spy.publish("mark", Bytes::new()).await.unwrap();
    let mut subjects = Vec::new();
    while subjects.last().is_none_or(|subject: &String| subject != "mark") {
        let message = timeout(Duration::from_secs(20), seen.next()).await.unwrap().unwrap();
        subjects.push(message.subject.rsplit('.').next().unwrap().to_owned());
    }
    assert_eq!(subjects, ["greet", "whole", "greet", "whole", "mark"]);
}
