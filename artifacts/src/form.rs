//! What kind of code some bytes are, as their beginning tells: enough to say that somebody has mixed things up, before
//! anything is stored or started. Whether they can be run is found out by whoever runs them.

use std::fmt;

/// A kind of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// WebAssembly in binary form: a component, or a core module.
    WebAssembly,
    /// A provider archive: a tar, gzipped or not.
    Archive,
    /// A program for some operating system.
    Executable,
    /// None of these.
    Other,
}

/// Bytes at the beginning that are enough for [`Form::of`].
pub const FORM_BYTES: usize = 512;

/// Beginnings of programs: ELF, Mach-O in its four forms and with several processors, PE, and scripts.
const PROGRAMS: [&[u8]; 8] = [
    b"\x7fELF",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"MZ",
    b"#!",
];
const GZIP: &[u8] = b"\x1f\x8b";
/// Where a tar of POSIX says what it is.
const TAR: (usize, &[u8]) = (257, b"ustar");

impl Form {
    /// The form of code that begins like this. [`FORM_BYTES`] are enough; with fewer, a tar may not be found out.
    #[must_use]
    pub fn of(beginning: &[u8]) -> Self {
        let (at, mark) = TAR;
        if beginning.starts_with(b"\0asm") {
            Self::WebAssembly
        } else if beginning.starts_with(GZIP)
            || beginning.get(at..).is_some_and(|rest| rest.starts_with(mark))
        {
            Self::Archive
        } else if PROGRAMS.iter().any(|program| beginning.starts_with(program)) {
            Self::Executable
        } else {
            Self::Other
        }
    }

    /// Whether a provider can be made of it.
    #[must_use]
    pub const fn is_provider(self) -> bool {
        matches!(self, Self::Archive | Self::Executable)
    }
}

impl fmt::Display for Form {
    /// In words that follow "it is".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebAssembly => "WebAssembly",
            Self::Archive => "a provider archive",
            Self::Executable => "a program",
            Self::Other => "neither WebAssembly nor a provider archive nor a program",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_known_by_its_beginning() {
        let mut tar = vec![0_u8; FORM_BYTES];
        tar[..10].copy_from_slice(b"claims.jwt");
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, form) in [
            (b"\0asm\x0d\0\x01\0".as_slice(), Form::WebAssembly),
            (b"\x1f\x8b\x08\0", Form::Archive),
            (&tar, Form::Archive),
            (b"\x7fELF\x02\x01", Form::Executable),
            (b"#!/bin/sh\n", Form::Executable),
            (b"", Form::Other),
            (b"<html>", Form::Other),
            (&tar[..200], Form::Other),
        ] {
            assert_eq!(Form::of(bytes), form);
        }
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(Form::of(&own).is_provider());
    }
}
