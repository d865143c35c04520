//! What components reach outside: nothing, until a manifest grants it, and nothing more than it grants.

use std::net::SocketAddr;

use lath_tests::{Answer, App, Lattice, Load, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server outside of the lattice that answers everything alike.
async fn outside() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\noutside";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// What the component says of a request to `url`.
async fn fetch(lattice: &Lattice, url: &str) -> Answer {
    Load::new(lattice.address, &format!("/?url={url}")).once().await.unwrap()
}

fn denied(answer: &Answer) -> bool {
    answer.text("error").contains("HttpRequestDenied") && answer.text("heard").is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_e06_components_reach_what_the_manifest_grants_and_nothing_else() {
    let mut lattice = Setup::default().host(&[]).start().await;
    // A proxy that is not there: whoever asked it would reach nothing.
    let host = lattice.host_mut(1);
    host.stop().await;
    host.set(Some(("http_proxy", "http://127.0.0.1:1".to_owned())));
    host.restart().await;

    let port = outside().await.port();
    let url = format!("http://localhost:{port}/");
    let entry = format!("http://localhost:{port}");
    let app = App::hello("shop", lattice.address).image("hello", "http-caller-v1");
    let _ = lattice.deploy(&app).await.exits(0);
    assert!(denied(&fetch(&lattice, &url).await));
    let log = std::fs::read_to_string(lattice.folder().join("host-1/log")).unwrap();
    assert!(log.contains(&format!("the entry `{entry}` would allow it")), "{log}");

    let granted = app.clone().allowed_hosts_of_all(&format!("https://api.example.com, {entry}"));
    let _ = lattice.deploy(&granted).await.exits(0);
    assert_eq!(fetch(&lattice, &url).await.text("heard"), "outside");
    let by_address = fetch(&lattice, &format!("http://127.0.0.1:{port}/")).await;
    assert!(denied(&by_address));
    let shown = lattice.lath().run(["diff", "shop", "1", "2"]).await.exits(0);
    assert!(shown.stdout.contains("allowed hosts") && shown.stdout.contains(&entry), "{}", shown.stdout);

    let _ = lattice.deploy(&granted.clone().allowed_hosts("hello", &[])).await.exits(0);
    assert!(denied(&fetch(&lattice, &url).await));
    let wrong = granted.allowed_hosts("hello", &["http://127.1"]);
    lattice.deploy(&wrong).await.exits(4).says(&["E0343", "`http://127.1`", "unusual form", "192.0.2.1"]);
}
