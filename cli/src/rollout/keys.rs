//! Single keys from the terminal while something is watched.
//!
//! Only where a person types and looks: standard input and standard error are terminals, and the process is in the
//! foreground. The terminal is put back as it was when the keys are dropped. Ctrl-C stays the signal that it is.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, read, tcgetpgrp};
use tokio::sync::mpsc;

/// Keys that are kept until they are asked for; more of them are a hand on the keyboard.
const KEPT: usize = 16;
/// How long one reading waits, in tenths of a second: after that the reader looks whether it is still wanted.
const READ_TENTHS: u8 = 1;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `p`: promote.
    Promote,
    /// `a`: abort.
    Abort,
    /// Space: pause, or go on.
    Pause,
    /// `q`: detach.
    Quit,
}

impl Key {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'p' | b'P' => Some(Self::Promote),
            b'a' | b'A' => Some(Self::Abort),
            b' ' => Some(Self::Pause),
            b'q' | b'Q' => Some(Self::Quit),
            _ => None,
        }
    }
}

/// The keyboard, until it is dropped.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: mpsc::Receiver<Key>,
    before: Termios,
    done: Arc<AtomicBool>,
}

impl Keys {
    /// Takes the keyboard; none where nobody types, or the terminal cannot be set.
    pub(crate) fn open() -> Option<Self> {
        let input = std::io::stdin();
        if !input.is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        // A process in the background would be stopped for touching the terminal.
        if tcgetpgrp(input.as_fd()).ok()? != getpgrp() {
            return None;
        }
        let before = tcgetattr(input.as_fd()).ok()?;
        let mut single = before.clone();
        single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        set(&mut single, SpecialCharacterIndices::VMIN, 0)?;
        set(&mut single, SpecialCharacterIndices::VTIME, READ_TENTHS)?;
        tcsetattr(input.as_fd(), SetArg::TCSANOW, &single).ok()?;
        let (sender, keys) = mpsc::channel(KEPT);
        let done = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&done);
        // A thread of its own: reading a terminal blocks, if only for a moment.
        std::thread::spawn(move || listen(&sender, &theirs));
        Some(Self { keys, before, done })
    }

    /// The next key that means something. Without a keyboard any more it never returns.
    pub(crate) async fn next(&mut self) -> Key {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        // When the terminal is gone there is nothing to put back.
        _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.before);
    }
}

fn set(termios: &mut Termios, index: SpecialCharacterIndices, value: u8) -> Option<()> {
    *termios.control_chars.get_mut(index as usize)? = value;
    Some(())
}

fn listen(keys: &mpsc::Sender<Key>, done: &AtomicBool) {
    let input = std::io::stdin();
    while !done.load(Ordering::Relaxed) {
        let mut bytes = [0_u8; 16];
        let Ok(count) = read(input.as_fd(), &mut bytes) else { return };
        for key in bytes.iter().take(count).filter_map(|byte| Key::of(*byte)) {
            // Too many keys at once: the later ones are let go.
            _ = keys.try_send(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_last_line() {
        assert_eq!(
            b"pa q".map(Key::of),
            [Some(Key::Promote), Some(Key::Abort), Some(Key::Pause), Some(Key::Quit)]
        );
        assert_eq!(b"x\n\x1b".map(Key::of), [None; 3]);
    }
}
