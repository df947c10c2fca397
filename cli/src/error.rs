//! Why a command failed, and the exit code that says so to a script.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use weir_base::{Classify, Kind, Position, SqlState};

use crate::client::Problem;

/// The command line's result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server refused the request or failed in it.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// No connection to the server.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// The server's address.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The connection ended in the middle of an answer.
    #[error("the connection to the server was lost: {0}")]
    Lost(String),
    /// The server answered something that this client does not understand.
    #[error("the server's answer is not understood: {0}")]
    Protocol(String),
    /// The user pressed Ctrl-C.
    #[error("cancelled")]
    Interrupted,
    /// The command line or a backslash command is wrong.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A local file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output or the terminal.
    #[error("output: {0}")]
    Output(#[from] io::Error),
    /// Rows that cannot be read or written in the format asked for.
    #[error("{0}")]
    Rows(String),
    /// A failure that has been printed; the exit code is left to say.
    #[error("a statement failed")]
    Reported(u8),
    /// The service did not start, or did not stop in order.
    #[error("{message}")]
    Service {
        /// What happened.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// Exit codes, as `--help` lists them.
pub(crate) mod exit {
    /// Everything was done.
    pub(crate) const OK: u8 = 0;
    /// A statement failed, or the service did.
    pub(crate) const FAILED: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// No connection to the server, or it was lost.
    pub(crate) const CONNECTION: u8 = 3;
    /// A local file cannot be read or written.
    pub(crate) const FILE: u8 = 4;
    /// Ctrl-C: 128 + SIGINT.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// The end of `weir --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a statement or the service failed
  2    wrong usage
  3    no connection to the server, or it was lost
  4    a local file cannot be read or written
  130  interrupted by Ctrl-C";

impl Error {
    /// A usage error without a hint.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
        }
    }

    /// A failure of the service without a hint.
    pub(crate) fn service(message: impl Into<String>) -> Self {
        Self::Service {
            message: message.into(),
            hint: None,
        }
    }

    /// A local file's error.
    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            path: path.into(),
            source,
        }
    }

    /// Whether whoever read our output has gone, as `head` does: an end, not a failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            _ if self.is_closed_pipe() => exit::OK,
            Self::Refused(_) | Self::Rows(_) | Self::Protocol(_) | Self::Service { .. } => {
                exit::FAILED
            }
            Self::Connect { .. } | Self::Lost(_) => exit::CONNECTION,
            Self::Interrupted => exit::INTERRUPTED,
            Self::Usage { .. } => exit::USAGE,
            Self::File { .. } | Self::Output(_) => exit::FILE,
            Self::Reported(code) => *code,
        }
    }

    /// What a person reads, with the hint on a line of its own.
    pub(crate) fn render(&self) -> String {
        match self {
            Self::Refused(problem) => problem.render(None),
            _ => match self.hint() {
                Some(hint) => format!("ERROR:  {self}\nHINT:  {hint}"),
                None => format!("ERROR:  {self}"),
            },
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, source) => Self::Output(source),
            error => Self::Rows(error.to_string()),
        }
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        match error {
            parquet::errors::ParquetError::NYI(reason) => Self::Rows(format!(
                "a column does not fit into a Parquet file; cast it, to TEXT say: {reason}"
            )),
            error => Self::Rows(error.to_string()),
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(problem) => problem.kind(),
            Self::Connect { .. } | Self::Lost(_) => Kind::Unavailable,
            Self::Interrupted => Kind::Cancelled,
            Self::Usage { .. } | Self::Rows(_) => Kind::Invalid,
            Self::File { .. } | Self::Output(_) | Self::Service { .. } => Kind::Unavailable,
            Self::Protocol(_) | Self::Reported(_) => Kind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        self.kind().default_sqlstate()
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(problem) => problem.hint.clone(),
            Self::Connect { .. } => {
                Some("is it running? start it with: weir serve; or name another with --url".into())
            }
            Self::Usage { hint, .. } | Self::Service { hint, .. } => hint.clone(),
            _ => None,
        }
    }

    fn position(&self) -> Option<Position> {
        match self {
            Self::Refused(problem) => problem.position,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_not_a_failure() {
        let error = Error::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit_code(), exit::OK);
    }

    #[test]
    fn a_server_that_is_not_there_says_how_to_start_one() {
        let error = Error::Connect {
            url: "http://127.0.0.1:8080".into(),
            reason: "connection refused".into(),
        };
        assert_eq!(
            error.render(),
            "ERROR:  cannot connect to http://127.0.0.1:8080: connection refused\n\
             HINT:  is it running? start it with: weir serve; or name another with --url"
        );
    }
}
