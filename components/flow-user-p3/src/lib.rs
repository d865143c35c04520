//! Uses `lath:handles` through links from WASI 0.3, in one way for each path, and answers with what it was told.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, which is documented")]

    wit_bindgen_p3::generate!({
        path: "../wit/handles",
        world: "drinks",
        runtime_path: "::wit_bindgen_p3::rt",
    });
}

use bindings::lath::handles::flows::{self, Source};
use bindings::lath::handles::tallies::{self, Tally};
use bindings::{wit_future, wit_stream};
use lath_guest_p3::{Asked, body};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};
use wit_bindgen_p3::rt::async_support::StreamReader;
use wit_bindgen_p3::spawn_local;

struct User;

wasip3::http::service::export!(User);

impl Guest for User {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = Asked::of(&request);
        if asked.path() == "/echo" || asked.path() == "/pass" {
            let (bytes, ended) = body(request);
            let echoed = match asked.path() {
                "/echo" => flows::echo(bytes).await,
                _ => flows::pass(bytes).await,
            };
            return Ok(asked.passing_on(200, "application/octet-stream", echoed, ended));
        }
        let n = u32::try_from(asked.number("n", 3)).unwrap_or(u32::MAX);
        Ok(match used(asked.path(), n).await {
            Some(text) => asked.text(200, &text),
            None => asked.text(404, ""),
        })
    }
}

async fn used(path: &str, n: u32) -> Option<String> {
    Some(match path {
        "/healthz" => "ok".to_owned(),
        "/add" => {
            let tally = Tally::new(1);
            let sums: Vec<_> = (1..=n).map(|by| tally.add(by)).collect();
            format!("{sums:?}")
        }
        "/living" => {
            let before = Tally::living();
            let first = Tally::new(1);
            let second = first.copy();
            let both = Tally::living();
            drop(first);
            let one = Tally::living();
            drop(second);
            format!("{before} {both} {one} {}", Tally::living())
        }
        "/merge" => {
            let (into, from) = (Tally::new(40), Tally::new(2));
            let sum = tallies::merge(&into, from);
            format!("{sum} {} {}", into.add(0), Tally::living())
        }
        "/largest" => match tallies::largest((0..n).map(Tally::new).collect()) {
            Ok((sum, largest)) => {
                format!("{sum} {:?} {}", largest.as_ref().map(|tally| tally.add(0)), Tally::living())
            }
            Err(reason) => reason,
        },
        "/trap" => {
            Tally::new(0).fail();
            "it did not trap".to_owned()
        }
        "/sum" => {
            let (mut output, numbers) = wit_stream::new();
            spawn_local(async move {
                let mut next = 1;
                while next <= n {
                    let until = n.min(next + 700);
                    if !output.write_all((next..=until).collect()).await.is_empty() {
                        return;
                    }
                    next = until + 1;
                }
            });
            format!("{}", flows::sum(numbers).await)
        }
        "/count" => {
            let numbers = flows::count(n).await.collect().await;
            format!("{} {}", numbers.len(), numbers.into_iter().map(u64::from).sum::<u64>())
        }
        "/few" => {
            let mut numbers = flows::count(u32::MAX - 1).await;
            let mut read = Vec::new();
            for _ in 0..n {
                read.extend(numbers.next().await);
            }
            format!("{read:?}")
        }
        "/shout" => shout(n).await,
        "/reverse" => {
            let (mut output, lists) = wit_stream::new();
            spawn_local(async move {
                // Whoever reads takes both.
                let _read = output.write_all(vec![vec![1_u32, 2, 3], Vec::new()]).await;
            });
            format!("{:?}", flows::reverse(lists).await.collect().await)
        }
        "/later" => flows::later("word".to_owned(), n).await.await,
        "/length" => {
            let (output, word) = wit_future::new(String::new);
            spawn_local(async move {
                let _read = output.write("four".to_owned()).await;
            });
            format!("{}", flows::length(word).await)
        }
        "/break-off" => format!("{}", flows::break_off(n).await.collect().await.len()),
        "/some" => {
            let (mut output, numbers) = wit_stream::new();
            // Goes on until nobody reads on.
            let written =
                spawn_local(async move { while output.write_all((0..1000).collect()).await.is_empty() {} });
            let sum = flows::some(numbers, n).await;
            format!("{sum} {}", written.await.is_some())
        }
        "/source" => {
            let source = Source::new(10);
            let first = source.next(n).await;
            let (after, second) = (source.after(0).await, source.next(1).await);
            format!("{:?} {after} {:?}", first.collect().await, second.collect().await)
        }
        "/beside" => {
            // All wait at the same time, in one instance.
            let source = std::rc::Rc::new(Source::new(0));
            let waits: Vec<_> = (0..n)
                .map(|_| {
                    let source = std::rc::Rc::clone(&source);
                    spawn_local(async move { source.after(500).await })
                })
                .collect();
            let mut given = Vec::new();
            for wait in waits {
                given.extend(wait.await);
            }
            given.sort_unstable();
            format!("{given:?}")
        }
        _ => return None,
    })
}

/// Word after word: the next is only written when the one before has come back.
async fn shout(n: u32) -> String {
    let (mut output, words) = wit_stream::new();
    let mut shouted: StreamReader<String> = flows::shout(words).await;
    let mut heard = Vec::new();
    for number in 0..n {
        if output.write_one(format!("w{number}")).await.is_some() {
            break;
        }
        heard.extend(shouted.next().await);
    }
    drop(output);
    format!("{} {}", heard.join(" "), shouted.next().await.is_none())
}
