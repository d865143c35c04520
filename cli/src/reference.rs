//! How people name revisions: `APP`, `APP@7`, `APP@stable`, and `7` or `stable` where the app is known.
//!
//! Reading is pure; a tag becomes a number by asking the manager.

use std::fmt;
use std::str::FromStr;

use lath_control_api::app::History;
use lath_control_api::{AppName, ErrorCode, Revision};

use crate::connect::Session;
use crate::failure::Failure;
use crate::near;

/// Longest tag.
const MAX_TAG: usize = 64;

/// A revision of an app that is known, by number or by a name that people gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RevisionName {
    /// Its number.
    Number(Revision),
    /// Its tag.
    Tag(Tag),
}

/// A name that people gave to a revision: 1 to 64 letters, digits, `-`, `_` and `.`, not only digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

/// An app, and maybe one of its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The app.
    pub(crate) app: AppName,
    /// The revision; none for the deployed one.
    pub(crate) revision: Option<RevisionName>,
}

impl Tag {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = (1..=MAX_TAG).contains(&text.len()) && text.chars().all(allowed);
        if fits && !text.chars().all(|c| c.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("a tag has 1 to {MAX_TAG} letters, digits, `-`, `_` and `.`, and not only digits"))
        }
    }
}

impl FromStr for RevisionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
            return text.parse().map(Self::Number).map_err(|_zero| "revisions are counted from 1".to_owned());
        }
        let wrong = |_| {
            format!("a revision's number or its tag: {} characters at most, such as 7 or stable", MAX_TAG)
        };
        text.parse().map(Self::Tag).map_err(wrong)
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (app, revision) = match text.split_once('@') {
            Some((app, revision)) => (app, Some(revision.parse()?)),
            None => (text, None),
        };
        Ok(Self { app: app.parse().map_err(|error: lath_control_api::IdError| error.to_string())?, revision })
    }
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Tag(tag) => f.write_str(tag.as_str()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.app),
            None => self.app.fmt(f),
        }
    }
}

impl RevisionName {
    /// The number. Only a tag is asked for.
    pub(crate) async fn number(&self, session: &Session, app: &AppName) -> Result<Revision, Failure> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Tag(tag) => match near::history(session, app).await {
                Ok(history) => tagged(&history, tag),
                Err(failure) => Err(near::app(session, app, failure).await),
            },
        }
    }
}

/// The revision that has a tag.
fn tagged(history: &History, tag: &Tag) -> Result<Revision, Failure> {
    history.tags.get(tag.as_str()).copied().ok_or_else(|| {
        let message = format!("no revision of `{}` has the tag `{}`", history.app, tag.as_str());
        let tags: Vec<&str> = history.tags.keys().map(String::as_str).collect();
        let list = format!("lath revision tags {}", history.app);
        near::instead(Failure::coded(ErrorCode::NotFound, message), "tags", tag.as_str(), &tags, &list)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written_alike() {
        for text in ["shop", "shop@7", "shop@stable", "shop@2026.11"] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let number = "shop@7".parse::<Reference>().unwrap().revision;
        assert_eq!(number, Some(RevisionName::Number(Revision(7))));
        for wrong in ["", "@7", "shop@", "shop@0", "a.b@7", "shop@a b", "shop@7@8"] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_are_not_numbers() {
        assert!("7a".parse::<Tag>().is_ok());
        for wrong in ["", "7", "a b", "ü", "x".repeat(65).as_str()] {
            assert!(wrong.parse::<Tag>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_tag_names_the_nearest() {
        let tags = [("stable".to_owned(), Revision(4)), ("before-sale".to_owned(), Revision(2))];
        let history = History { app: "shop".parse().unwrap(), entries: Vec::new(), tags: tags.into() };
        assert_eq!(tagged(&history, &"stable".parse().unwrap()).unwrap(), Revision(4));
        let failure = tagged(&history, &"stabel".parse().unwrap()).unwrap_err();
        insta::assert_snapshot!(failure, @r"
        error[E0102]: no revision of `shop` has the tag `stabel`
          = help: did you mean `stable`?
        ");
    }
}
