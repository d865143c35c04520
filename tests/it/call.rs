//! `lath call` and `lath spy`, with the arguments and the output of `wash`, on real components.

use std::time::Duration;

use lath_tests::{App, Lattice, Setup, ToolV1, guest};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// A component with one function, which takes nothing and gives a string, and one that gives a number.
const TELLER: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 16) "all is well")
        (func (export "say") (result i32)
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 11))
            (i32.const 0))
        (func (export "count") (result i32) (i32.const 300)))
    (core instance $i (instantiate $m))
    (func $say (result string) (canon lift (core func $i "say") (memory $i "memory")))
    (func $count (result u32) (canon lift (core func $i "count")))
    (instance $teller (export "say" (func $say)) (export "count" (func $count)))
    (export "acme:demo/teller@1.0.0" (instance $teller)))"#;

async fn start(tool: &mut ToolV1, id: &str, image: &str) {
    let host = tool.hosts().await.remove(0);
    let scale = json!({ "component_id": id, "component_ref": image, "count": 5 });
    tool.does(&format!("component.scale.{host}"), &scale).await;
    tool.event("component_scaled", |data| data["component_id"] == id).await;
}

async fn with_hello() -> (Lattice, ToolV1) {
    let lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    start(&mut tool, "hello", &format!("file://{}", guest("http-hello-v1").display())).await;
    (lattice, tool)
}

const HANDLE: &str = "wasi:http/incoming-handler.handle";

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_gets_the_request_that_the_arguments_make() {
    let (lattice, _tool) = with_hello().await;
    let lath = lattice.lath();
    let answer = lath.run(["call", "hello", HANDLE, "-o", "json"]).await.exits(0).json();
    assert_eq!((&answer["success"], &answer["response"]["status"]), (&json!(true), &json!(200)));
    assert_eq!(answer["response"]["headers"]["content-type"], "application/json");
    let body: Value = serde_json::from_str(answer["response"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["component"], "http-hello");

    // To people the response alone, as `wash` prints it.
    let shown = lath.run(["call", "hello", "wrpc:http/incoming-handler.handle"]).await.exits(0).json();
    assert_eq!(shown["status"], 200);
    let extracted = ["call", "hello", HANDLE, "--http-response-extract-json"];
    assert_eq!(lath.run(extracted).await.exits(0).json()["component"], "http-hello");
    let path = ["call", "hello", HANDLE, "--http-path", "/a?b=c", "--http-response-extract-json"];
    assert_eq!(lath.run(path).await.exits(0).json()["path"], "/a");
    let echo =
        ["call", "hello", HANDLE, "--http-method", "POST", "--http-path", "/echo", "--http-body", "said"];
    let echoed = lath.run(echo.into_iter().chain(["-o", "json"])).await.exits(0).json();
    assert_eq!((&echoed["response"]["status"], &echoed["response"]["body"]), (&json!(200), &json!("said")));
    lath.run(["call", "hello", HANDLE, "--http-path", "/healthz", "--http-response-extract-json"])
        .await
        .exits(1)
        .says(&["the body is not JSON"]);

    for (wrong, code, words) in [
        (vec!["call", "nobody", HANDLE], 3, "no component responded"),
        (vec!["call", "hello", "wasi:http/incoming-handler"], 2, "NAMESPACE:PACKAGE/INTERFACE.FUNCTION"),
        (vec!["call", "a.b", HANDLE], 2, "a.b"),
        (vec!["call", "hello", HANDLE, "--http-method", "A B"], 2, "no HTTP request"),
        (vec!["call", "hello", HANDLE, "--http-body-path", "/nowhere/at/all"], 2, "/nowhere/at/all"),
    ] {
        lath.run(wrong).await.exits(code).says(&[words]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_gives_its_string() {
    let lattice = Setup::default().host(&[]).start().await;
    let mut tool = ToolV1::of(&lattice).await;
    let file = lattice.folder().join("teller.wasm");
    std::fs::write(&file, wat::parse_str(TELLER).unwrap()).unwrap();
    start(&mut tool, "teller", &format!("file://{}", file.display())).await;
    let lath = lattice.lath();
    let say = "acme:demo/teller@1.0.0.say";
    let answer = lath.run(["call", "teller", say, "-o", "json"]).await.exits(0).json();
    assert_eq!(answer, json!({ "result": "all is well", "success": true }));
    assert_eq!(lath.run(["call", "teller", say]).await.exits(0).stdout, "all is well\n");
    // 1.x matches versions exactly, too.
    lath.run(["call", "teller", "acme:demo/teller.say"]).await.exits(3).says(&["no such function"]);
    lath.run(["call", "teller", "acme:demo/teller@1.0.0.count"]).await.exits(1).says(&["no string"]);
}

/// What `lath spy` prints until it ends, while `make` makes calls.
async fn spied(lattice: &Lattice, arguments: &[&str], make: impl AsyncFn()) -> String {
    let mut spy = lattice.lath().start([&["spy"], arguments].concat());
    let deadline = tokio::time::Instant::now() + SOON;
    while spy.runs() {
        make().await;
        assert!(tokio::time::Instant::now() < deadline, "it sees nothing");
    }
    spy.ended().await.exits(0).stdout
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_seen_as_they_pass() {
    let (lattice, _tool) = with_hello().await;
    let call = async || {
        let ask = ["call", "hello", HANDLE, "--http-content-type", "text/plain"];
        let _ = lattice.lath().run(ask).await.exits(0);
    };
    let seen = lines(&spied(&lattice, &["hello", "--count", "2", "-o", "json"], call).await);
    assert_eq!(seen.len(), 2);
    let told = ["from", "to", "operation", "message"].map(|key| seen[0][key].as_str().unwrap());
    let operation = "wrpc:http/incoming-handler@0.1.0.handle";
    let request = "GET http://localhost:8080/, content-type: \"text/plain\"";
    assert_eq!(told, ["wash", "hello", operation, request]);
    assert!(seen[0]["timestamp"].is_string() && seen[0]["bytes"].as_u64().unwrap() > 20);

    let shown = spied(&lattice, &["hello", "--count", "1"], call).await;
    assert!(shown.starts_with("Spying on component hello\n\n\n["), "{shown}");
    let wanted = format!(
        "]\nFrom: {:<25} To: {:<25}\n\nOperation: {operation}\nMessage: {request}\n",
        "wash", "hello"
    );
    assert!(shown.ends_with(&wanted), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_what_is_linked_are_seen_from_both_ends() {
    let lattice = Setup::default().host(&["zone=a"]).host(&["zone=b"]).host(&["zone=c"]).start().await;
    let app = App::greeting("shop", lattice.address);
    let app = app.place("http", "zone", "a").place("front", "zone", "b").place("greeter", "zone", "c");
    let _ = lattice.deploy(&app).await.exits(0);
    for spied_on in ["shop-front", "shop-greeter"] {
        let arguments = [spied_on, "--count", "6", "-o", "json"];
        let shown = spied(&lattice, &arguments, async || {
            let load = lath_tests::Load::new(lattice.address, "/greet?name=Ada");
            load.once().await.unwrap();
        });
        let seen = lines(&shown.await);
        let greetings: Vec<&Value> = seen.iter().filter(|call| call["to"] == "shop-greeter").collect();
        assert!(!greetings.is_empty(), "{seen:#?}");
        for greeting in greetings {
            assert_eq!(
                (&greeting["from"], &greeting["operation"], &greeting["message"]),
                (&json!("shop-front"), &json!("lath:demo/greeter@0.1.0.greet"), &json!("\"Ada\"")),
            );
            assert_eq!(greeting["revision"], "shop@1");
        }
    }
}
