//! Annotations of a spec that Lath itself writes and reads. All others belong to people and travel along.

/// What Lath's own annotations begin with. They are shown to no tool of 1.x.
pub const OWN: &str = "lath.dev/";
/// On what was started by hand and not by a manifest; its other annotations are just those of whoever started it.
pub const BY_HAND: &str = "lath.dev/by-hand";
/// The image as it was asked for, where that is not the reference of the spec: with `oci://` or `https://` before it.
pub const ASKED_IMAGE: &str = "lath.dev/asked-image";
