//! Moments at which a test may end the process, as by kill -9. Without the feature `failpoints` there are none.
//!
//! `LATH_FAILPOINT=<name>:<before|after>:abort[:<n>]` ends the process at the n-th passage, the first by default.

/// Every moment, named after the effect that it surrounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// A revision is written.
    RevisionWrite,
    /// A desired record is written.
    RecordCommit,
    /// A command is sent to a host.
    CommandSend,
    /// The answer to a command is taken in.
    CommandAnswered,
}

impl Failpoint {
    /// All of them: tests go through this list.
    pub const ALL: [Self; 4] =
        [Self::RevisionWrite, Self::RecordCommit, Self::CommandSend, Self::CommandAnswered];

    /// The name in `LATH_FAILPOINT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RevisionWrite => "revision-write",
            Self::RecordCommit => "record-commit",
            Self::CommandSend => "command-send",
            Self::CommandAnswered => "command-answered",
        }
    }

    pub(crate) fn before(self) {
        pass(self, "before");
    }

    pub(crate) fn after(self) {
        pass(self, "after");
    }
}

#[cfg(not(feature = "failpoints"))]
const fn pass(_point: Failpoint, _moment: &str) {}

#[cfg(feature = "failpoints")]
fn pass(point: Failpoint, moment: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};

    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("LATH_FAILPOINT") else { return };
    let mut parts = wanted.split(':');
    if parts.next() != Some(point.name()) || parts.next() != Some(moment) || parts.next() != Some("abort") {
        return;
    }
    let nth = parts.next().and_then(|nth| nth.parse().ok()).unwrap_or(1);
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        std::process::abort();
    }
}
