//! A table for a document: GitHub-flavoured Markdown.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cell::{Cells, Reader, is_number};
use super::{RowWriter, Sink};
use crate::error::Result;

/// Rows as lines between pipes. Columns are not aligned: rows are written as they come.
pub(crate) struct Markdown {
    sink: Sink,
    schema: Option<SchemaRef>,
}

impl Markdown {
    /// A writer to `sink`.
    pub(crate) fn new(schema: &SchemaRef, sink: Sink) -> Self {
        Self {
            sink,
            schema: Some(schema.clone()),
        }
    }

    fn header(&mut self) -> Result<()> {
        let Some(schema) = self.schema.take() else {
            return Ok(());
        };
        let (mut names, mut rule) = (String::from("|"), String::from("|"));
        for field in schema.fields() {
            names.push(' ');
            names.push_str(&escaped(field.name()));
            names.push_str(" |");
            rule.push_str(if is_number(field.data_type()) {
                "---:|"
            } else {
                "---|"
            });
        }
        writeln!(self.sink, "{names}\n{rule}")?;
        Ok(())
    }
}

impl RowWriter for Markdown {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.header()?;
        let cells = Cells::new(batch, Reader::Person)?;
        for row in 0..cells.rows() {
            let mut line = String::from("|");
            for cell in cells.row(row) {
                line.push(' ');
                line.push_str(&cell.map_or_else(|| "NULL".to_owned(), |text| escaped(&text)));
                line.push_str(" |");
            }
            writeln!(self.sink, "{line}")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.header()?;
        Ok(self.sink.flush()?)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace("\r\n", "<br>")
        .replace(['\n', '\r'], "<br>")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sample, written};
    use super::super::{Expanded, Format};

    #[test]
    fn pipes_and_line_feeds_do_not_break_the_table() {
        assert_eq!(
            written(Format::Markdown, Expanded::Off, &[sample()]).text(),
            "| id | na\\|me | x |\n|---:|---|---:|\n| 1 | Ann, \"A\" | 1.5 |\n| 20 | NULL | NaN |\n\
             | 9223372036854775807 | two<br>lines\t日本 | NULL |\n"
        );
    }
}
