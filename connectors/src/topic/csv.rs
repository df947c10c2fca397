//! CSV cut into rows and fields, by RFC 4180.

use std::borrow::Cow;

/// Cuts a text into rows of fields.
pub(crate) struct Splitter<'a> {
    rest: &'a str,
    delimiter: u8,
}

/// A field; none when it is empty and unquoted, which stands for null.
pub(crate) type CsvField<'a> = Option<Cow<'a, str>>;

impl<'a> Splitter<'a> {
    pub(crate) fn new(text: &'a str, delimiter: u8) -> Self {
        Self {
            rest: text,
            delimiter,
        }
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
        let mut fields = Vec::new();
        loop {
            match self.field() {
                Ok(field) => fields.push(field),
                Err(message) => {
                    self.rest = "";
                    return Some(Err(message));
                }
            }
            match self.rest.as_bytes() {
                [byte, ..] if *byte == self.delimiter => self.skip(1),
                [b'\r', b'\n', ..] => {
                    self.skip(2);
                    return Some(Ok(fields));
                }
                [b'\n', ..] => {
                    self.skip(1);
                    return Some(Ok(fields));
                }
                [] => return Some(Ok(fields)),
                _ => {
                    self.rest = "";
                    return Some(Err("a quoted field is followed by other text"));
                }
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// A field, up to what ends it.
    fn field(&mut self) -> Result<CsvField<'a>, &'static str> {
        if self.rest.starts_with('"') {
            self.skip(1);
            return self.quoted().map(Some);
        }
        let bytes = self.rest.as_bytes();
        let mut end = bytes
            .iter()
            .position(|byte| *byte == self.delimiter || *byte == b'\n')
            .unwrap_or(bytes.len());
        if bytes.get(end) == Some(&b'\n') && end > 0 && bytes.get(end - 1) == Some(&b'\r') {
            end -= 1;
        }
        let field = self.rest.get(..end).unwrap_or_default();
        self.skip(end);
        Ok((!field.is_empty()).then_some(Cow::Borrowed(field)))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        let mut text = Cow::Borrowed("");
        loop {
            let Some(quote) = memchr::memchr(b'"', self.rest.as_bytes()) else {
                return Err("a quoted field has no closing quote");
            };
            let piece = self.rest.get(..quote).unwrap_or_default();
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            self.skip(quote + 1);
            if !self.rest.starts_with('"') {
                return Ok(text);
            }
            self.skip(1);
            text.to_mut().push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = Vec<Vec<Option<String>>>;

    fn split(text: &str) -> Result<Owned, &'static str> {
        let mut splitter = Splitter::new(text, b',');
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
