//! Folders that are granted: what a guest reads and writes there, and what it does not reach from there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lath_control_api::Reason;
use lath_control_api::preopen::{Access, Preopen};

use super::*;
use crate::capability::preopens::FilesRoot;

/// An engine that gives folders below `root`.
fn giving(root: &Path) -> Engine {
    let files = FilesRoot::open(root).unwrap();
    Engine::new(EngineConfig { pooling: Pooling::Off, files, ..EngineConfig::default() }).unwrap()
}

async fn with(engine: &Engine, preopens: &[(&str, &str, Access)]) -> Result<Arc<Prepared>, PrepareError> {
    let preopens = preopens.iter().map(|(folder, path, access)| Preopen::new(folder, path, *access).unwrap());
    let preopens = preopens.collect();
    prepare(engine, guest("http-caller-v1"), "caller", &Arc::default(), |spec| {
        spec.grants.preopens = preopens
    })
    .await
}

/// What came of it: what was read, or the error.
async fn act(guest: &Arc<Prepared>, what: &str, path: &str, to: &str) -> Result<String, String> {
    let (status, text) = answer(guest, &format!("/file?do={what}&path={path}&to={to}")).await.unwrap();
    assert_eq!(status, 200, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer["heard"].as_str().unwrap().to_owned()),
    }
}

/// A root with two folders, one file in each, and a secret beside the root.
fn folders() -> tempfile::TempDir {
    let all = tempfile::tempdir().unwrap();
    for (folder, file, text) in [
        ("granted/shared", "note", "read me"),
        ("granted/own", "note", "mine"),
        ("granted/other", "note", "theirs"),
    ] {
        fs::create_dir_all(all.path().join(folder)).unwrap();
        fs::write(all.path().join(folder).join(file), text).unwrap();
    }
    fs::write(all.path().join("secret"), "secret").unwrap();
    all
}

#[tokio::test]
async fn k4_e08_a_guest_reads_and_writes_what_was_granted() {
    let all = folders();
    let engine = giving(&all.path().join("granted"));
    let guest = with(&engine, &[("shared", "/shared", Access::Read), ("own", "/data/own", Access::Write)])
        .await
        .unwrap();
    assert_eq!(act(&guest, "read", "/shared/note", "").await.unwrap(), "read me");
    assert_eq!(act(&guest, "list", "/shared", "").await.unwrap(), "note");
    assert_eq!(act(&guest, "write", "/data/own/new", "written").await.unwrap(), "");
    assert_eq!(fs::read_to_string(all.path().join("granted/own/new")).unwrap(), "written");
    assert_eq!(act(&guest, "folder", "/data/own/below", "").await.unwrap(), "");
    assert_eq!(act(&guest, "rename", "/data/own/new", "/data/own/below/new").await.unwrap(), "");
    assert_eq!(act(&guest, "read", "/data/own/below/new", "").await.unwrap(), "written");
    // What may only be read stays as it is.
    for (what, path, to) in [
        ("write", "/shared/note", "changed"),
        ("write", "/shared/new", "new"),
        ("remove", "/shared/note", ""),
        ("folder", "/shared/below", ""),
        ("rename", "/shared/note", "/shared/other"),
        ("rename", "/shared/note", "/data/own/taken"),
        ("rename", "/data/own/note", "/shared/given"),
        ("copy", "/data/own/note", "/shared/given"),
    ] {
        act(&guest, what, path, to).await.unwrap_err();
    }
    assert_eq!(fs::read_to_string(all.path().join("granted/shared/note")).unwrap(), "read me");
    assert_eq!(fs::read_dir(all.path().join("granted/shared")).unwrap().count(), 1);
}

#[tokio::test]
async fn k4_e08_nothing_leads_out_of_a_granted_folder() {
    let all = folders();
    let root = all.path().join("granted");
    symlink("../other", root.join("own/aside")).unwrap();
    symlink("../../secret", root.join("own/out")).unwrap();
    symlink(all.path().join("secret"), root.join("own/whole")).unwrap();
    symlink("/proc/self", root.join("own/proc")).unwrap();
    symlink("note", root.join("own/inside")).unwrap();
    let guest = with(&giving(&root), &[("own", "/own", Access::Write)]).await.unwrap();
    assert_eq!(act(&guest, "read", "/own/inside", "").await.unwrap(), "mine");
    for path in [
        "/own/../other/note",
        "/own/../../secret",
        "/own/aside/note",
        "/own/out",
        "/own/whole",
        "/own/proc/environ",
        "/own/./../other/note",
        "/other/note",
        "/secret",
        "/proc/self/environ",
        "/etc/passwd",
        "../secret",
    ] {
        act(&guest, "read", path, "").await.unwrap_err();
        act(&guest, "write", path, "taken").await.unwrap_err();
        // What has the name of a link takes its place in the folder, which is no way out.
        if !["/own/out", "/own/whole"].contains(&path) {
            act(&guest, "rename", "/own/note", path).await.unwrap_err();
        }
        act(&guest, "copy", "/own/note", path).await.unwrap_err();
    }
    assert_eq!(fs::read_to_string(all.path().join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_to_string(root.join("other/note")).unwrap(), "theirs");
}

/// The folder itself was granted, not its name: a link that takes the name later leads nobody anywhere.
#[tokio::test]
async fn e08_a_folder_whose_name_is_taken_stays_the_one_that_was_granted() {
    let all = folders();
    let root = all.path().join("granted");
    let guest = with(&giving(&root), &[("own", "/own", Access::Read)]).await.unwrap();
    fs::rename(root.join("own"), root.join("gone")).unwrap();
    symlink("other", root.join("own")).unwrap();
    assert_eq!(act(&guest, "read", "/own/note", "").await.unwrap(), "mine");
}

#[tokio::test]
async fn e08_what_cannot_be_given_is_refused_with_the_grant_that_is_missing() {
    let all = folders();
    let root = all.path().join("granted");
    symlink("other", root.join("link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    let engine = giving(&root);
    for (folder, why) in [
        ("missing", "No such file"),
        ("file", "Not a directory"),
        ("link", "symbolic link"),
        ("up/granted/own", "symbolic link"),
    ] {
        let error = with(&engine, &[(folder, "/own", Access::Read)]).await.unwrap_err();
        assert_eq!(error.reason, Reason::ConfigInvalid);
        for part in [folder, "/own", why] {
            assert!(error.message.contains(part), "{part} is not in: {error}");
        }
    }
    // Nothing is given by a host that was not told to.
    let error = with(&engine_with(Pooling::Off), &[("own", "/own", Access::Read)]).await.unwrap_err();
    assert!(error.message.contains("--files-root"), "{error}");
    let bare = with(&engine, &[]).await.unwrap();
    for path in ["/", ".", "/own", "/own/note"] {
        act(&bare, "list", path, "").await.unwrap_err();
        act(&bare, "read", path, "").await.unwrap_err();
    }
    for path in [all.path().join("secret"), all.path().join("missing")] {
        FilesRoot::open(&path).unwrap_err();
    }
}
