//! Does on request what a host must survive: traps, endless loops, hunger, slowness, error answers, floods of output,
//! handles that are never given back. Each path does one thing and nothing else. Built with `LATH_GUEST_TRAP_AT_START=1` it traps when it is instantiated; see `start`.

mod start;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use lath_guest::http::Exchange;
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Touching one byte of each page makes the memory really used.
const WASM_PAGE: usize = 64 * KIB;

/// Calls that this instance has answered: 1 each time shows that instances are fresh.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Misbehave;

wasip2::http::proxy::export!(Misbehave);

impl Guest for Misbehave {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let exchange = Exchange::new(request, answer);
        match exchange.path() {
            "/ok" | "/healthz" => exchange.text(200, "ok"),
            "/trap" => trap(),
            "/loop" => endless(),
            "/eat" => eat(exchange),
            "/sleep" => sleep(exchange),
            "/ill" => ill(exchange),
            "/body" => body(exchange),
            "/count" => exchange.text(200, &calls.to_string()),
            "/print" => print(exchange),
            "/flood" => flood(exchange),
            "/leak" => leak(exchange),
            "/upload" => upload(exchange),
            path => match path.strip_prefix("/status/").and_then(|code| code.parse().ok()) {
                Some(code) => exchange.text(code, &format!("status {code}")),
                None => exchange.text(404, "there are /ok /trap /loop /eat?mib=N /status/NNN /sleep?ms=N /ill?between=MS-MS /body?kib=N&more=N /count /print?text=X /flood?lines=N /leak?handles=N /upload"),
            },
        }
    }
}

fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

fn endless() -> ! {
    let mut turns = 0_u64;
    loop {
        // The optimiser may not see through this, so that the loop stays a loop.
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Allocates `mib` MiB and touches every page. Where a limit is in the way, the allocation fails and traps.
fn eat(exchange: Exchange) {
    let mib = exchange.number("mib", 1);
    let bytes = usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(MIB);
    let mut food = vec![0_u8; bytes];
    food.iter_mut().step_by(WASM_PAGE).for_each(|byte| *byte = 1);
    let eaten = std::hint::black_box(&food).len() / MIB;
    exchange.text(200, &format!("ate {eaten} MiB"));
}

/// Well at all times but between these two.
fn ill(exchange: Exchange) {
    if is_now_between(&exchange.param("between").unwrap_or_default()) {
        exchange.text(500, "ill");
    } else {
        exchange.text(200, "well");
    }
}

/// Whether it is between two times that are written as milliseconds since 1970, `FROM-UNTIL`.
fn is_now_between(times: &str) -> bool {
    let Some((from, until)) = times.split_once('-') else { return false };
    let (Ok(from), Ok(until)) = (from.parse::<u128>(), until.parse::<u128>()) else { return false };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.is_ok_and(|now| (from..until).contains(&now.as_millis()))
}

fn sleep(exchange: Exchange) {
    let ms = exchange.number("ms", 1000);
    monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
    exchange.text(200, &format!("slept {ms} ms"));
}

/// Streams `kib` KiB and `more` bytes, never holding more than one KiB of them.
fn body(exchange: Exchange) {
    let (kib, more) = (exchange.number("kib", 1), exchange.number("more", 0));
    let piece = [b'x'; KIB];
    exchange.stream(200, "application/octet-stream", |output| {
        (0..kib).try_for_each(|_| output.write_all(&piece))?;
        (0..more).try_for_each(|_| output.write_all(b"x"))
    });
}

fn print(exchange: Exchange) {
    let text = exchange.param("text").unwrap_or_default();
    println!("{text}");
    eprintln!("{text}");
    exchange.text(200, "printed");
}

/// Prints `lines` lines of a hundred bytes each.
fn flood(exchange: Exchange) {
    let lines = exchange.number("lines", 1);
    let line = "x".repeat(99);
    (0..lines).for_each(|_| println!("{line}"));
    exchange.text(200, &format!("printed {lines} lines"));
}

/// Takes `handles` handles and gives none back. Where a limit is in the way, the next one traps.
fn leak(exchange: Exchange) {
    let handles = exchange.number("handles", 1);
    (0..handles).for_each(|_| std::mem::forget(monotonic_clock::subscribe_duration(u64::MAX)));
    exchange.text(200, &format!("holds {handles} handles"));
}

/// Tells how many bytes the request's body has.
fn upload(exchange: Exchange) {
    match exchange.body_bytes() {
        Ok(bytes) => exchange.text(200, &format!("got {bytes} bytes")),
        Err(problem) => exchange.text(500, &problem),
    }
}
