//! What holds from one statement to the next: the connection, the format, where rows go.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::backslash::ExpandedMode;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::output::{Expanded, Format, Sink};
use crate::terminal;

/// The state of `weir sql`.
pub(super) struct Shell {
    pub(super) client: Client,
    pub(super) format: Format,
    pub(super) timing: bool,
    pub(super) keep_going: bool,
    pub(super) timeout: Option<Duration>,
    /// A person sits at a prompt.
    pub(super) interactive: bool,
    /// The last statement, for `\watch`.
    pub(super) last: Option<String>,
    /// SQL before a backslash command that has not been ended yet.
    pub(super) pending: String,
    /// A statement may have changed the catalog since names were fetched.
    pub(super) names_are_old: bool,
    expanded: ExpandedMode,
    output: Option<(PathBuf, File)>,
    failed: Option<u8>,
}

impl Shell {
    /// A shell on `client`.
    pub(super) fn new(client: Client, format: Format, interactive: bool) -> Self {
        Self {
            client,
            format,
            timing: false,
            keep_going: false,
            timeout: None,
            interactive,
            last: None,
            pending: String::new(),
            names_are_old: true,
            expanded: ExpandedMode::Off,
            output: None,
            failed: None,
        }
    }

    /// Opens the session.
    pub(super) async fn connect(&mut self) -> Result<()> {
        self.client.open_session().await
    }

    /// Ends the session.
    pub(super) async fn disconnect(&mut self) {
        self.client.close_session().await;
    }

    /// Whether rows are shown one column a line.
    pub(super) fn set_expanded(&mut self, on: bool) {
        self.expanded = if on {
            ExpandedMode::On
        } else {
            ExpandedMode::Off
        };
    }

    /// `\x`: sets the mode, or turns it over; answers what to tell.
    pub(super) fn change_expanded(&mut self, mode: Option<ExpandedMode>) -> &'static str {
        self.expanded = mode.unwrap_or(match self.expanded {
            ExpandedMode::Off => ExpandedMode::On,
            ExpandedMode::On | ExpandedMode::Auto => ExpandedMode::Off,
        });
        match self.expanded {
            ExpandedMode::On => "Expanded display is on.",
            ExpandedMode::Off => "Expanded display is off.",
            ExpandedMode::Auto => {
                "Expanded display is used when a table is wider than the terminal."
            }
        }
    }

    /// How rows are laid out now.
    pub(super) fn expanded(&self) -> Expanded {
        match self.expanded {
            ExpandedMode::On => Expanded::On,
            ExpandedMode::Off => Expanded::Off,
            ExpandedMode::Auto if self.output.is_none() => {
                terminal::width().map_or(Expanded::Off, Expanded::WiderThan)
            }
            ExpandedMode::Auto => Expanded::Off,
        }
    }

    /// Sends rows to a new file, or back to standard output.
    pub(super) fn set_output(&mut self, path: Option<&Path>) -> Result<()> {
        self.output = match path {
            Some(path) => {
                let file = File::create(path).map_err(|error| Error::file(path, error))?;
                Some((path.to_owned(), file))
            }
            None => None,
        };
        Ok(())
    }

    /// A writer to where rows go.
    pub(super) fn sink(&self) -> Result<Sink> {
        Ok(match &self.output {
            Some((path, file)) => {
                let file = file.try_clone().map_err(|error| Error::file(path, error))?;
                Box::new(BufWriter::with_capacity(1 << 16, file))
            }
            None => Box::new(BufWriter::with_capacity(1 << 16, stdout())),
        })
    }

    /// Whether rows go to the terminal.
    pub(super) fn shows_rows(&self) -> bool {
        self.output.is_none() && terminal::is_output()
    }

    /// Tells what was done: among the rows where a person reads them, else beside them.
    pub(super) fn tell(&self, text: &str) -> Result<()> {
        if self.format.is_for_people() && self.output.is_none() {
            writeln!(stdout(), "{text}")?;
        } else {
            eprintln!("{text}");
        }
        Ok(())
    }

    /// Prints a failure; `place` says where in a script. The error that comes back ends the
    /// text that is being run: a script that does not go on, or anything after Ctrl-C.
    pub(super) fn report(&mut self, error: Error, place: Option<&str>) -> Result<()> {
        if error.is_closed_pipe() || matches!(error, Error::Reported(_)) {
            return Err(error);
        }
        let text = match &error {
            Error::Refused(problem) => problem.render(place),
            Error::Interrupted => "Cancelled.".to_owned(),
            error => error.render(),
        };
        eprintln!("{text}");
        let code = error.exit_code();
        let hopeless = matches!(error, Error::Interrupted | Error::Connect { .. });
        if hopeless || !(self.interactive || self.keep_going) {
            return Err(Error::Reported(code));
        }
        self.failed.get_or_insert(code);
        Ok(())
    }

    /// After the last statement: a failure that was gone past still counts.
    pub(super) fn outcome(&self) -> Result<()> {
        match self.failed {
            Some(code) if !self.interactive => Err(Error::Reported(code)),
            _ => Ok(()),
        }
    }
}
