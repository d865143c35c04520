//! Bytes that are no component, and compiled code that is kept, shared and damaged.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use lath_control_api::Reason;

use super::*;

async fn compile(engine: &Engine, bytes: impl Into<Bytes>) -> Result<Arc<Code>, PrepareError> {
    let bytes = bytes.into();
    engine.compile(&Digest::of(&bytes), bytes).await
}

#[tokio::test]
async fn xw01_xw02_xw05_what_is_no_component_is_refused_and_told() {
    let engine = engine_with(Pooling::Off);
    let precompiled = {
        let code = compile(&engine, guest("greeter-v1")).await.unwrap();
        code.component.serialize().unwrap()
    };
    let cases: [(Vec<u8>, &str); 9] = [
        (vec![], "empty"),
        (vec![1, 2, 3, 4], "text"),
        (b"hello, this is a text".to_vec(), "text"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "ELF"),
        (b"PK\x03\x04....".to_vec(), "zip"),
        (vec![0x1f, 0x8b, 8, 0], "gzip"),
        (b"(component)".to_vec(), "wasm-tools parse"),
        (wat::parse_str("(module)").unwrap(), "wasm32-wasip2"),
        (precompiled, "precompiled"),
    ];
    for (bytes, told) in cases {
        let error = compile(&engine, bytes).await.unwrap_err();
        assert_eq!(error.reason, Reason::NotAComponent, "{error}");
        assert!(error.message.contains(told), "{told} is not in: {error}");
    }
    let unknown = compile(&engine, vec![0xff, 0xfe, 0, 0]).await.unwrap_err();
    assert!(unknown.message.contains("unknown"), "{unknown}");
}

