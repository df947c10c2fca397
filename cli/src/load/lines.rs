//! NDJSON and CSV, cut at the ends of rows without being parsed: the server parses, and says which row is wrong.

use std::io::BufRead;

use bytes::Bytes;

use super::batches::{BODY_BYTES_MAX, Batch, CSV, NDJSON};
use crate::error::{Error, Result};

/// Cuts lines; empty ones are no rows.
pub(super) fn ndjson(
    mut input: Box<dyn BufRead>,
    rows_max: usize,
    mut take: impl FnMut(Batch) -> bool,
) -> Result<()> {
    let mut body = Body::new(NDJSON, Vec::new());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_row = !line.trim_ascii().is_empty();
        if !body.push(&line, is_row, rows_max, &mut take) {
            return Ok(());
        }
    }
    body.finish(&mut take);
    Ok(())
}

/// Cuts records, which may hold line feeds in quotes; every batch gets the header line.
pub(super) fn csv(
    mut input: Box<dyn BufRead>,
    rows_max: usize,
    mut take: impl FnMut(Batch) -> bool,
) -> Result<()> {
    let mut record = Vec::new();
    let header_bytes = read_record(&mut *input, &mut record)?;
    if header_bytes == 0 {
        return Ok(());
    }
    let mut header = record
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&record)
        .to_vec();
    if header.last() != Some(&b'\n') {
        header.push(b'\n');
    }
    let mut body = Body::new(CSV, header);
    body.read_bytes = header_bytes as u64;
    loop {
        record.clear();
        if read_record(&mut *input, &mut record)? == 0 {
            break;
        }
        let is_row = !record.trim_ascii().is_empty();
        if !body.push(&record, is_row, rows_max, &mut take) {
            return Ok(());
        }
    }
    body.finish(&mut take);
    Ok(())
}

/// Appends one record to `record`; answers its bytes, 0 at the end.
fn read_record(input: &mut dyn BufRead, record: &mut Vec<u8>) -> Result<usize> {
    let mut quotes = 0_usize;
    let mut scanned = 0;
    loop {
        if input.read_until(b'\n', record)? == 0 {
            if !quotes.is_multiple_of(2) {
                return Err(Error::Rows("the last record ends inside of quotes".into()));
            }
            return Ok(record.len());
        }
        let new = record.get(scanned..).unwrap_or_default();
        // A quote in a quoted field is written twice, so an even number of quotes ends the field.
        quotes += new.iter().filter(|byte| **byte == b'"').count();
        scanned = record.len();
        if quotes.is_multiple_of(2) {
            return Ok(record.len());
        }
        if record.len() > BODY_BYTES_MAX {
            return Err(Error::Rows(format!(
                "a record is longer than {BODY_BYTES_MAX} bytes; is a quote not closed?"
            )));
        }
    }
}

struct Body {
    content_type: &'static str,
    header: Vec<u8>,
    bytes: Vec<u8>,
    rows: u64,
    read_bytes: u64,
}

impl Body {
    fn new(content_type: &'static str, header: Vec<u8>) -> Self {
        Self {
            content_type,
            bytes: header.clone(),
            header,
            rows: 0,
            read_bytes: 0,
        }
    }

    /// Adds a row; answers whether more are wanted.
    fn push(
        &mut self,
        row: &[u8],
        is_row: bool,
        rows_max: usize,
        take: &mut impl FnMut(Batch) -> bool,
    ) -> bool {
        if self.rows > 0 && self.bytes.len() + row.len() > BODY_BYTES_MAX && !self.send(take) {
            return false;
        }
        self.read_bytes += row.len() as u64;
        if is_row {
            self.bytes.extend_from_slice(row);
            if row.last() != Some(&b'\n') {
                self.bytes.push(b'\n');
            }
            self.rows += 1;
        }
        self.rows < rows_max as u64 || self.send(take)
    }

    fn finish(&mut self, take: &mut impl FnMut(Batch) -> bool) {
        if self.rows > 0 {
            self.send(take);
        }
    }

    fn send(&mut self, take: &mut impl FnMut(Batch) -> bool) -> bool {
        let body = std::mem::replace(&mut self.bytes, self.header.clone());
        take(Batch {
            body: Bytes::from(body),
            content_type: self.content_type,
            rows: std::mem::take(&mut self.rows),
            read_bytes: std::mem::take(&mut self.read_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    type Read = fn(Box<dyn BufRead>, usize, &mut dyn FnMut(Batch) -> bool) -> Result<()>;

    fn bodies(read: Read, text: &str, rows: usize) -> Vec<(String, u64, u64)> {
        let mut bodies = Vec::new();
        read(Box::new(Cursor::new(text.to_owned())), rows, &mut |batch| {
            let text = String::from_utf8(batch.body.to_vec()).unwrap();
            bodies.push((text, batch.rows, batch.read_bytes));
            true
        })
        .unwrap();
        bodies
    }

    fn body(text: &str, rows: u64, read_bytes: u64) -> (String, u64, u64) {
        (text.to_owned(), rows, read_bytes)
    }

    #[test]
    fn lines_are_cut_into_batches() {
        assert_eq!(
            bodies(|i, n, t| ndjson(i, n, t), "{}\n\n{\"a\":1}\r\n{}", 2),
            [body("{}\n{\"a\":1}\r\n", 2, 13), body("{}\n", 1, 2)]
        );
        assert!(bodies(|i, n, t| ndjson(i, n, t), "\n \n", 2).is_empty());
    }

    #[test]
    fn records_keep_their_quoted_line_feeds_and_get_the_header() {
        assert_eq!(
            bodies(
                |i, n, t| csv(i, n, t),
                "\u{feff}a,b\n1,\"x\ny\"\n2,\"\"\"\"\n3,z",
                2
            ),
            [
                body("a,b\n1,\"x\ny\"\n2,\"\"\"\"\n", 2, 22),
                body("a,b\n3,z\n", 1, 3)
            ]
        );
        assert!(bodies(|i, n, t| csv(i, n, t), "a,b\n", 2).is_empty());
        assert!(bodies(|i, n, t| csv(i, n, t), "", 2).is_empty());
    }

    #[test]
    fn an_open_quote_is_an_error() {
        let input = Box::new(Cursor::new("a\n1\n\"open\n"));
        assert!(csv(input, 10, |_| true).is_err());
    }

    #[test]
    fn long_rows_make_smaller_batches() {
        let row = format!("{{\"a\":\"{}\"}}\n", "x".repeat(BODY_BYTES_MAX / 3));
        let bodies = bodies(|i, n, t| ndjson(i, n, t), &row.repeat(4), 100);
        assert_eq!(bodies.iter().map(|body| body.1).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn reading_stops_when_nobody_listens() {
        let mut taken = 0;
        let input = Box::new(Cursor::new("{}\n{}\n{}\n"));
        ndjson(input, 1, |_| {
            taken += 1;
            false
        })
        .unwrap();
        assert_eq!(taken, 1);
    }
}
