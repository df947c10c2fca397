//! The text and CSV formats of a copy, read line by line from pieces that are cut anywhere.

use super::Builder;
use crate::postgres::copy::Layout;
use crate::postgres::wire::Report;

/// The most bytes of one line.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Reads lines.
pub(super) struct Lines {
    layout: Layout,
    is_csv: bool,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// Lines that have ended, those within quotes among them.
    number: u64,
    /// The number of the line that a row starts in.
    starts: u64,
    in_quotes: bool,
    is_escaped: bool,
    /// Whether the header has come, or there is none.
    is_past_header: bool,
    /// Whether `\.` has come, after which nothing counts.
    has_ended: bool,
}

impl Lines {
    pub(super) fn new(layout: Layout, is_csv: bool) -> Self {
        Self {
            is_past_header: !layout.header,
            layout,
            is_csv,
            line: Vec::new(),
            number: 0,
            starts: 1,
            in_quotes: false,
            is_escaped: false,
            has_ended: false,
        }
    }

    /// Takes further bytes.
    pub(super) fn push(&mut self, bytes: &[u8], rows: &mut Builder) -> Result<(), Report> {
        for byte in bytes {
            if self.has_ended {
                return Ok(());
            }
            if self.is_csv {
                // A quote and its escape both hide the end of a line.
                if self.is_escaped {
                    self.is_escaped = false;
                } else if self.in_quotes
                    && *byte == self.layout.escape
                    && self.layout.escape != self.layout.quote
                {
                    self.is_escaped = true;
                } else if *byte == self.layout.quote {
                    self.in_quotes = !self.in_quotes;
                }
            } else if self.is_escaped {
                self.is_escaped = false;
                self.keep(*byte, rows)?;
                continue;
            } else if *byte == b'\\' {
                self.is_escaped = true;
            }
            if *byte != b'\n' {
                self.keep(*byte, rows)?;
                continue;
            }
            self.number += 1;
            if self.in_quotes {
                self.keep(b'\n', rows)?;
                continue;
            }
            self.end_line(rows)?;
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8, rows: &Builder) -> Result<(), Report> {
        if self.line.len() >= LINE_BYTES_MAX {
            let message = format!("a line has more than {LINE_BYTES_MAX} bytes");
            return Err(rows.wrong("54000", message, self.starts, None, None));
        }
        self.line.push(byte);
        Ok(())
    }

    /// The end of the copy: a last line need not be ended.
    pub(super) fn finish(mut self, rows: &mut Builder) -> Result<(), Report> {
        if self.in_quotes && !self.has_ended {
            let message = "unterminated CSV quoted field";
            return Err(rows.wrong("22P04", message, self.starts, None, None));
        }
        if !self.line.is_empty() && !self.has_ended {
            self.number += 1;
            self.end_line(rows)?;
        }
        Ok(())
    }

    fn end_line(&mut self, rows: &mut Builder) -> Result<(), Report> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let starts = std::mem::replace(&mut self.starts, self.number + 1);
        if line == b"\\." {
            self.has_ended = true;
            return Ok(());
        }
        let text = std::str::from_utf8(&line).map_err(|_| {
            let message = "invalid byte sequence for encoding \"UTF8\"";
            rows.wrong("22021", message, starts, None, None)
        })?;
        let fields = match self.is_csv {
            true => self.csv_fields(text),
            false => self.text_fields(text),
        };
        if !self.is_past_header {
            self.is_past_header = true;
            return self.check_header(&fields, starts, rows);
        }
        let schema = std::sync::Arc::clone(rows.schema());
        // A table of one column may have an empty line for an empty text; one without columns has nothing else.
        let values: Vec<Option<String>> = fields
            .into_iter()
            .enumerate()
            .map(|(at, field)| {
                let name = schema
                    .fields()
                    .get(at)
                    .map_or("", |field| field.name().as_str());
                self.value(field, name)
            })
            .collect();
        rows.texts(starts, &values)
    }

