//! Backslash commands: what a line like `\d bids` asks for.

use std::path::PathBuf;
use std::time::Duration;

use weir_base::nearest::nearest;
use weir_base::parse_duration;

use crate::error::{Error, Result};
use crate::output::Format;

/// A backslash command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Backslash {
    /// `\d`: everything; `\d NAME`: one object's columns.
    Describe(Option<String>),
    /// `\dt`, `\ds`, `\dv`, …: objects of one kind, as `information_schema.tables` calls it.
    List(Listed),
    /// `\timing [on|off]`.
    Timing(Option<bool>),
    /// `\watch [INTERVAL]`: runs the statement before it again and again.
    Watch(Duration),
    /// `\g`: runs the statement before it.
    Go,
    /// `\x [on|off|auto]`.
    Expanded(Option<ExpandedMode>),
    /// `\format [NAME]`.
    Format(Option<Format>),
    /// `\o [FILE]`: where rows go; without a file, back to the terminal.
    Output(Option<PathBuf>),
    /// `\copy`.
    Copy(CopyCommand),
    /// `\i FILE`.
    Include(PathBuf),
    /// `\q`.
    Quit,
    /// `\?`.
    Help,
}

/// Which objects a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// `\dt`: tables and external tables.
    Tables,
    /// `\ds`: streams.
    Streams,
    /// `\dv`: views.
    Views,
}

/// `\x`'s argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpandedMode {
    On,
    Off,
    Auto,
}

/// `\copy`: rows between the server and a file beside this client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CopyCommand {
    /// The rows of a query into a file.
    To {
        query: String,
        file: PathBuf,
        format: Option<Format>,
    },
    /// A file's rows into a stream.
    From {
        stream: String,
        file: PathBuf,
        format: Option<String>,
    },
}

/// `\?`.
pub(crate) const HELP: &str = r"\d                list streams, tables, external tables and views
\d NAME           the columns of one of them, and the statement that made it
\dt               list tables and external tables
\ds               list streams
\dv               list views
\watch [2s]       run the last statement (or the one before it on the line) again and again
\g                run the statement before it, as ; does
\x [on|off|auto]  one line a column
\format NAME      table vertical csv tsv json ndjson markdown arrow parquet
\timing [on|off]  print how long each statement took
\o [FILE]         write rows to FILE; without FILE to the terminal again
\copy NAME|(QUERY) to FILE [FORMAT]  rows into a file here, not on the server
\copy STREAM from FILE [FORMAT]      a file's rows into a stream
\i FILE           run the statements in FILE
\q                leave (or Ctrl-D)
A statement ends with ; and may take several lines. Ctrl-C cancels it.";

const COMMANDS: [&str; 14] = [
    "d", "dt", "ds", "dv", "watch", "g", "x", "format", "timing", "o", "copy", "i", "q", "?",
];

const WATCH_DEFAULT: Duration = Duration::from_secs(2);

impl Backslash {
    /// Parses one line, with or without the backslash at its start.
    ///
    /// # Errors
    /// [`Error::Usage`] when the command or its argument is not known.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let line = line.trim();
        let line = line.strip_prefix('\\').unwrap_or(line);
        let (name, rest) = match line.find(|c: char| c.is_whitespace() || c == ';') {
            Some(end) => line.split_at(end),
            None => (line, ""),
        };
        let rest = rest.trim();
        if name == "copy" {
            return copy(rest).map(Self::Copy);
        }
        let mut arguments = Arguments::new(name, rest)?;
        let command = match name {
            "d" => Self::Describe(arguments.next()),
            "dt" => Self::List(Listed::Tables),
            "ds" => Self::List(Listed::Streams),
            "dv" => Self::List(Listed::Views),
            "timing" => Self::Timing(arguments.choice(&[("on", true), ("off", false)])?),
            "watch" => Self::Watch(match arguments.next() {
                Some(text) => interval(&text)?,
                None => WATCH_DEFAULT,
            }),
            "g" => Self::Go,
            "x" => Self::Expanded(arguments.choice(&[
                ("on", ExpandedMode::On),
                ("off", ExpandedMode::Off),
                ("auto", ExpandedMode::Auto),
            ])?),
            "format" => Self::Format(arguments.next().map(|name| name.parse()).transpose()?),
            "o" => Self::Output(arguments.next().map(PathBuf::from)),
            "i" => Self::Include(PathBuf::from(arguments.require("a file")?)),
            "q" | "quit" | "exit" => Self::Quit,
            "?" | "h" | "help" => Self::Help,
            _ => {
                return Err(Error::Usage {
                    message: format!("unknown command \\{name}"),
                    hint: Some(match nearest(name, COMMANDS) {
                        Some(near) => format!("did you mean \\{near}? \\? lists all"),
                        None => "\\? lists all".to_owned(),
                    }),
                });
            }
        };
        arguments.finish()?;
        Ok(command)
    }
}