/// Where the sections of a binary begin: each is an id, its size as LEB128, and so many bytes.
fn sections(binary: &[u8]) -> Vec<usize> {
    let (mut begins, mut at) = (vec![8], 8);
    while at < binary.len() {
        let (mut size, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            size |= usize::from(binary[at] & 0x7f) << shift;
            shift += 7;
            if binary[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + size;
        begins.push(at);
    }
    begins
}

#[tokio::test]
async fn xw03_a_component_cut_anywhere_is_refused() {
    let engine = engine_with(Pooling::Off);
    let whole = guest("greeter-v1");
    for end in (8..whole.len()).step_by(1024) {
        let error = compile(&engine, whole.slice(..end)).await.err();
        let Some(error) = error else {
            // Cut between two sections it is a component, only a smaller one.
            assert!(sections(&whole).contains(&end), "cut at {end} of {}", whole.len());
            continue;
        };
        assert_eq!(error.reason, Reason::CompileFailed, "cut at {end}: {error}");
    }
}

#[tokio::test]
async fn xw04_a_component_with_a_wrong_byte_is_refused_or_runs_inside_its_limits() {
    let engine = engine_with(Pooling::Off);
    let whole = guest("greeter-v1");
    // Any fixed sequence will do; this one (a linear congruence) spreads over the file and over the bits.
    let mut next = 1_u64;
    for _ in 0..40 {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = whole.to_vec();
        let at = usize::try_from(next >> 33).unwrap() % bytes.len();
        bytes[at] ^= 1 << (next >> 30 & 7);
        let prepared = prepare(&engine, bytes.into(), "flipped", &Arc::default(), |spec| {
            spec.limits.invocation_deadline_ms = 500;
        })
        .await;
        if let Ok(prepared) = prepared {
            let _either = prepared.try_start().await;
        }
    }
}

#[tokio::test]
async fn xw07_types_nested_too_deeply_are_refused() {
    let engine = engine_with(Pooling::Off);
    let depth = 20_000;
    let types: String =
        (1..depth).map(|n| format!("(type $t{n} (list $t{}))", n - 1)).collect::<Vec<_>>().join("\n");
    let deep = text(&format!("(component (type $t0 (list u8)) {types})"));
    let error = compile(&engine, deep).await.map(drop);
    // Whatever the engine thinks of it: it says so, and the process is alive.
    assert!(error.is_ok() || error.unwrap_err().reason == Reason::CompileFailed);
}

#[tokio::test]
async fn xw08_a_component_over_the_limit_is_refused_unread() {
    let config = EngineConfig { pooling: Pooling::Off, max_component_bytes: 100, ..EngineConfig::default() };
    let engine = Engine::new(config).unwrap();
    let error = compile(&engine, guest("greeter-v1")).await.unwrap_err();
    assert_eq!(error.reason, Reason::CompileFailed);
    assert!(error.message.contains("at most 100"), "{error}");
}

#[tokio::test]
async fn xw13_an_unneeded_proposal_is_refused() {
    let engine = engine_with(Pooling::Off);
    let bytes = text("(component (core module (memory i64 1)))");
    let error = compile(&engine, bytes).await.unwrap_err();
    assert_eq!(error.reason, Reason::CompileFailed);
    assert!(error.message.contains("memory64"), "{error}");
}

#[tokio::test]
async fn k7_other_bytes_than_the_digest_names_are_refused() {
    let engine = engine_with(Pooling::Off);
    let error = engine.compile(&Digest::of(b"something else"), guest("greeter-v1")).await.unwrap_err();
    assert_eq!(error.reason, Reason::DigestMismatch);
}

#[tokio::test]
async fn one_copy_is_in_memory_while_anybody_uses_it() {
    let engine = engine_with(Pooling::Off);
    let bytes = guest("greeter-v1");
    let digest = Digest::of(&bytes);
    assert!(engine.cached(&digest).await.is_none());
    let (first, second) = tokio::join!(compile(&engine, bytes.clone()), compile(&engine, bytes));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    drop((first, second));
    assert!(engine.cached(&digest).await.is_none());
}

/// Waits until the code is on disk, which happens beside the compilation.
async fn stored(directory: &std::path::Path) -> (PathBuf, PathBuf) {
    let written = async {
        loop {
            let paths: Vec<PathBuf> =
                std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
            let with =
                |extension: &str| paths.iter().find(|path| path.extension().is_some_and(|e| e == extension));
            if let (Some(code), Some(sum)) = (with("cwasm"), with("sum")) {
                return (code.clone(), sum.clone());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap()
}

#[tokio::test]
async fn compiled_code_is_kept_and_damage_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let cache_dir = directory.path().join("compiled");
    let config =
        EngineConfig { cache_dir: Some(cache_dir.clone()), pooling: Pooling::Off, ..EngineConfig::default() };
    let bytes = guest("greeter-v1");
    let digest = Digest::of(&bytes);
    compile(&Engine::new(config.clone()).unwrap(), bytes.clone()).await.unwrap();
    let (code, sum) = stored(&cache_dir).await;
    assert_eq!(std::fs::metadata(&cache_dir).unwrap().permissions().mode() & 0o777, 0o700);

    let engine = Engine::new(config.clone()).unwrap();
    let cached = engine.cached(&digest).await.expect("it was kept");
    let targets: Arc<dyn Targets> = Arc::new(Here::default());
    let greeter = engine.link(cached, identity("greeter"), &spec(&bytes), &targets).unwrap();
    greeter.try_start().await.unwrap();

    let mut damaged = std::fs::read(&code).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&code, damaged).unwrap();
    let engine = Engine::new(config.clone()).unwrap();
    assert!(engine.cached(&digest).await.is_none());
    assert!(!code.exists() && !sum.exists(), "the damaged file is gone");
    compile(&engine, bytes).await.unwrap();
    stored(&cache_dir).await;
    assert!(Engine::new(config).unwrap().cached(&digest).await.is_some());
}

#[tokio::test]
async fn a_signature_is_kept_with_the_code_and_holds_for_its_time_only() {
    use crate::claims::tests as claims;

    let directory = tempfile::tempdir().unwrap();
    let cache_dir = Some(directory.path().join("compiled"));
    let config = EngineConfig { cache_dir, pooling: Pooling::Off, ..EngineConfig::default() };
    let signer = claims::signer();
    let times = serde_json::json!([{}, { "exp": u64::MAX }, { "exp": 1 }, { "nbf": u64::MAX }]);
    for (more, holds) in times.as_array().unwrap().iter().zip([true, true, false, false]) {
        let bytes = claims::component(&signer, None, more);
        let digest = Digest::of(&bytes);
        let code = compile(&Engine::new(config.clone()).unwrap(), bytes).await.unwrap();
        let cached = Engine::new(config.clone()).unwrap().cached(&digest).await.expect("it was kept");
        let issuer = code.signed().map(|signed| signed.claims.issuer.as_str());
        assert_eq!(issuer, holds.then_some(signer.public_key().as_str()), "{more}");
        assert_eq!(cached.signed(), code.signed());
    }
}

#[tokio::test]
async fn e31_a_cache_behind_a_link_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let config = EngineConfig { cache_dir: Some(link), pooling: Pooling::Off, ..EngineConfig::default() };
    assert!(matches!(Engine::new(config), Err(EngineError::Cache { .. })));
}
