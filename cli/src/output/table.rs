//! Aligned columns.
//!
//! Widths are those of the first rows: up to [`MEASURED_ROWS`] of them are held back, and of a live query those that came
//! before the first flush. A later value that is wider moves the rest of its row, and the columns from the next block on.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use unicode_width::UnicodeWidthStr;

use super::cell::{self, Cells, Reader, is_number};
use super::vertical::Vertical;
use super::{RowWriter, Sink};
use crate::error::Result;

/// Rows whose widths are measured together.
const MEASURED_ROWS: usize = 1000;

/// Rows as aligned columns.
pub(crate) struct Table {
    /// Taken only when the rows turn out too wide for a table.
    sink: Option<Sink>,
    schema: SchemaRef,
    right: Vec<bool>,
    widths: Vec<usize>,
    held: Vec<Vec<Option<String>>>,
    rows: u64,
    header_written: bool,
    fits: Option<usize>,
    records: Option<Vertical>,
}

impl Table {
    /// A writer to `sink`; a table that does not fit into `fits` columns of text becomes one line a column.
    pub(crate) fn new(schema: &SchemaRef, fits: Option<usize>, sink: Sink) -> Self {
        Self {
            sink: Some(sink),
            right: schema
                .fields()
                .iter()
                .map(|field| is_number(field.data_type()))
                .collect(),
            widths: cell::names(schema).iter().map(|name| width(name)).collect(),
            schema: schema.clone(),
            held: Vec::new(),
            rows: 0,
            header_written: false,
            fits,
            records: None,
        }
    }

