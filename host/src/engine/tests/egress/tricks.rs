//! The tricks, by a guest that plays each of them through `wasi:http`, with one grant and a name server on its side;
//! and what the engine keeps a guest from, past it.

use ::http::{Uri, header};
use http_body_util::{BodyExt as _, Empty};
use lath_host_core::egress::Egress;
use lath_telemetry::Spans;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;
use wasmtime_wasi_http::{Error, WasiHttpHooks as _};

use super::*;
use crate::capability::http_client::{GuestHttp, HttpClient};
use crate::capability::output::GuestLog;

/// Given `https://api.example.com` alone; the name server says 127.0.0.1 to everything. `{port}` is that of a server.
const TRICKS: &[&str] = &[
    "http://api.example.com",
    "http://api.example.com:{port}",
    "https://api.example.com:{port}",
    "https://api.example.com:8443",
    "https://api.example.com.evil.test",
    "https://evilapi.example.com",
    "https://api.example.com@evil.test",
    "https://evil.test@api.example.com",
    "https://evil.test#api.example.com",
    "https://evil.test\\api.example.com",
    "https://\u{430}pi.example.com",
    "https://api.example\u{3002}com",
    "https://%61pi.example.com",
    "https://api%2eexample.com",
    "http://127.0.0.1:{port}",
    "http://127.1:{port}",
    "http://0:{port}",
    "http://0.0.0.0:{port}",
    "http://2130706433:{port}",
    "http://0x7f000001:{port}",
    "http://0177.0.0.1:{port}",
    "http://[::1]:{port}",
    "http://[::]:{port}",
    "http://[::ffff:127.0.0.1]:{port}",
    "http://[64:ff9b::7f00:1]:{port}",
    "http://localhost:{port}",
    "http://localhost.:{port}",
    "http://169.254.169.254",
    "http://[fd00:ec2::254]",
    "http://10.0.0.1",
    "http://192.168.0.1",
    "http://100.64.0.1",
    "http://",
    "https://",
    "ftp://api.example.com",
    "ws://api.example.com",
    // The last one: without a scheme https is meant, which is granted, looked up, and stopped at the address.
    "api.example.com",
];

#[tokio::test]
async fn e06_every_trick_is_denied_to_a_guest() {
    let (web, names) = (Web::start().await, Names::leading(&["127.0.0.1"]));
    let guest = caller(&outside(&names), &["https://api.example.com"]).await;
    for trick in TRICKS {
        let url = trick.replace("{port}", &web.port().to_string());
        let came = fetch(&guest, &format!("{url}/")).await;
        assert!(came.status.is_none() && came.error.is_some(), "{url}: {came:?}");
        let looked_up = !names.asked().is_empty();
        assert_eq!(looked_up, *trick == "api.example.com", "{url}: {:?}", names.asked());
    }
    assert_eq!(web.connections(), 0);
}

#[tokio::test]
async fn e06_no_header_or_method_changes_where_a_request_goes() {
    let web = Web::start().await;
    let here = format!("localhost:{}", web.port());
    let guest = caller(&outside(&Names::leading(&["127.0.0.1"])), &[&format!("http://{here}")]).await;
    let url = format!("http://{here}/");
    for headers in ["host:evil.test", "connection:upgrade", "upgrade:websocket", "proxy-connection:x"] {
        let came = ask(&guest, "/", &[("url", &url), ("headers", headers)]).await;
        assert!(came.error().contains("Forbidden"), "{headers}: {came:?}");
    }
    let tunnel = ask(&guest, "/", &[("url", &url), ("method", "CONNECT")]).await;
    assert!(tunnel.error().contains("HttpRequestDenied"), "{tunnel:?}");
    assert_eq!(web.connections(), 0);
    let came = ask(&guest, "/", &[("url", &url), ("headers", "x-forwarded-host:evil.test")]).await;
    assert!(came.heard.unwrap().contains(&format!("host: {here}\r\n")));
}

#[tokio::test]
async fn e06_an_answer_that_changes_the_protocol_is_none() {
    let web = Web::start().await;
    let here = format!("http://localhost:{}", web.port());
    let guest = caller(&outside(&Names::leading(&["127.0.0.1"])), &[&here]).await;
    web.answer_with("101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket");
    let came = fetch(&guest, &format!("{here}/")).await;
    assert!(came.error().contains("HttpUpgradeFailed"), "{came:?}");
    assert_eq!(web.requests(), 1);
}

