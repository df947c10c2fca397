//! `DROP`, `ALTER`, `COMMENT ON`.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::Parser;
use super::query::QueryPart;
use crate::error::{Error, Result};
use crate::keywords::did_you_mean;
use crate::statement::{
    Alter, AlterOperation, ColumnChange, CommentOn, Drop, ObjectKind, Statement,
};

const KINDS: [&str; 9] = [
    "CONNECTION",
    "EXTERNAL",
    "MATERIALIZED",
    "SCHEMA",
    "SINK",
    "SOURCE",
    "STREAM",
    "TABLE",
    "VIEW",
];

const OPERATIONS: [&str; 9] = [
    "ADD", "ALTER", "AS", "DROP", "PAUSE", "RENAME", "RESET", "RESUME", "SET",
];

impl Parser<'_, '_> {
    pub(super) fn drop(&mut self) -> Result<Statement> {
        self.bump();
        let Some(kind) = self.object_kind() else {
            if self.is_access_object() {
                return self.drop_access();
            }
            return Err(self.no_kind("DROP"));
        };
        let if_exists = self.if_exists();
        let names = self.object_names("a name")?;
        let cascade = self.take(&["CASCADE"]);
        if !cascade {
            self.take(&["RESTRICT"]);
        }
        Ok(Statement::Drop(Drop {
            kind,
            if_exists,
            names,
            cascade,
        }))
    }

    pub(super) fn alter(&mut self) -> Result<Statement> {
        self.bump();
        let Some(kind) = self.object_kind() else {
            if self.is_access_object() {
                return self.alter_access();
            }
            return Err(self.no_kind("ALTER"));
        };
        let if_exists = self.if_exists();
        self.take(&["ONLY"]);
        let name = self.object_name("a name")?;
        let operation = self.alter_operation()?;
        if *self.peek() == Token::Comma {
            return Err(self.unsupported(
                "several changes in one ALTER",
                Some("write one ALTER for each"),
            ));
        }
        Ok(Statement::Alter(Alter {
            kind,
            if_exists,
            name,
            operation,
        }))
    }

    fn no_kind(&self, verb: &str) -> Error {
        match self.peek_word() {
            Some(word)
                if crate::keywords::is_keyword(&word.value)
                    && !KINDS.contains(&word.value.as_str()) =>
            {
                self.unsupported(&format!("{verb} {}", word.value.to_uppercase()), None)
            }
            found => self
                .expected("a kind of object, such as STREAM, TABLE or VIEW")
                .or_hint(|| did_you_mean(&found?.value, &KINDS)),
        }
    }

    fn alter_operation(&mut self) -> Result<AlterOperation> {
        if self.take(&["RENAME", "TO"]) {
            return Ok(AlterOperation::RenameTo(self.ident("the new name")?));
        }
        if self.take(&["RENAME"]) {
            if self.peek_words(&["CONSTRAINT"]) {
                return Err(self.unsupported("RENAME CONSTRAINT", None));
            }
            self.take(&["COLUMN"]);
            let from = self.ident("the name of a column")?;
            self.expect(&["TO"])?;
            let to = self.ident("the new name")?;
            return Ok(AlterOperation::RenameColumn { from, to });
        }
        if self.take(&["ADD"]) {
            return self.add_column();
        }
        if self.take(&["DROP"]) {
            if self.peek_words(&["CONSTRAINT"]) {
                return Err(self.unsupported("DROP CONSTRAINT", None));
            }
            self.take(&["COLUMN"]);
            let if_exists = self.if_exists();
            let name = self.ident("the name of a column")?;
            let cascade = self.take(&["CASCADE"]);
            if !cascade {
                self.take(&["RESTRICT"]);
            }
            return Ok(AlterOperation::DropColumn {
                name,
                if_exists,
                cascade,
            });
        }
        if self.take(&["ALTER"]) {
            self.take(&["COLUMN"]);
            let name = self.ident("the name of a column")?;
            let change = self.column_change()?;
            return Ok(AlterOperation::AlterColumn { name, change });
        }
        if self.take(&["SET", "SCHEMA"]) {
            return Ok(AlterOperation::SetSchema(
                self.ident("the name of a schema")?,
            ));
        }
        if self.take(&["SET"]) {
            if *self.peek() != Token::LParen {
                return Err(self.expected("options in brackets, or SCHEMA"));
            }
            return Ok(AlterOperation::SetOptions(self.options_in_brackets()?));
        }
        if self.take(&["RESET"]) {
            return Ok(AlterOperation::ResetOptions(self.option_keys()?));
        }
        if self.take(&["PAUSE"]) {
            return Ok(AlterOperation::Pause);
        }
        if self.take(&["RESUME"]) {
            return Ok(AlterOperation::Resume);
        }
        if self.take(&["AS"]) {
            let QueryPart { query, sql, emit } = self.query_and_emit()?;
            return Ok(AlterOperation::As {
                query,
                query_sql: sql,
                emit,
            });
        }
        if self.peek_words(&["OWNER", "TO"]) {
            return Err(self.unsupported("OWNER TO", None));
        }
        let word = self.peek_word();
        Err(self
            .expected("RENAME, ADD, DROP, ALTER, SET, RESET, PAUSE, RESUME or AS")
            .or_hint(|| did_you_mean(&word?.value, &OPERATIONS)))
    }