/// The arguments of one command: words, or texts in single quotes.
struct Arguments<'a> {
    command: &'a str,
    left: std::vec::IntoIter<String>,
}

impl<'a> Arguments<'a> {
    fn new(command: &'a str, text: &str) -> Result<Self> {
        Ok(Self {
            command,
            left: words(text)?.into_iter(),
        })
    }

    fn next(&mut self) -> Option<String> {
        self.left.next()
    }

    fn require(&mut self, what: &str) -> Result<String> {
        self.next()
            .ok_or_else(|| Error::usage(format!("\\{} needs {what}", self.command)))
    }

    fn choice<T: Copy>(&mut self, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(word) = self.next() else {
            return Ok(None);
        };
        match choices
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&word))
        {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                Err(Error::usage(format!(
                    "\\{}: {word:?} is not one of {}",
                    self.command,
                    names.join(", ")
                )))
            }
        }
    }

    fn finish(mut self) -> Result<()> {
        match self.left.next() {
            None => Ok(()),
            Some(word) => Err(Error::usage(format!(
                "\\{}: what is {word:?}?",
                self.command
            ))),
        }
    }
}

/// Words between spaces; a text in single quotes is one word, a quote twice in it is a quote. A last `;` is dropped.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.trim().trim_end_matches(';').chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut word = String::new();
        if c == '\'' {
            loop {
                match chars.next() {
                    Some('\'') if chars.next_if_eq(&'\'').is_some() => word.push('\''),
                    Some('\'') => break,
                    Some(c) => word.push(c),
                    None => return Err(Error::usage("a quote is not closed")),
                }
            }
        } else {
            word.push(c);
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                word.push(c);
            }
        }
        words.push(word);
    }
    Ok(words)
}

fn interval(text: &str) -> Result<Duration> {
    // As psql, seconds when there is no unit.
    let seconds = text.parse::<f64>().ok();
    let duration = match seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
        Some(duration) => duration,
        None => {
            parse_duration(text).map_err(|reason| Error::usage(format!("\\watch: {reason}")))?
        }
    };
    if duration < Duration::from_millis(10) {
        return Err(Error::usage("\\watch: wait at least 10ms"));
    }
    Ok(duration)
}

/// `NAME to FILE`, `(QUERY) to FILE`, `NAME from FILE`.
fn copy(text: &str) -> Result<CopyCommand> {
    let wrong = || Error::Usage {
        message: "\\copy is not understood".into(),
        hint: Some(
            "write \\copy NAME to FILE, \\copy (QUERY) to FILE or \\copy STREAM from FILE".into(),
        ),
    };
    let (source, rest, is_query) = if text.starts_with('(') {
        let end = closing(text).ok_or_else(wrong)?;
        (
            text.get(1..end).ok_or_else(wrong)?,
            text.get(end + 1..).ok_or_else(wrong)?,
            true,
        )
    } else {
        let end = text.find(char::is_whitespace).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(end);
        (name, rest, false)
    };
    let mut words = words(rest)?.into_iter();
    let direction = words.next().ok_or_else(wrong)?.to_lowercase();
    let file = PathBuf::from(words.next().ok_or_else(wrong)?);
    let format = match words.next() {
        Some(word) if word.eq_ignore_ascii_case("format") => Some(words.next().ok_or_else(wrong)?),
        other => other,
    };
    if words.next().is_some() || source.trim().is_empty() {
        return Err(wrong());
    }
    match direction.as_str() {
        "to" => Ok(CopyCommand::To {
            query: if is_query {
                source.trim().to_owned()
            } else {
                format!("SELECT * FROM {source}")
            },
            file,
            format: format.map(|name| name.parse()).transpose()?,
        }),
        "from" if !is_query => Ok(CopyCommand::From {
            stream: source.to_owned(),
            file,
            format,
        }),
        _ => Err(wrong()),
    }
}

