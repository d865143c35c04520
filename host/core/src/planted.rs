//! Deliberate bugs, for the proof that checks and simulation notice them (feature `planted-bugs`, of tests only).
//!
//! Which one is there is chosen for each thread at run time, so that one build has them all. Without the feature there
//! is none, and nothing is asked.

/// Whether the bug of this name is planted here.
macro_rules! planted {
    ($name:literal) => {
        cfg!(feature = "planted-bugs") && $crate::planted::is_planted($name)
    };
}
pub(crate) use planted;

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, in place of the one before; none takes it away.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<&'static str>) {
    PLANTED.set(bug);
}

/// Whether the bug of this name is planted in this thread.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn is_planted(name: &str) -> bool {
    PLANTED.get() == Some(name)
}

/// Never, without the feature.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_planted(_: &str) -> bool {
    false
}
