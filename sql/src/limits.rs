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
/// Operators within one expression, on one level of brackets, between one `AND` or `OR` and the next.
const OPERATORS_MAX: usize = 200;
/// `AND` and `OR` within one expression, on one level of brackets, see [`crate::balance`].
const JUNCTIONS_MAX: usize = 4000;
/// Queries within queries. A copy of a query's tree takes some 20 kB of stack for each, in a debug build, where a thread
/// has 2 MB.
const QUERIES_MAX: usize = 40;
/// Set operations (`UNION`, …) and joins on one level of brackets.
const OPERANDS_MAX: usize = 1000;
/// Set operations of different kinds in a row, see [`crate::balance`].
pub(crate) const MIXED_OPERATIONS_MAX: usize = 50;
/// Words such as `INTERVAL` or `NOT` in a row.
const KEYWORDS_MAX: usize = 40;
/// `FROM ((SELECT …` may be a query in brackets or a join, and the parser tries one reading after the other. Queries that
/// are nested like this multiply.
const READINGS_MAX: u64 = 1024;
/// Types within types: `ARRAY<STRUCT<…>>`.
const TYPES_MAX: usize = 32;
/// What the parser may recurse to: some of its steps for each bracket.
pub(crate) const RECURSION_MAX: usize = 300;

/// How many expressions the parser may start while it reads this many tokens: a good text has far fewer.
pub(crate) fn expressions_max(tokens: usize) -> u64 {
    tokens as u64 * 20 + 20_000
}

/// Checks the tokens from `from` to before `to`.
///
/// # Errors
/// [`Error::TooComplex`] when there is too much of something, [`Error::Syntax`] for a bracket without its partner.
pub(crate) fn check(source: &Source<'_>, from: usize, to: usize) -> Result<()> {
    let mut levels = vec![Level::default()];
    let mut keywords_in_a_row = 0;
    let mut types: usize = 0;
    let mut after_type = false;
    let (mut open_run, mut before_is_open) = (0, false);
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
            Token::Word(word) if matches!(word.keyword, Keyword::NoKeyword | Keyword::END) => 0,
            Token::Word(_) => keywords_in_a_row + 1,
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
            Step::Open => {
                open_run = if before_is_open { open_run + 1 } else { 1 };
                // `a[1][1]`, `INT[][]`
                if *token == Token::LBracket
                    && let Some(level) = levels.last_mut()
                {
                    level.operators += 1;
                }
                levels.push(Level {
                    opened_at: Some(at),
                    closes_with: closing(token),
                    ..Level::default()
                });
            }
            Step::Case => levels.push(Level {
                case: true,
                ..Level::default()
            }),
            Step::Close => {
                while levels.pop_if(|level| level.case).is_some() {}
                match levels.last() {
                    Some(level) if level.closes_with.as_ref() == Some(token) => {
                        levels.pop();
                    }
                    Some(Level {
                        opened_at: Some(open),
                        ..
                    }) => {
                        return Err(unclosed(source, *open));
                    }
                    _ => {
                        return Err(Error::syntax(
                            format!("{token} closes no bracket"),
                            source.position(at),
                        ));
                    }
                }
            }
            Step::End => {
                levels.pop_if(|level| level.case);
            }
            step => {
                if matches!(step, Step::Query)
                    && before_is_open
                    && let Some(level) = levels.last_mut()
                {
                    level.run = open_run;
                }
                if let Some(level) = levels.last_mut() {
                    level.take(&step);
                }
            }
        }
        before_is_open = *token == Token::LParen;
        let readings = levels.iter().map(|level| level.run.max(1));
        if readings.fold(1, u64::saturating_mul) > READINGS_MAX {
            return Err(too_complex(
                "too many queries in doubled brackets within one another".to_owned(),
            ));
        }
        if levels.len() > DEPTH_MAX {
            return Err(too_complex(format!(
                "nested more than {DEPTH_MAX} levels deep"
            )));
        }
        if levels.iter().filter(|level| level.query).count() > QUERIES_MAX {
            return Err(too_complex(format!(
                "queries nested more than {QUERIES_MAX} levels deep"
            )));
        }
        let Some(level) = levels.last() else { continue };
        if level.junctions > JUNCTIONS_MAX {
            return Err(too_complex(format!(
                "more than {JUNCTIONS_MAX} times AND or OR in one expression"
            )));
        }
        if level.operators > OPERATORS_MAX {
            return Err(too_complex(format!(
                "more than {OPERATORS_MAX} operators in one expression"
            )));
        }
        if level.operands > OPERANDS_MAX {
            return Err(too_complex(format!(
                "more than {OPERANDS_MAX} joins and set operations in one query"
            )));
        }
    }
    match levels.iter().rev().find_map(|level| level.opened_at) {
        Some(open) => Err(unclosed(source, open)),
        None => Ok(()),
    }
}

fn unclosed(source: &Source<'_>, open: usize) -> Error {
    let message = format!("{} is not closed", source.token(open));
    Error::syntax(message, source.position(open))
}

fn closing(open: &Token) -> Option<Token> {
    match open {
        Token::LParen => Some(Token::RParen),
        Token::LBracket => Some(Token::RBracket),
        Token::LBrace => Some(Token::RBrace),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Level {
    /// The token that opened it, where it is a bracket.
    opened_at: Option<usize>,
    closes_with: Option<Token>,
    /// How many brackets in a row open it, where a query follows.
    run: u64,
    /// From `CASE` to `END`, not in brackets.
    case: bool,
    /// Whether a query is on this level.
    query: bool,
    /// `AND` and `OR`, which bind weakest.
    junctions: usize,
    /// Other operators since the last of these.
    operators: usize,
    /// How many `BETWEEN` wait for their `AND`.
    between: usize,
    operands: usize,
}

impl Level {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Operator => self.operators += 1,
            Step::Between => {
                self.operators += 1;
                self.between += 1;
            }
            Step::And if self.between > 0 => self.between -= 1,
            Step::And | Step::Or => {
                self.junctions += 1;
                self.operators = 0;
            }
            Step::Operand => {
                self.end_expression();
                self.operands += 1;
            }
            Step::Query => {
                self.end_expression();
                self.query = true;
            }
            Step::Clause => self.end_expression(),
            _ => {}
        }
    }

    fn end_expression(&mut self) {
        (self.junctions, self.operators, self.between) = (0, 0, 0);
    }
}

enum Step {
    Open,
    Close,
    Case,
    End,
    /// Makes the expression's tree deeper.
    Operator,
    /// As above, with an `AND` that belongs to it.
    Between,
    /// Makes it deeper, unless it is made shallow.
    And,
    Or,
    /// Makes the query's tree deeper.
    Operand,
    /// Starts a query.
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
            | Keyword::JOIN => Step::Operand,
            Keyword::SELECT => Step::Query,
            // Not FROM and GROUP: `IS DISTINCT FROM` and `WITHIN GROUP` are within expressions.
            Keyword::WHERE
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::ON
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::AS => Step::Clause,
            Keyword::BETWEEN => Step::Between,
            Keyword::AND => Step::And,
            Keyword::OR => Step::Or,
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