/// Sends a request past what the engine keeps guests from writing: the host does not rely on that.
async fn send(way: &Arc<HttpClient>, uri: Uri, host: Option<&str>) -> Result<String, Error> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    *request.uri_mut() = uri;
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
    }
    let outside = Arc::clone(way);
    let mut hooks = GuestHttp { outside, linked: None, spans: Spans::default(), trace: None };
    let sent = hooks.send_request(request, None, Box::new(std::future::ready(Ok(()))));
    let (response, _) = Box::into_pin(sent).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn e06_a_request_says_no_other_host_than_the_one_that_was_judged() {
    let web = Web::start().await;
    let here = format!("localhost:{}", web.port());
    let entries = [format!("http://{here}"), "http://localhost".to_owned()];
    let egress = Egress::new(entries.iter().map(|entry| entry.parse().unwrap()).collect());
    let outside = Outside::with(Names::leading(&["127.0.0.1"]), rustls::RootCertStore::empty()).unwrap();
    let log = Arc::new(GuestLog::new(&identity("caller"), &lath_control_api::Limits::default()));
    let way = Arc::new(HttpClient::new(Arc::new(egress), outside, log));
    let asking = |path: &str| {
        let uri = Uri::builder().scheme("http").authority(here.as_str()).path_and_query(path);
        uri.build().unwrap()
    };

    let heard = send(&way, asking("/a?b"), Some("evil.test")).await.unwrap();
    assert!(heard.contains(&format!("host: {here}\r\n")) && !heard.contains("evil"), "{heard}");
    for (path, line) in
        [("/", "GET / HTTP/1.1"), ("?b", "GET /?b HTTP/1.1"), ("//evil.test/", "GET //evil.test/ HTTP/1.1")]
    {
        let heard = send(&way, asking(path), None).await.unwrap();
        assert!(heard.starts_with(line), "{path}: {heard}");
    }
    assert_eq!(web.requests(), 4);
    // Without a port before it, it would go on with the name. Of all that does not begin with a slash, this is what can be
    // said in a request.
    let odd = Uri::builder().scheme("http").authority("localhost").path_and_query("*").build().unwrap();
    let refused = send(&way, odd, None).await;
    assert!(matches!(refused, Err(Error::HttpRequestUriInvalid)), "{refused:?}");
    assert_eq!(web.requests(), 4);
}

#[tokio::test]
async fn e06_a_denial_names_in_the_log_the_entry_that_would_allow_it() {
    struct Lines(mpsc::UnboundedSender<String>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            struct Text(String);
            impl tracing::field::Visit for Text {
                fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                    self.0 += &format!("{}={value:?} ", field.name());
                }
            }
            if event.metadata().target() == "guest" {
                let mut text = Text(String::new());
                event.record(&mut text);
                if text.0.contains("component=\"logged\"") {
                    let _open = self.0.send(text.0);
                }
            }
        }
    }
    let (sender, mut lines) = mpsc::unbounded_channel();
    let logging = tracing_subscriber::registry().with(Lines(sender));
    // Of the whole process, where other tests have guests too: one that computes goes on in another thread.
    tracing::subscriber::set_global_default(logging).unwrap();
    let (engine, here) = (outside(&Names::leading(&["10.0.0.1"])), Arc::<Here>::default());
    let guest = prepare(&engine, guest("http-caller-v1"), "logged", &here, |spec| {
        spec.grants.allowed_hosts = ["https://api.example.com".parse().unwrap()].into();
    })
    .await
    .unwrap();
    let asked = [
        ("http://evil.test:81/", "the entry `http://evil.test:81` would allow it"),
        ("https://api.example.com/", "the entry `https://10.0.0.1` beside the others would allow it"),
        ("http://2130706433/", "which no entry allows; write IPv4 addresses as"),
    ];
    for (url, wanted) in asked {
        fetch(&guest, url).await;
        let line = lines.try_recv().unwrap();
        assert!(line.contains(wanted), "{line}");
    }
    ask(&guest, "/tcp", &[("to", "127.0.0.1:1")]).await;
    let line = lines.try_recv().unwrap();
    assert!(line.contains("an entry `tcp://HOST:PORT` would allow it"), "{line}");
}
