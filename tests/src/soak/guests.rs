//! Code to roll out: the built guests, each time with another digest, so that hosts must fetch and compile it as they
//! would a new release; and files that are no code.

use std::path::{Path, PathBuf};

use crate::guest;

/// Name of the section that makes one copy of a guest differ from another.
const SECTION: &[u8] = b"lath-soak";

/// A copy of a built guest with a digest of its own.
///
/// # Panics
/// When the guest is not built or the copy cannot be written.
pub(super) fn fresh(folder: &Path, name: &str, number: u32) -> PathBuf {
    let mut code = std::fs::read(guest(name)).expect("cannot read a guest");
    code.extend(custom_section(number));
    write(folder, &format!("{name}-{number}.wasm"), &code)
}

/// A module without anything, which is not a component.
pub(super) fn module(folder: &Path, number: u32) -> PathBuf {
    let mut code = b"\0asm\x01\0\0\0".to_vec();
    code.extend(custom_section(number));
    write(folder, &format!("module-{number}.wasm"), &code)
}

fn write(folder: &Path, name: &str, code: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, code).expect("cannot write code");
    path
}

/// A custom section may stand at the end of every module and component, and means nothing.
fn custom_section(number: u32) -> Vec<u8> {
    let content = number.to_le_bytes();
    let mut section = vec![0, u8::try_from(1 + SECTION.len() + content.len()).expect("the section is short")];
    section.push(u8::try_from(SECTION.len()).expect("the name is short"));
    section.extend(SECTION);
    section.extend(content);
    section
}
