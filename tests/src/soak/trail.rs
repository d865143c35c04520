//! What components say of their calls, read from the logs of the hosts: every call says the id of its request. This is
//! the other half of the account, by which a call that was made twice, or by a revision that it should not, shows.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::app::Shop;
use super::book::Book;

/// The logs of all hosts, each read up to somewhere.
#[derive(Debug)]
pub(super) struct Trail {
    logs: Vec<(PathBuf, u64)>,
    /// Lines that should be there and are not, or that make no sense; in words.
    pub(super) gaps: Vec<String>,
}

/// A call as a component told it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    request: usize,
    shop: Shop,
    behind: bool,
    revision: u32,
    fault: bool,
}

impl Trail {
    pub(super) fn of(folder: &Path, hosts: usize) -> Self {
        let log = |number: usize| (folder.join(format!("host-{number}/log")), 0);
        Self { logs: (1..=hosts).map(log).collect(), gaps: Vec::new() }
    }

    /// Reads what has come since the last time into the book.
    pub(super) fn follow(&mut self, book: &Book) {
        let mut told = Vec::new();
        for (path, read) in &mut self.logs {
            let mut log = BufReader::new(File::open(&*path).expect("a host has no log"));
            log.seek(SeekFrom::Start(*read)).expect("cannot read on in a log");
            let mut line = Vec::new();
            loop {
                line.clear();
                let length = log.read_until(b'\n', &mut line).expect("cannot read a log");
                // The rest of a line that is being written comes the next time.
                if line.last() != Some(&b'\n') {
                    break;
                }
                *read += length as u64;
                let line = String::from_utf8_lossy(&line);
                if line.contains("bytes of output dropped") {
                    self.gaps.push(format!("{}: {}", path.display(), line.trim_end()));
                }
                told.extend(parse(&line));
            }
        }
        self.enter(told, book);
    }

    fn enter(&mut self, told: Vec<Told>, book: &Book) {
        let mut entries = book.entries();
        for told in told {
            let Some(entry) = entries.get_mut(told.request).filter(|entry| entry.shop == told.shop) else {
                self.gaps.push(format!("a call for a request that was never sent: {told:?}"));
                continue;
            };
            let calls = &mut entry.calls[usize::from(told.behind)];
            if calls.count == 0 {
                calls.revision = told.revision;
            }
            calls.differs |= calls.revision != told.revision;
            calls.count = calls.count.saturating_add(1);
            calls.fault |= told.fault;
        }
    }
}

/// Reads `… INFO guest: call ID[ fault] app="near" component="front" revision=3 stream="stdout"`; nothing when the
/// line is about something else.
fn parse(line: &str) -> Option<Told> {
    let (_, told) = line.split_once(" guest: call ")?;
    let (words, fields) = told.split_once(" app=\"")?;
    let (id, fault) = words.strip_suffix(" fault").map_or((words, false), |id| (id, true));
    let (app, fields) = fields.split_once('"')?;
    let component = fields.split_once("component=\"")?.1.split('"').next()?;
    let revision = fields.split_once("revision=")?.1.split(' ').next()?;
    Some(Told {
        // Requests that are none of the load's have other ids.
        request: id.parse().ok()?,
        shop: Shop::named(app)?,
        behind: component == "greeter",
        revision: revision.parse().ok()?,
        fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-03-01T10:00:00.000001Z  INFO guest: call 17 app=\"near\" component=\"greeter\" revision=3 stream=\"stdout\"\n";

    #[test]
    fn calls_are_found_in_a_log() {
        let plain = Told { request: 17, shop: Shop::Near, behind: true, revision: 3, fault: false };
        assert_eq!(parse(LINE), Some(plain));
        let fault = LINE.replace("call 17", "call 8 fault").replace("greeter", "front");
        let fault = parse(&fault).unwrap();
        assert!(fault.fault && !fault.behind && fault.request == 8);
        assert_eq!(parse(&LINE.replace("call 17", "call other")), None);
        assert_eq!(parse("2026-03-01T10:00:00Z  INFO lath_host: ready\n"), None);
    }

    #[test]
    fn a_second_call_for_a_request_shows() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("host-1")).unwrap();
        let log = folder.path().join("host-1/log");
        let book = Book::new();
        let number = book.open(Shop::Near, std::time::Instant::now());
        let line = LINE.replace("call 17", &format!("call {number}"));
        let mut trail = Trail::of(folder.path(), 1);
        std::fs::write(&log, format!("{line}{}", &line[..40])).unwrap();
        trail.follow(&book);
        assert_eq!(book.entries()[number].calls[1].count, 1);
        std::fs::write(&log, format!("{line}{}", line.replace("revision=3", "revision=4"))).unwrap();
        trail.follow(&book);
        let calls = book.entries()[number].calls[1];
        assert!(calls.count == 2 && calls.differs && calls.revision == 3, "{calls:?}");
        assert_eq!(trail.gaps, Vec::<String>::new());
    }
}
