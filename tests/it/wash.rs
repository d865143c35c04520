//! What `wash` printed when it was recorded, command by command, and what `lath` prints with the same arguments: JSON of
//! the same form, and the same words where they are not about times and names.

use std::path::Path;

use lath_tests::{Setup, ToolV1};
use serde_json::Value;

use crate::control_v1_replay::differs;

/// Commands that another part answers, or that were typed wrongly, or that do what hosts of ours cannot yet.
const LEFT_OUT: [&str; 9] = [
    "app ",
    "call ",
    "scale component hello file",
    "link del",
    "start provider",
    "stop provider",
    "stop host",
    // Prints usage.
    "app delete",
    "scale component hello",
];

/// Each recorded command with the JSON that it printed.
fn recorded() -> Vec<(String, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasmcloud/tests/recordings/wash.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let commands = text.split("$ wash ").skip(1).filter_map(|part| {
        let (command, printed) = part.split_once('\n')?;
        // After the JSON stands what other programs have printed.
        let mut values = serde_json::Deserializer::from_str(printed).into_iter::<Value>();
        Some((command.to_owned(), values.next()?.ok()?))
    });
    let ours = |command: &str| !LEFT_OUT.iter().any(|out| command.starts_with(out));
    commands.filter(|(command, _)| ours(command)).collect()
}

/// The recorded text for this machine. Here a start is waited for, so components without links stand for those that need
/// some.
fn ours(text: &str, host: &str) -> String {
    let text = crate::control_v1_replay::ours(text, host);
    ["http-front-v1", "keeper-v1"].iter().fold(text, |text, linked| text.replace(linked, "http-hello-v1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn lath_prints_what_wash_printed() {
    let lattice = Setup::default().host(&["zone=east"]).start().await;
    let host = ToolV1::of(&lattice).await.hosts().await.remove(0);
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (command, printed) in recorded() {
        let arguments = ours(&command, &host);
        let arguments: Vec<&str> = arguments.split_whitespace().chain(["-o", "json"]).collect();
        let ended = lattice.lath().run(&arguments).await;
        compared += 1;
        if printed["success"] == false {
            // Failures have the form of all failures of `lath`, with the words of `wash`.
            let words = printed["error"].as_str().unwrap();
            if ended.code == Some(0) || !ended.told().contains(words) {
                wrong.push(format!("{command}: {}", ended.told()));
            }
            continue;
        }
        if ended.code != Some(0) {
            wrong.push(format!("{command}: {}", ended.told()));
            continue;
        }
        let found = ended.json();
        wrong.extend(differs(&printed, &found, "").map(|why| format!("{command}: {why}\n    {found}")));
        for said in ["result", "message"] {
            let words = printed[said].as_str().map(|text| ours(text, &host));
            if found[said].as_str() != words.as_deref() {
                wrong.push(format!("{command}: {} in place of {words:?}", found[said]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 25, "only {compared} commands are compared");
}
