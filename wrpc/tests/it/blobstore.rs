//! Objects over invocations: data both ways, what is said at their end, and what was cut off.

use bytes::Bytes;
use lath_wrpc::blobstore::{Ask, BlobError, Data, Names, Object, Upload, Version, written};
use lath_wrpc::{
    Call, Client, Export, HeaderMap, Params, Progress, Responding, ServeOptions, Serving, StreamError,
    StreamReader, Target, serve,
};

use crate::greeter::{greeter, lattice, service, soon};
use crate::nats::Nats;

const OBJECT: Object<'_> = Object { container: "box", name: "a" };
/// The parameters of `write-container-data` hold one stream.
const DATA: &[&str] = &["1"];

/// Serves one function of the newer version.
async fn serving<F, Fut>(client: &Client, ask: Ask<'_>, handler: F) -> Serving
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let streams = if ask.streams().is_empty() { &[] } else { DATA };
    let (instance, func) = (Some(Version::V0_2_0.instance().to_owned()), ask.function().to_owned());
    let exports = [Export { instance, func, streams }];
    serve(client, &lattice(), &greeter(), &exports, service(4, handler), ServeOptions::default())
        .await
        .unwrap()
}

/// Asks, sends `data` where the function takes any, and gives the results.
async fn asked(client: &Client, ask: Ask<'_>, data: &[Bytes]) -> (Bytes, Vec<StreamReader>) {
    let version = Version::V0_2_0;
    let target = Target::new(&lattice(), &greeter(), Some(version.instance()), ask.function()).unwrap();
    let (streams, result_streams) = (ask.streams(), ask.result_streams(version));
    let params = Params { headers: HeaderMap::new(), bytes: ask.params(), streams, result_streams };
    let mut invocation = client.start(&target, params, soon()).await.unwrap();
    loop {
        match invocation.next().await.unwrap() {
            Progress::Accepted(writers) => {
                for writer in writers {
                    let mut upload = Upload::new(writer);
                    for piece in data {
                        upload.write(piece.clone()).await.unwrap();
                    }
                    upload.end().await.unwrap();
                }
            }
            Progress::Results(results, readers) => return (results, readers),
        }
    }
}

async fn say(responding: &Responding, path: &str, bytes: &'static [u8]) {
    let mut writer = responding.writer(path);
    writer.write(Bytes::from_static(bytes)).await.unwrap();
    writer.end().await.unwrap();
}

async fn all(data: &mut Data) -> Result<Vec<u8>, (usize, BlobError)> {
    let mut whole = Vec::new();
    loop {
        match data.read().await {
            Ok(Some(bytes)) => whole.extend_from_slice(&bytes),
            Ok(None) => return Ok(whole),
            Err(error) => return Err((whole.len(), error)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_are_written_to_their_end_and_refused_there_in_words() {
    let nats = Nats::start();
    let (host, provider) = (nats.client().await, nats.client().await);
    let write = Ask::WriteContainerData(OBJECT);
    let _serving = serving(&provider, write, |mut call: Call| async move {
        assert_eq!(call.params().await.unwrap(), &b"\x03box\x01a\0"[..]);
        let mut streams = call.take_streams();
        let responding = call.respond(Bytes::from_static(b"\0\0")).await.unwrap();
        let mut wire = Vec::new();
        while let Some(bytes) = streams[0].read().await.unwrap() {
            wire.extend_from_slice(&bytes);
        }
        let whole = wire.starts_with(b"\x02hi") && wire.ends_with(b"x\0") && wire.len() > 3 << 20;
        say(&responding, "0", if whole { b"\x01\x07no room" } else { b"\0" }).await;
    })
    .await;
    let data = [Bytes::from_static(b"hi"), Bytes::from(vec![b'x'; 3 << 20])];
    let (results, streams) = asked(&host, write, &data).await;
    let outcome = written(&results, streams, Version::V0_2_0).await;
    assert!(matches!(&outcome, Err(BlobError::Refused(words)) if words == "no room"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_are_read_to_their_end_and_what_was_cut_off_is_an_error() {
    let nats = Nats::start();
    let (host, provider) = (nats.client().await, nats.client().await);
    let _serving = serving(&provider, Ask::GetContainerData(OBJECT, 0, 9), |mut call: Call| async move {
        let params = call.params().await.unwrap();
        let end = params[params.len() - 1];
        let responding = call.respond(Bytes::from_static(b"\0\0\0")).await.unwrap();
        match end {
            1 => {
                say(&responding, "0.0", b"\x05hello\x01!\0").await;
                say(&responding, "0.1", b"\0").await;
            }
            2 => {
                say(&responding, "0.0", b"\x05hel").await;
                say(&responding, "0.1", b"\x01\x04down").await;
            }
            _ => {
                say(&responding, "0.0", b"\x05hello").await;
                say(&responding, "0.1", b"").await;
            }
        }
    })
    .await;
    let mut outcomes = Vec::new();
    for end in 1..=3 {
        let (results, streams) = asked(&host, Ask::GetContainerData(OBJECT, 0, end), &[]).await;
        let mut data = Data::begin(&results, streams, Version::V0_2_0).unwrap();
        outcomes.push(all(&mut data).await);
    }
    let [whole, words, cut] = outcomes.try_into().unwrap();
    assert_eq!(whole.unwrap(), b"hello!");
    assert!(matches!(&words, Err((3, BlobError::Refused(words))) if words == "down"), "{words:?}");
    assert!(matches!(&cut, Err((5, BlobError::Stream(StreamError::Truncated)))), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_read_one_by_one() {
    let nats = Nats::start();
    let (host, provider) = (nats.client().await, nats.client().await);
    let list = Ask::ListContainerObjects("box");
    let _serving = serving(&provider, list, |mut call: Call| async move {
        assert_eq!(call.params().await.unwrap(), &b"\x03box\0\0"[..]);
        let responding = call.respond(Bytes::from_static(b"\0\0\0")).await.unwrap();
        say(&responding, "0.0", b"\x02\x01a\x02bc\x01\x01d\0").await;
        say(&responding, "0.1", b"\0").await;
    })
    .await;
    let (results, streams) = asked(&host, list, &[]).await;
    let mut names = Names::begin(&results, streams, Version::V0_2_0).unwrap();
    let mut all = Vec::new();
    while let Some(name) = names.read().await.unwrap() {
        all.push(name);
    }
    assert_eq!(all, ["a", "bc", "d"]);
}
