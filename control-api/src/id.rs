//! Names and numbers that identify things. Each is a newtype whose only door refuses bad input.
//!
//! No bare string or integer crosses a crate boundary as an identifier. The grammars are chosen so that an
//! identifier is one NATS subject token and one key-value key part: no dot, wildcard, space or control
//! character fits in any of them, which is what makes the joins in `subject.rs` injective. A clone shares its text:
//! what a host or a manager knows of ten thousand components is mostly their names, many times over.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {found} is not valid: {rule}")]
pub struct IdError {
    /// What was to be named, such as `app name`.
    pub kind: &'static str,
    /// The text that was refused, quoted and cut to 100 printable characters.
    pub found: String,
    /// The grammar that it breaks, in words.
    pub rule: &'static str,
}

impl IdError {
    pub(crate) fn new(kind: &'static str, found: &str, rule: &'static str) -> Self {
        let shown: String = found.chars().take(100).flat_map(char::escape_debug).collect();
        Self { kind, found: format!("`{shown}`"), rule }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The grammar in words, for messages.
            pub const RULE: &'static str = $rule;

            /// The text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(IdError::new($kind, text, $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                (*id.0).into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Longest text of any name below, in bytes.
const MAX_NAME: usize = 63;
/// Longest component id: an app name, `-` and a component name.
const MAX_COMPONENT_ID: usize = 2 * MAX_NAME + 1;

fn is_token(text: &str, max: usize) -> bool {
    text.len() <= max
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

text_id!(
    /// Name of a lattice: the first token of every subject, the last part of every bucket name.
    LatticeId,
    "lattice name",
    "1 to 63 ASCII letters, digits, `-` or `_`, beginning with a letter or digit",
    |text| is_token(text, MAX_NAME)
);

text_id!(
    /// Public server key (nkey) of a host: `N` and 55 further base-32 characters. Tools of the 1.x world need this form.
    HostId,
    "host id",
    "56 characters from A-Z and 2-7, beginning with `N`",
    |text| {
        text.len() == 56
            && text.starts_with('N')
            && text.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
    }
);

text_id!(
    /// Name of an application, unique in its lattice. Names that differ in case are different apps.
    AppName,
    "app name",
    "1 to 63 ASCII letters, digits, `-` or `_`, beginning with a letter or digit",
    |text| is_token(text, MAX_NAME)
);

text_id!(
    /// Name of a component or capability inside its manifest.
    ComponentName,
    "component name",
    "1 to 63 ASCII letters, digits, `-`, `_` or `.`, beginning with a letter or digit, without `..` or a final `.`",
    |text| {
        // Dots are allowed here, as 1.x manifests use them: this name never stands in a subject, the id does.
        let undotted = text.replace('.', "_");
        is_token(&undotted, MAX_NAME) && !text.contains("..") && !text.ends_with('.')
    }
);

text_id!(
    /// Lattice-wide id of a component or capability: `{app}-{component}`, or what the manifest says.
    /// It stands in invocation subjects and names the queue group.
    ComponentId,
    "component id",
    "1 to 127 ASCII letters, digits, `-` or `_`, beginning with a letter or digit",
    |text| is_token(text, MAX_COMPONENT_ID)
);

impl ComponentId {
    /// The id that 1.x makes when a manifest gives none: both parts lower-cased, every character that is not
    /// an ASCII letter or digit replaced by `_`, joined by `-`.
    ///
    /// # Errors
    /// When a part begins with a character that becomes `_`.
    pub fn generated(app: &AppName, component: &ComponentName) -> Result<Self, IdError> {
        let normal = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
                .collect()
        };
        format!("{}-{}", normal(app.as_str()), normal(component.as_str())).parse()
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// Number of a recorded, immutable manifest of an app with everything it resolved to: `APP@REV`. From 1.
    Revision
);
number_id!(
    /// Counts the accepted changes of what an app should be on the hosts. Only grows.
    Generation
);
number_id!(
    /// Counts the terms of acting managers of a lattice. Only grows.
    Epoch
);
number_id!(
    /// Counts the steps taken within one generation of an app. Only grows.
    Step
);

impl FromStr for Revision {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.parse::<u64>() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(IdError::new("revision", text, "a whole number from 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_tokens_only() {
        for good in ["a", "shop", "Shop_Front-2", "0"] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "_a", "a.b", "a*", "a>", "a b", "a\n", "café", "$x", "a/b", long.as_str()] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generated_ids_follow_the_established_form() {
        let app = "Shop-Front".parse().unwrap();
        let component = "api.v2".parse().unwrap();
        assert_eq!(ComponentId::generated(&app, &component).unwrap().as_str(), "shop_front-api_v2");
    }

    #[test]
    fn a_host_id_is_a_server_key() {
        let id = format!("N{}", "A2".repeat(27) + "B");
        assert!(id.parse::<HostId>().is_ok());
        assert!(id.to_lowercase().parse::<HostId>().is_err());
        assert!(id.replacen('N', "M", 1).parse::<HostId>().is_err());
    }

    #[test]
    fn a_refusal_shows_what_was_found_without_control_characters() {
        let error = "a\u{7}b".parse::<AppName>().unwrap_err();
        assert!(!error.to_string().contains('\u{7}'));
        assert!(error.to_string().contains("app name"));
    }
}
