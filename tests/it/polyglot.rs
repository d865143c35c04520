//! Components in Python and JavaScript are components like any other: they answer requests, are called along links by
//! Rust and by one another, here and on other hosts, and call on.

use std::net::SocketAddr;

use lath_tests::{App, Lattice, Load, Setup, ports};

use crate::words;

const RUST: &str = "greeter-v1";
const PYTHON: &str = "python-greeter-v1";
const JAVASCRIPT: &str = "js-greeter-v1";

/// Requests go to the first of these components, and each asks the next one.
fn chain(name: &str, address: SocketAddr, guests: &[&str]) -> App {
    let names = ["first", "second", "third"];
    let components: Vec<_> = names.into_iter().zip(guests.iter().copied()).collect();
    App::chain(name, address, &components)
}

async fn says(lattice: &Lattice, app: &App, address: SocketAddr) -> String {
    let _ = lattice.deploy(app).await.exits(0);
    words::greeting(&Load::new(address, "/?name=Ada").once().await.unwrap())
}

/// All on one host, so that each language is compiled once; every call is one within the process.
#[tokio::test(flavor = "multi_thread")]
async fn python_and_javascript_answer_requests_and_linked_calls_beside_rust() {
    let lattice = Setup::default().host(&[]).start().await;
    let addresses = [lattice.address, ports::free_address(), ports::free_address()];

    // Rust asks Python, which would ask Rust if it were asked over HTTP.
    let app =
        chain("rust", addresses[0], &["http-front-v1", PYTHON, RUST]).config("second", "word", "Bonjour");
    assert_eq!(says(&lattice, &app, addresses[0]).await, "v1 > python-v1 Bonjour, Ada");
    let refused = Load::new(addresses[0], "/greet?name=").once().await.unwrap_err();
    assert!(refused.contains("status 400") && refused.contains("the name is empty"), "{refused}");

    // Python takes the request and asks JavaScript.
    let app = chain("python", addresses[1], &[PYTHON, JAVASCRIPT, RUST]).config("second", "word", "Ciao");
    assert_eq!(says(&lattice, &app, addresses[1]).await, "python-v1 > js-v1 Ciao, Ada");
    let refused = Load::new(addresses[1], "/?name=").once().await.unwrap_err();
    assert!(refused.contains("status 400") && refused.contains("the name is empty"), "{refused}");

    // JavaScript takes the request and asks Rust.
    let app = chain("javascript", addresses[2], &[JAVASCRIPT, RUST]);
    assert_eq!(says(&lattice, &app, addresses[2]).await, "js-v1 > v1 Hello, Ada");
    let refused = Load::new(addresses[2], "/?name=").once().await.unwrap_err();
    assert!(refused.contains("status 400") && refused.contains("the name is empty"), "{refused}");
}

/// Rust on one host asks JavaScript on another, and the request itself comes from yet another way: all over NATS.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_another_host_reaches_javascript() {
    let lattice = Setup::default().host(&["zone=a"]).host(&["zone=b"]).start().await;
    let app = chain("shop", lattice.address, &["http-front-v1", JAVASCRIPT, RUST]);
    let app = app.place("http", "zone", "b").place("first", "zone", "a");
    let app = app.place("second", "zone", "b").place("third", "zone", "a");
    assert_eq!(says(&lattice, &app, lattice.address).await, "v1 > js-v1 Hello, Ada");
}
