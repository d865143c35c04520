//! Requests of a component that is linked to a provider for them, and of one that is not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::courier::{CourierApp, OUTGOING};
use crate::lattice::Lattice;

/// A server outside of the lattice. It answers with the head that it got; at `/echo` it gives back everything as it comes;
/// at `/never` it does not answer.
struct Outside {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Outside {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || answer(stream));
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Ends with its connection, whoever closes that.
fn answer(stream: TcpStream) -> std::io::Result<()> {
    let (mut input, mut output) = (BufReader::new(stream.try_clone()?), stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path == "/never" {
        thread::park();
    }
    output.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n")?;
    if path == "/echo" {
        // Chunks and trailers are the same in both directions.
        return std::io::copy(&mut input, &mut output).map(drop);
    }
    output.write_all(format!("{:x}\r\n{head}\r\n0\r\n\r\n", head.len()).as_bytes())?;
    // A connection that is closed with something unread in it may take the answer with it.
    std::io::copy(&mut input, &mut std::io::sink()).map(drop)
}

fn app(allowed: &[String]) -> CourierApp {
    CourierApp { front: "http-caller-v1", link: OUTGOING, allowed: allowed.to_vec(), ..CourierApp::default() }
}

/// What the component says came of it.
fn came(lattice: &Lattice, path: &str) -> Value {
    let (status, body) = lattice.get(path).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn requests_of_a_linked_component_go_through_the_provider_and_others_do_not() {
    let (lattice, outside) = (Lattice::start(&[]), Outside::start());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let entry = format!("http://{}", outside.address);
    let linked = app(&[entry.clone(), format!("http://{closed}")]);
    linked.deploy(&lattice);
    lattice.says(&format!("/?url={}", outside.url("/a")), &["via: 1.1 courier"]);
    let heard = came(&lattice, &format!("/?url={}&headers=x-one:1", outside.url("/a")));
    for part in ["GET /a HTTP/1.1\r\n", &format!("host: {}\r\n", outside.address), "x-one: 1\r\n"] {
        assert!(heard["status"] == 200 && heard["heard"].as_str().unwrap().contains(part), "{heard}");
    }

    // Each word is sent only when the one before has come back.
    let talked = came(&lattice, &format!("/talk?url={}&words=one,two,three", outside.url("/echo")));
    assert_eq!(talked["heard"], "one two three", "{talked}");
    assert_eq!(talked["trailers"], serde_json::json!(["words: 3"]), "{talked}");

    let failed = came(&lattice, &format!("/?url=http://{closed}/"));
    assert!(failed["error"].as_str().unwrap().contains("ConnectionRefused"), "{failed}");
    let late = came(&lattice, &format!("/?url={}&patience=300", outside.url("/never")));
    assert!(late["error"].as_str().unwrap().contains("ConnectionReadTimeout"), "{late}");

    // What the manifest does not allow does not reach the provider.
    app(&[]).deploy(&lattice);
    let before = outside.requests.load(Ordering::Relaxed);
    let denied = came(&lattice, &format!("/?url={}", outside.url("/a")));
    assert!(denied["error"].as_str().unwrap().contains("HttpRequestDenied"), "{denied}");
    assert_eq!(outside.requests.load(Ordering::Relaxed), before);

    CourierApp { link: "", ..app(&[entry]) }.deploy(&lattice);
    let direct = came(&lattice, &format!("/?url={}", outside.url("/a")));
    assert!(direct["status"] == 200 && !direct.to_string().contains("via:"), "{direct}");
}

#[test]
fn no_request_fails_while_the_provider_is_rolled_out() {
    let (lattice, outside) = (Lattice::start(&[]), Outside::start());
    let before = app(&[format!("http://{}", outside.address)]);
    before.deploy(&lattice);
    let path = format!("/?url={}", outside.url("/a"));
    lattice.says(&path, &["via: 1.1 courier"]);
    let over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let load = |_: usize| {
            scope.spawn(|| {
                let mut answers = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    answers.push(lattice.get(&path));
                    thread::sleep(Duration::from_millis(10));
                }
                answers
            })
        };
        let load: Vec<_> = (0..3).map(load).collect();
        CourierApp { name: "other", ..before.clone() }.deploy(&lattice);
        lattice.says(&path, &["via: 1.1 other"]);
        lattice.does(&["rollback", "mail"]);
        lattice.says(&path, &["via: 1.1 courier"]);
        over.store(true, Ordering::Relaxed);
        load.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let is_well = |answer: &&Result<(u16, String), String>| match answer {
        Ok((200, body)) => body.contains("\"status\":200"),
        _ => false,
    };
    let failed: Vec<_> = answers.iter().filter(|answer| !is_well(answer)).collect();
    println!("{} requests through the provider, {} failed", answers.len(), failed.len());
    assert!(failed.is_empty() && answers.len() > 100, "{failed:?}");
}
