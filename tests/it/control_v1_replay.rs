//! The requests of a recorded conversation with wasmCloud 1.9.2, in their order, to a lattice of ours: each gets an
//! answer of the form that was recorded. Where ours differs the difference stands here with its reason, and in
//! `docs/migrating.md`; one that is not there any more fails the test, too.
//!
//! Twice: all requests of the control interface, those of wadm to hosts among them; and what tools have asked hosts and
//! wadm, and callers components, as if wadm had been a manager of ours, which needs to ask nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lath_tests::{Lattice, Setup, ToolV1, guest};
use serde_json::Value;

/// Fields that only we have.
const OURS: [&str; 3] = ["phase", "reason", "message"];

/// What requests of the control interface begin with, and those of the API of wadm.
const CONTROL: &str = "wasmbus.ctl.v1.default.";
const WADM: &str = "wadm.api.default.model.";

/// A request of the recording, and what it was answered.
struct Exchange {
    /// The whole subject.
    of: String,
    /// What follows the prefix of the interface.
    subject: String,
    payload: String,
    /// The payload, where it is no text.
    bytes: Vec<u8>,
    headers: Vec<(String, String)>,
    answers: Vec<Value>,
    /// Whether wadm has sent it, to carry out what it was asked for.
    by_wadm: bool,
}

/// Where an answer of ours is another one than that of 1.x.
struct Difference {
    /// The beginning of the subject, and a part of the payload.
    of: (&'static str, &'static str),
    ours: fn(&Value) -> bool,
    why: &'static str,
}

const DIFFERENCES: [Difference; 2] = [
    Difference {
        of: ("provider.stop.", "\"provider_id\":\"kv\""),
        ours: |answer| is_refusal(answer, "provider with that ID is not running"),
        why: "its archive is not to be had here, so it never ran",
    },
    Difference {
        of: ("provider.stop.", "\"provider_id\":\"exthttp\""),
        ours: |answer| is_refusal(answer, "provider with that ID is not running"),
        why: "its archive is not to be had here, so it never ran",
    },
];

fn is_refusal(answer: &Value, words: &str) -> bool {
    answer["success"] == false && answer["message"].as_str().is_some_and(|text| text.contains(words))
}

/// Differences of what tools ask wadm.
const WADM_DIFFERENCES: [Difference; 2] = [
    Difference {
        of: ("list", ""),
        ours: |answer| answer[0]["detailed_status"]["status"]["type"] == "undeployed",
        why: "wadm says that there are no hosts, which nobody has looked for",
    },
    Difference {
        of: ("put", "nosuch"),
        ours: |answer| {
            answer["result"] == "error"
                && answer["message"].as_str().is_some_and(|text| text.contains("`nosuch` does not exist"))
        },
        why: "refusals of manifests name the place",
    },
];

/// Calls that nobody takes here: whom they went to, and why.
const NOT_CALLED: [(&str, &str); 4] = [
    ("default.kv.", "the archive of that provider is not to be had here"),
    ("default.counter.", "it calls that provider, and is not made ready without it"),
    ("default.greeter.wrpc.0.0.1.demo:greet", "the guest that stands for that one has another interface"),
    ("default.front.", "it calls that interface, and is not made ready without a link for its own"),
];

fn recorded() -> Vec<Exchange> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasmcloud/tests/recordings/wire.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let (mut exchanges, mut asked) = (Vec::<Exchange>::new(), BTreeMap::new());
    let mut wadm_runs = false;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = || line["text"].as_str().unwrap_or_default().to_owned();
        let of = line["subject"].as_str().unwrap().to_owned();
        let request = [CONTROL, WADM].iter().find_map(|prefix| of.strip_prefix(prefix));
        let request = request.or_else(|| of.contains(".wrpc.0.0.1.").then_some(of.as_str()));
        if of == "mark" && ["wadm starts", "SIGTERM to wadm"].contains(&text().as_str()) {
            wadm_runs = !wadm_runs;
        } else if let Some(request) = request {
            if let Some(reply) = line["reply"].as_str() {
                asked.insert(reply.to_owned(), exchanges.len());
            }
            let headers = line["headers"].as_object().into_iter().flatten();
            exchanges.push(Exchange {
                subject: request.to_owned(),
                payload: text(),
                bytes: line["base64"].as_str().map(base64).unwrap_or_default(),
                headers: headers
                    .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                    .collect(),
                answers: Vec::new(),
                by_wadm: wadm_runs && of.starts_with(CONTROL),
                of,
            });
        } else if let Some(asked) = asked.get(&of) {
            exchanges[*asked].answers.extend(serde_json::from_str::<Value>(&text()));
        }
    }
    exchanges
}

/// The bytes that a text in base64 stands for.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits =
            four.iter().fold(0_u32, |bits, c| bits << 6 | u32::from(value(*c))) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

