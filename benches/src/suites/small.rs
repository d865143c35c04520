//! Forty different components on a host that has 256 MiB, started, called, and started again.

use std::time::Instant;

use bytes::Bytes;

use crate::bundle::{component, guest, request, server, variant};
use crate::process::{Group, Host, answered};
use crate::row::{Aim, Row, Unit, Value};
use crate::run::Run;

const SUITE: &str = "small";
const DIFFERENT: u32 = 40;
const LIMIT: u64 = 256 << 20;

pub(super) async fn measure(run: &Run) -> Vec<Row> {
    // Where no control group can be made, nothing limits the host: its most is looked at all the same.
    let group = Group::of(LIMIT).ok();
    let mut host = Host::start(&run.lath, group.as_ref()).await;
    let memory = |bytes: u64| Value { amount: bytes as f64 / f64::from(1 << 20), unit: Unit::MiB };
    let empty = host.memory().resident;
    let guests: Vec<Bytes> =
        ["http-hello-v1", "http-hello-v2", "misbehave-v1", "http-caller-v1"].map(guest).into();
    let begun = Instant::now();
    for (number, kind) in (0..DIFFERENT).zip(guests.iter().cycle()) {
        let digest = host.push(&variant(kind, number)).await;
        let app = format!("app{number}");
        let web = server(&app, host.address, &format!("{app}.test"), "hello");
        host.apply(&request(&app, 1, vec![component(&app, "hello", &digest), web])).await;
    }
    host.running(2 * DIFFERENT as usize).await;
    call_all(&host).await;
    let (compiled, most) = (begun.elapsed(), host.memory().most);
    let begun = Instant::now();
    let _ready = host.restart(group.as_ref()).await;
    call_all(&host).await;
    let (again, most_again) = (begun.elapsed(), host.memory().most);
    let what = |text: &str| format!("{text}, {DIFFERENT} different ones");
    vec![
        Row::new(SUITE, "a host with nothing on it", memory(empty)),
        Row::new(SUITE, what("fetched, compiled and called"), Value::ms(compiled)),
        Row::new(SUITE, what("most memory of the host"), memory(most)).aim(Aim::AtMost(256.0)),
        Row::new(SUITE, what("started again until all have answered"), Value::ms(again)),
        Row::new(SUITE, what("most memory after that"), memory(most_again)).aim(Aim::AtMost(256.0)),
    ]
}

async fn call_all(host: &Host) {
    for number in 0..DIFFERENT {
        answered(host, &format!("app{number}.test")).await;
    }
}
