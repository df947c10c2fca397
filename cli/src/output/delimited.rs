//! CSV and TSV.

use std::io::Write;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cell::{self, Cells, Reader};
use super::{RowWriter, Sink};
use crate::error::Result;

/// Rows as lines of fields.
pub(crate) struct Delimited {
    sink: Sink,
    header: Option<Vec<String>>,
    separator: u8,
    field: fn(Option<&str>, &mut Vec<u8>),
}

impl Delimited {
    /// RFC 4180, with NULL and the empty text told apart as PostgreSQL's COPY does: the text is quoted.
    pub(crate) fn csv(schema: &SchemaRef, sink: Sink) -> Self {
        Self::new(schema, sink, b',', csv_field)
    }

    /// Tab-separated values with PostgreSQL's escapes.
    pub(crate) fn tsv(schema: &SchemaRef, sink: Sink) -> Self {
        Self::new(schema, sink, b'\t', tsv_field)
    }

    fn new(
        schema: &Schema,
        sink: Sink,
        separator: u8,
        field: fn(Option<&str>, &mut Vec<u8>),
    ) -> Self {
        Self {
            sink,
            header: Some(cell::names(schema)),
            separator,
            field,
        }
    }

    fn line<'a>(
        &self,
        cells: impl Iterator<Item = Option<impl AsRef<str> + 'a>>,
        line: &mut Vec<u8>,
    ) {
        for (at, cell) in cells.enumerate() {
            if at > 0 {
                line.push(self.separator);
            }
            (self.field)(cell.as_ref().map(AsRef::as_ref), line);
        }
        line.push(b'\n');
    }

    fn header(&mut self) -> Result<()> {
        if let Some(names) = self.header.take() {
            let mut line = Vec::new();
            self.line(names.iter().map(Some), &mut line);
            self.sink.write_all(&line)?;
        }
        Ok(())
    }
}

impl RowWriter for Delimited {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.header()?;
        let cells = Cells::new(batch, Reader::Program)?;
        let mut line = Vec::new();
        for row in 0..cells.rows() {
            line.clear();
            self.line(cells.row(row), &mut line);
            self.sink.write_all(&line)?;
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

fn csv_field(text: Option<&str>, line: &mut Vec<u8>) {
    let Some(text) = text else { return };
    let special = |byte: u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !text.is_empty() && !text.bytes().any(special) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

fn tsv_field(text: Option<&str>, line: &mut Vec<u8>) {
    let Some(text) = text else {
        line.extend_from_slice(b"\\N");
        return;
    };
    for byte in text.bytes() {
        match byte {
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\\' => line.extend_from_slice(b"\\\\"),
            byte => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sample, written};
    use super::super::{Expanded, Format};

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            written(Format::Csv, Expanded::Off, &[sample()]).text(),
            "id,na|me,x\n1,\"Ann, \"\"A\"\"\",1.5\n20,,NaN\n9223372036854775807,\"two\nlines\t日本\",\n"
        );
    }

    #[test]
    fn tsv_escapes_and_has_a_null() {
        assert_eq!(
            written(Format::Tsv, Expanded::Off, &[sample()]).text(),
            "id\tna|me\tx\n1\tAnn, \"A\"\t1.5\n20\t\\N\tNaN\n9223372036854775807\ttwo\\nlines\\t日本\t\\N\n"
        );
    }

    #[test]
    fn no_rows_still_have_a_header() {
        assert_eq!(
            written(Format::Csv, Expanded::On, &[]).text(),
            "id,na|me,x\n"
        );
    }
}
