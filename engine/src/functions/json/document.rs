//! A JSON document as a tree that knows where in its text each part stands.
//!
//! Numbers keep their text: PostgreSQL's are of any size and as exact as they were written. [`Document::canonical`] is the
//! form that `jsonb` has: keys by length and then by bytes, the last of equal ones, one space after `:` and `,`.

use std::fmt::Write;

use datafusion::common::Result;
use weir_base::SqlState;

use crate::error::Error;

/// How deep a document may be nested.
const DEPTH_MAX: usize = 512;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Document {
    Null,
    Boolean(bool),
    /// Its text.
    Number(String),
    Text(String),
    List(Vec<Part>),
    Object(Vec<(String, Part)>),
}

/// A value within another, and its text as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) value: Document,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Part {
    /// A value that was not read from the text at hand.
    pub(crate) fn made(value: Document) -> Self {
        Self {
            value,
            from: 0,
            to: 0,
        }
    }

    /// Its part of the text that the document was read from.
    pub(crate) fn text<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.from..self.to).unwrap_or_default()
    }
}

/// Reads a document.
///
/// # Errors
/// 22P02 when the text is none.
pub(crate) fn read(text: &str) -> Result<Part> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
    };
    let part = reader.value(0);
    reader.space();
    match part {
        Some(part) if reader.at == text.len() => Ok(part),
        _ => Err(no_json(text).into()),
    }
}

fn no_json(text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::invalid(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("{shown:?} is no value of type JSON"),
    )
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
        })
    }

    fn value(&mut self, depth: usize) -> Option<Part> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.space();
        let from = self.at;
        let value = match self.peek()? {
            b'n' => self.word("null").map(|()| Document::Null)?,
            b't' => self.word("true").map(|()| Document::Boolean(true))?,
            b'f' => self.word("false").map(|()| Document::Boolean(false))?,
            b'"' => Document::Text(self.string()?),
            b'[' => self.list(depth)?,
            b'{' => self.object(depth)?,
            _ => self.number()?,
        };
        Some(Part {
            value,
            from,
            to: self.at,
        })
    }

    fn list(&mut self, depth: usize) -> Option<Document> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Some(Document::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Some(Document::List(items));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Document> {
        self.at += 1;
        let mut fields = Vec::new();
        self.space();
        if self.take(b'}') {
            return Some(Document::Object(fields));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return None;
            }
            let key = self.string()?;
            self.space();
            if !self.take(b':') {
                return None;
            }
            fields.push((key, self.value(depth + 1)?));
            self.space();
            if self.take(b'}') {
                return Some(Document::Object(fields));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<Document> {
        let from = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(Document::Number(self.text.get(from..self.at)?.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut value = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            value.push_str(self.text.get(from..self.at)?);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(value);
                }
                b'\\' => {
                    self.at += 1;
                    value.push(self.escape()?);
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let escaped = self.peek()?;
        self.at += 1;
        Some(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high);
                }
                self.word("\\u")?;
                let low = self.hex()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return None;
                }
                char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    }
}

impl Document {
    /// The text that `jsonb` shows.
    pub(crate) fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(&plain_number(text)),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    item.value.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (at, (key, part)) in sorted(fields).into_iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    quote(key, out);
                    out.push_str(": ");
                    part.value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The text with a line for each value, as `jsonb_pretty` has it.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write_pretty(0, &mut out);
        out
    }

    fn write_pretty(&self, depth: usize, out: &mut String) {
        let line = |depth: usize, out: &mut String| {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str("    "));
        };
        match self {
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    line(depth + 1, out);
                    item.value.write_pretty(depth + 1, out);
                }
                line(depth, out);
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (at, (key, part)) in sorted(fields).into_iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    line(depth + 1, out);
                    quote(key, out);
                    out.push_str(": ");
                    part.value.write_pretty(depth + 1, out);
                }
                line(depth, out);
                out.push('}');
            }
            simple => simple.write(out),
        }
    }

    /// The field of a name: the last, where there are several.
    pub(crate) fn field(&self, name: &str) -> Option<&Part> {
        match self {
            Self::Object(fields) => fields
                .iter()
                .rev()
                .find_map(|(key, part)| (key == name).then_some(part)),
            _ => None,
        }
    }

    /// The item at a place, from the end where it is negative.
    pub(crate) fn item(&self, place: i64) -> Option<&Part> {
        match self {
            Self::List(items) => items.get(index(place, items.len())?),
            _ => None,
        }
    }

    /// What `jsonb_typeof` says.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// Whether it holds all of `other`: PostgreSQL's `@>` (manual, 8.14.3).
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(_), Self::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
                self.field(key)
                    .is_some_and(|found| found.value.contains(&wanted.value))
            }),
            (Self::List(items), Self::List(wanted)) => wanted.iter().all(|wanted| {
                items.iter().any(|item| match (&item.value, &wanted.value) {
                    (Self::List(_), Self::List(_)) | (Self::Object(_), Self::Object(_)) => {
                        item.value.contains(&wanted.value)
                    }
                    (item, wanted) => item.equals(wanted),
                })
            }),
            // An array holds a value that stands alone.
            (Self::List(items), simple) if !matches!(simple, Self::Object(_)) => {
                items.iter().any(|item| item.value.equals(simple))
            }
            (left, right) => left.equals(right),
        }
    }

    /// Whether both are the same value, however they are written.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => {
                significant(&plain_number(left)) == significant(&plain_number(right))
            }
            (Self::List(left), Self::List(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|(left, right)| left.value.equals(&right.value))
            }
            (Self::Object(left), Self::Object(right)) => {
                let (left, right) = (sorted(left), sorted(right));
                left.len() == right.len()
                    && left.iter().zip(&right).all(|(left, right)| {
                        left.0 == right.0 && left.1.value.equals(&right.1.value)
                    })
            }
            (left, right) => left == right,
        }
    }
}

