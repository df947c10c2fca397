//! A strict reader of JSON text (RFC 8259), one value at a time, that copies nothing it need not.
//!
//! Unlike a lenient reader it accepts no missing commas, bare control characters or half surrogates: what it lets
//! through is stored as it is and served to others.

use std::borrow::Cow;

/// How deep lists and objects may nest.
const DEPTH_MAX: usize = 128;

/// What stands next in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    Null,
    True,
    False,
    /// A number, as written.
    Number(&'a str),
    /// A string, its escapes resolved.
    Text(Cow<'a, str>),
    /// `{`, consumed.
    Object,
    /// `[`, consumed.
    List,
}

impl Token<'_> {
    /// What it is, for a person.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::True => "true".to_owned(),
            Self::False => "false".to_owned(),
            Self::Number(text) => text.chars().take(40).collect(),
            Self::Text(text) => {
                let short: String = text.chars().take(40).collect();
                let cut = if short.len() < text.len() { "…" } else { "" };
                format!("{short:?}{cut}")
            }
            Self::Object => "an object".to_owned(),
            Self::List => "a list".to_owned(),
        }
    }
}

/// Why a text is not JSON: what is wrong, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) message: Cow<'static, str>,
    pub(crate) at: usize,
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    pub(crate) fn wrong<T>(&self, message: impl Into<Cow<'static, str>>) -> Result<T, Syntax> {
        Err(Syntax {
            message: message.into(),
            at: self.at,
        })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        // Ends lie beside ASCII bytes that were seen, so they are character boundaries.
        self.text.get(from..to).unwrap_or_default()
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, Syntax> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.wrong(match rest.chars().next() {
            Some(found) => format!("expected {wanted}, found {found:?}"),
            None => format!("expected {wanted}, but the text ends"),
        })
    }

    /// Whether nothing but space is left.
    pub(crate) fn end(&mut self) -> Result<(), Syntax> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.unexpected("the end of the row"),
        }
    }

    /// The next value, or its opening bracket.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Syntax> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Token::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Token::Number),
            Some(b'{') => {
                self.at += 1;
                Ok(Token::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Token::List)
            }
            Some(b't') => self.literal("true", Token::True),
            Some(b'f') => self.literal("false", Token::False),
            Some(b'n') => self.literal("null", Token::Null),
            _ => self.unexpected("a value"),
        }
    }

    fn literal(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Syntax> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return self.unexpected("a value");
        }
        self.at += word.len();
        match self.peek() {
            Some(next) if next.is_ascii_alphanumeric() => self.unexpected("a comma or the end"),
            _ => Ok(token),
        }
    }

    fn number(&mut self) -> Result<&'a str, Syntax> {
        let start = self.at;
        self.eat(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.unexpected("a digit"),
        }
        if self.eat(b'.') {
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if !self.eat(b'-') {
                self.eat(b'+');
            }
            self.some_digits()?;
        }
        match self.peek() {
            Some(next) if next.is_ascii_alphanumeric() || next == b'.' => {
                self.unexpected("the end of the number")
            }
            _ => Ok(self.slice(start, self.at)),
        }
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        self.digits();
        if self.at == start {
            return self.unexpected("a digit");
        }
        Ok(())
    }

    /// The rest of a string whose opening quote is consumed.
    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>, Syntax> {
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.slice(start, self.at);
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(byte) if byte >= 0x20 => self.at += 1,
                Some(_) => return self.wrong("a control character stands in a string unescaped"),
                None => return self.wrong("a string has no closing quote"),
            }
        }
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, Syntax> {
        let mut text = self.slice(start, self.at).to_owned();
        loop {
            let from = self.at;
            while let Some(byte) = self.peek()
                && byte >= 0x20
                && byte != b'"'
                && byte != b'\\'
            {
                self.at += 1;
            }
            text.push_str(self.slice(from, self.at));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(_) => return self.wrong("a control character stands in a string unescaped"),
                None => return self.wrong("a string has no closing quote"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Syntax> {
        let letter = self.peek();
        self.at += 1;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => {
                self.at -= 1;
                return self.wrong("a backslash is followed by no known escape");
            }
        })
    }

    fn unicode(&mut self) -> Result<char, Syntax> {
        let high = self.hex4()?;
        let code = match high {
            0xD800..=0xDBFF => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return self.wrong("half of a surrogate pair stands alone");
                }
                let low = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return self.wrong("half of a surrogate pair stands alone");
                }
                0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            _ => high,
        };
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.wrong("half of a surrogate pair stands alone"),
        }
    }

    fn hex4(&mut self) -> Result<u32, Syntax> {
        let mut code = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => return self.unexpected("four hexadecimal digits"),
            }
            self.at += 1;
        }
        Ok(code)
    }

    /// The next key of an object whose opening bracket is consumed, with its colon; none at its end.
    #[inline]
    pub(crate) fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Syntax> {
        self.skip_space();
        if self.eat(b'}') {
            return Ok(None);
        }
        if !first {
            if !self.eat(b',') {
                return self.unexpected("',' or '}'");
            }
            self.skip_space();
        }
        if !self.eat(b'"') {
            return self.unexpected("a quoted name");
        }
        let key = self.string()?;
        self.skip_space();
        if !self.eat(b':') {
            return self.unexpected("':'");
        }
        Ok(Some(key))
    }

    /// Whether a list whose opening bracket is consumed has another item.
    #[inline]
    pub(crate) fn item(&mut self, first: bool) -> Result<bool, Syntax> {
        self.skip_space();
        if self.eat(b']') {
            return Ok(false);
        }
        if !first && !self.eat(b',') {
            return self.unexpected("',' or ']'");
        }
        Ok(true)
    }

    /// Steps over a value of any kind and gives its text.
    pub(crate) fn raw(&mut self) -> Result<&'a str, Syntax> {
        self.skip_space();
        let start = self.at;
        self.skip(0)?;
        Ok(self.slice(start, self.at))
    }

    fn skip(&mut self, depth: usize) -> Result<(), Syntax> {
        if depth > DEPTH_MAX {
            return self.wrong("lists and objects nest too deep");
        }
        match self.token()? {
            Token::Object => {
                let mut first = true;
                while self.key(first)?.is_some() {
                    first = false;
                    self.skip(depth + 1)?;
                }
            }
            Token::List => {
                let mut first = true;
                while self.item(first)? {
                    first = false;
                    self.skip(depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a text is one JSON value, whole.
pub(crate) fn is_json(text: &str) -> bool {
    let mut cursor = Cursor::new(text);
    cursor.raw().is_ok() && cursor.end().is_ok()
}

/// Writes a string as JSON, quoted and escaped.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        plain = at + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'0', b'0', DIGITS[high], DIGITS[low]]);
        }
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            let out = String::from_utf8(out).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text.clone());
            prop_assert_eq!(Cursor::new(&out).token(), Ok(Token::Text(text.into())));
        }

        /// Text made of JSON's own characters is JSON here exactly when it is for `serde_json`.
        #[test]
        fn agrees_with_serde(text in "[\\[\\]{}:,\"\\\\0-2eE.\\-+ abceftnlrsu\n]{0,14}") {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(is_json(&text), theirs, "{:?}", text);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            is_json(&text);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(!is_json(&"[".repeat(100_000)));
        assert!(is_json(&format!("{}{}", "[".repeat(100), "]".repeat(100))));
    }

    #[test]
    fn what_lenient_readers_take_is_refused() {
        for bad in [
            r#"{"a" 1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1,}"#,
            "[1,,2]",
            "01",
            "1.",
            "nullx",
            r#""\ud800""#,
            "\"\n\"",
            "1 2",
        ] {
            assert!(!is_json(bad), "{bad} was accepted");
        }
    }
}
