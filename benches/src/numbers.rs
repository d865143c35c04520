//! Numbers as they are shown.

use std::time::Duration;

/// The time within which so many of a hundred are.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn within(durations: &[Duration], percent: usize) -> Duration {
    let mut durations = durations.to_vec();
    durations.sort_unstable();
    durations[(durations.len() * percent / 100).min(durations.len() - 1)]
}

/// Bytes as MiB, for people.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Which machine this is and what it does beside us: numbers mean little without it.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{count} processors ({model}), load {load} at the start")
}
