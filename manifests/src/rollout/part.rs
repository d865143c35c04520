//! Stretches of a text that know where they stand in it, so that a problem can point at what is wrong.
//!
//! Nothing is judged here, and no part is ever outside of its text.

use std::ops::Range;

use crate::problem::Place;

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) text: &'a str,
    /// Byte of the whole text at which it begins.
    start: usize,
}

impl<'a> Part<'a> {
    /// The whole of a text.
    pub(crate) const fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    /// Its bytes in the whole text.
    pub(crate) const fn range(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The place of a problem with it.
    pub(crate) const fn place(self) -> Place {
        Place::Part(self.range())
    }

    /// The same without spaces at its ends.
    pub(crate) fn trimmed(self) -> Self {
        let text = self.text.trim_start();
        Self { text: text.trim_end(), start: self.start + self.text.len() - text.len() }
    }

    /// What stands between commas, without spaces around it; at least one part, which may be empty.
    pub(crate) fn listed(self) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(',').map(move |text| {
            let part = Self { text, start };
            start += text.len() + 1;
            part.trimmed()
        })
    }

    /// What stands before and after the first `mark`.
    pub(crate) fn split_once(self, mark: char) -> Option<(Self, Self)> {
        let (before, _) = self.text.split_once(mark)?;
        let (before, after) = self.split_at(before.len());
        Some((before, Self { text: after.text.strip_prefix(mark)?, start: after.start + mark.len_utf8() }))
    }

    /// The longest beginning of characters that fit, and the rest.
    pub(crate) fn leading(self, fits: impl Fn(char) -> bool) -> (Self, Self) {
        let end = self.text.find(|c| !fits(c)).unwrap_or(self.text.len());
        self.split_at(end)
    }

    /// What is left without `prefix`, if it begins so.
    pub(crate) fn without(self, prefix: &str) -> Option<Self> {
        let text = self.text.strip_prefix(prefix)?;
        Some(Self { text, start: self.start + prefix.len() })
    }

    /// The first character, if there is one.
    pub(crate) fn first(self) -> Self {
        self.split_at(self.text.chars().next().map_or(0, char::len_utf8)).0
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        let (before, after) = self.text.split_at_checked(at).unwrap_or((self.text, ""));
        (Self { text: before, start: self.start }, Self { text: after, start: self.start + before.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_where_they_stand() {
        let text = " a , é=1,, b ";
        let parts: Vec<Part<'_>> = Part::whole(text).listed().collect();
        assert_eq!(parts.iter().map(|part| part.text).collect::<Vec<_>>(), ["a", "é=1", "", "b"]);
        for part in &parts {
            assert_eq!(text.get(part.range()), Some(part.text));
        }
        let (name, value) = parts[1].split_once('=').unwrap();
        assert_eq!((name.text, name.start, value.text, value.start), ("é", 5, "1", 8));
        let (letters, rest) = parts[1].leading(char::is_alphabetic);
        assert_eq!((letters.text, rest.text, rest.start), ("é", "=1", 7));
        assert_eq!(parts[1].first().text, "é");
        assert_eq!(parts[2].first().text, "");
        assert_eq!(value.without("1").map(|rest| rest.start), Some(9));
    }
}
