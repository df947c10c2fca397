//! A server's error, and how it is shown: as psql shows one, with a caret under the place in the SQL text.

use std::fmt;

use serde::Deserialize;
use unicode_width::UnicodeWidthChar;
use weir_base::{Kind, Position};

/// An `application/problem+json` document (RFC 9457) with Weir's members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What kind of error it is.
    pub(crate) title: Option<String>,
    /// What is wrong.
    pub(crate) detail: Option<String>,
    /// The SQLSTATE.
    pub(crate) sqlstate: Option<String>,
    /// Where in the SQL text.
    pub(crate) position: Option<Position>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The query that failed.
    pub(crate) query_id: Option<String>,
    /// Of an ingest: the first wrong row, from 1.
    pub(crate) row: Option<u64>,
    /// Of an ingest: the wrong column.
    pub(crate) column: Option<String>,
    /// Seconds to wait before another try, from `Retry-After`.
    #[serde(skip)]
    pub(crate) retry_after_s: Option<u64>,
    /// The text of the statement that failed, for the caret.
    #[serde(skip)]
    pub(crate) sql: Option<String>,
}

/// How many columns of a line of SQL are shown around the caret.
const EXCERPT_COLUMNS: usize = 100;

impl Problem {
    /// The problem that an error answer's body holds; a body of another kind is quoted.
    pub(crate) fn from_body(status: u16, body: &[u8]) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            Self {
                detail: (!text.is_empty()).then(|| text.chars().take(500).collect()),
                ..Self::default()
            }
        });
        problem.status = status;
        problem
    }

    /// The problem that an event or a line in the middle of an answer tells of.
    pub(crate) fn from_event(data: &str) -> Self {
        let problem = Self::from_body(0, data.as_bytes());
        let status = serde_json::from_str::<Self>(data).map_or(0, |told| told.status);
        Self { status, ..problem }
    }

    /// What the caller can do, as far as the status tells.
    pub(crate) fn kind(&self) -> Kind {
        match self.status {
            400 | 406 | 413..=415 => Kind::Invalid,
            401 | 403 => Kind::Denied,
            404 | 410 => Kind::NotFound,
            409 | 412 => Kind::Conflict,
            408 | 422 | 429 => Kind::LimitExceeded,
            499 => Kind::Cancelled,
            502..=504 => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 502..=504)
    }

    /// The whole report. `place` says where the statement stands, as `file.sql:12`.
    pub(crate) fn render(&self, place: Option<&str>) -> String {
        let mut text = match place {
            Some(place) => format!("{place}: ERROR:  {self}"),
            None => format!("ERROR:  {self}"),
        };
        if let Some(excerpt) = self
            .sql
            .as_deref()
            .zip(self.position)
            .and_then(|(sql, position)| excerpt(sql, position))
        {
            text.push('\n');
            text.push_str(&excerpt);
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nHINT:  ");
            text.push_str(hint);
        }
        if self.status == 500
            && let Some(query_id) = &self.query_id
        {
            text.push_str("\nQUERY:  ");
            text.push_str(query_id);
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_deref().or(self.title.as_deref()) {
            Some(text) => f.write_str(text),
            None => write!(f, "the server answered HTTP status {}", self.status),
        }
    }
}

/// `LINE n: text` and a caret below the column of `position`; nothing when the text has no such line.
fn excerpt(sql: &str, position: Position) -> Option<String> {
    let line_at = usize::try_from(position.line).ok()?.checked_sub(1)?;
    let column_at = usize::try_from(position.column).ok()?.checked_sub(1)?;
    let line: Vec<char> = sql
        .lines()
        .nth(line_at)?
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let column_at = column_at.min(line.len());
    let from = if line.len() <= EXCERPT_COLUMNS {
        0
    } else {
        column_at
            .saturating_sub(EXCERPT_COLUMNS / 2)
            .min(line.len() - EXCERPT_COLUMNS)
    };
    let to = line.len().min(from + EXCERPT_COLUMNS);
    let (before, after) = (
        if from > 0 { "..." } else { "" },
        if to < line.len() { "..." } else { "" },
    );
    let head = format!("LINE {}: {before}", position.line);
    let shown: String = line.get(from..to)?.iter().collect();
    let indent = head.len()
        + line
            .get(from..column_at)?
            .iter()
            .map(|c| c.width().unwrap_or(0))
            .sum::<usize>();
    Some(format!(
        "{head}{shown}{after}\n{caret:>width$}",
        caret = '^',
        width = indent + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(sql: &str, line: u64, column: u64) -> Problem {
        Problem {
            status: 400,
            detail: Some("column \"prise\" not found".into()),
            position: Some(Position { line, column }),
            hint: Some("did you mean \"price\"?".into()),
            sql: Some(sql.into()),
            ..Problem::default()
        }
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(
            problem("SELECT auction,\n  prise FROM bids", 2, 3).render(None),
            "ERROR:  column \"prise\" not found\n\
             LINE 2:   prise FROM bids\n\
             \u{20}         ^\n\
             HINT:  did you mean \"price\"?"
        );
    }

    #[test]
    fn wide_characters_and_tabs_keep_the_caret_in_place() {
        let text = problem("SELECT '日本',\tprise", 1, 14).render(Some("q.sql:7"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "q.sql:7: ERROR:  column \"prise\" not found");
        assert_eq!(lines[1], "LINE 1: SELECT '日本', prise");
        assert_eq!(lines[2], "                       ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let sql = format!("SELECT {} prise {}", "x,".repeat(100), "y,".repeat(100));
        let text = problem(&sql, 1, 209).render(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("LINE 1: ...") && lines[1].ends_with("..."));
        let caret = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][caret..caret + 5], "prise");
    }

    #[test]
    fn a_place_outside_the_text_is_left_out() {
        for (line, column) in [(0, 1), (9, 1), (1, 0)] {
            assert!(
                !problem("SELECT 1", line, column)
                    .render(None)
                    .contains("LINE")
            );
        }
        assert!(
            problem("SELECT 1", 1, 900)
                .render(None)
                .contains("        ^")
        );
    }

    #[test]
    fn a_body_that_is_no_problem_is_quoted() {
        let problem = Problem::from_body(502, b"Bad Gateway\n");
        assert_eq!(problem.to_string(), "Bad Gateway");
        assert!(problem.is_passing());
        assert_eq!(
            Problem::from_body(404, b"").to_string(),
            "the server answered HTTP status 404"
        );
    }

    #[test]
    fn a_problem_document_is_read_whole() {
        let problem = Problem::from_body(
            400,
            br#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"syntax error",
                "sqlstate":"42601","position":{"line":1,"column":8},"hint":"h","query_id":"q","other":1}"#,
        );
        assert_eq!(problem.position, Some(Position { line: 1, column: 8 }));
        assert_eq!(problem.sqlstate.as_deref(), Some("42601"));
    }
}
