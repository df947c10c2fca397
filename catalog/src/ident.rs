//! Names and texts as SQL: quoting, and the renaming of a column within an expression that is kept as text.

use std::borrow::Cow;

/// A name as SQL text: bare when it reads back as itself, else in double quotes.
pub fn quote_ident(name: &str) -> String {
    let starts_bare = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_bare = starts_bare
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && RESERVED.binary_search(&name).is_err();
    if is_bare {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A text as a SQL string literal.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether the expression reads the column.
pub fn mentions_column(sql: &str, relation: &str, column: &str) -> bool {
    column_tokens(sql, relation, column).next().is_some()
}

/// The expression with the qualifier `from` of columns (`from.price`) renamed.
pub fn rename_qualifier<'a>(sql: &'a str, from: &str, to: &str) -> Cow<'a, str> {
    let tokens = tokens(sql);
    let is_dot = |at: usize| tokens.get(at).is_some_and(|token| token.text == ".");
    let qualifiers = tokens.iter().enumerate().filter(|(at, token)| {
        token.name.as_deref() == Some(from) && is_dot(at + 1) && !(*at > 0 && is_dot(at - 1))
    });
    replace(
        sql,
        to,
        qualifiers.map(|(_, token)| (token.start, token.end)),
    )
}

/// The expression with the column renamed; the rest of the text stays as the user wrote it.
pub fn rename_column<'a>(sql: &'a str, relation: &str, from: &str, to: &str) -> Cow<'a, str> {
    replace(sql, to, column_tokens(sql, relation, from))
}

/// The text with `name` in the place of these byte ranges.
fn replace<'a>(
    sql: &'a str,
    name: &str,
    ranges: impl Iterator<Item = (usize, usize)>,
) -> Cow<'a, str> {
    let mut replaced = String::new();
    let mut done = 0;
    for (start, end) in ranges {
        replaced.push_str(&sql[done..start]);
        replaced.push_str(&quote_ident(name));
        done = end;
    }
    if done == 0 {
        return Cow::Borrowed(sql);
    }
    replaced.push_str(&sql[done..]);
    Cow::Owned(replaced)
}

/// Byte ranges of the identifiers in `sql` that stand for the column.
///
/// A name is no column where it is called (`price(`), is a type (`CAST(x AS price)`, `x::price`), is a part of another
/// relation or a struct (`other.price`), introduces a literal (`date '2024-01-01'`), or is a unit (`INTERVAL '5' SECOND`,
/// `EXTRACT(year FROM …)`).
fn column_tokens(sql: &str, relation: &str, column: &str) -> impl Iterator<Item = (usize, usize)> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(name) = &token.name else { continue };
        if name != column {
            continue;
        }
        let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at));
        let after = tokens.get(at + 1);
        let before_is = |steps: usize, text: &str| {
            before(steps).is_some_and(|token| token.text.eq_ignore_ascii_case(text))
        };
        let qualified_elsewhere = before_is(1, ".")
            && before(2).is_none_or(|token| token.name.as_deref() != Some(relation));
        let is_type = before_is(1, "as") || before_is(1, "::");
        let is_unit = before(1).is_some_and(|token| token.is_string)
            || (before_is(1, "(") && before_is(2, "extract"));
        let is_called = after.is_some_and(|token| token.text == "(");
        let is_literal_type = after.is_some_and(|token| token.is_string);
        if !(qualified_elsewhere || is_type || is_unit || is_called || is_literal_type) {
            found.push((token.start, token.end));
        }
    }
    found.into_iter()
}

struct Token<'a> {
    start: usize,
    end: usize,
    text: &'a str,
    /// The name that it is, when it is an identifier or a word: folded to lower case unless quoted.
    name: Option<String>,
    is_string: bool,
}

