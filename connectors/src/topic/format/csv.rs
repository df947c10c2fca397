//! Lines of CSV, by RFC 4180.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;

use super::{Decode, Encode, Given, utf8};
use crate::topic::row::{Care, ColumnWriter, RowReader, Wanted, Wrong};

/// What stands between and around the fields of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvForm {
    /// Between fields.
    pub(crate) delimiter: u8,
    /// Around a field that holds a delimiter, a quote or the end of a line; within it a quote is doubled.
    pub(crate) quote: u8,
    /// What null is, unquoted.
    pub(crate) null: String,
}

impl Default for CsvForm {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            null: String::new(),
        }
    }
}

/// Decodes lines, each a record's value, whose fields are the columns in order.
pub(super) struct CsvDecoder {
    form: CsvForm,
    rows: RowReader,
    /// The fields of a line that are read, each with its place among the reader's columns.
    places: Vec<(usize, usize)>,
    columns: Vec<usize>,
    width: usize,
}

impl CsvDecoder {
    pub(super) fn new(form: &CsvForm, columns: &[Wanted<'_>]) -> Result<Self, ArrowError> {
        let read = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.care != Care::Ignored);
        let places: Vec<(usize, usize)> = read
            .enumerate()
            .map(|(place, (field, _))| (field, place))
            .collect();
        Ok(Self {
            form: form.clone(),
            rows: RowReader::new(columns.iter().cloned(), false)?,
            columns: (0..places.len()).collect(),
            places,
            width: columns.len(),
        })
    }
}

impl Decode for CsvDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut splitter = Splitter::new(utf8(bytes)?, &self.form);
        let fields = splitter
            .row()
            .map_err(|message| Wrong::text(format!("not valid CSV: {message}")))?;
        if !splitter.is_at_end() {
            return Err(Wrong::text("not valid CSV: it has more than one line"));
        }
        if fields.len() != self.width {
            return Err(Wrong::text(format!(
                "it has {} fields where {} are expected",
                fields.len(),
                self.width
            )));
        }
        let texts = self.places.iter();
        let texts: Vec<Option<&str>> = texts
            .map(|(field, _)| fields.get(*field).and_then(|text| text.as_deref()))
            .collect();
        self.rows.texts(&self.columns, &texts)
    }
    fn null(&mut self) {
        self.rows.null();
    }
    fn rows(&self) -> usize {
        self.rows.rows()
    }
    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.rows.columns()
    }
}

/// Writes rows as lines, without what ends a line.
pub(super) struct CsvEncoder<'a> {
    form: &'a CsvForm,
    columns: Vec<(ColumnWriter<'a>, Option<NullBuffer>)>,
    field: Vec<u8>,
    scratch: String,
}

impl<'a> CsvEncoder<'a> {
    pub(super) fn new(form: &'a CsvForm, columns: &[Given<'a>]) -> Result<Self, ArrowError> {
        let columns = columns
            .iter()
            .map(|given| {
                // Also of a column that is nothing but nulls.
                let nulls = given.array.logical_nulls();
                Ok((ColumnWriter::new(given.field, given.array)?, nulls))
            })
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self {
            form,
            columns,
            field: Vec::new(),
            scratch: String::new(),
        })
    }
}

impl Encode for CsvEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, (usize, String)> {
        let CsvForm {
            delimiter,
            quote,
            null,
        } = self.form;
        for (at, (column, nulls)) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(*delimiter);
            }
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                out.extend_from_slice(null.as_bytes());
                continue;
            }
            self.field.clear();
            column
                .write_text(row, &mut self.field, &mut self.scratch)
                .map_err(|message| (at, message))?;
            let is_special = |byte: &u8| [*delimiter, *quote, b'\n', b'\r'].contains(byte);
            if self.field != null.as_bytes() && !self.field.iter().any(is_special) {
                out.extend_from_slice(&self.field);
                continue;
            }
            out.push(*quote);
            for byte in &self.field {
                if byte == quote {
                    out.push(*quote);
                }
                out.push(*byte);
            }
            out.push(*quote);
        }
        Ok(true)
    }
}

/// Cuts a text into rows of fields.
pub(crate) struct Splitter<'a> {
    rest: &'a str,
    form: &'a CsvForm,
}

