//! Moments at which a test may end the process, as by kill -9. Without the feature `failpoints` there are none.
//!
//! `LATH_FAILPOINT=<name>:<before|after>:abort[:<n>]` ends the process at the n-th passage, the first by default.
//! `LATH_FAILPOINT_LOG=<file>` gets the name of each passage on a line of its own: from it tests make the list of
//! moments at which they end a manager, so that no effect on the way can be forgotten.

/// Every effect of a manager on the world: what is written to the store, sent to hosts, answered to people. Whoever adds
/// an effect adds it here; tests fail for a moment that no change of theirs passes.
macro_rules! failpoints {
    ($($(#[doc = $doc:literal])* $point:ident = $name:literal,)*) => {
        /// Every moment, named after the effect that it surrounds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Failpoint {
            $($(#[doc = $doc])* $point,)*
        }

        impl Failpoint {
            /// All of them: tests go through this list.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// The name in `LATH_FAILPOINT`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

failpoints! {
    /// A manager begins its term.
    LeaseTake = "lease-take",
    /// It makes its term longer.
    LeaseRenew = "lease-renew",
    /// A revision is written.
    RevisionWrite = "revision-write",
    /// A desired record is written.
    RecordCommit = "record-commit",
    /// A link, a config or a start by hand is written or deleted.
    LatticeWrite = "lattice-write",
    /// A command is sent to a host.
    CommandSend = "command-send",
    /// The answer to a command is taken in.
    CommandAnswered = "command-answered",
    /// A webhook is asked.
    WebhookAsk = "webhook-ask",
    /// Those who follow an app are told how it stands.
    StatusPublish = "status-publish",
    /// Those who follow an app by the API of wadm are told how it stands.
    WadmStatus = "wadm-status",
    /// A person is answered.
    AnswerSend = "answer-send",
    /// One revision of a deleted app is removed.
    RevisionDelete = "revision-delete",
    /// A deleted app is forgotten: its revisions, then its record.
    AppForget = "app-forget",
}

impl Failpoint {
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
    if moment == "before" {
        note(point);
    }
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

/// Notes a passage where a test has asked for it. A line is one write, so those of several threads do not mix.
#[cfg(feature = "failpoints")]
fn note(point: Failpoint) {
    use std::io::Write as _;

    let Ok(path) = std::env::var("LATH_FAILPOINT_LOG") else { return };
    let line = format!("{}\n", point.name());
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        tracing::error!(%path, %error, "a passage cannot be noted");
    }
}
