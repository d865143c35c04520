//! How keys of labels are written.
//!
//! Which labels mean something is not known here.

/// What a key has, for messages.
pub(crate) const KEY_RULE: &str = "a key is a name of up to 63 letters, digits, `-`, `_` and `.`, with an optional DNS name and `/` before it";

/// Longest value of a label of a host, in bytes: hosts do not start with longer ones.
pub(crate) const MAX_HOST_VALUE: usize = 253;

/// Whether a text is `[prefix/]name`, as OAM has it.
pub(crate) fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_prefix(prefix) && is_key_name(name),
        None => is_key_name(key),
    }
}

fn is_key_name(name: &str) -> bool {
    let edges = |c: char| c.is_ascii_alphanumeric();
    name.len() <= 63
        && name.starts_with(edges)
        && name.ends_with(edges)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_dns_prefix(prefix: &str) -> bool {
    let label = |label: &str| {
        label.len() <= 63
            && label.starts_with(|c: char| c.is_ascii_alphabetic())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    prefix.len() <= 253 && prefix.split('.').all(label)
}