/// A field; none when it is null: unquoted, and what null is written as.
pub(crate) type CsvField<'a> = Option<Cow<'a, str>>;

impl<'a> Splitter<'a> {
    pub(crate) fn new(text: &'a str, form: &'a CsvForm) -> Self {
        Self { rest: text, form }
    }

    /// Whether nothing is left.
    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next row; empty lines are passed over. After an error there is none.
    pub(crate) fn next_row(&mut self) -> Option<Result<Vec<CsvField<'a>>, &'static str>> {
        loop {
            match self.rest.as_bytes() {
                [b'\n', ..] => self.skip(1),
                [b'\r', b'\n', ..] => self.skip(2),
                [] => return None,
                _ => break,
            }
        }
        let row = self.row();
        if row.is_err() {
            self.rest = "";
        }
        Some(row)
    }

    /// The row that begins here, with what ends its line; an empty line is a row of one empty field.
    fn row(&mut self) -> Result<Vec<CsvField<'a>>, &'static str> {
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            match self.rest.as_bytes() {
                [byte, ..] if *byte == self.form.delimiter => self.skip(1),
                [b'\r', b'\n', ..] => {
                    self.skip(2);
                    return Ok(fields);
                }
                [b'\n', ..] => {
                    self.skip(1);
                    return Ok(fields);
                }
                [] => return Ok(fields),
                _ => return Err("a quoted field is followed by other text"),
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// A field, up to what ends it.
    fn field(&mut self) -> Result<CsvField<'a>, &'static str> {
        if self.rest.as_bytes().first() == Some(&self.form.quote) {
            self.skip(1);
            return self.quoted().map(Some);
        }
        let bytes = self.rest.as_bytes();
        let mut end = bytes
            .iter()
            .position(|byte| *byte == self.form.delimiter || *byte == b'\n')
            .unwrap_or(bytes.len());
        if bytes.get(end) == Some(&b'\n') && end > 0 && bytes.get(end - 1) == Some(&b'\r') {
            end -= 1;
        }
        let field = self.rest.get(..end).unwrap_or_default();
        self.skip(end);
        Ok((field != self.form.null).then_some(Cow::Borrowed(field)))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        let quote = self.form.quote;
        let mut text = Cow::Borrowed("");
        loop {
            let Some(end) = memchr::memchr(quote, self.rest.as_bytes()) else {
                return Err("a quoted field has no closing quote");
            };
            let piece = self.rest.get(..end).unwrap_or_default();
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            self.skip(end + 1);
            if self.rest.as_bytes().first() != Some(&quote) {
                return Ok(text);
            }
            self.skip(1);
            text.to_mut().push(char::from(quote));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = Vec<Vec<Option<String>>>;

    fn split(text: &str) -> Result<Owned, &'static str> {
        let form = CsvForm::default();
        let mut splitter = Splitter::new(text, &form);
        let mut rows = Vec::new();
        while let Some(row) = splitter.next_row() {
            rows.push(
                row?.into_iter()
                    .map(|field| field.map(Cow::into_owned))
                    .collect(),
            );
        }
        Ok(rows)
    }

    proptest! {
        #[test]
        fn fields_read_back(rows in prop::collection::vec(
            prop::collection::vec(prop::option::of(any::<String>()), 2..5), 0..6), crlf in any::<bool>()) {
            let end = if crlf { "\r\n" } else { "\n" };
            let line = |row: &Vec<Option<String>>| {
                let fields = row.iter().map(|field| match field {
                    None => String::new(),
                    Some(text) => format!("\"{}\"", text.replace('"', "\"\"")),
                });
                fields.collect::<Vec<_>>().join(",")
            };
            let text = rows.iter().map(line).collect::<Vec<_>>().join(end);
            prop_assert_eq!(split(&text), Ok(rows));
        }

        #[test]
        fn no_text_panics(text in "[a\",\r\n;é]{0,12}") {
            let _ = split(&text);
        }
    }

    #[test]
    fn quotes_and_empty_fields() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            split("a,,\"\"\r\n\n\"x\n\"\"y\"\"\",z,\n"),
            Ok(vec![
                vec![some("a"), None, some("")],
                vec![some("x\n\"y\""), some("z"), None],
            ])
        );
        assert!(split("\"a").is_err());
        assert!(split("\"a\"b,c").is_err());
    }
}
