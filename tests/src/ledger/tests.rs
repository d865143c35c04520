//! Whether the account can be trusted: against servers that answer well, badly and not at all.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers what `answer` gives for the number of the request and its id, and closes.
async fn server(answer: fn(u64, &str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, number, answer));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, number: u64, answer: fn(u64, &str) -> String) {
    let mut read = vec![0; 4096];
    let length = stream.read(&mut read).await.unwrap();
    let request = String::from_utf8_lossy(&read[..length]).into_owned();
    let id = request.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap_or_default();
    stream.write_all(answer(number, id).as_bytes()).await.unwrap();
}

fn good(id: &str) -> String {
    let body = "{\"version\":\"v1\"}";
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    format!("{head}x-request-id: {id}\r\n\r\n{body}")
}

async fn sent_to(answer: fn(u64, &str) -> String, wanted: usize) -> Accounts {
    let ledger = Load::new(server(answer).await, "/").rate(200).start();
    crate::eventually(Duration::from_secs(20), "enough requests", async || {
        let sent = ledger.so_far().sent();
        if sent >= wanted { Ok(()) } else { Err(format!("{sent} sent")) }
    })
    .await;
    ledger.finish().await
}

#[tokio::test]
async fn every_request_is_accounted_for() {
    let accounts = sent_to(|_, id| good(id), 40).await;
    accounts.none_failed();
    assert_eq!(accounts.by(|answer| answer.text("version").to_owned())["v1"], accounts.sent());
    let half = accounts.records[accounts.sent() / 2].sent;
    assert!(accounts.sent_after(half).sent() <= accounts.sent() / 2 + 1);
}

#[tokio::test]
async fn no_bad_answer_counts_as_a_good_one() {
    let accounts = sent_to(
        |number, id| match number % 4 {
            0 => good(id),
            1 => good("another"),
            2 => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy".to_owned(),
            _ => String::new(),
        },
        40,
    )
    .await;
    assert!(accounts.answered().count() > 0);
    let causes: Vec<_> = accounts.causes().into_keys().collect();
    for cause in ["status 503 Service Unavailable: busy", "belongs to the request", "connection closed"] {
        assert!(causes.iter().any(|text| text.contains(cause)), "{cause} is not in {causes:#?}");
    }
}
