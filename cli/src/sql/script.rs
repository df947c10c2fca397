//! Text with statements and backslash commands, as a prompt, a file or `-c` gives it.

use std::io::Read;
use std::path::Path;

use super::backslash::{Backslash, HELP};
use super::lexer::{Kind, tokens};
use super::shell::Shell;
use super::{catalog, copy, statement};
use crate::error::{Error, Result};
use crate::output::Format;

/// Files that include files, at most so deep.
const DEPTH_MAX: usize = 16;

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next line.
    GoOn,
    /// `\q`.
    Leave,
}

/// Runs a file; `-` is standard input.
pub(super) async fn run_file(shell: &mut Shell, path: &Path) -> Result<()> {
    let text = read(path)?;
    let name = (path != Path::new("-")).then(|| path.display().to_string());
    run(shell, &text, name.as_deref()).await.map(|_| ())
}

/// Runs all of `text`, whose last statement need not end with a semicolon.
pub(super) async fn run(shell: &mut Shell, text: &str, file: Option<&str>) -> Result<Next> {
    let mut runner = Runner {
        shell,
        file: file.map(str::to_owned),
        depth: 0,
    };
    let next = runner.text(text, true).await?;
    runner.shell.pending.clear();
    Ok(next)
}

/// Runs a line or several from the prompt. An unfinished statement is kept until the next time.
pub(super) async fn run_lines(shell: &mut Shell, text: &str) -> Result<Next> {
    let mut runner = Runner {
        shell,
        file: None,
        depth: 0,
    };
    runner.text(text, false).await
}

/// Whether the prompt has all that it needs: ended statements, or a backslash command on the last line.
pub(super) fn is_complete(text: &str) -> bool {
    let text = text.trim_end();
    if text.is_empty() {
        return true;
    }
    match parts(text).last() {
        Some(Part::Command { .. }) => true,
        Some(Part::Sql { text, .. }) => weir_sql::split(text)
            .last()
            .is_none_or(|piece| piece.terminated),
        None => true,
    }
}

/// SQL, or a backslash command; each with the line (from 0) on which it starts.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Sql { text: &'a str, line: usize },
    Command { text: &'a str },
}

/// Cuts `text` at backslash commands, which go to the end of their line.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for token in tokens(text) {
        if token.kind != Kind::Backslash || token.range.start < from {
            continue;
        }
        let at = token.range.start;
        push_sql(text, from..at, &mut parts);
        let end = text
            .get(at..)
            .and_then(|rest| rest.find('\n'))
            .map_or(text.len(), |length| at + length);
        parts.push(Part::Command {
            text: text.get(at..end).unwrap_or_default(),
        });
        from = end;
    }
    push_sql(text, from..text.len(), &mut parts);
    parts
}

fn push_sql<'a>(text: &'a str, range: std::ops::Range<usize>, parts: &mut Vec<Part<'a>>) {
    let sql = text.get(range.clone()).unwrap_or_default();
    if !sql.trim().is_empty() {
        let before = text.get(..range.start).unwrap_or_default();
        parts.push(Part::Sql {
            text: sql,
            line: before.matches('\n').count(),
        });
    }
}

struct Runner<'a> {
    shell: &'a mut Shell,
    file: Option<String>,
    depth: usize,
}

