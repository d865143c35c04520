//! HTTP requests of components, sent to where they name. Only as much of HTTP/1.1 as the servers of the tests speak: bodies in
//! chunks, with trailers behind them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wasmcloud_provider_sdk::Context;
use wrpc_interface_http::bindings::exports::wrpc::http::outgoing_handler;
use wrpc_interface_http::bindings::wasi::http::types::{ErrorCode, Method, Scheme};
use wrpc_interface_http::bindings::wrpc::http::types::{Fields, Request, RequestOptions, Response};

use crate::Courier;

type Input = BufReader<OwnedReadHalf>;

impl outgoing_handler::Handler<Option<Context>> for Courier {
    async fn handle(
        &self,
        _: Option<Context>,
        request: Request,
        options: Option<RequestOptions>,
    ) -> Result<Result<Response, ErrorCode>> {
        let name = self.shared.name.lock().unwrap().clone();
        Ok(send(&name, request, options).await)
    }
}

async fn send(name: &str, request: Request, options: Option<RequestOptions>) -> Result<Response, ErrorCode> {
    if !matches!(request.scheme, Some(Scheme::Http)) {
        return Err(ErrorCode::TlsProtocolError);
    }
    let Some(authority) = &request.authority else { return Err(ErrorCode::HttpRequestUriInvalid) };
    let connected = TcpStream::connect(authority).await;
    let stream = connected.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        _ => ErrorCode::InternalError(Some(error.to_string())),
    })?;
    let (input, mut output) = stream.into_split();
    let head = head(name, &request);
    output.write_all(head.as_bytes()).await.map_err(|_| ErrorCode::ConnectionTerminated)?;
    // Goes on while the answer comes. Who does not want the rest of it closes the connection.
    tokio::spawn(async move {
        if let Err(error) = upload(request.body, request.trailers, output).await {
            eprintln!("the rest of a request was not sent: {error:#}");
        }
    });
    let mut input = BufReader::new(input);
    let patience = options.and_then(|options| options.first_byte_timeout).map(Duration::from_nanos);
    let answered = match patience {
        Some(patience) => timeout(patience, answer_head(&mut input)).await,
        None => Ok(answer_head(&mut input).await),
    };
    let answered = answered.map_err(|_| ErrorCode::ConnectionReadTimeout)?;
    let (status, headers) = answered.map_err(|error| ErrorCode::InternalError(Some(format!("{error:#}"))))?;
    let (sender, receiver) = oneshot::channel();
    let trailers = async move { receiver.await.ok().filter(|fields: &Fields| !fields.is_empty()) };
    let body = Box::pin(body(input, sender));
    Ok(Response { body, trailers: Box::pin(trailers), status, headers })
}

/// The head of a request as HTTP/1.1 writes it, and who has passed it on.
fn head(name: &str, request: &Request) -> String {
    let method = match &request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Other(other) => other,
        _ => "OPTIONS",
    };
    let path = request.path_with_query.as_deref().unwrap_or("/");
    let mut head = format!("{method} {path} HTTP/1.1\r\nvia: 1.1 {name}\r\ntransfer-encoding: chunked\r\n");
    for (name, values) in &request.headers {
        for value in values {
            head += &format!("{name}: {}\r\n", String::from_utf8_lossy(value));
        }
    }
    head + "\r\n"
}

async fn upload(
    mut body: impl Stream<Item = Bytes> + Unpin,
    trailers: impl Future<Output = Option<Fields>>,
    mut output: OwnedWriteHalf,
) -> Result<()> {
    while let Some(chunk) = body.next().await {
        output.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        output.write_all(&chunk).await?;
        output.write_all(b"\r\n").await?;
    }
    let mut end = "0\r\n".to_owned();
    for (name, values) in trailers.await.unwrap_or_default() {
        for value in values {
            end += &format!("{name}: {}\r\n", String::from_utf8_lossy(&value));
        }
    }
    output.write_all((end + "\r\n").as_bytes()).await.context("the end was not taken")
}

async fn answer_head(input: &mut Input) -> Result<(u16, Fields)> {
    let line = line(input).await?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.with_context(|| format!("no status in `{line}`"))?, fields(input).await?))
}

/// The chunks of an answer, as they come. What follows them goes to `trailers`.
fn body(input: Input, trailers: oneshot::Sender<Fields>) -> impl Stream<Item = Bytes> + Send {
    stream::unfold((input, trailers), |(mut input, trailers)| async move {
        match chunk(&mut input).await {
            Ok(Some(chunk)) => Some((chunk, (input, trailers))),
            Ok(None) => {
                let _unwanted = trailers.send(fields(&mut input).await.unwrap_or_default());
                None
            }
            Err(error) => {
                eprintln!("an answer broke off: {error:#}");
                None
            }
        }
    })
}

async fn chunk(input: &mut Input) -> Result<Option<Bytes>> {
    let length = line(input).await?;
    let length = usize::from_str_radix(&length, 16).with_context(|| format!("no length in `{length}`"))?;
    if length == 0 {
        return Ok(None);
    }
    let mut chunk = vec![0; length];
    input.read_exact(&mut chunk).await?;
    if !line(input).await?.is_empty() {
        bail!("a chunk is longer than it says");
    }
    Ok(Some(chunk.into()))
}

/// The lines `NAME: VALUE` up to an empty one.
async fn fields(input: &mut Input) -> Result<Fields> {
    let mut fields = Fields::new();
    loop {
        let line = line(input).await?;
        let Some((name, value)) = line.split_once(": ") else { return Ok(fields) };
        // Each name once, as the interface has it.
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.to_owned().into()),
            None => fields.push((name.to_owned(), vec![value.to_owned().into()])),
        }
    }
}

/// The next line without its end.
async fn line(input: &mut Input) -> Result<String> {
    let mut line = String::new();
    if input.read_line(&mut line).await? == 0 {
        bail!("the connection was closed");
    }
    Ok(line.trim_end().to_owned())
}