/// Where the parenthesis that `text` starts with is closed, outside of texts and comments.
fn closing(text: &str) -> Option<usize> {
    use super::lexer::{Kind, tokens};
    let mut depth = 0_usize;
    for token in tokens(text) {
        if token.kind != Kind::Other {
            continue;
        }
        for (at, c) in text.get(token.range.clone())?.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(token.range.start + at);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Backslash {
        Backslash::parse(line).unwrap()
    }

    fn wrong(line: &str) -> String {
        Backslash::parse(line).unwrap_err().render()
    }

    #[test]
    fn commands_and_their_arguments() {
        assert_eq!(parse("\\d"), Backslash::Describe(None));
        assert_eq!(
            parse(" \\d  bids ; "),
            Backslash::Describe(Some("bids".into()))
        );
        assert_eq!(parse("\\dt;"), Backslash::List(Listed::Tables));
        assert_eq!(parse("\\timing ON"), Backslash::Timing(Some(true)));
        assert_eq!(
            parse("\\x auto"),
            Backslash::Expanded(Some(ExpandedMode::Auto))
        );
        assert_eq!(parse("\\watch"), Backslash::Watch(WATCH_DEFAULT));
        assert_eq!(
            parse("\\watch 0.5"),
            Backslash::Watch(Duration::from_millis(500))
        );
        assert_eq!(
            parse("\\watch 100ms"),
            Backslash::Watch(Duration::from_millis(100))
        );
        assert_eq!(parse("\\format csv"), Backslash::Format(Some(Format::Csv)));
        assert_eq!(
            parse("\\o 'my file.csv'"),
            Backslash::Output(Some("my file.csv".into()))
        );
        assert_eq!(parse("\\q"), Backslash::Quit);
        assert_eq!(parse("\\?"), Backslash::Help);
    }

    #[test]
    fn copies_go_both_ways() {
        assert_eq!(
            parse("\\copy (SELECT ')' FROM bids -- )\n) to 'a b.parquet'"),
            Backslash::Copy(CopyCommand::To {
                query: "SELECT ')' FROM bids -- )".into(),
                file: "a b.parquet".into(),
                format: None,
            })
        );
        assert_eq!(
            parse("\\copy s.bids TO out format ndjson;"),
            Backslash::Copy(CopyCommand::To {
                query: "SELECT * FROM s.bids".into(),
                file: "out".into(),
                format: Some(Format::Ndjson),
            })
        );
        assert_eq!(
            parse("\\copy bids from rows.csv"),
            Backslash::Copy(CopyCommand::From {
                stream: "bids".into(),
                file: "rows.csv".into(),
                format: None,
            })
        );
        for line in [
            "\\copy",
            "\\copy bids",
            "\\copy (SELECT 1 to f",
            "\\copy (SELECT 1) from f",
            "\\copy a at f",
        ] {
            assert!(wrong(line).contains("\\copy NAME to FILE"), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(wrong("\\tming").contains("did you mean \\timing?"));
        assert!(wrong("\\x maybe").contains("is not one of on, off, auto"));
        assert!(wrong("\\d a b").contains("what is \"b\"?"));
        assert!(wrong("\\o 'open").contains("not closed"));
        assert!(wrong("\\i").contains("needs a file"));
        assert!(wrong("\\watch soon").contains("not a span of time"));
        assert!(wrong("\\watch 0").contains("at least"));
        assert!(wrong("\\watch -1").contains("span of time"));
        assert!(wrong("\\").contains("unknown command"));
    }
}
