//! The tricks, by a guest that plays each of them through `wasi:http`, with one grant and a name server on its side.

use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

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
                let _open = self.0.send(text.0);
            }
        }
    }
    let (sender, mut lines) = mpsc::unbounded_channel();
    let logging = tracing_subscriber::registry().with(Lines(sender));
    // Of the whole process: a guest that computes goes on in another thread.
    tracing::subscriber::set_global_default(logging).unwrap();
    let guest = caller(&outside(&Names::leading(&["10.0.0.1"])), &["https://api.example.com"]).await;
    let asked = [
        ("http://evil.test:81/", "the entry `http://evil.test:81` would allow it"),
        ("https://api.example.com/", "the entry `https://10.0.0.1` beside the others would allow it"),
        ("http://2130706433/", "which no entry allows; write IPv4 addresses as"),
    ];
    for (url, wanted) in asked {
        fetch(&guest, url).await;
        let line = lines.try_recv().unwrap();
        assert!(line.contains(wanted) && line.contains("component=\"alone\""), "{line}");
    }
    ask(&guest, "/tcp", &[("to", "127.0.0.1:1")]).await;
    let line = lines.try_recv().unwrap();
    assert!(line.contains("an entry `tcp://HOST:PORT` would allow it"), "{line}");
}
