//! From tokens to statements: the leading words decide, and each statement's clauses are cut out of the token list, so that
//! the query parser is given a query and nothing else.

mod access;
mod alter;
mod columns;
mod create;
mod external;
mod query;
mod read;
mod session;
mod show;

use datafusion_sql::sqlparser::ast::{self, Ident, ObjectName};
use datafusion_sql::sqlparser::tokenizer::{Span, Token, Word};
use weir_base::Position;

use self::read::shorten;
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
            "TEST" => self.test_connection(),
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
            "GRANT" | "REVOKE" => self.grant_or_revoke(),
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

    /// As [`Self::expected`], where what was found may be a secret.
    fn expected_without_text(&self, what: &str) -> Error {
        Error::syntax(format!("expected {what}"), self.position())
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
