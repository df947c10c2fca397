//! From tokens to statements: the leading words decide, and each statement's clauses are cut out of the token list, so that
//! the query parser is given a query and nothing else.

mod alter;
mod columns;
mod create;
mod external;
mod query;
mod session;
mod show;

use datafusion_sql::sqlparser::ast::{self, Ident, ObjectName};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser as QueryParser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};
use weir_base::Position;

use crate::dialect::WeirDialect;
use crate::error::{Error, Result};
use crate::keywords::{LEADING, clause_meant, did_you_mean};
use crate::limits;
use crate::source::{Source, is_space};
use crate::statement::{ObjectKind, Parsed, Statement};

/// Parses each of the statements that semicolons separate; none for an empty text.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<Parsed>> {
    let source = Source::new(text)?;
    let mut statements = Vec::new();
    let mut from = 0;
    for at in 0..=source.len() {
        if !matches!(source.token(at), Token::SemiColon | Token::EOF) {
            continue;
        }
        if (from..at).any(|at| !is_space(source.token(at))) {
            limits::check(&source, from, at)?;
            statements.push(Parser::new(&source, from, at).parsed()?);
        }
        from = at + 1;
    }
    Ok(statements)
}

/// Parses one expression.
pub(crate) fn parse_expr(text: &str) -> Result<ast::Expr> {
    parse_part(text, |parser| parser.sql_expr().map(|part| part.expr))
}

/// Parses one query.
pub(crate) fn parse_query(text: &str) -> Result<Box<ast::Query>> {
    parse_part(text, |parser| parser.bounded_query("a view"))
}

/// Parses one type.
pub(crate) fn parse_data_type(text: &str) -> Result<ast::DataType> {
    parse_part(text, |parser| {
        parser.data_type().map(|(data_type, _)| data_type)
    })
}

fn parse_part<T>(text: &str, read: impl FnOnce(&mut Parser<'_, '_>) -> Result<T>) -> Result<T> {
    let source = Source::new(text)?;
    limits::check(&source, 0, source.len())?;
    let mut parser = Parser::new(&source, 0, source.len());
    let value = read(&mut parser)?;
    parser.finish()?;
    Ok(value)
}

/// A walk over the tokens of one statement, or of a part of one.
pub(crate) struct Parser<'s, 'a> {
    source: &'s Source<'a>,
    /// The next token; never space, unless it is the end.
    at: usize,
    /// Before this token it ends.
    end: usize,
}

impl<'s, 'a> Parser<'s, 'a> {
    fn new(source: &'s Source<'a>, from: usize, end: usize) -> Self {
        let mut parser = Self {
            source,
            at: from,
            end,
        };
        parser.skip_space();
        parser
    }

