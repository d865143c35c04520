//! `lath call`: calls a function of a component, as a component linked with it would.
//!
//! An HTTP handler gets a request that is made of the arguments; any other function is called without parameters and
//! must give a string, since the types of functions are known to components alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use lath_control_api::ComponentId;
use lath_wrpc::http::{HttpError, INCOMING, handle};
use lath_wrpc::{Client, HeaderMap, InvokeError, Limits, SOURCE_ID, SubjectError, Target, codec};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};

/// How the caller is called.
const CALLER: &str = "wash";
/// Names of the instance that takes HTTP requests, as people write it.
const HTTP: [&str; 2] = ["wasi:http/incoming-handler", "wrpc:http/incoming-handler"];
/// Largest body of a response that is printed, in bytes.
const MAX_BODY: usize = 64 << 20;

/// Arguments of `lath call`.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// The component's id
    #[arg(value_name = "ID")]
    component_id: ComponentId,
    /// The function, as NAMESPACE:PACKAGE/INTERFACE[@VERSION].FUNCTION
    #[arg(value_name = "FUNCTION", value_parser = function)]
    function: Function,
    /// Longest wait for the answer, in milliseconds
    #[arg(
        short = 't',
        long,
        value_name = "MS",
        default_value_t = 2_000,
        env = "WASMCLOUD_RPC_TIMEOUT_MS",
        hide_env_values = true,
        alias = "timeout-ms"
    )]
    rpc_timeout_ms: u64,
    /// Print the body of the HTTP response alone, which must be JSON
    #[arg(long, env = "WASH_CALL_HTTP_RESPONSE_EXTRACT_JSON", hide_env_values = true)]
    http_response_extract_json: bool,
    #[command(flatten)]
    request: RequestArgs,
}

/// The HTTP request that a handler gets.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP request")]
struct RequestArgs {
    /// Scheme of its URL
    #[arg(
        long,
        value_name = "SCHEME",
        default_value = "http",
        env = "WASH_CALL_INVOKE_HTTP_SCHEME",
        hide_env_values = true
    )]
    http_scheme: String,
    /// Host of its URL
    #[arg(
        long,
        value_name = "HOST",
        default_value = "localhost",
        env = "WASH_CALL_INVOKE_HTTP_HOST",
        hide_env_values = true
    )]
    http_host: String,
    /// Port of its URL
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8080,
        env = "WASH_CALL_INVOKE_HTTP_PORT",
        hide_env_values = true
    )]
    http_port: u16,
    /// Path and query of its URL
    #[arg(long, value_name = "PATH", default_value = "/")]
    http_path: String,
    /// Its method
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "GET",
        env = "WASH_CALL_INVOKE_HTTP_METHOD",
        hide_env_values = true
    )]
    http_method: String,
    /// Its body
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "http_body_path",
        env = "WASH_CALL_INVOKE_HTTP_BODY",
        hide_env_values = true
    )]
    http_body: Option<String>,
    /// File with its body
    #[arg(long, value_name = "FILE", env = "WASH_CALL_INVOKE_HTTP_BODY_PATH", hide_env_values = true)]
    http_body_path: Option<PathBuf>,
    /// Its `Content-Type`
    #[arg(long, value_name = "TYPE", env = "WASH_CALL_INVOKE_HTTP_CONTENT_TYPE", hide_env_values = true)]
    http_content_type: Option<String>,
}

/// A function as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Function {
    instance: String,
    name: String,
}

pub(super) async fn call(args: CallArgs, call: &Call) -> Result<Exit, Failure> {
    let deadline = Instant::now() + Duration::from_millis(args.rpc_timeout_ms);
    let is_http = args.function.name == "handle" && HTTP.contains(&args.function.instance.as_str());
    let request = if is_http { Some(args.request.request()?) } else { None };
    let session = call.session().await?;
    let nats = session.control.connection().nats().clone();
    let client = Client::new(nats, Limits::default())
        .await
        .map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))?;
    let caller = Caller { client, session, id: args.component_id, deadline };
    let (body, text) = match request {
        Some(request) => caller.http(request, args.http_response_extract_json).await?,
        None => caller.plain(&args.function).await?,
    };
    call.out.print_bare(&body, || text)?;
    Ok(Exit::Done)
}

struct Caller {
    client: Client,
    session: Session,
    id: ComponentId,
    deadline: Instant,
}

