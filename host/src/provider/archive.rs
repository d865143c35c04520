//! From the bytes of an image to the one executable that this machine runs.
//!
//! A provider archive is a tar, gzipped or not, with one member `{arch}-{os}.bin` for each platform and, where somebody
//! signed it, `claims.jwt`. A plain executable is taken as it is. The bytes tell which. Everything that is read is
//! bounded; nothing is written here.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use lath_control_api::Reason;
use sha2::{Digest as _, Sha256};

use crate::claims::{ClaimsError, Kind, Signed};
use crate::engine::PrepareError;

/// Largest executable, in bytes: some carry a browser or a database.
const MAX_EXECUTABLE: u64 = 512 << 20;
/// Most bytes of an archive when it is unpacked: a handful of platforms of such executables.
const MAX_UNPACKED: u64 = 4 << 30;
/// Most members of an archive. There are fewer platforms than that.
const MAX_MEMBERS: usize = 64;
/// Largest claims, in bytes.
const MAX_CLAIMS: u64 = 1 << 20;
/// The member with the claims.
const CLAIMS: &str = "claims.jwt";
/// How a member with an executable ends, after its platform.
const EXECUTABLE: &str = ".bin";
/// Most names that a message lists.
const LISTED: usize = 8;

/// An executable, and what its maker says of it.
#[derive(Debug)]
pub(crate) struct Program {
    /// The whole file.
    pub(crate) executable: Vec<u8>,
    /// Of a signed archive.
    pub(crate) signed: Option<Signed>,
}

/// Why there is no executable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error(
        "the image is neither a provider archive (tar, gzipped or not) nor an executable (ELF or `#!`): it begins with {0}"
    )]
    Unknown(String),
    #[error("the provider archive is damaged: {0}")]
    Damaged(#[from] io::Error),
    #[error("the provider archive has more than {MAX_MEMBERS} members")]
    TooMany,
    #[error("`{member}` in the provider archive has {bytes} bytes; at most {most} are taken")]
    TooLarge { member: String, bytes: u64, most: u64 },
    #[error("the provider archive has no executable for {wanted}; it has {there}")]
    Missing { wanted: String, there: String },
    #[error("the executable is for {found}, and this host is {here}")]
    Foreign { found: &'static str, here: &'static str },
    #[error("the claims of the provider archive cannot be used: {0}")]
    Claims(#[from] ClaimsError),
    #[error(
        "the executable for {platform} is not the one that was signed: its SHA-256 is {found}, the claims say {signed}"
    )]
    OtherHash { platform: String, found: String, signed: String },
}

impl From<ArchiveError> for PrepareError {
    fn from(error: ArchiveError) -> Self {
        let reason = match &error {
            ArchiveError::Missing { .. } | ArchiveError::Foreign { .. } => Reason::WrongPlatform,
            ArchiveError::Unknown(_)
            | ArchiveError::Damaged(_)
            | ArchiveError::TooMany
            | ArchiveError::TooLarge { .. }
            | ArchiveError::Claims(_)
            | ArchiveError::OtherHash { .. } => Reason::ArchiveInvalid,
        };
        Self::new(reason, error.to_string())
    }
}

/// The platform of this host, as archives name it: `x86_64-linux`.
pub(crate) fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The executable of an image for `platform`. `now` is in seconds since 1970, for claims that begin or end.
pub(crate) fn program(bytes: &[u8], platform: &str, now: u64) -> Result<Program, ArchiveError> {
    if bytes.starts_with(b"#!") {
        return Ok(Program { executable: bytes.to_vec(), signed: None });
    }
    if bytes.starts_with(b"\x7fELF") {
        check_machine(bytes)?;
        return Ok(Program { executable: bytes.to_vec(), signed: None });
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return unpack(Bounded { inner: GzDecoder::new(bytes), left: MAX_UNPACKED }, platform, now);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return unpack(bytes, platform, now);
    }
    let begins: String =
        bytes.iter().take(8).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    Err(ArchiveError::Unknown(if begins.is_empty() {
        "nothing: it is empty".to_owned()
    } else {
        format!("`{begins}`")
    }))
}

fn unpack(reader: impl Read, platform: &str, now: u64) -> Result<Program, ArchiveError> {
    let wanted = format!("{platform}{EXECUTABLE}");
    let (mut executable, mut claims, mut there) = (None, None, Vec::new());
    let mut archive = tar::Archive::new(reader);
    // Extensions of the format are members like any other then: nothing is read for them.
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry?;
        if count >= MAX_MEMBERS {
            return Err(ArchiveError::TooMany);
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        if name == wanted && executable.is_none() {
            executable = Some(read(&mut entry, &name, MAX_EXECUTABLE)?);
        } else if name == CLAIMS && claims.is_none() {
            claims = Some(read(&mut entry, &name, MAX_CLAIMS)?);
        }
        if let Some(other) = name.strip_suffix(EXECUTABLE) {
            there.push(other.to_owned());
        }
    }
    let Some(executable) = executable else {
        return Err(ArchiveError::Missing { wanted: platform.to_owned(), there: listed(&there) });
    };
    let signed = claims.map(|jwt| Signed::read(&jwt, Kind::Provider)).transpose()?;
    if let Some(signed) = &signed {
        signed.holds_at(now)?;
        let (found, told) = (hash(&executable), signed.target_hashes.get(platform));
        if !told.is_some_and(|told| told.eq_ignore_ascii_case(&found)) {
            let (platform, signed) =
                (platform.to_owned(), told.map_or_else(|| "nothing of it".to_owned(), |told| shown(told)));
            return Err(ArchiveError::OtherHash { platform, found, signed });
        }
    }
    Ok(Program { executable, signed })
}

fn read<R: Read>(entry: &mut tar::Entry<'_, R>, name: &str, most: u64) -> Result<Vec<u8>, ArchiveError> {
    let bytes = entry.size();
    if bytes > most {
        return Err(ArchiveError::TooLarge { member: shown(name), bytes, most });
    }
    let mut content = Vec::new();
    entry.take(most).read_to_end(&mut content)?;
    if content.len() as u64 != bytes {
        let cut = format!("`{}` ends after {} of {bytes} bytes", shown(name), content.len());
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut).into());
    }
    Ok(content)
}

fn listed(platforms: &[String]) -> String {
    if platforms.is_empty() {
        return "none at all".to_owned();
    }
    let names: Vec<String> = platforms.iter().take(LISTED).map(|name| shown(name)).collect();
    let more = if platforms.len() > LISTED { " and more" } else { "" };
    format!("{}{more}", names.join(", "))
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// The SHA-256 as claims write it.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// An executable of another processor would only fail with words that nobody understands.
fn check_machine(elf: &[u8]) -> Result<(), ArchiveError> {
    // `e_machine` of the ELF header, in the byte order that the header names.
    const MACHINES: [(u16, &str); 6] =
        [(3, "x86"), (40, "arm"), (62, "x86_64"), (183, "aarch64"), (243, "riscv64"), (22, "s390x")];
    let here = std::env::consts::ARCH;
    let (Some(order), Some(machine)) = (elf.get(5), elf.get(18..20)) else { return Ok(()) };
    let Ok(machine) = <[u8; 2]>::try_from(machine) else { return Ok(()) };
    let machine = if *order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    match MACHINES.iter().find(|(number, _)| *number == machine) {
        Some((_, found)) if *found != here && MACHINES.iter().any(|(_, name)| *name == here) => {
            Err(ArchiveError::Foreign { found, here })
        }
        Some(_) | None => Ok(()),
    }
}

/// A reader that fails after so many bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {} GiB", MAX_UNPACKED >> 30)))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
