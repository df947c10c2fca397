//! Handing tokens to the parser of queries, and its errors back.

use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser as QueryParser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_base::Position;

use super::{Parser, words_end};
use crate::dialect::WeirDialect;
use crate::error::{Error, Result};
use crate::keywords::clause_meant;
use crate::limits;
use crate::source::is_space;

impl Parser<'_, '_> {
    /// Lets the query parser read all that is left here.
    pub(super) fn read_all<T>(
        &mut self,
        read: impl FnOnce(&mut QueryParser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        let tokens = self.source.tokens(self.at, self.end).to_vec();
        let value = self.read_tokens(tokens, read)?;
        self.at = self.end;
        Ok(value)
    }

    /// Lets the query parser read what it can, and goes on behind that.
    pub(super) fn read_some<T>(
        &mut self,
        read: impl FnOnce(&mut QueryParser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        let tokens = self.source.tokens(self.at, self.end).to_vec();
        let dialect = dialect_for(&tokens);
        let mut parser = query_parser(&dialect, tokens);
        let value = read(&mut parser).map_err(|error| self.translate(&error))?;
        self.at = (self.at + parser.index()).min(self.end);
        self.skip_space();
        Ok(value)
    }

    /// Lets the query parser read `tokens`, all of them.
    pub(super) fn read_tokens<T>(
        &self,
        tokens: Vec<TokenWithSpan>,
        read: impl FnOnce(&mut QueryParser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        self.read_exactly(tokens.clone(), read)
            .map_err(|error| self.within(&tokens).unwrap_or(error))
    }

    fn read_exactly<T>(
        &self,
        tokens: Vec<TokenWithSpan>,
        read: impl FnOnce(&mut QueryParser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        let dialect = dialect_for(&tokens);
        let mut parser = query_parser(&dialect, tokens);
        let value = read(&mut parser).map_err(|error| self.translate(&error))?;
        let rest = parser.peek_token_ref();
        if rest.token == Token::EOF {
            return Ok(value);
        }
        let end = "the end of the statement";
        match parser.expected_ref::<()>(end, rest) {
            Err(error) => Err(self.translate(&error)),
            Ok(()) => Err(self.expected(end)),
        }
    }

    /// The error in the innermost of the queries in brackets that is wrong by itself. The query parser takes a wrong one for
    /// something else, a join perhaps, and complains about that, at another place.
    fn within(&self, tokens: &[TokenWithSpan]) -> Option<Error> {
        let mut open = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            match &token.token {
                Token::LParen => open.push(at),
                Token::RParen => {
                    let inside = tokens.get(open.pop()? + 1..at)?;
                    let first = inside
                        .iter()
                        .map(|token| &token.token)
                        .find(|token| !is_space(token));
                    let is_query = matches!(first, Some(Token::Word(word)) if word.quote_style.is_none()
                        && matches!(word.keyword, Keyword::SELECT | Keyword::WITH));
                    if is_query && let Err(error) = self.read_exactly(inside.to_vec(), a_query) {
                        return Some(error.at_the_end_found(token));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The query parser's error as ours; its place is in its text.
    fn translate(&self, error: &ParserError) -> Error {
        let text = match error {
            ParserError::RecursionLimitExceeded => {
                return Error::TooComplex {
                    what: "expressions and queries are nested too deeply to tell what they are"
                        .to_owned(),
                    position: self.position(),
                };
            }
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        };
        let (message, position) = match split_position(text) {
            Some((message, position)) => (message, position),
            None => (text.as_str(), self.source.position(self.end)),
        };
        let message = message
            .trim_end_matches('.')
            .replacen("Expected: ", "expected ", 1)
            .replacen(", found: EOF", ", found the end of the statement", 1)
            .replacen(", found: ", ", found ", 1);
        let found = message.rsplit(", found ").next().unwrap_or_default();
        let hint = clause_meant(found).or_else(|| self.trap(position, found));
        Error::syntax(shorten(&message), position).or_hint(|| hint)
    }

    /// What is known to go wrong in front of `position`, where `found` was not expected.
    fn trap(&self, position: Position, found: &str) -> Option<String> {
        if let by @ ("GROUP" | "ORDER" | "PARTITION") = found.to_ascii_uppercase().as_str() {
            return Some(format!("{by} is followed by BY"));
        }
        let key = |position: Position| (position.line, position.column);
        let at = (0..self.source.len())
            .find(|at| key(self.source.position(*at)) >= key(position))
            .unwrap_or(self.source.len());
        let previous = (0..at).rev().find(|at| !is_space(self.source.token(*at)))?;
        let is_emit = |at| words_end(self.source, at, self.source.len(), &["EMIT"]).is_some();
        if is_emit(previous) || is_emit(at) {
            return Some(
                "EMIT CHANGES and EMIT ON WINDOW CLOSE stand at the end of the whole statement, not in a subquery".to_owned(),
            );
        }
        // A misspelt clause is read as an alias.
        match self.source.token(previous) {
            Token::Word(word) if word.quote_style.is_none() => clause_meant(&word.value),
            _ => None,
        }
    }
}

// What the query parser can read, as functions of any lifetime.

pub(super) fn a_query(parser: &mut QueryParser<'_>) -> Result<Box<ast::Query>, ParserError> {
    parser.parse_query()
}

pub(super) fn a_statement(parser: &mut QueryParser<'_>) -> Result<ast::Statement, ParserError> {
    parser.parse_statement()
}

pub(super) fn an_expr(parser: &mut QueryParser<'_>) -> Result<ast::Expr, ParserError> {
    parser.parse_expr()
}

pub(super) fn exprs(parser: &mut QueryParser<'_>) -> Result<Vec<ast::Expr>, ParserError> {
    parser.parse_comma_separated(an_expr)
}

pub(super) fn a_data_type(parser: &mut QueryParser<'_>) -> Result<ast::DataType, ParserError> {
    parser.parse_data_type()
}

fn query_parser(dialect: &WeirDialect, tokens: Vec<TokenWithSpan>) -> QueryParser<'_> {
    QueryParser::new(dialect)
        .with_recursion_limit(limits::RECURSION_MAX)
        .with_tokens_with_locations(tokens)
}

/// `AT`, `BEFORE` and their like are aliases, unless a table's version is asked for.
fn dialect_for(tokens: &[TokenWithSpan]) -> WeirDialect {
    let mut significant = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !is_space(token))
        .peekable();
    let mut versions = false;
    while let Some(token) = significant.next() {
        let Token::Word(word) = token else { continue };
        let next = significant.peek();
        versions |= match word.value.to_ascii_uppercase().as_str() {
            "SYSTEM_TIME" => true,
            "AT" | "BEFORE" => matches!(next, Some(Token::LParen)),
            "VERSION" | "TIMESTAMP" => {
                matches!(next, Some(Token::Word(next)) if next.value.eq_ignore_ascii_case("AS"))
            }
            _ => false,
        };
    }
    WeirDialect::new(versions, limits::expressions_max(tokens.len()))
}

/// Cuts ` at Line: 1, Column: 2` off a message.
fn split_position(text: &str) -> Option<(&str, Position)> {
    let (message, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits = column
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(column.len());
    Some((
        message,
        Position {
            line: line.parse().ok()?,
            column: column.get(..digits)?.parse().ok()?,
        },
    ))
}

/// Keeps a found token of megabytes out of an error.
pub(super) fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(CHARS_MAX).collect();
    format!("{start}…")
}
