//! Numbers as they are shown.

use std::time::Duration;

/// Prints the middle, the slowest hundredth and the slowest of some durations, in milliseconds.
///
/// # Panics
/// When there are none.
pub fn print(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |percent: usize| durations[(durations.len() * percent / 100).min(durations.len() - 1)];
    let shown = |duration: Duration| format!("{:.3} ms", duration.as_secs_f64() * 1_000.0);
    let (p50, p99, most) = (shown(at(50)), shown(at(99)), shown(at(100)));
    println!("{what:<56} p50 {p50:>10}  p99 {p99:>10}  most {most:>10}  of {}", durations.len());
}

/// Bytes as MiB, for people.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// What the machine does beside us, and which machine it is: numbers mean little without it.
pub fn print_machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?");
    println!("machine: {count} processors{model}, load {load}");
}