impl Runner<'_> {
    /// Runs `text`; with `whole`, nothing comes after it, so that its last statement is ended.
    async fn text(&mut self, text: &str, whole: bool) -> Result<Next> {
        for part in parts(text) {
            match part {
                Part::Sql { text, line } => self.sql(text, line).await?,
                Part::Command { text } => match self.command(text).await {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Leave) => return Ok(Next::Leave),
                    Err(error) => self.shell.report(error, None)?,
                },
            }
        }
        if whole {
            let pending = std::mem::take(&mut self.shell.pending);
            if !pending.trim().is_empty() {
                self.statement(&pending, None).await?;
            }
        }
        Ok(Next::GoOn)
    }

    /// Runs the statements that are ended; what is left waits for a backslash command or more text.
    async fn sql(&mut self, text: &str, line: usize) -> Result<()> {
        let pending = std::mem::take(&mut self.shell.pending);
        let all = format!("{pending}{text}");
        let mut place_from = 0;
        let mut line = (line + 1).saturating_sub(pending.matches('\n').count());
        for piece in weir_sql::split(&all) {
            // A piece is a part of the text; where, its address says.
            let at = piece
                .sql
                .as_ptr()
                .addr()
                .saturating_sub(all.as_ptr().addr());
            line += all
                .get(place_from..at)
                .map_or(0, |passed| passed.matches('\n').count());
            place_from = place_from.max(at);
            if !piece.terminated {
                piece.sql.clone_into(&mut self.shell.pending);
                continue;
            }
            let place = self.file.as_ref().map(|file| format!("{file}:{line}"));
            self.statement(piece.sql, place.as_deref()).await?;
        }
        Ok(())
    }

    async fn statement(&mut self, sql: &str, place: Option<&str>) -> Result<()> {
        match statement::run(self.shell, sql).await {
            Ok(()) => Ok(()),
            Err(error) => self.shell.report(error, place),
        }
    }

    async fn command(&mut self, line: &str) -> Result<Next> {
        match Backslash::parse(line)? {
            Backslash::Quit => return Ok(Next::Leave),
            Backslash::Help => println!("{HELP}"),
            Backslash::Describe(None) => catalog::list(self.shell, None).await?,
            Backslash::Describe(Some(name)) => catalog::describe(self.shell, &name).await?,
            Backslash::List(kind) => catalog::list(self.shell, Some(kind)).await?,
            Backslash::Timing(on) => {
                self.shell.timing = on.unwrap_or(!self.shell.timing);
                eprintln!(
                    "Timing is {}.",
                    if self.shell.timing { "on" } else { "off" }
                );
            }
            Backslash::Expanded(mode) => eprintln!("{}", self.shell.change_expanded(mode)),
            Backslash::Format(None) => eprintln!("Format is {}.", self.shell.format),
            Backslash::Format(Some(format)) => self.shell.format = format,
            Backslash::Output(path) => {
                if let Some(path) = &path
                    && self.shell.format == Format::Table
                    && let Some(format) = Format::of_file(path)
                {
                    self.shell.format = format;
                    eprintln!("Format is {format}.");
                }
                self.shell.set_output(path.as_deref())?;
            }
            Backslash::Copy(command) => copy::run(self.shell, command).await?,
            Backslash::Include(path) => Box::pin(self.include(&path)).await?,
            Backslash::Go => {
                let sql = self.before()?;
                statement::run(self.shell, &sql).await?;
            }
            Backslash::Watch(interval) => {
                let sql = self.before()?;
                catalog::watch(self.shell, &sql, interval).await?;
            }
        }
        Ok(Next::GoOn)
    }

    /// The statement that `\g` and `\watch` speak of: the one before them on the line, or the last.
    fn before(&mut self) -> Result<String> {
        let pending = std::mem::take(&mut self.shell.pending);
        if pending.trim().is_empty() {
            self.shell
                .last
                .clone()
                .ok_or_else(|| Error::usage("there is no statement to run again"))
        } else {
            Ok(pending.trim().to_owned())
        }
    }

    async fn include(&mut self, path: &Path) -> Result<()> {
        if self.depth == DEPTH_MAX {
            return Err(Error::usage(format!(
                "\\i: files include one another more than {DEPTH_MAX} deep"
            )));
        }
        let text = read(path)?;
        let mut inner = Runner {
            shell: self.shell,
            file: Some(path.display().to_string()),
            depth: self.depth + 1,
        };
        inner.text(&text, true).await.map(|_| ())
    }
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Error::file(path, error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_commands() {
        assert_eq!(
            parts("SELECT 1;\n\\x on\nSELECT '\\x' \\watch 1\n"),
            [
                Part::Sql {
                    text: "SELECT 1;\n",
                    line: 0
                },
                Part::Command { text: "\\x on" },
                Part::Sql {
                    text: "\nSELECT '\\x' ",
                    line: 1
                },
                Part::Command { text: "\\watch 1" },
            ]
        );
        assert_eq!(
            parts("\\copy (SELECT '\\') to \\f"),
            [Part::Command {
                text: "\\copy (SELECT '\\') to \\f"
            }]
        );
    }

    #[test]
    fn a_prompt_waits_for_the_end_of_a_statement() {
        for (text, complete) in [
            ("", true),
            ("SELECT 1", false),
            ("SELECT 1;", true),
            ("SELECT 1; SELECT 2", false),
            ("SELECT ';", false),
            ("SELECT ';'\n;  ", true),
            ("\\d", true),
            ("SELECT 1 \\g", true),
            ("SELECT 1 -- ;", false),
            ("SELECT 1; -- done", true),
            ("SELECT $$ ; ", false),
        ] {
            assert_eq!(is_complete(text), complete, "{text:?}");
        }
    }
}