/// A place in a list of so many.
pub(crate) fn index(place: i64, count: usize) -> Option<usize> {
    match usize::try_from(place) {
        Ok(place) => Some(place),
        Err(_) => count.checked_sub(usize::try_from(place.unsigned_abs()).ok()?),
    }
}

/// Fields as `jsonb` keeps them: by length of the key and then by its bytes, the last of equal ones.
fn sorted(fields: &[(String, Part)]) -> Vec<(&str, &Part)> {
    let mut fields: Vec<_> = fields
        .iter()
        .map(|(key, part)| (key.as_str(), part))
        .collect();
    fields.sort_by(|(left, _), (right, _)| {
        (left.len(), left.as_bytes()).cmp(&(right.len(), right.as_bytes()))
    });
    let mut kept: Vec<(&str, &Part)> = Vec::with_capacity(fields.len());
    for field in fields {
        match kept.last_mut() {
            Some(last) if last.0 == field.0 => *last = field,
            _ => kept.push(field),
        }
    }
    kept
}

/// A number without exponent, as PostgreSQL's `numeric` shows it.
fn plain_number(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return text.to_owned();
    };
    // A number of a million digits helps nobody; it stays as it is.
    let Some(exponent) = exponent
        .parse::<i64>()
        .ok()
        .filter(|exponent| exponent.abs() <= 1000)
    else {
        return text.to_owned();
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i64 + exponent;
    let value = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{digits:0<point$}"),
        Ok(point) if point > 0 => format!(
            "{}.{}",
            digits.get(..point).unwrap_or_default(),
            digits.get(point..).unwrap_or_default()
        ),
        _ => format!(
            "0.{}{digits}",
            "0".repeat(usize::try_from(-point).unwrap_or_default())
        ),
    };
    let zeros = value
        .bytes()
        .zip(value.bytes().skip(1))
        .take_while(|(digit, next)| *digit == b'0' && next.is_ascii_digit())
        .count();
    format!("{sign}{}", value.get(zeros..).unwrap_or_default())
}

/// A number without zeros at its end.
fn significant(text: &str) -> &str {
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    if text == "-0" { "0" } else { text }
}

/// Writes a text in quotes.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        read(text).unwrap().value.canonical()
    }

    #[test]
    fn the_canonical_form_is_that_of_jsonb() {
        for (text, expected) in [
            (
                r#" {"b":1,"aa":2,"a":{"x":[1,2 , null]}} "#,
                r#"{"a": {"x": [1, 2, null]}, "b": 1, "aa": 2}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            ("1e2", "100"),
            ("-1.50e-3", "-0.00150"),
            ("12.5e1", "125"),
            ("1.10", "1.10"),
            (r#""a\u00e9\ud83d\ude00\n""#, "\"aé😀\\n\""),
        ] {
            assert_eq!(canonical(text), expected);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "nul",
            "\"a",
            "[1] 2",
            "{'a':1}",
            "+1",
            "\"\u{1}\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn containment_is_postgresqls() {
        for (left, right, expected) in [
            (r#"{"a":1,"b":2}"#, r#"{"a":1.0}"#, true),
            ("[1,2,[1,3]]", "[[1]]", true),
            ("[1,2]", "[2,1,1]", true),
            ("[1,2]", "1", true),
            ("1", "[1]", false),
            (r#"{"a":{"b":1}}"#, r#"{"b":1}"#, false),
            (r#"["a",{"b":1}]"#, r#"{"b":1}"#, false),
        ] {
            let found = read(left)
                .unwrap()
                .value
                .contains(&read(right).unwrap().value);
            assert_eq!(found, expected, "{left} @> {right}");
        }
    }
}