    /// Writes the rows that were held back.
    fn release(&mut self) -> Result<()> {
        for row in &self.held {
            for (widest, cell) in self.widths.iter_mut().zip(row) {
                *widest = (*widest).max(cell.as_deref().map_or(NULL.len(), width));
            }
        }
        let total = self.widths.iter().map(|width| width + 3).sum::<usize>();
        if !self.header_written
            && !self.held.is_empty()
            && self.fits.is_some_and(|fits| total > fits + 1)
            && let Some(sink) = self.sink.take()
        {
            self.records = Some(Vertical::new(&self.schema, sink));
        }
        let held = std::mem::take(&mut self.held);
        if let Some(records) = &mut self.records {
            return held
                .into_iter()
                .try_for_each(|row| records.record(row.into_iter()));
        }
        let mut text = String::new();
        if !std::mem::replace(&mut self.header_written, true) {
            self.header(&mut text);
        }
        for row in &held {
            self.row(row, &mut text);
        }
        if let Some(sink) = &mut self.sink {
            sink.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn header(&self, text: &mut String) {
        let names: Vec<String> = cell::names(&self.schema)
            .iter()
            .map(|name| lines(name).join("\\n"))
            .collect();
        for (at, (name, width)) in names.iter().zip(&self.widths).enumerate() {
            text.push_str(if at > 0 { "| " } else { " " });
            let spare = width.saturating_sub(name.width());
            text.push_str(&" ".repeat(spare / 2));
            text.push_str(name);
            text.push_str(&" ".repeat(spare - spare / 2 + 1));
        }
        trim_line(text);
        for (at, width) in self.widths.iter().enumerate() {
            text.push_str(if at > 0 { "+" } else { "" });
            text.push_str(&"-".repeat(width + 2));
        }
        text.push('\n');
    }

    /// One row; a value of several lines makes several lines, with `+` where a value goes on.
    fn row(&self, row: &[Option<String>], text: &mut String) {
        let cells: Vec<Vec<String>> = row
            .iter()
            .map(|cell| lines(cell.as_deref().unwrap_or(NULL)))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for at in 0..height {
            for (column, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
                text.push_str(if column > 0 { "| " } else { " " });
                let line = cell.get(at).map_or("", String::as_str);
                let right = self.right.get(column).copied().unwrap_or(false);
                text.push_str(&pad(line, *width, right));
                text.push(if at + 1 < cell.len() { '+' } else { ' ' });
            }
            trim_line(text);
        }
    }
}

const NULL: &str = "NULL";

impl RowWriter for Table {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let cells = Cells::new(batch, Reader::Person)?;
        for row in 0..cells.rows() {
            self.held.push(cells.row(row).collect());
            self.rows += 1;
            if self.held.len() == MEASURED_ROWS {
                self.release()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.held.is_empty() {
            self.release()?;
        }
        match (&mut self.records, &mut self.sink) {
            (Some(records), _) => records.flush(),
            (None, Some(sink)) => Ok(sink.flush()?),
            (None, None) => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if !self.held.is_empty() || !self.header_written && self.records.is_none() {
            self.release()?;
        }
        if let Some(sink) = &mut self.sink {
            let rows = self.rows;
            writeln!(sink, "({rows} {})", if rows == 1 { "row" } else { "rows" })?;
        }
        self.flush()
    }
}

/// The lines of a value, without what would move a terminal's cursor: control characters become escapes.
pub(super) fn lines(value: &str) -> Vec<String> {
    value
        .split('\n')
        .map(|line| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if !line.contains(char::is_control) {
                return line.to_owned();
            }
            let mut shown = String::with_capacity(line.len() + 8);
            for c in line.chars() {
                match c {
                    '\t' => shown.push_str("\\t"),
                    '\r' => shown.push_str("\\r"),
                    c if c.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
                    c => shown.push(c),
                }
            }
            shown
        })
        .collect()
}

/// `text` with spaces to `width` columns.
pub(super) fn pad(text: &str, width: usize, right: bool) -> String {
    let spare = " ".repeat(width.saturating_sub(text.width()));
    if right {
        spare + text
    } else {
        text.to_owned() + &spare
    }
}

/// Columns of text that a value takes.
fn width(value: &str) -> usize {
    lines(value)
        .iter()
        .map(|line| line.width())
        .max()
        .unwrap_or(0)
}

/// Ends a line without spaces at its end.
fn trim_line(text: &mut String) {
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Memory, sample, written};
    use super::super::{Expanded, Format};

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        assert_eq!(
            written(Format::Table, Expanded::Off, &[sample()]).text(),
            "\u{20}        id          |    na|me    |  x
---------------------+-------------+------
                   1 | Ann, \"A\"    |  1.5
                  20 | NULL        |  NaN
 9223372036854775807 | two        +| NULL
                     | lines\\t日本 |
(3 rows)
"
        );
    }

    #[test]
    fn no_rows_show_the_columns() {
        assert_eq!(
            written(Format::Table, Expanded::Off, &[]).text(),
            " id | na|me | x\n----+-------+---\n(0 rows)\n"
        );
    }

    #[test]
    fn a_table_too_wide_becomes_records() {
        let text = written(Format::Table, Expanded::WiderThan(20), &[sample()]).text();
        assert!(text.starts_with("-[ RECORD 1 ]"), "{text}");
        let text = written(Format::Table, Expanded::WiderThan(80), &[sample()]).text();
        assert!(text.starts_with("         id"), "{text}");
    }

    #[test]
    fn live_rows_are_shown_when_they_come_and_counted_at_the_end() {
        let memory = Memory::default();
        let mut writer = Format::Table
            .writer(&sample().schema(), Expanded::Off, Box::new(memory.clone()))
            .unwrap();
        writer.write(&sample().slice(0, 1)).unwrap();
        writer.flush().unwrap();
        let first = memory.text();
        assert_eq!(first.lines().count(), 3, "{first}");
        writer.write(&sample().slice(1, 1)).unwrap();
        writer.flush().unwrap();
        writer.finish().unwrap();
        assert_eq!(memory.text().lines().count(), 5);
        assert!(memory.text().ends_with("(2 rows)\n"));
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(super::lines("a\x1b[2Jb\r\n\u{7}"), ["a\\x1b[2Jb", "\\x07"]);
    }
}
