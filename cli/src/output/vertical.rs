//! One line a column, as psql's expanded display: for rows that are wider than the terminal.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use unicode_width::UnicodeWidthStr;

use super::cell::{self, Cells, Reader};
use super::table::{lines, pad};
use super::{RowWriter, Sink};
use crate::error::Result;

/// Rows as records of `name | value` lines.
pub(crate) struct Vertical {
    sink: Sink,
    names: Vec<String>,
    name_width: usize,
    rows: u64,
}

impl Vertical {
    /// A writer to `sink`.
    pub(crate) fn new(schema: &SchemaRef, sink: Sink) -> Self {
        let names = cell::names(schema);
        let name_width = names.iter().map(|name| name.width()).max().unwrap_or(0);
        Self {
            sink,
            names,
            name_width,
            rows: 0,
        }
    }

    /// Writes one record.
    pub(super) fn record(&mut self, row: impl Iterator<Item = Option<String>>) -> Result<()> {
        self.rows += 1;
        writeln!(self.sink, "-[ RECORD {} ]{}", self.rows, "-".repeat(24))?;
        for (name, value) in self.names.iter().zip(row) {
            let value = value.unwrap_or_else(|| "NULL".to_owned());
            for (at, line) in lines(&value).iter().enumerate() {
                let name = if at == 0 { name.as_str() } else { "" };
                let mark = if at == 0 { '|' } else { '+' };
                let name = pad(name, self.name_width, false);
                writeln!(self.sink, "{name} {mark} {line}")?;
            }
        }
        Ok(())
    }
}

impl RowWriter for Vertical {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let cells = Cells::new(batch, Reader::Person)?;
        (0..cells.rows()).try_for_each(|row| self.record(cells.row(row)))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.sink.flush()?)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.rows == 0 {
            writeln!(self.sink, "(0 rows)")?;
        }
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sample, written};
    use super::super::{Expanded, Format};

    #[test]
    fn a_record_is_a_block_of_lines() {
        let text = written(Format::Table, Expanded::On, &[sample()]).text();
        let shown: Vec<&str> = text.lines().collect();
        assert!(shown[0].starts_with("-[ RECORD 1 ]---"));
        assert_eq!(shown[1], "id    | 1");
        assert_eq!(shown[2], "na|me | Ann, \"A\"");
        assert_eq!(shown[6], "na|me | NULL");
        assert_eq!(shown[10], "na|me | two");
        assert_eq!(shown[11], "      + lines\\t日本");
        assert_eq!(
            written(Format::Vertical, Expanded::Off, &[]).text(),
            "(0 rows)\n"
        );
    }
}
