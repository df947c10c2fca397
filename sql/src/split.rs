//! Where one statement ends and the next starts, in text that may not be finished: for a terminal.

use datafusion_sql::sqlparser::tokenizer::Token;

use crate::source::{Source, is_space};

/// A statement in a text, or the start of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its text without the semicolon, and without space and comments at its ends.
    pub sql: &'a str,
    /// Whether a semicolon ended it.
    pub terminated: bool,
    /// What the text ends within.
    pub open: Option<Open>,
}

/// What a text can end within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Open {
    /// `'text`.
    Text,
    /// `"name`.
    Name,
    /// `$tag$ text`.
    DollarText,
    /// `/* comment`.
    Comment,
    /// `(`, `[` or `{`.
    Bracket,
}

/// The statements in `sql`. Only the last one can be without its semicolon, and that one may be empty but for an open
/// comment. Semicolons in quotes and comments separate nothing.
///
/// ```
/// use weir_sql::split;
///
/// let pieces = split("SELECT ';'; SELECT");
/// assert_eq!(pieces[0].sql, "SELECT ';'");
/// assert!(pieces[0].terminated && !pieces[1].terminated);
/// ```
pub fn split(sql: &str) -> Vec<Piece<'_>> {
    let (source, error) = Source::prefix(sql);
    let mut pieces = Vec::new();
    let mut from = 0;
    let mut depth = 0_usize;
    for at in 0..source.len() {
        match source.token(at) {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::SemiColon => {
                let text = source.text(from, at);
                if !text.is_empty() {
                    pieces.push(Piece {
                        sql: text,
                        terminated: true,
                        open: None,
                    });
                }
                (from, depth) = (at + 1, 0);
            }
            _ => {}
        }
    }
    let empty = (from..source.len()).all(|at| is_space(source.token(at)));
    match error {
        None if empty => {}
        None => pieces.push(Piece {
            sql: source.text(from, source.len()),
            terminated: false,
            open: (depth > 0).then_some(Open::Bracket),
        }),
        Some(error) => {
            let text = sql.get(source.offset(from)..).unwrap_or_default();
            let open = opened(&error.message);
            let ends = open.is_none() && text.trim_end().ends_with(';');
            pieces.push(Piece {
                sql: text.trim().trim_end_matches(|c| ends && c == ';').trim(),
                terminated: ends,
                open,
            });
        }
    }
    pieces
}

/// What the tokenizer says it was in when the text ended; none for text that more text does not mend.
fn opened(message: &str) -> Option<Open> {
    let message = message.to_lowercase();
    if message.contains("comment") {
        Some(Open::Comment)
    } else if message.contains("dollar") {
        Some(Open::DollarText)
    } else if message.contains("close delimiter") {
        Some(Open::Name)
    } else if message.contains("unterminated") || message.contains("eof") {
        Some(Open::Text)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(sql: &str) -> Vec<(&str, bool, Option<Open>)> {
        split(sql)
            .into_iter()
            .map(|piece| (piece.sql, piece.terminated, piece.open))
            .collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_separate_nothing() {
        let sql =
            "SELECT ';', \";\", $$;$$, $a$;$$;$a$ -- ;\n/* ; /* ; */ ; */;;\n SELECT 2 ; -- end";
        assert_eq!(
            pieces(sql),
            [
                ("SELECT ';', \";\", $$;$$, $a$;$$;$a$", true, None),
                ("SELECT 2", true, None)
            ]
        );
    }

    #[test]
    fn it_says_what_is_open() {
        for (sql, open) in [
            ("SELECT 1", None),
            ("SELECT 'it''s; ", Some(Open::Text)),
            ("SELECT E'it\\'; ", Some(Open::Text)),
            ("SELECT \"a;", Some(Open::Name)),
            ("SELECT $x$ ; $$", Some(Open::DollarText)),
            ("SELECT $$ ; ", Some(Open::DollarText)),
            ("SELECT /* ; ", Some(Open::Comment)),
            ("SELECT (1, [", Some(Open::Bracket)),
        ] {
            let found = pieces(sql);
            assert_eq!(found.len(), 1, "{sql}");
            assert_eq!((found[0].1, found[0].2), (false, open), "{sql}");
        }
        assert_eq!(
            pieces("SELECT 1; /* "),
            [("SELECT 1", true, None), ("/*", false, Some(Open::Comment))]
        );
        assert_eq!(pieces("  -- nothing"), []);
    }

    proptest! {
        #[test]
        fn splitting_finds_what_parsing_finds(parts in proptest::collection::vec("SELECT [0-9'\"; ]{1,8}|FLUSH|/\\*;\\*/|\\$\\$;\\$\\$| ", 0..6)) {
            let sql = parts.join(";");
            let pieces = split(&sql);
            if let Ok(parsed) = crate::parse(&sql) {
                prop_assert_eq!(
                    parsed.iter().map(|parsed| parsed.sql.as_str()).collect::<Vec<_>>(),
                    pieces.iter().map(|piece| piece.sql).collect::<Vec<_>>()
                );
            }
        }

        #[test]
        fn no_text_panics(sql in "\\PC{0,40}") {
            let pieces = split(&sql);
            prop_assert!(pieces.iter().rev().skip(1).all(|piece| piece.terminated));
        }
    }
}
