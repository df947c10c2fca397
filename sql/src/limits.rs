//! How deep and how long a statement may be.
//!
//! The parser, and all that later walks the tree (cloning, printing, dropping it), recurses as deeply as the tree is. The
//! depth is bounded here by counting tokens, before anything recurses: brackets give depth, and so do chains of operators,
//! since `a + b + c` is a tree that leans to the left.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::source::{Source, is_space};

/// Brackets within brackets, `CASE` included.
const DEPTH_MAX: usize = 96;
/// Operators within one expression, on one level of brackets.
const OPERATORS_MAX: usize = 1000;
/// Set operations (`UNION`, …) and joins on one level of brackets.
const QUERIES_MAX: usize = 500;
/// Words such as `INTERVAL` or `NOT` in a row.
const KEYWORDS_MAX: usize = 40;
/// Types within types: `ARRAY<STRUCT<…>>`.
const TYPES_MAX: usize = 32;
/// What the parser may recurse to: some of its steps for each bracket.
pub(crate) const RECURSION_MAX: usize = 300;

/// Checks the tokens from `from` to before `to`.
///
/// # Errors
/// [`Error::TooComplex`] when there is too much of something.
pub(crate) fn check(source: &Source<'_>, from: usize, to: usize) -> Result<()> {
    let mut levels = vec![Level::default()];
    let mut keywords_in_a_row = 0;
    let mut types: usize = 0;
    let mut after_type = false;
    for at in from..to {
        let token = source.token(at);
        if is_space(token) {
            continue;
        }
        let too_complex = |what: String| Error::TooComplex {
            what,
            position: source.position(at),
        };
        keywords_in_a_row = match token {
            Token::Word(word) if word.keyword != Keyword::NoKeyword => keywords_in_a_row + 1,
            Token::Plus | Token::Minus | Token::Tilde | Token::ExclamationMark => {
                keywords_in_a_row + 1
            }
            _ => 0,
        };
        types = match token {
            Token::Lt if after_type => types + 1,
            Token::Gt => types.saturating_sub(1),
            Token::ShiftRight => types.saturating_sub(2),
            _ => types,
        };
        after_type = matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP));
        if types > TYPES_MAX {
            return Err(too_complex(format!(
                "types nested more than {TYPES_MAX} levels deep"
            )));
        }
        if keywords_in_a_row > KEYWORDS_MAX {
            return Err(too_complex(format!(
                "more than {KEYWORDS_MAX} keywords or signs in a row"
            )));
        }
        match step(token) {
            Step::Open => levels.push(Level::default()),
            Step::Case => levels.push(Level {
                case: true,
                ..Level::default()
            }),
            Step::Close => {
                while levels.len() > 1 && levels.pop().is_some_and(|level| level.case) {}
            }
            Step::End => {
                levels.pop_if(|level| level.case);
            }
            step => {
                if let Some(level) = levels.last_mut() {
                    level.take(&step);
                }
            }
        }
        if levels.len() > DEPTH_MAX {
            return Err(too_complex(format!(
                "nested more than {DEPTH_MAX} levels deep"
            )));
        }
        let Some(level) = levels.last() else { continue };
        if level.operators > OPERATORS_MAX {
            return Err(too_complex(format!(
                "more than {OPERATORS_MAX} operators in one expression"
            )));
        }
        if level.queries > QUERIES_MAX {
            return Err(too_complex(format!(
                "more than {QUERIES_MAX} joins and set operations in one query"
            )));
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Level {
    /// From `CASE` to `END`, not in brackets.
    case: bool,
    operators: usize,
    queries: usize,
}

impl Level {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Operator => self.operators += 1,
            Step::Query => {
                self.operators = 0;
                self.queries += 1;
            }
            Step::Clause => self.operators = 0,
            _ => {}
        }
    }
}

enum Step {
    Open,
    Close,
    Case,
    End,
    /// Makes the expression's tree deeper.
    Operator,
    /// Makes the query's tree deeper.
    Query,
    /// Ends an expression.
    Clause,
    Nothing,
}

fn step(token: &Token) -> Step {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => Step::Open,
        Token::RParen | Token::RBracket | Token::RBrace => Step::Close,
        Token::Comma | Token::SemiColon => Step::Clause,
        Token::Word(word) if word.quote_style.is_some() => Step::Nothing,
        Token::Word(word) => match word.keyword {
            Keyword::CASE => Step::Case,
            Keyword::END => Step::End,
            Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::MINUS
            | Keyword::JOIN => Step::Query,
            // Not FROM and GROUP: `IS DISTINCT FROM` and `WITHIN GROUP` are within expressions.
            Keyword::SELECT
            | Keyword::WHERE
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::ON
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::AS => Step::Clause,
            Keyword::NoKeyword => Step::Nothing,
            _ => Step::Operator,
        },
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period => Step::Nothing,
        _ => Step::Operator,
    }
}
