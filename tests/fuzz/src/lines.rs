//! Inputs that are easier to read and to change than bytes: lines of words.

/// The lines of an input with words; nothing when it is no text.
pub(crate) fn lines(bytes: &[u8]) -> Option<impl Iterator<Item = Vec<&str>>> {
    let text = str::from_utf8(bytes).ok()?;
    Some(
        text.lines()
            .map(|line| line.split_ascii_whitespace().collect())
            .filter(|words: &Vec<&str>| !words.is_empty()),
    )
}