    /// What a field stands for.
    fn value(&self, field: Field, name: &str) -> Option<String> {
        if !self.is_csv {
            return (!field.is_null).then_some(field.text);
        }
        let is_null = match field.is_quoted {
            false => field.text == self.layout.null && !self.layout.force_not_null.has(name),
            true => field.text == self.layout.null && self.layout.force_null.has(name),
        };
        (!is_null).then_some(field.text)
    }

    fn check_header(&self, fields: &[Field], line: u64, rows: &Builder) -> Result<(), Report> {
        if !self.layout.matches_header {
            return Ok(());
        }
        let names = rows
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str());
        let found = fields.iter().map(|field| field.text.as_str());
        if names.clone().eq(found.clone()) {
            return Ok(());
        }
        let wrong = names.zip(found).position(|(name, found)| name != found);
        let message = "the header line does not name the columns, in their order";
        Err(rows.wrong("22P04", message, line, wrong, None))
    }

    /// The fields of a line of the text format, backslashes resolved.
    fn text_fields(&self, line: &str) -> Vec<Field> {
        let delimiter = char::from(self.layout.delimiter);
        let mut fields = Vec::new();
        let mut field = String::new();
        let mut raw = String::new();
        let mut letters = line.chars().peekable();
        loop {
            let next = letters.next();
            match next {
                Some(letter) if letter != delimiter => {
                    raw.push(letter);
                    if letter != '\\' {
                        field.push(letter);
                        continue;
                    }
                    let Some(hidden) = letters.next() else {
                        field.push('\\');
                        continue;
                    };
                    raw.push(hidden);
                    match hidden {
                        'b' => field.push('\u{8}'),
                        'f' => field.push('\u{c}'),
                        'n' => field.push('\n'),
                        'r' => field.push('\r'),
                        't' => field.push('\t'),
                        'v' => field.push('\u{b}'),
                        'x' => {
                            let code = number(&mut letters, None, 16, 2, &mut raw);
                            field.push(code.unwrap_or('x'));
                        }
                        '0'..='7' => {
                            let code = number(&mut letters, Some(hidden), 8, 2, &mut raw);
                            field.push(code.unwrap_or(hidden));
                        }
                        other => field.push(other),
                    }
                }
                _ => {
                    // Null is recognized before backslashes are.
                    fields.push(Field {
                        is_null: raw == self.layout.null,
                        text: std::mem::take(&mut field),
                        is_quoted: false,
                    });
                    raw.clear();
                    if next.is_none() {
                        return fields;
                    }
                }
            }
        }
    }

    /// The fields of a line of CSV.
    fn csv_fields(&self, line: &str) -> Vec<Field> {
        let layout = &self.layout;
        let (delimiter, quote, escape) = (
            char::from(layout.delimiter),
            char::from(layout.quote),
            char::from(layout.escape),
        );
        let mut fields = Vec::new();
        let mut field = Field::default();
        let mut in_quotes = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            if in_quotes {
                let next = letters.peek().copied();
                if letter == escape && next.is_some_and(|next| next == quote || next == escape) {
                    field.text.extend(letters.next());
                } else if letter == quote {
                    in_quotes = false;
                } else {
                    field.text.push(letter);
                }
            } else if letter == quote {
                in_quotes = true;
                field.is_quoted = true;
            } else if letter == delimiter {
                fields.push(std::mem::take(&mut field));
            } else {
                field.text.push(letter);
            }
        }
        fields.push(field);
        fields
    }
}

/// A field of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Field {
    text: String,
    is_quoted: bool,
    is_null: bool,
}

/// A character by its code: up to so many further digits.
fn number(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    first: Option<char>,
    radix: u32,
    most: usize,
    raw: &mut String,
) -> Option<char> {
    let mut code = first.and_then(|first| first.to_digit(radix));
    for _ in 0..most {
        let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(radix)) else {
            break;
        };
        raw.extend(letters.next());
        code = Some(code.unwrap_or(0) * radix + digit);
    }
    code.and_then(char::from_u32)
}
