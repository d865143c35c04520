use std::io::Write as _;

use super::*;
use crate::claims::tests::{sign, signer};

const HERE: &str = "x86_64-linux";

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refused(bytes: &[u8]) -> (Reason, String) {
    let error = PrepareError::from(program(bytes, HERE, 0).unwrap_err());
    (error.reason, error.message)
}

#[test]
fn the_executable_of_this_platform_is_found_in_every_form() {
    let archive =
        tar(&[("aarch64-linux.bin", b"other"), ("x86_64-linux.bin", b"right"), ("world.wasm", b"w")]);
    for bytes in [&archive, &gzip(&archive)] {
        let found = program(bytes, HERE, 0).unwrap();
        assert_eq!((found.executable.as_slice(), found.signed.is_none()), (&b"right"[..], true));
    }
    let plain = program(b"#!/bin/sh\nexit 0\n", HERE, 0).unwrap();
    assert_eq!(plain.executable, b"#!/bin/sh\nexit 0\n");
}

#[test]
fn a_missing_platform_names_those_that_are_there() {
    let (reason, message) = refused(&tar(&[("aarch64-linux.bin", b"a"), ("x86_64-macos.bin", b"b")]));
    assert_eq!(reason, Reason::WrongPlatform);
    assert!(message.contains("x86_64-linux; it has aarch64-linux, x86_64-macos"), "{message}");
    let (reason, message) = refused(&tar(&[("claims.jwt", b"x")]));
    assert!(reason == Reason::WrongPlatform && message.contains("none at all"), "{message}");
}

#[test]
fn an_executable_of_another_machine_is_named() {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    elf[18] = if std::env::consts::ARCH == "aarch64" { 62 } else { 183 };
    let (reason, message) = refused(&elf);
    assert!(reason == Reason::WrongPlatform && message.contains(std::env::consts::ARCH), "{message}");
}

#[test]
fn what_is_no_archive_is_refused_with_how_it_begins() {
    for (bytes, word) in [
        (&b"\0asm\x0d\0\x01\0"[..], "asm"),
        (b"", "empty"),
        (b"<html>", "<html>"),
        (&gzip(b"no tar"), "damaged"),
        (&gzip(&tar(&[("x86_64-linux.bin", &[7; 4096])]))[..40], "damaged"),
        (&tar(&[("x86_64-linux.bin", &[7; 4096])])[..1024], "damaged"),
    ] {
        let (reason, message) = refused(bytes);
        assert_eq!(reason, Reason::ArchiveInvalid, "{message}");
        assert!(message.contains(word), "{message}");
    }
    let many: Vec<(String, &[u8])> =
        (0..=MAX_MEMBERS).map(|number| (format!("{number}"), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    assert!(refused(&tar(&many)).1.contains("members"));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let mut header = tar::Header::new_gnu();
    header.set_path("x86_64-linux.bin").unwrap();
    header.set_size(MAX_EXECUTABLE + 1);
    header.set_cksum();
    let (_, message) = refused(header.as_bytes());
    assert!(message.contains("at most"), "{message}");
    let mut bounded = Bounded { inner: io::repeat(0), left: 100 };
    assert!(io::copy(&mut bounded, &mut io::sink()).is_err());
}

#[test]
fn a_signed_executable_must_be_the_one_that_was_signed() {
    let signer = signer();
    let with = |hash: &str| {
        let claims = sign(&signer, &serde_json::json!({ "target_hashes": { HERE: hash } }));
        tar(&[("claims.jwt", claims.as_bytes()), ("x86_64-linux.bin", b"right")])
    };
    let found = program(&with(&hash(b"right")), HERE, 0).unwrap();
    assert_eq!(found.signed.unwrap().claims.name.as_deref(), Some("made up"));
    let (reason, message) = refused(&with(&hash(b"wrong")));
    assert!(reason == Reason::ArchiveInvalid && message.contains("not the one that was signed"), "{message}");
    let (_, message) = refused(&tar(&[("claims.jwt", b"a.b.c"), ("x86_64-linux.bin", b"right")]));
    assert!(message.contains("claims"), "{message}");
}
