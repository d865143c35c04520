//! Containers and objects of a component, which its provider keeps: in both versions of the interface between the two.

use crate::app::{App, Front};
use crate::lattice::Lattice;

/// Several times what a host keeps of a value that a component writes.
const LARGE: u64 = 6_000_000;

fn app(config: &str) -> App {
    App { config: config.to_owned(), front: Front::Blobber, ..App::default() }
}

fn ok(lattice: &Lattice, path: &str, wanted: &str) {
    assert_eq!(lattice.get(path), Ok((200, format!("{{\"ok\":{wanted}}}\n"))), "{path}");
}

fn refused(lattice: &Lattice, path: &str, words: &str) {
    let (status, body) = lattice.get(path).unwrap();
    assert!(status == 400 && body.contains(words), "{path}: {status} {body}");
}

/// What both versions do.
fn keeps_objects(lattice: &Lattice) {
    lattice.says("/create?container=box", &["{\"ok\":\"box\"}"]);
    refused(lattice, "/create?container=box", "I have a container box already");
    let large = format!("/write-large?container=box&object=large&size={LARGE}");
    let (size, part) = (LARGE.to_string(), "/read-stream?container=box&object=large&end=1500000");
    for (path, wanted) in [
        ("/exists?container=box", "true"),
        ("/exists?container=none", "false"),
        ("/info?container=box", "{\"dated\":true,\"name\":\"box\"}"),
        ("/list?container=box", "[]"),
        ("/write?container=box&object=a&value=hello", "null"),
        ("/write?container=box&object=empty&value=", "null"),
        ("/write-first?container=box&object=b&value=world", "null"),
        ("/read?container=box&object=a", "\"hello\""),
        ("/read?container=box&object=empty", "\"\""),
        ("/read?container=box&object=b&start=1&end=4", "\"orl\""),
        ("/size?container=box&object=b&start=1&end=4", "3"),
        ("/has?container=box&object=a", "true"),
        ("/has?container=box&object=none", "false"),
        ("/object-info?container=box&object=a", "{\"container\":\"box\",\"name\":\"a\",\"size\":5}"),
        (&large, "null"),
        ("/read-stream?container=box&object=large", &size),
        (part, "1500000"),
        ("/size?container=box&object=large", &size),
        ("/create?container=other", "\"other\""),
        ("/copy?container=box&object=a&to-object=c", "null"),
        ("/move?container=box&object=b&to-container=other&to-object=d", "null"),
        ("/list?container=box", "[\"a\",\"c\",\"empty\",\"large\"]"),
        ("/list?container=box&page=1&skip=1", "[\"c\",\"empty\",\"large\"]"),
        ("/list?container=box&skip=9", "[]"),
        ("/read?container=other&object=d", "\"world\""),
        ("/delete?container=box&object=large", "null"),
        ("/delete-many?container=box&object=a,none", "null"),
        ("/list?container=box", "[\"c\",\"empty\"]"),
        ("/clear?container=box", "null"),
        ("/list?container=box", "[]"),
        ("/delete-container?container=other", "null"),
        ("/exists?container=other", "false"),
    ] {
        ok(lattice, path, wanted);
    }
    for (path, words) in [
        ("/info?container=other", "there is no container `other`"),
        ("/delete-container?container=other", "I have no container other"),
        ("/read?container=box&object=none", "I have no object none in box"),
        ("/read?container=box&object=none&start=2&end=1", "I have no object none in box"),
        ("/write?container=box&object=full&value=much", "I have no room for 4 bytes"),
        ("/write-first?container=box&object=full&value=much", "I have no room for 4 bytes"),
        ("/write-homeless?container=box&size=2000000", "call `write-data`"),
    ] {
        refused(lattice, path, words);
    }
}

#[test]
fn objects_of_a_component_are_kept_by_the_provider() {
    let lattice = Lattice::start(&[]);
    app("version: v1").deploy(&lattice);
    keeps_objects(&lattice);
    // What streams says at its end how it ended.
    ok(&lattice, "/write-large?container=box&object=torn&size=3000000", "null");
    refused(&lattice, "/read?container=box&object=torn", "I have lost the other half");
    refused(&lattice, "/read-stream?container=box&object=torn", "I have lost the other half");
    // A value that is not finished is cut off, and harms nothing else.
    ok(&lattice, "/abandon?container=box&object=half&value=abc", "null");
    ok(&lattice, "/write?container=box&object=a&value=after", "null");
    ok(&lattice, "/read?container=box&object=a", "\"after\"");
}

#[test]
fn a_provider_of_the_older_interface_is_asked_in_that() {
    let lattice = Lattice::start(&[]);
    app("objects: older").deploy(&lattice);
    keeps_objects(&lattice);
    // The provider changes, and what is asked of it with it.
    app("version: v2").deploy(&lattice);
    lattice.says("/create?container=new", &["{\"ok\":\"new\"}"]);
    ok(&lattice, "/write-large?container=new&object=torn&size=3000000", "null");
    refused(&lattice, "/read-stream?container=new&object=torn", "I have lost the other half");
}

#[test]
fn a_component_without_a_link_to_objects_is_told_what_provides_them() {
    let lattice = Lattice::start(&[]);
    let file = app("version: v1").write(&lattice);
    let yaml = std::fs::read_to_string(&file).unwrap();
    let carried = "package: blobstore, interfaces: [blobstore]";
    assert!(yaml.contains(carried), "{yaml}");
    std::fs::write(&file, yaml.replace(carried, "package: keyvalue, interfaces: [store]")).unwrap();
    let ended = lattice.lath(&["deploy", &file]);
    let told =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!ended.status.success(), "{told}");
    for part in ["`wasi:blobstore/", "package `blobstore`", "is a provider of objects"] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}
