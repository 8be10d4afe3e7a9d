//! One flat error type: it holds only text and a kind, so that it can pass from
//! one library to another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The user's data, parameter or command is wrong; the user can fix it.
    Input,
    /// The component does not support the requested combination.
    Unsupported,
    /// Reading or writing failed for a reason outside the program.
    Io,
    /// A component violated its contract.
    Plugin,
    /// A component panicked.
    Panic,
    /// A bug in Pallium itself.
    Bug,
    /// A kind that this version does not know, from a plugin of a newer core.
    #[serde(other)]
    Unknown,
}

/// What went wrong, what to do about it, and what caused it.
///
/// A message is a lowercase fragment that names the file, the place in it and
/// the value; `help` says how to fix the problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// Who can act on it.
    pub kind: Kind,
    /// What went wrong, as a lowercase fragment.
    pub message: String,
    /// How to fix it, if that is known.
    pub help: Option<String>,
    /// What caused it, the nearest cause first.
    pub causes: Vec<String>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), help: None, causes: Vec::new() }
    }

    /// The user's input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// The requested combination is not supported.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// A file or folder could not be read or written. The help follows from the kind
    /// of the error, where that says what to do.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let new = Self::new(Kind::Io, format!("{}: {error}", path.display()));
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                new.help("make room on that disk, or choose a place on another one")
            }
            ErrorKind::ReadOnlyFilesystem => new.help("choose a place that you can write to"),
            ErrorKind::PermissionDenied => {
                new.help("choose another place, or change the permissions of this one")
            }
            _ => new,
        }
    }

    /// A component violated its contract.
    pub fn plugin(message: impl Into<String>) -> Self {
        Self::new(Kind::Plugin, message)
    }

    /// An internal assumption of Pallium does not hold.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// Sets the help: how to fix the problem.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts a more general message in front; the present message becomes the
    /// nearest cause.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, inner);
        self
    }

    /// Adds a cause behind those known so far.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The message, its causes and the help, a line each, for a terminal.
    pub fn report(&self) -> String {
        let mut text = self.message.clone();
        for cause in &self.causes {
            text.push_str("\n  because: ");
            text.push_str(cause);
        }
        if let Some(help) = &self.help {
            text.push_str("\n  help: ");
            text.push_str(help);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_the_cause_and_the_help() {
        let error = Error::input("row 3 is short").help("export it again").context("reading a.csv");
        assert_eq!(error.report(), "reading a.csv\n  because: row 3 is short\n  help: export it again");
        assert_eq!(error.to_string(), "reading a.csv: row 3 is short (export it again)");
    }
}