/// Cuts an expression into tokens, by PostgreSQL's lexical rules as far as they decide what is an identifier.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let mut name = None;
        let mut is_string = false;
        match byte(at) {
            c if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if byte(at + 1) == b'-' => {
                at += sql[at..].find('\n').unwrap_or(sql.len() - at);
                continue;
            }
            b'/' if byte(at + 1) == b'*' => {
                at += sql[at..].find("*/").map_or(sql.len() - at, |end| end + 2);
                continue;
            }
            b'\'' => {
                at = quoted_end(bytes, at, b'\'');
                is_string = true;
            }
            b'"' => {
                at = quoted_end(bytes, at, b'"');
                let inner = sql.get(start + 1..at - 1).unwrap_or_default();
                name = Some(inner.replace("\"\"", "\""));
            }
            c if is_word_byte(c) && !c.is_ascii_digit() => {
                while at < bytes.len() && is_word_byte(byte(at)) {
                    at += 1;
                }
                name = Some(sql[start..at].to_lowercase());
            }
            c if c.is_ascii_digit() => {
                while at < bytes.len() && (is_word_byte(byte(at)) || byte(at) == b'.') {
                    at += 1;
                }
            }
            b':' if byte(at + 1) == b':' => at += 2,
            _ => at += 1,
        }
        let at_boundary = at.min(sql.len());
        tokens.push(Token {
            start,
            end: at_boundary,
            text: sql.get(start..at_boundary).unwrap_or_default(),
            name,
            is_string,
        });
    }
    tokens
}

/// The end of a text in quotes that starts at `start`; a doubled quote is part of it.
fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    bytes.len().max(start + 2)
}

/// Bytes of words: letters, digits, `_`, `$`, and all of a character outside of ASCII, so that none is ever cut.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Words that are quoted as names: the reserved ones of PostgreSQL, and those with which our statements go on after a
/// name. In order, for the search.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "analyse", "analyze", "and", "anti", "any", "array", "as", "asc",
    "asof", "asymmetric", "at", "authorization", "begin", "between", "binary", "both", "case",
    "cast", "check", "collate", "collation", "column", "concurrently", "connect", "constraint", "create",
    "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp", "current_user", "default",
    "deferrable", "desc", "distinct", "do", "else", "emit", "end", "except", "exists",
    "explain", "extract", "false", "fetch", "final", "for", "foreign", "freeze", "from",
    "full", "grant", "group", "having", "ilike", "in", "initially", "inner", "intersect",
    "interval", "into", "is", "isnull", "join", "lateral", "leading", "left", "like",
    "limit", "localtime", "localtimestamp", "match_recognize", "minus", "natural", "not", "notnull", "null",
    "offset", "on", "only", "or", "order", "outer", "overlaps", "partition", "pivot",
    "placing", "primary", "qualify", "references", "returning", "right", "select", "semi", "session_user",
    "set", "settings", "similar", "some", "symmetric", "system_user", "table", "tablesample", "then",
    "to", "top", "trailing", "true", "union", "unique", "unpivot", "user", "using",
    "values", "variadic", "verbose", "view", "watermark", "when", "where", "window", "with",
    "within",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reserved_words_are_in_order() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        for (name, sql) in [
            ("bids", "bids"),
            ("_a1", "_a1"),
            ("Bids", "\"Bids\""),
            ("1a", "\"1a\""),
            ("a b", "\"a b\""),
            ("order", "\"order\""),
            ("a\"b", "\"a\"\"b\""),
            ("größe", "\"größe\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote_ident(name), sql);
        }
    }

    #[test]
    fn a_rename_touches_the_column_and_nothing_else() {
        for (sql, renamed) in [
            ("price > 0", "cost > 0"),
            ("Price>0 AND \"price\" < 9", "cost>0 AND cost < 9"),
            ("bids.price > other.price", "bids.cost > other.price"),
            ("price(price) > 'price'", "price(cost) > 'price'"),
            (
                "CAST(price AS price) = price::price",
                "CAST(cost AS price) = cost::price",
            ),
            ("\"Price\" > 0", "\"Price\" > 0"),
            (
                "x > 1 -- price\n AND /* price */ price > 0",
                "x > 1 -- price\n AND /* price */ cost > 0",
            ),
            ("prices > 'it''s price'", "prices > 'it''s price'"),
            ("price", "cost"),
        ] {
            assert_eq!(rename_column(sql, "bids", "price", "cost"), renamed);
        }
        assert_eq!(
            rename_column(
                "at > date '2024-01-01' - INTERVAL '5' second",
                "b",
                "second",
                "s"
            ),
            "at > date '2024-01-01' - INTERVAL '5' second"
        );
        assert_eq!(
            rename_column("EXTRACT(year FROM year) > 0", "b", "year", "y"),
            "EXTRACT(year FROM y) > 0"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(sql in ".*", column in ".{0,4}") {
            let _ = rename_column(&sql, "bids", &column, "other");
        }
    }
}
