//! A capability provider without an SDK: greets with the word of the caller's link or of its own config, and says whether it
//! takes a link. What it lives through it writes into the file `journal` of its config, a line each.
//!
//! Config: `journal`; `word`, `version`; `unhealthy` (why), `unhealthy-by` (the file with the reason, while there is one), `deaf`
//! (health is never answered), `mute` (links are never answered), `end` (words before it exits with status 7), `end-after-ms`
//! (the same, when it has been well so long), `child` (it starts a process that ignores signals).
//! Links: `word`, which every key has as its value in the bucket of the link's name; `refuse` (why it is not taken). Of their
//! secrets it notes digests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of tests, which ends at the first surprise"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Client as Nats;
use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use lath_control_api::Digest;
use lath_wasmcloud::subject::{ToProvider, provider};
use lath_wasmcloud::{HealthReply, HostData, LinkVerdict, ProviderLink, SecretValue, ShutDownProvider};
use lath_wrpc::{Call, Client, Export, LINK_NAME, Limits, SOURCE_ID, ServeOptions, Service, serve};
use tokio::sync::Semaphore;

struct Greeter {
    data: HostData,
    /// Words by source and name of the link.
    words: Mutex<BTreeMap<(String, String), String>>,
}

#[tokio::main]
async fn main() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let json = base64::prelude::BASE64_STANDARD.decode(line.trim()).unwrap();
    let data: HostData = serde_json::from_slice(&json).unwrap();
    let greeter = Arc::new(Greeter { data, words: Mutex::default() });
    greeter.note(&format!("start {}", std::process::id()));
    println!("hello from {}", greeter.data.provider_key);
    if let Some(words) = greeter.data.config.get("end") {
        eprintln!("{words}");
        std::process::exit(7);
    }
    if greeter.data.config.contains_key("child") {
        let mut shell = tokio::process::Command::new("/bin/sh");
        let child = shell.args(["-c", "trap '' TERM; sleep 1000"]).spawn().unwrap();
        greeter.note(&format!("child {}", child.id().unwrap()));
    }
    for link in &greeter.data.link_definitions {
        greeter.take(link);
    }
    let nats = async_nats::connect(&greeter.data.lattice_rpc_url).await.unwrap();
    let client = Client::new(nats.clone(), Limits::default()).await.unwrap();
    let answering = Arc::clone(&greeter);
    let handler = move |call: Call| Arc::clone(&answering).answer(call);
    let service = Service { handler: Arc::new(handler), permits: Arc::new(Semaphore::new(1_000)) };
    let (lattice, key) = (&greeter.data.lattice_rpc_prefix, &greeter.data.provider_key);
    let exports =
        [("lath:demo/greeter@0.1.0", "greet"), ("wrpc:keyvalue/store@0.2.0-draft", "get")].map(of_instance);
    let (lattice, id) = (lattice.parse().unwrap(), key.parse().unwrap());
    let _serving = serve(&client, &lattice, &id, &exports, service, ServeOptions::default()).await.unwrap();
    greeter.obey(nats).await;
}

fn of_instance((instance, function): (&str, &str)) -> Export {
    Export::plain(Some(instance), function)
}

/// The first text of some parameters: its length, which is below 128 here, and its bytes.
fn text(params: &[u8]) -> String {
    let Some((length, rest)) = params.split_first() else { return String::new() };
    String::from_utf8_lossy(rest.get(..usize::from(*length)).unwrap_or_default()).into_owned()
}

/// The value of a key, or that there is no such bucket.
fn value(word: Option<String>) -> Vec<u8> {
    let Some(word) = word else { return vec![1, 0] };
    let length = u8::try_from(word.len()).unwrap();
    [&[0, 1, length][..], word.as_bytes()].concat()
}

