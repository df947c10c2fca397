//! Statements about the session: settings, transactions, cursors, prepared statements, users and rights.

use datafusion_sql::sqlparser::ast::Ident;
use datafusion_sql::sqlparser::tokenizer::Token;

use super::Parser;
use crate::error::{Error, Result};
use crate::statement::{Cursor, FetchDirection, Prepared, Reset, Set, Statement, Transaction};

const ISOLATION_LEVELS: [&[&str]; 4] = [
    &["SERIALIZABLE"],
    &["REPEATABLE", "READ"],
    &["READ", "COMMITTED"],
    &["READ", "UNCOMMITTED"],
];

#[derive(Default)]
struct Modes {
    read_only: Option<bool>,
    isolation: Option<String>,
}

impl Parser<'_, '_> {
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.bump();
        if self.take(&["TRANSACTION"]) {
            return self.set_transaction(false);
        }
        if self.take(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
            return self.set_transaction(true);
        }
        for words in [
            &["ROLE"][..],
            &["SESSION", "AUTHORIZATION"],
            &["CONSTRAINTS"],
        ] {
            if self.peek_words(words) && !matches!(self.peek_second(), Token::Eq) {
                return Err(self.unsupported(&format!("SET {}", words.join(" ")), None));
            }
        }
        let local = self.take(&["LOCAL"]);
        if !local {
            self.take(&["SESSION"]);
        }
        let name = if self.take(&["TIME", "ZONE"]) {
            "timezone".to_owned()
        } else if self.take(&["NAMES"]) {
            "client_encoding".to_owned()
        } else if self.peek_words(&["SCHEMA"])
            && matches!(self.peek_second(), Token::SingleQuotedString(_))
        {
            self.bump();
            "search_path".to_owned()
        } else {
            let name = self.setting()?;
            if !self.take_token(&Token::Eq) {
                self.expect(&["TO"]).map_err(|_| self.expected("= or TO"))?;
            }
            name
        };
        if self.take(&["DEFAULT"]) {
            return Ok(Statement::Reset(Reset::Name(name)));
        }
        let mut value = self.option_value()?;
        while self.take_token(&Token::Comma) {
            value.push_str(", ");
            value.push_str(&self.option_value()?);
        }
        Ok(Statement::Set(Set { name, value, local }))
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.bump();
        if self.take(&["ALL"]) {
            return Ok(Statement::Reset(Reset::All));
        }
        if self.take(&["TIME", "ZONE"]) {
            return Ok(Statement::Reset(Reset::Name("timezone".to_owned())));
        }
        Ok(Statement::Reset(Reset::Name(self.setting()?)))
    }

    pub(super) fn kill(&mut self) -> Result<Statement> {
        self.bump();
        self.take(&["QUERY"]);
        if let Token::SingleQuotedString(_) = self.peek() {
            return Ok(Statement::KillQuery(self.string("a query's id")?));
        }
        let id = self.source.text(self.at, self.end);
        if id.is_empty()
            || !id
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        {
            return Err(self.expected("a query's id in single quotes"));
        }
        self.at = self.end;
        Ok(Statement::KillQuery(id.to_owned()))
    }

    // Transactions.

    pub(super) fn transaction(&mut self) -> Result<Statement> {
        let transaction = if self.take(&["START"]) {
            self.expect(&["TRANSACTION"])?;
            self.begin()?
        } else if self.take(&["BEGIN"]) {
            self.work();
            self.begin()?
        } else if self.take(&["COMMIT"]) || self.take(&["END"]) {
            self.work();
            self.no_chain()?;
            Transaction::Commit
        } else if self.take(&["ROLLBACK"]) || self.take(&["ABORT"]) {
            self.work();
            if self.take(&["TO"]) {
                self.take(&["SAVEPOINT"]);
                Transaction::RollbackTo(self.savepoint()?)
            } else {
                self.no_chain()?;
                Transaction::Rollback
            }
        } else if self.take(&["RELEASE"]) {
            self.take(&["SAVEPOINT"]);
            Transaction::Release(self.savepoint()?)
        } else {
            self.expect(&["SAVEPOINT"])?;
            Transaction::Savepoint(self.savepoint()?)
        };
        Ok(Statement::Transaction(transaction))
    }

    fn begin(&mut self) -> Result<Transaction> {
        let Modes {
            read_only,
            isolation,
        } = self.modes()?;
        Ok(Transaction::Begin {
            read_only,
            isolation,
        })
    }

    fn set_transaction(&mut self, session: bool) -> Result<Statement> {
        if self.peek_words(&["SNAPSHOT"]) {
            return Err(self.unsupported("SET TRANSACTION SNAPSHOT", None));
        }
        if self.at_end() {
            return Err(self.expected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
        }
        let Modes {
            read_only,
            isolation,
        } = self.modes()?;
        Ok(Statement::Transaction(Transaction::Set {
            read_only,
            isolation,
            session,
        }))
    }

    fn modes(&mut self) -> Result<Modes> {
        let mut modes = Modes::default();
        while !self.at_end() {
            if self.take(&["READ", "ONLY"]) {
                modes.read_only = Some(true);
            } else if self.take(&["READ", "WRITE"]) {
                modes.read_only = Some(false);
            } else if self.take(&["ISOLATION", "LEVEL"]) {
                let level = ISOLATION_LEVELS.iter().find(|words| self.take(words));
                match level {
                    Some(words) => modes.isolation = Some(words.join(" ").to_lowercase()),
                    None => return Err(self.expected("an isolation level")),
                }
            } else if self.peek_words(&["DEFERRABLE"]) {
                return Err(self.unsupported("DEFERRABLE", None));
            } else if !self.take(&["NOT", "DEFERRABLE"]) {
                return Err(self.expected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
            }
            self.take_token(&Token::Comma);
        }
        Ok(modes)
    }

    fn work(&mut self) {
        if !self.take(&["WORK"]) {
            self.take(&["TRANSACTION"]);
        }
    }

    fn no_chain(&mut self) -> Result<()> {
        if self.peek_words(&["AND", "CHAIN"]) {
            return Err(self.unsupported("AND CHAIN", None));
        }
        self.take(&["AND", "NO", "CHAIN"]);
        Ok(())
    }

    fn savepoint(&mut self) -> Result<String> {
        Ok(crate::statement::fold(
            &self.ident("the name of a savepoint")?,
        ))
    }

    // Cursors.

    pub(super) fn declare(&mut self) -> Result<Statement> {
        self.bump();
        let name = self.ident("the name of a cursor")?;
        let (mut binary, mut scroll, mut hold) = (false, None, false);
        loop {
            if self.take(&["BINARY"]) {
                binary = true;
            } else if self.take(&["NO", "SCROLL"]) {
                scroll = Some(false);
            } else if self.take(&["SCROLL"]) {
                scroll = Some(true);
            } else if !self.take(&["ASENSITIVE"]) && !self.take(&["INSENSITIVE"]) {
                break;
            }
        }
        self.expect(&["CURSOR"])?;
        if self.take(&["WITH", "HOLD"]) {
            hold = true;
        } else {
            self.take(&["WITHOUT", "HOLD"]);
        }
        self.expect(&["FOR"])?;
        let allowed = ["SELECT", "WITH", "VALUES", "TABLE", "SUBSCRIBE"];
        if *self.peek() != Token::LParen && !allowed.iter().any(|word| self.peek_words(&[word])) {
            return Err(self.expected("a query, or SUBSCRIBE"));
        }
        let statement = Box::new(Parser::new(self.source, self.at, self.end).parsed()?);
        self.at = self.end;
        Ok(Statement::Cursor(Cursor::Declare {
            name,
            binary,
            scroll,
            hold,
            statement,
        }))
    }

    pub(super) fn fetch_or_move(&mut self) -> Result<Statement> {
        let fetch = self.take(&["FETCH"]);
        if !fetch {
            self.expect(&["MOVE"])?;
        }
        // A cursor may have the name of a direction.
        let direction = match self.peek_second() {
            Token::EOF => FetchDirection::Relative(1),
            _ => self.direction()?,
        };
        if !self.take(&["FROM"]) {
            self.take(&["IN"]);
        }
        let name = self.ident("the name of a cursor")?;
        Ok(Statement::Cursor(match fetch {
            true => Cursor::Fetch { name, direction },
            false => Cursor::Move { name, direction },
        }))
    }

    fn direction(&mut self) -> Result<FetchDirection> {
        for (word, direction) in [
            ("NEXT", FetchDirection::Relative(1)),
            ("PRIOR", FetchDirection::Relative(-1)),
            ("FIRST", FetchDirection::Absolute(1)),
            ("LAST", FetchDirection::Absolute(-1)),
            ("ALL", FetchDirection::All),
        ] {
            if self.take(&[word]) {
                return Ok(direction);
            }
        }
        if self.take(&["ABSOLUTE"]) {
            return Ok(FetchDirection::Absolute(self.count()?));
        }
        if self.take(&["RELATIVE"]) {
            return Ok(FetchDirection::Step(self.count()?));
        }
        for (word, sign, all) in [
            ("FORWARD", 1, FetchDirection::All),
            ("BACKWARD", -1, FetchDirection::BackwardAll),
        ] {
            if self.take(&[word]) {
                if self.take(&["ALL"]) {
                    return Ok(all);
                }
                let count = match self.peek() {
                    Token::Number(..) | Token::Minus | Token::Plus => self.count()?,
                    _ => 1,
                };
                return Ok(FetchDirection::Relative(count.saturating_mul(sign)));
            }
        }
        match self.peek() {
            Token::Number(..) | Token::Minus | Token::Plus => {
                Ok(FetchDirection::Relative(self.count()?))
            }
            _ => Ok(FetchDirection::Relative(1)),
        }
    }

    fn count(&mut self) -> Result<i64> {
        let position = self.position();
        let text = match self.peek() {
            Token::Number(..) | Token::Minus | Token::Plus => self.option_value()?,
            _ => return Err(self.expected("a number of rows")),
        };
        text.parse()
            .map_err(|_| Error::syntax(format!("{text} is no number of rows"), position))
    }

    pub(super) fn close(&mut self) -> Result<Statement> {
        self.bump();
        let name = self.name_or_all("the name of a cursor")?;
        Ok(Statement::Cursor(Cursor::Close(name)))
    }

    fn name_or_all(&mut self, what: &str) -> Result<Option<Ident>> {
        if self.take(&["ALL"]) {
            return Ok(None);
        }
        self.ident(what).map(Some)
    }

    // Prepared statements.

    pub(super) fn prepare(&mut self) -> Result<Statement> {
        self.bump();
        let name = self.ident("the name of the statement")?;
        let mut types = Vec::new();
        if *self.peek() == Token::LParen {
            let end = self.after_bracket(self.at);
            self.bump();
            let mut list = self.part(end.saturating_sub(1));
            loop {
                let to = list.item_end();
                let mut item = list.part(to);
                types.push(item.data_type()?.0);
                item.finish()?;
                if !list.take_token(&Token::Comma) {
                    break;
                }
            }
            self.expect_token(&Token::RParen)?;
        }
        self.expect(&["AS"])?;
        let allowed = [
            "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE",
        ];
        if *self.peek() != Token::LParen && !allowed.iter().any(|word| self.peek_words(&[word])) {
            return Err(self.expected("SELECT, INSERT, UPDATE or DELETE"));
        }
        let statement = Parser::new(self.source, self.at, self.end).parsed()?;
        self.at = self.end;
        Ok(Statement::Prepared(Prepared::Prepare {
            name,
            types,
            statement: Box::new(statement),
        }))
    }

    pub(super) fn execute(&mut self) -> Result<Statement> {
        self.bump();
        let name = self.ident("the name of a prepared statement")?;
        let mut parameters = Vec::new();
        if *self.peek() == Token::LParen {
            let end = self.after_bracket(self.at);
            self.bump();
            let mut list = self.part(end.saturating_sub(1));
            if !list.at_end() {
                parameters = list.read_all(super::read::exprs)?;
            }
            self.expect_token(&Token::RParen)?;
        }
        Ok(Statement::Prepared(Prepared::Execute { name, parameters }))
    }

    pub(super) fn deallocate(&mut self) -> Result<Statement> {
        self.bump();
        self.take(&["PREPARE"]);
        let name = self.name_or_all("the name of a prepared statement")?;
        Ok(Statement::Prepared(Prepared::Deallocate(name)))
    }

    // The rest of a PostgreSQL session.

    pub(super) fn discard(&mut self) -> Result<Statement> {
        self.bump();
        for (word, what) in [
            ("ALL", "ALL"),
            ("PLANS", "PLANS"),
            ("SEQUENCES", "SEQUENCES"),
            ("TEMP", "TEMP"),
            ("TEMPORARY", "TEMP"),
        ] {
            if self.take(&[word]) {
                return Ok(Statement::Discard(what.to_owned()));
            }
        }
        Err(self.expected("ALL, PLANS, SEQUENCES or TEMP"))
    }

    pub(super) fn notification(&mut self) -> Result<Statement> {
        let word = match self.peek_word() {
            Some(word) => word.value.to_ascii_uppercase(),
            None => return Err(self.expected("LISTEN")),
        };
        self.bump();
        if word != "UNLISTEN" || !self.take_token(&Token::Mul) {
            self.ident("the name of a channel")?;
        }
        if word == "NOTIFY" && self.take_token(&Token::Comma) {
            self.string("a message")?;
        }
        Ok(Statement::Notification(word))
    }
}
