//! Progress on standard error: lines that stay, and on a terminal one line that is painted anew.
//!
//! What is told is decided elsewhere. Plain lines carry the time of day, live ones the time since the start.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::args::Progress;
use crate::output::{Output, clean};

/// How progress of this process is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Plain,
    Silent,
}

/// Shows the progress of one command.
#[derive(Debug)]
pub(crate) struct Reporter {
    mode: Mode,
    started: Instant,
    /// Stands after the time in plain lines, such as `shop@7`.
    about: String,
    painted: bool,
}

impl Reporter {
    /// Begins to count the time.
    pub(crate) fn new(progress: Progress, out: &Output, env: impl Fn(&str) -> Option<String>) -> Self {
        let mode = match progress {
            _ if out.quiet => Mode::Silent,
            Progress::Live => Mode::Live,
            Progress::Plain => Mode::Plain,
            Progress::None => Mode::Silent,
            Progress::Auto => {
                let dumb = env("TERM").is_some_and(|term| term == "dumb");
                let machine = dumb || env("CI").is_some() || out.format.is_machine();
                if std::io::stderr().is_terminal() && !machine { Mode::Live } else { Mode::Plain }
            }
        };
        Self { mode, started: Instant::now(), about: String::new(), painted: false }
    }

    /// The same reporter whose plain lines name what they are about.
    pub(crate) fn about(&mut self, about: String) {
        self.about = about;
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether the last line is painted anew.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live)
    }

    /// A line that names the target of the command; it has no time.
    pub(crate) fn headline(&mut self, line: &str) {
        self.put(line);
    }

    /// A line that stays.
    pub(crate) fn line(&mut self, line: &str) {
        let line = clean(line);
        let line = match self.mode {
            Mode::Live => format!("  {}  {line}", clock(self.elapsed())),
            Mode::Plain => format!("{:.0} {}{line}", jiff::Timestamp::now(), self.prefix()),
            Mode::Silent => return,
        };
        self.put(&line);
    }

    /// The line that is painted anew, on terminals only.
    pub(crate) fn paint(&mut self, text: &str) {
        if self.mode != Mode::Live {
            return;
        }
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        let line = format!("  {}  {}", clock(self.elapsed()), clean(text));
        let shown: String = line.chars().take(width.saturating_sub(1)).collect();
        write_err(&format!("\r\u{1b}[2K{shown}"));
        self.painted = true;
    }

    /// Takes the painted line away.
    pub(crate) fn wipe(&mut self) {
        if std::mem::take(&mut self.painted) {
            write_err("\r\u{1b}[2K");
        }
    }

    fn put(&mut self, line: &str) {
        if self.mode == Mode::Silent {
            return;
        }
        self.wipe();
        write_err(&format!("{line}\n"));
    }

    fn prefix(&self) -> String {
        if self.about.is_empty() { String::new() } else { format!("{} ", self.about) }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// When nobody reads standard error there is nothing left to do about it.
fn write_err(text: &str) {
    let mut err = anstream::stderr().lock();
    _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// `00:41`, `1:02:03`.
pub(crate) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 {
        format!("{minutes:02}:{seconds:02}")
    } else {
        format!("{hours}:{minutes:02}:{seconds:02}")
    }
}

/// `0.8 s`, `38.2 s`, `2 min 5 s`, `3 h 2 min`.
pub(crate) fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let all = [0.84, 38.25, 125.0, 10_920.0].map(Duration::from_secs_f64);
        assert_eq!(all.map(took), ["0.8 s", "38.2 s", "2 min 5 s", "3 h 2 min"]);
        assert_eq!(all.map(clock), ["00:00", "00:38", "02:05", "3:02:00"]);
    }
}