impl Greeter {
    fn note(&self, line: &str) {
        let Some(journal) = self.data.config.get("journal") else { return };
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(journal).unwrap();
        // In one piece: several processes write to it.
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn take(&self, link: &ProviderLink) -> LinkVerdict {
        let own = &self.data.provider_key;
        let (config, secrets, peer) = match (link.target == *own, link.source_id == *own) {
            (true, false) => (&link.target_config, &link.target_secrets, &link.source_id),
            (false, true) => (&link.source_config, &link.source_secrets, &link.target),
            _ => panic!("a link of somebody else: {link:?}"),
        };
        for (name, digest) in secrets.iter().flat_map(|sealed| self.open(sealed)) {
            self.note(&format!("secret {peer} {name} {digest}"));
        }
        if let Some(why) = config.get("refuse") {
            self.note(&format!("refused {peer} {}", link.name));
            return LinkVerdict { accepted: false, message: Some(why.clone()) };
        }
        let word = config.get("word").cloned().unwrap_or_default();
        self.note(&format!("link {peer} {} {word}", link.name));
        if link.target == *own {
            self.words.lock().unwrap().insert((peer.clone(), link.name.clone()), word);
        }
        LinkVerdict { accepted: true, message: None }
    }

    /// Digests of the secrets of a link: the secrets themselves are not to be written down.
    fn open(&self, sealed: &[u8]) -> BTreeMap<String, Digest> {
        let own = nkeys::XKey::from_seed(&self.data.provider_xkey_private_key).unwrap();
        let host = nkeys::XKey::from_public_key(&self.data.host_xkey_public_key).unwrap();
        let secrets: BTreeMap<String, SecretValue> =
            serde_json::from_slice(&own.open(sealed, &host).unwrap()).unwrap();
        let digest = |secret| match secret {
            SecretValue::String(text) => Digest::of(text.as_bytes()),
            SecretValue::Bytes(bytes) => Digest::of(&bytes),
        };
        secrets.into_iter().map(|(name, secret)| (name, digest(secret))).collect()
    }

    fn drop_link(&self, link: &ProviderLink) -> LinkVerdict {
        let own = &self.data.provider_key;
        let peer = if link.target == *own { &link.source_id } else { &link.target };
        self.note(&format!("unlink {peer} {}", link.name));
        if link.target == *own {
            self.words.lock().unwrap().remove(&(peer.clone(), link.name.clone()));
        }
        LinkVerdict { accepted: true, message: None }
    }

    async fn answer(self: Arc<Self>, mut call: Call) {
        let Ok(params) = call.params().await else { return };
        let header = |name: &str| call.headers().get(name).map(|value| value.as_str().to_owned());
        let source = header(SOURCE_ID).unwrap_or_default();
        let link = header(LINK_NAME).unwrap_or_else(|| "default".to_owned());
        let word = self.words.lock().unwrap().get(&(source, link.clone())).cloned();
        let results = match call.export().func.as_str() {
            "get" => value(word.filter(|_| text(&params) == link)),
            _ => self.greeting(word, &text(&params)),
        };
        let _caller_gone = call.finish(Ok(Bytes::from(results))).await;
    }

    fn greeting(&self, word: Option<String>, name: &str) -> Vec<u8> {
        let own = |key: &str, or: &str| self.data.config.get(key).cloned().unwrap_or_else(|| or.to_owned());
        let answer = match word {
            None => Err("nobody has linked this caller".to_owned()),
            Some(_) if name.is_empty() => Err("nobody to greet".to_owned()),
            Some(word) if word.is_empty() => Ok(format!("{}, {name}", own("word", "Hello"))),
            Some(word) => Ok(format!("{word}, {name}")),
        };
        let mut results = Vec::new();
        let mut put = |tag: Option<u8>, text: &str| {
            results.extend(tag);
            results.push(u8::try_from(text.len()).unwrap());
            results.extend(text.as_bytes());
        };
        match answer {
            Ok(text) => {
                put(Some(0), &text);
                put(None, &own("version", "v0"));
            }
            Err(text) => put(Some(1), &text),
        }
        results
    }

    /// Does what the host says until it says that this is the end.
    async fn obey(&self, nats: Nats) {
        let data = &self.data;
        let (lattice, key) = (&data.lattice_rpc_prefix, &data.provider_key);
        let public = nkeys::XKey::from_seed(&data.provider_xkey_private_key).unwrap().public_key();
        let subscribe = async |id: &str, what| nats.subscribe(provider(lattice, id, what)).await.unwrap();
        let mut puts = subscribe(&public, ToProvider::PutLink).await;
        let mut deletions = subscribe(key, ToProvider::DeleteLink).await;
        let mut ends = subscribe(key, ToProvider::ShutDown).await;
        let mut questions = subscribe(key, ToProvider::Health).await;
        let config = |key: &str| data.config.get(key);
        let is_heard = |_: &async_nats::Subject| config("mute").is_none();
        let end_after = config("end-after-ms").map_or(u64::MAX / 2, |time| time.parse().unwrap());
        let end = tokio::time::sleep(Duration::from_millis(end_after.min(1 << 40)));
        tokio::pin!(end);
        let reply = async |to: Option<async_nats::Subject>, body: Vec<u8>| {
            if let Some(to) = to {
                nats.publish(to, body.into()).await.unwrap();
            }
        };
        loop {
            tokio::select! {
                () = &mut end => {
                    eprintln!("it has been long enough");
                    std::process::exit(7);
                }
                Some(put) = puts.next() => {
                    let verdict = self.take(&serde_json::from_slice(&put.payload).unwrap());
                    reply(put.reply.filter(is_heard), serde_json::to_vec(&verdict).unwrap()).await;
                }
                Some(deletion) = deletions.next() => {
                    let verdict = self.drop_link(&serde_json::from_slice(&deletion.payload).unwrap());
                    reply(deletion.reply.filter(is_heard), serde_json::to_vec(&verdict).unwrap()).await;
                }
                Some(question) = questions.next() => {
                    if config("deaf").is_none() {
                        let now = config("unhealthy-by").and_then(|file| std::fs::read_to_string(file).ok());
                        let message = now.or_else(|| config("unhealthy").cloned());
                        let health = HealthReply { healthy: message.is_none(), message };
                        reply(question.reply, serde_json::to_vec(&health).unwrap()).await;
                    }
                }
                Some(end) = ends.next() => {
                    let ShutDownProvider { host_id } = serde_json::from_slice(&end.payload).unwrap();
                    if host_id == data.host_id {
                        self.note(&format!("shutdown {}", std::process::id()));
                        reply(end.reply, b"shutting down".to_vec()).await;
                        nats.flush().await.unwrap();
                        return;
                    }
                }
                else => return,
            }
        }
    }
}
