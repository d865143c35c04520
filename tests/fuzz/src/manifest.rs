//! Manifests: any bytes get an answer of the promised shape, and the same bytes the same answer.

use lath_manifests::limits::MAX_DIAGNOSTICS;
use lath_manifests::manifest::Scaling;
use lath_manifests::{Diagnostic, Manifest, Severity, load};

/// What a manifest is refused with when no rule says why: a bug.
const UNEXPLAINED: &str = "E0300";

pub(crate) fn check(bytes: &[u8]) {
    let answer = load(bytes);
    assert_eq!(answer, load(bytes), "the same bytes gave two answers");
    match answer {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning));
            check_places(bytes, &loaded.warnings);
            check_manifest(&loaded.manifest);
        }
        Err(found) => {
            assert!(found.iter().any(|diagnostic| diagnostic.severity == Severity::Error), "{found:?}");
            assert!(found.iter().all(|diagnostic| diagnostic.code != UNEXPLAINED), "{found:?}");
            assert!(found.len() <= MAX_DIAGNOSTICS + 1, "{} diagnostics", found.len());
            check_places(bytes, &found);
        }
    }
}

/// Every place is one that an editor can show: whole characters of the file.
fn check_places(bytes: &[u8], found: &[Diagnostic]) {
    let text = str::from_utf8(bytes);
    for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
        let span = &label.span;
        assert!(span.line >= 1 && span.column >= 1, "{label:?}");
        assert!(span.start <= span.end && span.start <= bytes.len(), "{label:?}");
        if let Ok(text) = text
            && span.end <= bytes.len()
        {
            assert!(text.get(span.start..span.end).is_some(), "{label:?} cuts a character");
        }
    }
}

/// What the types of a manifest promise beyond their fields.
fn check_manifest(manifest: &Manifest) {
    assert!(!manifest.components.is_empty(), "a manifest without components was taken");
    for component in &manifest.components {
        let same = manifest.components.iter().filter(|other| other.name == component.name);
        assert_eq!(same.count(), 1, "two components are called {}", component.name);
        for link in &component.links {
            assert!(manifest.component(&link.target).is_some(), "a link leads to nothing");
            assert!(link.target != component.name && !link.interfaces.is_empty(), "{link:?}");
        }
        match &component.scaling {
            Scaling::None => {}
            Scaling::Spread { spreads, .. } => assert!(spreads.iter().any(|spread| spread.weight > 0)),
            Scaling::Daemon { spreads, .. } => assert!(!spreads.is_empty()),
        }
    }
}
