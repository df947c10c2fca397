//! SQL text as coloured words: enough to highlight it, and to tell a backslash command from a backslash in a text.
//!
//! It accepts everything, also what is not finished; the parser is in `weir_sql`.

use std::ops::Range;

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword.
    Word,
    /// A number.
    Number,
    /// `'…'`, `e'…'`, `$tag$…$tag$`.
    Text,
    /// `"…"`.
    Quoted,
    /// `-- …`, `/* … */`.
    Comment,
    /// A backslash outside of all of these.
    Backslash,
    /// Anything else: operators, spaces.
    Other,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Which bytes it takes.
    pub(crate) range: Range<usize>,
}

/// All of `sql` in order; together the tokens cover it.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, len) = token(rest);
        let range = at..at + len;
        at = range.end;
        match tokens.last_mut() {
            Some(last) if last.kind == Kind::Other && kind == Kind::Other => {
                last.range.end = range.end;
            }
            _ => tokens.push(Token { kind, range }),
        }
    }
    tokens
}

/// The first token of a text that is not empty, and its length in bytes.
fn token(text: &str) -> (Kind, usize) {
    let first = text.chars().next().unwrap_or(' ');
    let until = |found: Option<usize>| found.unwrap_or(text.len());
    match first {
        '\'' => (Kind::Text, quoted(text, '\'', false)),
        'e' | 'E' if text.get(1..2) == Some("'") => {
            (Kind::Text, 1 + quoted(&text[1..], '\'', true))
        }
        '"' => (Kind::Quoted, quoted(text, '"', false)),
        '-' if text.starts_with("--") => (Kind::Comment, until(text.find('\n'))),
        '/' if text.starts_with("/*") => (Kind::Comment, block_comment(text)),
        '$' => match dollar_quoted(text) {
            Some(len) => (Kind::Text, len),
            None => (Kind::Other, 1),
        },
        '\\' => (Kind::Backslash, 1),
        c if c.is_ascii_digit() => {
            let more = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
            (Kind::Number, until(text.find(|c| !more(c))))
        }
        c if c.is_alphabetic() || c == '_' => {
            let more = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            (Kind::Word, until(text.find(|c| !more(c))))
        }
        c => (Kind::Other, c.len_utf8()),
    }
}

/// The length of a text in quotes, where a quote twice, or after a backslash if `escapes`, does not end it.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

/// The length of a comment that may contain comments.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `$tag$…$tag$`; nothing when it is no such text (`$1`).
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = 1 + text.get(1..)?.find('$')?;
    let name = text.get(1..tag_end)?;
    let legal = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !legal {
        return None;
    }
    let tag = text.get(..=tag_end)?;
    let body = text.get(tag.len()..)?;
    Some(
        body.find(tag)
            .map_or(text.len(), |end| tag.len() + end + tag.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        tokens(sql)
            .into_iter()
            .filter(|token| token.kind != Kind::Other)
            .map(|token| (token.kind, &sql[token.range]))
            .collect()
    }

    #[test]
    fn texts_names_numbers_and_comments_are_told_apart() {
        use Kind::*;
        assert_eq!(
            kinds(
                "SELECT 'it''s', E'\\'', \"A\"\"b\", 1.5e3 -- c ' \n, $1 /* x /* y */ */ $q$ ' $q$ é"
            ),
            [
                (Word, "SELECT"),
                (Text, "'it''s'"),
                (Text, "E'\\''"),
                (Quoted, "\"A\"\"b\""),
                (Number, "1.5e3"),
                (Comment, "-- c ' "),
                (Number, "1"),
                (Comment, "/* x /* y */ */"),
                (Text, "$q$ ' $q$"),
                (Word, "é"),
            ]
        );
    }

    #[test]
    fn a_backslash_counts_only_outside_of_texts() {
        let backslashes = |sql: &str| {
            kinds(sql)
                .iter()
                .filter(|(kind, _)| *kind == Kind::Backslash)
                .count()
        };
        assert_eq!(backslashes("SELECT '\\d', \"\\d\" -- \\d"), 0);
        assert_eq!(backslashes("SELECT 1 \\watch"), 1);
    }

    #[test]
    fn any_text_is_covered_without_gaps() {
        for sql in [
            "",
            "'",
            "\"",
            "/*",
            "$$",
            "$a$ x",
            "e'",
            "e'\\",
            "日本 '語",
            "--",
            "$é$é$é$",
            "/*é*/",
            "1é",
        ] {
            let mut at = 0;
            for token in tokens(sql) {
                assert_eq!(token.range.start, at, "{sql:?}");
                assert!(sql.get(token.range.clone()).is_some(), "{sql:?}");
                at = token.range.end;
            }
            assert_eq!(at, sql.len(), "{sql:?}");
        }
    }
}