    fn add_column(&mut self) -> Result<AlterOperation> {
        for words in [
            &["CONSTRAINT"][..],
            &["PRIMARY", "KEY"],
            &["FOREIGN", "KEY"],
        ] {
            if self.peek_words(words) {
                return Err(self.unsupported(&format!("ADD {}", words.join(" ")), None));
            }
        }
        for word in ["CHECK", "UNIQUE"] {
            if self.peek_words(&[word]) && *self.peek_second() == Token::LParen {
                return Err(self.unsupported(&format!("ADD {word}"), None));
            }
        }
        self.take(&["COLUMN"]);
        let if_not_exists = self.if_not_exists();
        let end = self.item_end();
        let (column, checks) = self.part(end).one_column()?;
        Ok(AlterOperation::AddColumn {
            column: Box::new(column),
            if_not_exists,
            checks,
        })
    }

    fn column_change(&mut self) -> Result<ColumnChange> {
        if self.take(&["SET", "DEFAULT"]) {
            let end = self.item_end();
            return Ok(ColumnChange::SetDefault(Box::new(
                self.part(end).sql_expr()?,
            )));
        }
        if self.take(&["DROP", "DEFAULT"]) {
            return Ok(ColumnChange::DropDefault);
        }
        if self.take(&["SET", "NOT", "NULL"]) {
            return Ok(ColumnChange::SetNotNull);
        }
        if self.take(&["DROP", "NOT", "NULL"]) {
            return Ok(ColumnChange::DropNotNull);
        }
        if self.take(&["SET", "DATA", "TYPE"]) || self.take(&["TYPE"]) {
            let end = self.item_end();
            let mut part = self.part(end);
            let (data_type, sql) = part.data_type()?;
            if part.peek_words(&["USING"]) {
                return Err(part.unsupported("ALTER COLUMN … TYPE … USING", None));
            }
            part.finish()?;
            return Ok(ColumnChange::SetType(data_type, sql));
        }
        Err(self.expected("SET DEFAULT, DROP DEFAULT, SET NOT NULL, DROP NOT NULL or TYPE"))
    }

    pub(super) fn comment_on(&mut self) -> Result<Statement> {
        self.bump();
        self.expect(&["ON"])?;
        let (kind, name, column) = if self.take(&["COLUMN"]) {
            let position = self.position();
            let mut parts = vec![self.ident("the name of a column")?];
            while self.take_token(&Token::Period) {
                parts.push(self.ident("the name of a column")?);
            }
            let column = parts.pop();
            if parts.is_empty() || parts.len() > 3 {
                return Err(Error::syntax("expected a column as table.column", position));
            }
            (None, parts.into(), column)
        } else {
            let Some(kind) = self.object_kind() else {
                return Err(self.no_kind("COMMENT ON"));
            };
            (Some(kind), self.object_name("a name")?, None)
        };
        self.expect(&["IS"])?;
        let comment = if self.take(&["NULL"]) {
            None
        } else {
            Some(self.string("a comment")?)
        };
        Ok(Statement::CommentOn(CommentOn {
            kind: kind as Option<ObjectKind>,
            name,
            column,
            comment,
        }))
    }
}