impl Caller {
    /// Sends a request to the component's handler.
    async fn http(
        &self,
        request: http::Request<Full<Bytes>>,
        extract: bool,
    ) -> Result<(Value, String), Failure> {
        let target = self.target(INCOMING, "handle")?;
        let sent = handle(&self.client, &target, headers(), request, None, self.deadline).await;
        let response = sent.map_err(|error| match error {
            HttpError::Invoke(error) => self.failed(&error),
            HttpError::Code(code) => {
                Failure::new(Exit::Failed, format!("the handler answered with an error: {code}"))
            }
        })?;
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        let gather = async {
            while let Some(frame) = body.frame().await {
                let frame = frame
                    .map_err(|error| Failure::new(Exit::Failed, format!("the body was cut off: {error}")))?;
                if let Ok(data) = frame.into_data() {
                    if bytes.len() + data.len() > MAX_BODY {
                        return Err(Failure::new(Exit::Failed, format!("the body is over {MAX_BODY} bytes")));
                    }
                    bytes.extend_from_slice(&data);
                }
            }
            Ok(())
        };
        tokio::time::timeout_at(self.deadline, gather)
            .await
            .map_err(|_| self.late("the body has not come to its end"))??;
        let response = if extract {
            serde_json::from_slice(&bytes)
                .map_err(|error| Failure::new(Exit::Failed, format!("the body is not JSON: {error}")))?
        } else {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
            let body = text(&bytes).ok_or_else(|| {
                Failure::new(Exit::Failed, format!("the body is no text: {} bytes", bytes.len()))
            })?;
            let headers: BTreeMap<&str, String> = head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), text(value.as_bytes()).unwrap_or_default()))
                .collect();
            json!({ "status": head.status.as_u16(), "headers": headers, "body": body })
        };
        let text = format!("{response:#}\n");
        Ok((json!({ "response": response, "success": true }), text))
    }

    /// Calls a function without parameters that gives a string.
    async fn plain(&self, function: &Function) -> Result<(Value, String), Failure> {
        let target = self.target(&function.instance, &function.name)?;
        let called = self.client.invoke(&target, headers(), Bytes::new(), self.deadline).await;
        let results = called.map_err(|error| self.failed(&error))?.results;
        let result = codec::decode_string(&results).map_err(|_not_one| {
            let got =
                if results.is_empty() { "nothing".to_owned() } else { format!("{} bytes", results.len()) };
            Failure::new(Exit::Failed, format!("{} gave {got}, which is no string", function.name)).help(
                "functions that take parameters or give something else can only be called by components",
            )
        })?;
        let text = format!("{result}\n");
        Ok((json!({ "result": result, "success": true }), text))
    }

    fn target(&self, instance: &str, func: &str) -> Result<Target, Failure> {
        let made = Target::new(&self.session.target.lattice, &self.id, Some(instance), func);
        made.map_err(|error: SubjectError| Failure::new(Exit::Usage, error.to_string()))
    }

    fn late(&self, what: &str) -> Failure {
        let (id, lattice) = (&self.id, &self.session.target.lattice);
        Failure::new(
            Exit::TimedOut,
            format!("{what} in time; is component `{id}` running in lattice `{lattice}`?"),
        )
        .help("--rpc-timeout-ms waits longer; lath get inventory shows what runs")
    }

    fn failed(&self, error: &InvokeError) -> Failure {
        let (id, lattice) = (&self.id, &self.session.target.lattice);
        match error {
            InvokeError::NotConnected(_) => Failure::new(
                Exit::NotFound,
                format!("no component responded: `{id}` does not run in lattice `{lattice}`, or has no such function"),
            )
            .help("lath get inventory shows what runs"),
            InvokeError::TimedOut { accepted: true } => self.late("the component took the call and gave no answer"),
            InvokeError::TimedOut { accepted: false } => self.late("no answer"),
            InvokeError::Offline => Failure::new(Exit::Unreachable, error.to_string()).help("see `lath doctor`"),
            InvokeError::Interrupted
            | InvokeError::Rejected(_)
            | InvokeError::Failed(_)
            | InvokeError::Protocol(_)
            | InvokeError::TooLarge { .. }
            | InvokeError::Encode(_)
            | InvokeError::Decode(_)
            | InvokeError::Stream(_) => Failure::new(Exit::Failed, chain(error)),
        }
    }
}

impl RequestArgs {
    fn request(&self) -> Result<http::Request<Full<Bytes>>, Failure> {
        let body = match (&self.http_body, &self.http_body_path) {
            (Some(text), _) => Bytes::from(text.clone()),
            (None, Some(file)) => Bytes::from(std::fs::read(file).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read {}: {error}", file.display()))
            })?),
            (None, None) => Bytes::new(),
        };
        let Self { http_scheme, http_host, http_port, http_path, http_method, .. } = self;
        let mut request = http::Request::builder()
            .uri(format!("{http_scheme}://{http_host}:{http_port}{http_path}"))
            .method(http_method.as_str());
        if let Some(kind) = &self.http_content_type {
            request = request.header(http::header::CONTENT_TYPE, kind);
        }
        request.body(Full::new(body)).map_err(|error| {
            Failure::new(Exit::Usage, format!("the arguments make no HTTP request: {error}"))
        })
    }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SOURCE_ID, CALLER);
    headers
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The function stands behind the last dot: those in versions come before it.
fn function(text: &str) -> Result<Function, String> {
    let parts = text.rsplit_once('.').filter(|(instance, name)| {
        let package = instance.split_once('/').and_then(|(package, interface)| {
            (!interface.is_empty()).then(|| package.split_once(':')).flatten()
        });
        package.is_some_and(|(namespace, name)| !namespace.is_empty() && !name.is_empty()) && !name.is_empty()
    });
    match parts {
        Some((instance, name)) => Ok(Function { instance: instance.to_owned(), name: name.to_owned() }),
        None => Err("NAMESPACE:PACKAGE/INTERFACE.FUNCTION".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_with_their_instance() {
        let parts = |text: &str| function(text).map(|it| (it.instance, it.name)).ok();
        let of = |instance: &str, name: &str| Some((instance.to_owned(), name.to_owned()));
        assert_eq!(parts("a:b/c.f"), of("a:b/c", "f"));
        assert_eq!(parts("a:b/c@0.1.0.f"), of("a:b/c@0.1.0", "f"));
        for wrong in ["", "f", "a:b/c", "a/c.f", ":b/c.f", "a:/c.f", "a:b/.f", "a:b/c."] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
