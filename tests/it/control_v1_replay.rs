//! The requests of a recorded conversation with wasmCloud 1.9.2, in their order, to a lattice of ours: each gets an
//! answer of the form that was recorded. Where ours differs the difference stands here with its reason, and in
//! `docs/migrating.md`; one that is not there any more fails the test, too.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lath_tests::{Lattice, Setup, ToolV1, guest};
use serde_json::Value;

/// Fields that only we have.
const OURS: [&str; 3] = ["phase", "reason", "message"];

/// A request of the recording, and what it was answered.
struct Exchange {
    subject: String,
    payload: String,
    answers: Vec<Value>,
}

/// Where an answer of ours is another one than that of 1.x.
struct Difference {
    /// The beginning of the subject, and a part of the payload.
    of: (&'static str, &'static str),
    ours: fn(&Value) -> bool,
    why: &'static str,
}

const DIFFERENCES: [Difference; 3] = [
    Difference {
        of: ("provider.start.", ".par.gz"),
        ours: |answer| is_refusal(answer, "do not run external providers yet"),
        why: "hosts run no provider processes yet, and say so",
    },
    Difference {
        of: ("provider.stop.", "\"provider_id\":\"kv\""),
        ours: |answer| is_refusal(answer, "provider with that ID is not running"),
        why: "it was not started",
    },
    Difference {
        of: ("provider.stop.", "\"provider_id\":\"exthttp\""),
        ours: |answer| is_refusal(answer, "provider with that ID is not running"),
        why: "it was not started",
    },
];

fn is_refusal(answer: &Value, words: &str) -> bool {
    answer["success"] == false && answer["message"].as_str().is_some_and(|text| text.contains(words))
}

fn recorded() -> Vec<Exchange> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasmcloud/tests/recordings/wire.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let (mut exchanges, mut asked) = (Vec::<Exchange>::new(), BTreeMap::new());
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = || line["text"].as_str().unwrap_or_default().to_owned();
        let subject = line["subject"].as_str().unwrap();
        if let Some(request) = subject.strip_prefix("wasmbus.ctl.v1.default.") {
            if let Some(reply) = line["reply"].as_str() {
                asked.insert(reply.to_owned(), exchanges.len());
            }
            exchanges.push(Exchange { subject: request.to_owned(), payload: text(), answers: Vec::new() });
        } else if let Some(asked) = asked.get(subject) {
            exchanges[*asked].answers.push(serde_json::from_str(&text()).unwrap());
        }
    }
    exchanges
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
    for exchange in recorded() {
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