    /// The whole rest as a statement with its text.
    fn parsed(mut self) -> Result<Parsed> {
        let (from, position) = (self.at, self.position());
        let statement = self.statement()?;
        self.finish()?;
        Ok(Parsed {
            statement,
            sql: self.source.text(from, self.end).to_owned(),
            position,
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        let Some(word) = self.peek_word().map(|word| word.value.to_ascii_uppercase()) else {
            return match self.peek() {
                Token::LParen => self.query_statement(),
                _ => Err(self.expected("a statement")),
            };
        };
        if self
            .peek_word()
            .is_some_and(|word| word.quote_style.is_some())
        {
            return Err(self.expected("a statement"));
        }
        match word.as_str() {
            "SELECT" | "WITH" | "VALUES" | "TABLE" => self.query_statement(),
            "INSERT" => self.insert(),
            "UPDATE" | "DELETE" => self.update_or_delete(),
            "TRUNCATE" => self.truncate(),
            "COPY" => self.copy(),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "ALTER" => self.alter(),
            "COMMENT" => self.comment_on(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "EXPLAIN" => self.explain(),
            "SET" => self.set(),
            "RESET" => self.reset(),
            "KILL" => self.kill(),
            "FLUSH" => {
                self.bump();
                Ok(Statement::Flush)
            }
            "SUBSCRIBE" => self.subscribe().map(Statement::Subscribe),
            "DECLARE" => self.declare(),
            "FETCH" | "MOVE" => self.fetch_or_move(),
            "CLOSE" => self.close(),
            "PREPARE" => self.prepare(),
            "EXECUTE" => self.execute(),
            "DEALLOCATE" => self.deallocate(),
            "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT"
            | "RELEASE" => self.transaction(),
            "DISCARD" => self.discard(),
            "LISTEN" | "UNLISTEN" | "NOTIFY" => self.notification(),
            "GRANT" | "REVOKE" => self.access(),
            "PAUSE" | "RESUME" => Err(self.unsupported(
                &word,
                Some("write ALTER MATERIALIZED VIEW v PAUSE, or ALTER SINK s RESUME"),
            )),
            "USE" => Err(self.unsupported("USE", Some("write SET search_path = schema"))),
            "MERGE" | "REPLACE" | "UPSERT" => Err(self.unsupported(
                &word,
                Some("write INSERT INTO … ON CONFLICT (key) DO UPDATE SET …"),
            )),
            "VACUUM" | "ANALYZE" | "CALL" | "DO" | "LOCK" | "CLUSTER" | "REINDEX" | "CACHE"
            | "OPTIMIZE" | "LOAD" | "ATTACH" | "DETACH" | "INSTALL" | "PRAGMA" | "IMPORT"
            | "REFRESH" | "CHECKPOINT" | "SECURITY" | "REASSIGN" | "UNLOAD" | "MSCK" | "ASSERT"
            | "FROM" => Err(self.unsupported(&word, None)),
            _ => {
                let hint = did_you_mean(&word, LEADING);
                Err(self.expected("a statement").or_hint(|| hint))
            }
        }
    }

    // Looking at tokens.

    fn peek(&self) -> &'s Token {
        if self.at < self.end {
            self.source.token(self.at)
        } else {
            &Token::EOF
        }
    }

    /// The token after the next one.
    fn peek_second(&self) -> &'s Token {
        (self.at + 1..self.end)
            .map(|at| self.source.token(at))
            .find(|token| !is_space(token))
            .unwrap_or(&Token::EOF)
    }

    fn peek_word(&self) -> Option<&'s Word> {
        match self.peek() {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Whether the next tokens are these words, none of them in quotes.
    fn peek_words(&self, words: &[&str]) -> bool {
        words_end(self.source, self.at, self.end, words).is_some()
    }

    fn at_end(&self) -> bool {
        self.at >= self.end
    }

    fn position(&self) -> Position {
        self.source.position(self.at)
    }

    // Taking tokens.

    fn bump(&mut self) {
        self.at += 1;
        self.skip_space();
    }

    fn skip_space(&mut self) {
        while self.at < self.end && is_space(self.source.token(self.at)) {
            self.at += 1;
        }
        self.at = self.at.min(self.end);
    }

    /// Takes these words, if they come next.
    fn take(&mut self, words: &[&str]) -> bool {
        match words_end(self.source, self.at, self.end, words) {
            Some(end) => {
                self.at = end;
                self.skip_space();
                true
            }
            None => false,
        }
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, words: &[&str]) -> Result<()> {
        if self.take(words) {
            return Ok(());
        }
        let hint = match (self.peek_word(), words) {
            (Some(found), [word]) => weir_base::nearest::nearest(&found.value, [*word])
                .map(|word| format!("did you mean {word}?")),
            _ => None,
        };
        Err(self.expected(&words.join(" ")).or_hint(|| hint))
    }

    fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.take_token(token) {
            return Ok(());
        }
        Err(self.expected(&token.to_string()))
    }

    /// Ends the statement: nothing may be left.
    fn finish(&self) -> Result<()> {
        if self.at_end() {
            return Ok(());
        }
        Err(self.expected("the end of the statement"))
    }

    /// The error that something else was expected here.
    fn expected(&self, what: &str) -> Error {
        let found = match self.peek() {
            Token::EOF => "the end of the statement".to_owned(),
            token => format!("{token}"),
        };
        let word = self.peek_word().filter(|word| word.quote_style.is_none());
        Error::syntax(
            format!("expected {what}, found {}", shorten(&found)),
            self.position(),
        )
        .or_hint(|| clause_meant(&word?.value))
    }

    fn unsupported(&self, what: &str, hint: Option<&str>) -> Error {
        Error::unsupported(what, self.position(), hint)
    }

    // Parts that many statements have.

    fn ident(&mut self, what: &str) -> Result<Ident> {
        let position = self.at;
        let Some(word) = self.peek_word() else {
            return Err(self.expected(what));
        };
        let span = self
            .source
            .tokens(position, position + 1)
            .first()
            .map_or_else(Span::empty, |token| token.span);
        let ident = Ident {
            value: word.value.clone(),
            quote_style: word.quote_style,
            span,
        };
        self.bump();
        Ok(ident)
    }

    /// `name`, `schema.name`, `database.schema.name`.
    fn object_name(&mut self, what: &str) -> Result<ObjectName> {
        let mut parts = vec![self.ident(what)?];
        while self.take_token(&Token::Period) {
            parts.push(self.ident(what)?);
            if parts.len() > 3 {
                return Err(self.expected("a name of at most three parts: database.schema.name"));
            }
        }
        Ok(ObjectName::from(parts))
    }

    fn object_names(&mut self, what: &str) -> Result<Vec<ObjectName>> {
        let mut names = vec![self.object_name(what)?];
        while self.take_token(&Token::Comma) {
            names.push(self.object_name(what)?);
        }
        Ok(names)
    }

    /// `(a, b)`.
    fn idents_in_brackets(&mut self, what: &str) -> Result<Vec<Ident>> {
        self.expect_token(&Token::LParen)?;
        let idents = self.idents(what)?;
        self.expect_token(&Token::RParen)?;
        Ok(idents)
    }

    /// `a, b`.
    fn idents(&mut self, what: &str) -> Result<Vec<Ident>> {
        let mut idents = vec![self.ident(what)?];
        while self.take_token(&Token::Comma) {
            idents.push(self.ident(what)?);
        }
        Ok(idents)
    }

    fn string(&mut self, what: &str) -> Result<String> {
        let text = match self.peek() {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text.clone(),
            Token::DollarQuotedString(text) => text.value.clone(),
            _ => return Err(self.expected(&format!("{what} in single quotes"))),
        };
        self.bump();
        Ok(text)
    }

    fn if_exists(&mut self) -> bool {
        self.take(&["IF", "EXISTS"])
    }

    fn if_not_exists(&mut self) -> bool {
        self.take(&["IF", "NOT", "EXISTS"])
    }

    /// The words of a kind of object, if they come next.
    fn object_kind(&mut self) -> Option<ObjectKind> {
        const KINDS: [(&[&str], ObjectKind); 9] = [
            (&["MATERIALIZED", "VIEW"], ObjectKind::MaterializedView),
            (&["EXTERNAL", "TABLE"], ObjectKind::ExternalTable),
            (&["SCHEMA"], ObjectKind::Schema),
            (&["STREAM"], ObjectKind::Stream),
            (&["SOURCE"], ObjectKind::Stream),
            (&["TABLE"], ObjectKind::Table),
            (&["VIEW"], ObjectKind::View),
            (&["SINK"], ObjectKind::Sink),
            (&["CONNECTION"], ObjectKind::Connection),
        ];
        KINDS
            .into_iter()
            .find(|(words, _)| self.take(words))
            .map(|(_, kind)| kind)
    }

    /// The token after the bracket that closes the one at `open`; the end, if none does.
    fn after_bracket(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for at in open..self.end {
            match self.source.token(at) {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
        }
        self.end
    }

    /// The first token at or after the next one, outside of brackets, that `is_it`.
    fn find(&self, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut depth = 0_usize;
        (self.at..self.end).find(|at| {
            match self.source.token(*at) {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            let opens = matches!(self.source.token(*at), Token::LParen);
            (depth == 0 || (depth == 1 && opens)) && is_it(*at)
        })
    }

    /// The rest of the statement up to `to`, as a part of its own.
    fn part(&mut self, to: usize) -> Parser<'s, 'a> {
        let part = Parser::new(self.source, self.at, to);
        self.at = to;
        self.skip_space();
        part
    }

    // Handing tokens to the parser of queries.

    /// Lets the query parser read all that is left here.
    fn read_all<T>(
        &mut self,
        read: impl FnOnce(&mut QueryParser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        let tokens = self.source.tokens(self.at, self.end).to_vec();
        let value = self.read_tokens(tokens, read)?;
        self.at = self.end;
        Ok(value)
    }

    /// Lets the query parser read what it can, and goes on behind that.
    fn read_some<T>(
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
    fn read_tokens<T>(
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

/// Where `words` end that start at `at`, space between them left out; none when something else stands there.
fn words_end(source: &Source<'_>, at: usize, end: usize, words: &[&str]) -> Option<usize> {
    let mut at = at;
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            while at < end && is_space(source.token(at)) {
                at += 1;
            }
        }
        match source.token(at) {
            Token::Word(found)
                if at < end
                    && found.quote_style.is_none()
                    && found.value.eq_ignore_ascii_case(word) =>
            {
                at += 1;
            }
            _ => return None,
        }
    }
    Some(at)
}

// What the query parser can read, as functions of any lifetime.

fn a_query(parser: &mut QueryParser<'_>) -> Result<Box<ast::Query>, ParserError> {
    parser.parse_query()
}

fn a_statement(parser: &mut QueryParser<'_>) -> Result<ast::Statement, ParserError> {
    parser.parse_statement()
}

fn an_expr(parser: &mut QueryParser<'_>) -> Result<ast::Expr, ParserError> {
    parser.parse_expr()
}

fn exprs(parser: &mut QueryParser<'_>) -> Result<Vec<ast::Expr>, ParserError> {
    parser.parse_comma_separated(an_expr)
}

fn a_data_type(parser: &mut QueryParser<'_>) -> Result<ast::DataType, ParserError> {
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
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(CHARS_MAX).collect();
    format!("{start}…")
}