/// The recorded text with what differs on this machine: the host's id, and files.
pub(crate) fn ours(text: &str, host: &str) -> String {
    let mut text = text.to_owned();
    for recorded in [
        "NAY5F7XOVIFC7JRPJE753FCQM2CDIXRMDGI2EILNHYRFLQS4YWDUAVEW",
        "NBEAHSB2XZ33CPEIAGLVYRH5SXHVF5JX325RH7FGZCOWR4EOXWLGD3S2",
    ] {
        text = text.replace(recorded, host);
    }
    let guests = [
        ("hello-v1", "http-hello-v1"),
        ("hello-v2", "http-hello-v2"),
        ("front", "http-front-v1"),
        ("greeter", "greeter-v1"),
        ("counter", "keeper-v1"),
    ];
    for (recorded, name) in guests {
        text = text.replace(&format!("/srv/components/{recorded}.wasm"), &guest(name).display().to_string());
    }
    text
}

/// What is wrong with the form of an answer, if anything: other types, fields that are missing, or that are new.
pub(crate) fn differs(recorded: &Value, ours: &Value, at: &str) -> Option<String> {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            // Labels, annotations and values of configs have the names that people gave them.
            if ["labels", "annotations", "constraints"].iter().any(|free| at.ends_with(free)) {
                return ours.values().find(|value| !value.is_string()).map(|value| format!("{at}: {value}"));
            }
            let missing = recorded.keys().find(|key| !ours.contains_key(*key));
            let new = ours.keys().find(|key| !recorded.contains_key(*key) && !OURS.contains(&key.as_str()));
            if let Some(key) = missing.or(new) {
                return Some(format!("{at}: `{key}` is on one side only"));
            }
            recorded.iter().find_map(|(key, value)| differs(value, &ours[key], &format!("{at}.{key}")))
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            ours.iter().find_map(|value| differs(recorded.first()?, value, &format!("{at}[]")))
        }
        (Value::Null, _) | (_, Value::Null) if at.ends_with("limits") => None,
        _ if std::mem::discriminant(recorded) == std::mem::discriminant(ours) => None,
        _ => Some(format!("{at}: {ours} in place of {recorded}")),
    }
}

fn judge(exchange: &Exchange, ours_is: &Value, host: &str) -> Option<String> {
    let [recorded] = exchange.answers.as_slice() else { return None };
    if let Some(wrong) = differs(recorded, ours_is, "") {
        return Some(wrong);
    }
    if recorded["success"] != ours_is["success"] {
        return Some(format!("`success` is {}", ours_is["success"]));
    }
    let words = ours(recorded["message"].as_str().unwrap_or_default(), host);
    (ours_is["message"] != words.as_str()).then(|| format!("{} in place of `{words}`", ours_is["message"]))
}

