//! An HTTP server that does nothing but answer: what there is to reach for any other on the same machine. What is sent to it
//! is read and thrown away, so that it also stands for whoever collects.
#![expect(clippy::expect_used, reason = "a measurement without its server must stop at once")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// As long as the answer of `http-hello`.
const ANSWER: &[u8] =
    b"{\"component\":\"http-hello\",\"version\":\"v1\",\"greeting\":\"hello\",\"path\":\"/\",\"request_id\":\"\"}\n";

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("an address to listen on");
    let listener = TcpListener::bind(address).await.expect("the address is free");
    while let Ok((stream, _)) = listener.accept().await {
        let _small_packets = stream.set_nodelay(true);
        tokio::spawn(async move {
            let answer = service_fn(async |mut request: Request<Incoming>| {
                while let Some(Ok(_)) = request.body_mut().frame().await {}
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER))))
            });
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
