//! How a command ends: the exit codes, and the one form of every failure.
//!
//! No printing here and no knowledge of commands. Every failure says what, where, why and one next step; the
//! binary prints it once, in the form that was asked for.

use std::fmt;

use lath_control_api::{ApiError, ErrorCode, IdError};
use serde::Serialize;
use serde_json::Value;

/// Exit codes. They are part of the contract with scripts and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or already so.
    Done,
    /// Failed in a way that has no code of its own.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// What was named is not there.
    NotFound,
    /// The content of a manifest or an argument is wrong.
    Invalid,
    /// Somebody else changed it, or something else stands there.
    Conflict,
    /// No NATS server, or nobody answers for the lattice.
    Unreachable,
    /// Somebody who may refuse has refused, such as a registry without a good login.
    Denied,
    /// The time was over while the change went on.
    TimedOut,
    /// The new revision failed; the one before it serves.
    RolledBack,
    /// It failed and was not fully restored.
    Degraded,
    /// There are changes, where the exit code was asked to tell.
    Changes,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Invalid => 4,
            Self::Conflict => 5,
            Self::Unreachable => 6,
            Self::Denied => 7,
            Self::TimedOut => 8,
            Self::RolledBack => 9,
            Self::Degraded => 10,
            Self::Changes => 20,
            Self::Interrupted => 130,
        }
    }

    /// How a command ends that was refused with `code`.
    const fn of(code: ErrorCode) -> Self {
        match code.exit() {
            3 => Self::NotFound,
            4 => Self::Invalid,
            5 => Self::Conflict,
            6 => Self::Unreachable,
            7 => Self::Denied,
            _ => Self::Failed,
        }
    }
}

/// Why a command could not do what it was asked for. Boxed where that is free: every result carries its size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// Stable code, where there is one.
    pub(crate) code: Option<Box<str>>,
    /// What is wrong, in one sentence without a full stop.
    pub(crate) message: String,
    /// Where in a file.
    pub(crate) at: Option<Box<At>>,
    /// What was tried, and what is known.
    pub(crate) notes: Vec<String>,
    /// One next step.
    pub(crate) help: Option<Box<str>>,
    /// More for machines.
    pub(crate) details: Option<Box<Value>>,
    /// What people are shown instead of the usual form, such as drawn diagnostics.
    pub(crate) drawn: Option<Box<str>>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct At {
    /// The file as it was named.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
    /// JSON pointer to the value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) pointer: String,
}

impl Failure {
    /// A failure without code, notes or help.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: None,
            message: message.into(),
            at: None,
            notes: Vec::new(),
            help: None,
            details: None,
            drawn: None,
        }
    }

    /// A refusal with one of the codes of the wire.
    pub(crate) fn coded(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: Some(code.as_str().into()), ..Self::new(Exit::of(code), message) }
    }

    /// The same failure with one more thing that is known.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same failure with a next step.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().into());
        self
    }

    /// What goes to standard output in the machine forms.
    pub(crate) fn document(&self) -> Value {
        let error = ErrorObject {
            code: self.code.as_deref().unwrap_or("E0100"),
            exit: self.exit.code(),
            message: &self.message,
            at: self.at.as_deref(),
            notes: &self.notes,
            help: self.help.as_deref(),
            details: self.details.as_deref(),
        };
        serde_json::json!({ "apiVersion": crate::output::API_VERSION, "kind": "Error", "error": error })
    }

    /// One line for people who read machine output's standard error.
    pub(crate) fn line(&self) -> String {
        match &self.code {
            Some(code) => format!("error[{code}]: {}", self.message),
            None => format!("error: {}", self.message),
        }
    }
}

/// The inside of an `Error` document. `E0100` stands for a failure without a code of its own.
#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    code: &'a str,
    exit: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a At>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(drawn) = &self.drawn {
            return f.write_str(drawn);
        }
        f.write_str(&self.line())?;
        if let Some(at) = &self.at {
            write!(f, "\n  --> {}:{}:{}", at.file, at.line, at.column)?;
        }
        for note in &self.notes {
            write!(f, "\n  = note: {note}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  = help: {help}")?;
        }
        Ok(())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            help: error.help.map(Into::into),
            details: error.details.map(Box::new),
            ..Self::coded(error.code, error.message)
        }
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        Self::coded(ErrorCode::BadRequest, error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_code_help_and_exit() {
        let failure = Failure::from(
            ApiError::new(ErrorCode::RouteTaken, "route 127.0.0.1:8000/ belongs to app `shop`")
                .with_help("choose another path"),
        );
        assert_eq!(failure.exit, Exit::Conflict);
        insta::assert_snapshot!(failure, @r"
        error[E0401]: route 127.0.0.1:8000/ belongs to app `shop`
          = help: choose another path
        ");
        insta::assert_json_snapshot!(failure.document(), @r#"
        {
          "apiVersion": "lath/v1",
          "error": {
            "code": "E0401",
            "exit": 5,
            "help": "choose another path",
            "message": "route 127.0.0.1:8000/ belongs to app `shop`"
          },
          "kind": "Error"
        }
        "#);
    }

    #[test]
    fn every_wire_code_has_an_exit_of_the_contract() {
        for code in [
            ErrorCode::Internal,
            ErrorCode::NotFound,
            ErrorCode::InvalidManifest,
            ErrorCode::Conflict,
            ErrorCode::NoManager,
            ErrorCode::RegistryDenied,
        ] {
            assert_eq!(Exit::of(code).code(), code.exit());
        }
    }
}