async fn host_is_there(tool: &ToolV1) -> String {
    lath_tests::eventually(Duration::from_secs(30), "a host", async || {
        tool.hosts().await.into_iter().next().ok_or_else(|| "none".to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_request_gets_an_answer_of_the_recorded_form() {
    let mut lattice: Lattice = Setup::default().host(&["zone=east"]).start().await;
    let tool = ToolV1::of(&lattice).await;
    let host = host_is_there(&tool).await;
    let (mut wrong, mut seen, mut compared) = (Vec::new(), [0; DIFFERENCES.len()], 0);
    for exchange in recorded().into_iter().filter(|exchange| exchange.of.starts_with(CONTROL)) {
        let (subject, payload) = (ours(&exchange.subject, &host), ours(&exchange.payload, &host));
        let Some(answer) = tool.ask_any(&subject, payload.clone().into_bytes()).await else {
            wrong.push(format!("{subject}: nobody answers"));
            continue;
        };
        compared += 1;
        let fits = |difference: &&Difference| {
            subject.starts_with(difference.of.0) && payload.contains(difference.of.1)
        };
        match DIFFERENCES.iter().position(|difference| fits(&difference)) {
            Some(known) if (DIFFERENCES[known].ours)(&answer) => seen[known] += 1,
            _ => wrong.extend(
                judge(&exchange, &answer, &host)
                    .map(|why| format!("{subject} {payload}: {why}\n    {answer}")),
            ),
        }
        if subject.starts_with("host.stop.") {
            // The recording goes on with another host.
            lattice.host_mut(1).ended(Duration::from_secs(60)).await;
            lattice.host_mut(1).restart().await;
            assert_eq!(host_is_there(&tool).await, host);
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 100, "only {compared} requests are in the recording");
    for (difference, count) in DIFFERENCES.iter().zip(seen) {
        assert!(count > 0, "1.x is not differed from any more: {} ({})", difference.of.0, difference.why);
    }
}

/// What `answer` is wrong about, where it is one of wadm's.
fn judge_of_wadm(recorded: &Value, ours_is: &Value, host: &str) -> Option<String> {
    let (mut recorded, mut ours_is) = (recorded.clone(), ours_is.clone());
    // Manifests are given back as they were put.
    let [was, is] = [&mut recorded, &mut ours_is]
        .map(|answer| answer.get_mut("manifest").map(Value::take).unwrap_or_default());
    if serde_json::from_str::<Value>(&ours(&was.to_string(), host)).unwrap() != is {
        return Some(format!("recorded {was}"));
    }
    let (recorded, ours_is) = (&recorded, &ours_is);
    if let Some(wrong) = differs(recorded, ours_is, "") {
        return Some(wrong);
    }
    let kind = |answer: &Value| answer["status"]["status"]["type"].clone();
    let words = ours(recorded["message"].as_str().unwrap_or_default(), host);
    (recorded["result"] != ours_is["result"]
        || kind(recorded) != kind(ours_is)
        || words != ours_is["message"].as_str().unwrap_or_default())
    .then(|| format!("recorded {recorded}"))
}

/// Sends a request as it was sent. Statuses are asked for until they are what was recorded: ours may be of the way there.
async fn ask_wadm(tool: &ToolV1, exchange: &Exchange, host: &str) -> Result<(), String> {
    let (verb, payload) = (exchange.subject.as_str(), ours(&exchange.payload, host));
    let [recorded] = exchange.answers.as_slice() else { return Err("nobody has answered".to_owned()) };
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in &exchange.headers {
        headers.insert(name.as_str(), value.as_str());
    }
    let known = WADM_DIFFERENCES.iter().find(|known| {
        verb.starts_with(known.of.0) && payload.contains(known.of.1) && recorded != &Value::Array(Vec::new())
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let subject = exchange.of.clone();
        let sent = tool.nats().request_with_headers(subject, headers.clone(), payload.clone().into()).await;
        let answer = sent.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())?;
        let wrong = match known {
            Some(known) if (known.ours)(&answer) => return Ok(()),
            Some(known) => Some(known.why.to_owned()),
            None => judge_of_wadm(recorded, &answer, host),
        };
        let Some(wrong) = wrong else { return Ok(()) };
        let is_question = verb.starts_with("status") || verb.starts_with("list");
        if !is_question || tokio::time::Instant::now() > deadline {
            return Err(format!("{verb} {payload}: {wrong}\n    {answer}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends the first message of a call; whoever takes it says so with an inbox of its own and nothing else.
async fn call(tool: &ToolV1, exchange: &Exchange) -> Result<(), String> {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("source-id", "exthttp");
    let call = tool.nats().request_with_headers(exchange.of.clone(), headers, exchange.bytes.clone().into());
    let taken = tokio::time::timeout(Duration::from_secs(20), call).await;
    let taken = taken.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    let callee = taken.reply.filter(|_| taken.payload.is_empty()).ok_or("it is not taken")?;
    // The rest of the call: no more parameters, an empty body, no trailers.
    for (channel, bytes) in
        [("params", ""), ("params.0.0", "\0"), ("params.0.0", ""), ("params.0.1", "\0"), ("params.0.1", "")]
    {
        tool.nats()
            .publish(format!("{callee}.{channel}"), bytes.into())
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_tools_and_callers_is_answered_as_it_was() {
    let mut lattice: Lattice = Setup::default().host(&["zone=east"]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let host = host_is_there(&tool).await;
    let (mut wrong, mut asked) = (Vec::new(), [0; 3]);
    for exchange in recorded().into_iter().filter(|exchange| !exchange.by_wadm) {
        let (subject, payload) = (ours(&exchange.subject, &host), ours(&exchange.payload, &host));
        if exchange.of.starts_with(WADM) {
            asked[0] += 1;
            wrong.extend(ask_wadm(&tool, &exchange, &host).await.err());
        } else if exchange.of.starts_with(CONTROL) {
            asked[1] += 1;
            let Some(answer) = tool.ask_any(&subject, payload.clone().into_bytes()).await else {
                wrong.push(format!("{subject}: nobody answers"));
                continue;
            };
            let is_known = DIFFERENCES.iter().any(|known| {
                subject.starts_with(known.of.0) && payload.contains(known.of.1) && (known.ours)(&answer)
            });
            let why = if is_known { None } else { judge(&exchange, &answer, &host) };
            wrong.extend(why.map(|why| format!("{subject} {payload}: {why}\n    {answer}")));
            if subject.starts_with("component.scale.") && answer["success"] == true {
                // As the tool did: what it has asked for is there before it goes on.
                let scaled: Value = serde_json::from_str(&payload).unwrap();
                let id = scaled["component_id"].as_str().unwrap();
                if id == "hello" || id == "greeter" {
                    tool.event("component_scaled", |data| data["component_id"] == id).await;
                }
            }
            if subject.starts_with("host.stop.") {
                lattice.host_mut(1).ended(Duration::from_secs(60)).await;
                lattice.host_mut(1).restart().await;
                assert_eq!(host_is_there(&tool).await, host);
            }
        } else if !NOT_CALLED.iter().any(|(to, _)| exchange.of.starts_with(to)) {
            asked[2] += 1;
            wrong.extend(call(&tool, &exchange).await.err().map(|why| format!("{subject}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked[0] == 21 && asked[1] > 50 && asked[2] == 2, "{asked:?} requests are in the recording");
}
