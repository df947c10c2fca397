//! `COPY … TO STDOUT`: the rows of a query in messages of some 64 KiB.

use arrow::record_batch::RecordBatch;
use weir_engine::Request;
use weir_engine::sql::Parsed;
use weir_engine::sql::statement::Copy;

use super::connection::{Connection, Outcome, SEND_BYTES, canceled};
use super::copy::{CopyFormat, Layout, SIGNATURE, options};
use super::failure;
use super::portal::Given;
use super::value::{self, Column, Format, Zone};
use super::wire::{Out, Report};
use crate::encode::EncodeError;

impl Connection {
    /// Sends the rows of a copy.
    pub(super) async fn copy_out(
        &mut self,
        copy: &Copy,
        parsed: &Parsed,
        text: &str,
    ) -> Outcome<Given> {
        if !copy.partitioned_by.is_empty() {
            return Err(Report::error("42601", "COPY … TO STDOUT has no partitions").into());
        }
        let format = options(copy.format.as_deref(), &copy.options, true)?;
        let request = Request {
            copies_out: true,
            ..Request::new(parsed.sql.clone())
        };
        let session = self.session.clone();
        let asked = async {
            let answer = Box::pin(session.execute(request)).await;
            answer.map_err(|error| failure::report(&error, text, parsed.position))
        };
        let mut answer = self.guarded(asked).await?;
        let zone = self.zone();
        let columns = answer.schema.fields().len();
        let is_binary = format == CopyFormat::Binary;
        self.wire.out.copy_response(b'H', columns, is_binary);
        let mut rows = 0_u64;
        let mut begun = false;
        let mut head = Vec::new();
        loop {
            let batch = self.next_batch(&mut answer.rows, false).await?;
            if !begun {
                begun = true;
                head = begin(&format, &answer.schema);
                if !is_binary && !head.is_empty() {
                    self.wire.out.copy_data(&std::mem::take(&mut head));
                }
            }
            let Some(batch) = batch else { break };
            let rows_of = Rows::new(&batch, &format, &zone)?;
            let mut from = 0;
            while from < batch.num_rows() {
                from = rows_of.encode(&format, from, &mut head, &mut self.wire.out)?;
                if self.stop.is_cancelled() {
                    return Err(canceled().into());
                }
                self.wire.flush().await?;
            }
            rows += batch.num_rows() as u64;
        }
        if is_binary {
            head.extend_from_slice(&(-1_i16).to_be_bytes());
            self.wire.out.copy_data(&head);
        }
        self.wire.out.copy_done();
        self.notices();
        self.wire.out.complete(&format!("COPY {rows}"));
        Ok(Given::Sent)
    }
}

/// What comes before the rows: a message of its own, but in binary the beginning of the first one. Clients read binary copies
/// message by message, and expect a row in each.
fn begin(format: &CopyFormat, schema: &arrow::datatypes::Schema) -> Vec<u8> {
    let names = schema.fields().iter().map(|field| field.name().as_bytes());
    let mut line = Vec::new();
    match format {
        CopyFormat::Binary => {
            line.extend_from_slice(SIGNATURE);
            // Flags, and the length of an extension.
            line.extend_from_slice(&[0; 8]);
        }
        CopyFormat::Text(layout) if layout.header => {
            for (at, name) in names.enumerate() {
                if at > 0 {
                    line.push(layout.delimiter);
                }
                escaped(name, layout.delimiter, &mut line);
            }
            line.push(b'\n');
        }
        CopyFormat::Csv(layout) if layout.header => {
            for (at, name) in names.enumerate() {
                if at > 0 {
                    line.push(layout.delimiter);
                }
                quoted(name, layout, false, &mut line);
            }
            line.push(b'\n');
        }
        CopyFormat::Text(_) | CopyFormat::Csv(_) => {}
    }
    line
}

/// The rows of a batch, ready to be written.
struct Rows {
    columns: Vec<Column>,
    /// Which columns are always in quotes.
    forced: Vec<bool>,
    count: usize,
}

impl Rows {
    fn new(batch: &RecordBatch, format: &CopyFormat, zone: &Zone) -> Result<Self, EncodeError> {
        let values = match format {
            CopyFormat::Binary => Format::Binary,
            CopyFormat::Text(_) | CopyFormat::Csv(_) => Format::Text,
        };
        let schema = batch.schema();
        let fields = schema.fields().iter();
        let forced = match format {
            CopyFormat::Csv(layout) => fields
                .map(|field| layout.force_quote.has(field.name()))
                .collect(),
            _ => vec![false; batch.num_columns()],
        };
        Ok(Self {
            columns: value::columns(batch, &vec![values; batch.num_columns()], zone)?,
            forced,
            count: batch.num_rows(),
        })
    }

    /// Writes rows from `from` on, a message each, until there are enough to be sent; says which is next. The first has what
    /// is in `head` before it.
    fn encode(
        &self,
        format: &CopyFormat,
        from: usize,
        head: &mut Vec<u8>,
        out: &mut Out,
    ) -> Result<usize, EncodeError> {
        let columns = &self.columns;
        let mut value = Vec::new();
        for row in from..self.count {
            out.message(b'd', |body| match format {
                CopyFormat::Binary => {
                    body.append(head);
                    value::row(columns, row, body)
                }
                CopyFormat::Text(layout) => {
                    let put = |value: &[u8], _, body: &mut Vec<u8>| {
                        escaped(value, layout.delimiter, body);
                    };
                    line(columns, row, layout, &mut value, body, put)
                }
                CopyFormat::Csv(layout) => {
                    let put = |value: &[u8], at: usize, body: &mut Vec<u8>| {
                        let is_forced = self.forced.get(at).copied().unwrap_or(false);
                        quoted(value, layout, is_forced, body);
                    };
                    line(columns, row, layout, &mut value, body, put)
                }
            })?;
            if out.len() >= SEND_BYTES {
                return Ok(row + 1);
            }
        }
        Ok(self.count)
    }
}

fn line(
    columns: &[Column],
    row: usize,
    layout: &Layout,
    value: &mut Vec<u8>,
    body: &mut Vec<u8>,
    put: impl Fn(&[u8], usize, &mut Vec<u8>),
) -> Result<(), EncodeError> {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            body.push(layout.delimiter);
        }
        if column.is_null(row) {
            body.extend_from_slice(layout.null.as_bytes());
            continue;
        }
        value.clear();
        column.value(row, value)?;
        put(value, at, body);
    }
    body.push(b'\n');
    Ok(())
}

/// A value in the text format, in which a backslash hides what has a meaning.
fn escaped(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in value {
        let letter = match byte {
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            byte if *byte == delimiter => delimiter,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.push(b'\\');
        out.push(letter);
    }
}

/// A value in CSV, in quotes where it needs them.
fn quoted(value: &[u8], layout: &Layout, is_forced: bool, out: &mut Vec<u8>) {
    let needs = |byte: &u8| {
        *byte == layout.delimiter || *byte == layout.quote || matches!(byte, b'\n' | b'\r')
    };
    let is_null = value == layout.null.as_bytes();
    // A line of its own with this would end the data.
    let is_end = value == b"\\.";
    if !is_forced && !is_null && !is_end && !value.iter().any(needs) {
        return out.extend_from_slice(value);
    }
    out.push(layout.quote);
    for byte in value {
        if *byte == layout.quote || *byte == layout.escape {
            out.push(layout.escape);
        }
        out.push(*byte);
    }
    out.push(layout.quote);
}
