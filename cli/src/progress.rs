//! Progress on standard error: lines that stay, and on a terminal some below them that are painted anew.
//!
//! What is told is decided elsewhere. Plain lines carry the time of day, live ones the time since the start, and those for
//! programs are objects.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::args::Progress;
use crate::output::{API_VERSION, Output, clean};

/// How progress of this process is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Plain,
    Json,
    Silent,
}

/// Shows the progress of one command.
#[derive(Debug)]
pub(crate) struct Reporter {
    mode: Mode,
    started: Instant,
    /// Stands after the time in plain lines, such as `shop@7`.
    about: String,
    /// Lines that are painted anew.
    painted: usize,
}

impl Reporter {
    /// Begins to count the time.
    pub(crate) fn new(progress: Progress, out: &Output, env: impl Fn(&str) -> Option<String>) -> Self {
        let mode = match progress {
            _ if out.quiet => Mode::Silent,
            Progress::Live => Mode::Live,
            Progress::Plain => Mode::Plain,
            Progress::Json => Mode::Json,
            Progress::None => Mode::Silent,
            Progress::Auto => {
                let dumb = env("TERM").is_some_and(|term| term == "dumb");
                let machine = dumb || env("CI").is_some() || out.format.is_machine();
                if std::io::stderr().is_terminal() && !machine { Mode::Live } else { Mode::Plain }
            }
        };
        Self { mode, started: Instant::now(), about: String::new(), painted: 0 }
    }

    /// The same reporter whose plain lines name what they are about.
    pub(crate) fn about(&mut self, about: String) {
        self.about = about;
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether lines are painted anew.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live)
    }

    /// A line that names the target of the command; it has no time.
    pub(crate) fn headline(&mut self, line: &str) {
        match self.mode {
            Mode::Json => self.put(&self.object(line)),
            Mode::Live | Mode::Plain | Mode::Silent => self.put(line),
        }
    }

    /// A line that stays.
    pub(crate) fn line(&mut self, line: &str) {
        let line = clean(line);
        let line = match self.mode {
            Mode::Live => format!("  {}  {line}", clock(self.elapsed())),
            Mode::Plain => format!("{:.0} {}{line}", jiff::Timestamp::now(), self.prefix()),
            Mode::Json => return self.put(&self.object(&line)),
            Mode::Silent => return,
        };
        self.put(&line);
    }

    /// A line for programs.
    fn object(&self, text: &str) -> String {
        let time = format!("{:.3}", jiff::Timestamp::now());
        let object = json!({
            "apiVersion": API_VERSION, "kind": "Progress", "time": time, "about": self.about, "text": text,
        });
        object.to_string()
    }

    /// The line that is painted anew, on terminals only.
    pub(crate) fn paint(&mut self, text: &str) {
        let (width, _) = Self::room();
        let line = format!("  {}  {}", clock(self.elapsed()), clean(text));
        self.paint_lines(&[line.chars().take(width).collect()]);
    }

    /// Lines that take the place of those that were painted before, on terminals only. They must fit in the room.
    pub(crate) fn paint_lines(&mut self, lines: &[String]) {
        if self.mode != Mode::Live {
            return;
        }
        let mut text = self.back();
        for line in lines {
            text.push_str(line);
            text.push_str("\u{1b}[K\n");
        }
        // What was longer before ends here.
        text.push_str("\u{1b}[J");
        write_err(&text);
        self.painted = lines.len();
    }

    /// Characters in a line and lines that can be painted.
    pub(crate) fn room() -> (usize, usize) {
        let size = terminal_size::terminal_size_of(std::io::stderr());
        let (width, height) = size.map_or((80, 24), |(width, height)| (width.0, height.0));
        (usize::from(width).saturating_sub(1), usize::from(height).saturating_sub(1))
    }

    /// Takes the painted lines away.
    pub(crate) fn wipe(&mut self) {
        if self.painted > 0 {
            write_err(&format!("{}\u{1b}[J", self.back()));
            self.painted = 0;
        }
    }

    /// To the beginning of what is painted.
    fn back(&self) -> String {
        if self.painted == 0 { String::new() } else { format!("\u{1b}[{}A\r", self.painted) }
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

/// When nobody reads standard error there is nothing left to do about it. What moves the cursor is no colour, so this
/// is the stream as it is.
fn write_err(text: &str) {
    let mut err = std::io::stderr().lock();
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
    fn lines_for_programs_are_objects() {
        let glyphs = crate::output::Glyphs::Ascii;
        let format = crate::output::Format::Table;
        let out = Output { format, headers: true, glyphs, quiet: false };
        let mut reporter = Reporter::new(Progress::Json, &out, |_| None);
        reporter.about("shop@7".to_owned());
        let object: serde_json::Value = serde_json::from_str(&reporter.object("step \"2\"")).unwrap();
        assert_eq!((&object["kind"], &object["about"]), (&"Progress".into(), &"shop@7".into()));
        assert_eq!(object["text"], "step \"2\"");
        assert!(object["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{object}");
    }

    #[test]
    fn times_are_short() {
        let all = [0.84, 38.25, 125.0, 10_920.0].map(Duration::from_secs_f64);
        assert_eq!(all.map(took), ["0.8 s", "38.2 s", "2 min 5 s", "3 h 2 min"]);
        assert_eq!(all.map(clock), ["00:00", "00:38", "02:05", "3:02:00"]);
    }
}
