//! What stands in the brackets of `CREATE STREAM` and `CREATE TABLE`: columns, constraints, the watermark.

use datafusion_sql::sqlparser::ast::{ArrayElemTypeDef, DataType, Expr, Ident, ObjectName};
use datafusion_sql::sqlparser::tokenizer::Token;
use weir_base::{Position, SqlState};

use super::Parser;
use crate::error::{Error, Result};
use crate::source::position;
use crate::statement::{Check, ColumnDef, SqlExpr, Watermark, fold};

/// A list of columns and constraints, with its rules checked.
#[derive(Debug, Default)]
pub(super) struct ColumnList {
    pub(super) columns: Vec<ColumnDef>,
    /// Columns without a type.
    pub(super) names: Vec<Ident>,
    pub(super) primary_key: Vec<Ident>,
    pub(super) unique: Vec<Vec<Ident>>,
    pub(super) checks: Vec<Check>,
    pub(super) watermark: Option<Watermark>,
}

/// Where an expression after `DEFAULT` ends.
const AFTER_DEFAULT: [&[&str]; 9] = [
    &["NOT", "NULL"],
    &["NULL"],
    &["PRIMARY", "KEY"],
    &["UNIQUE"],
    &["CHECK"],
    &["CONSTRAINT"],
    &["COMMENT"],
    &["REFERENCES"],
    &["GENERATED"],
];

impl Parser<'_, '_> {
    /// `(column, …, constraint, …)` of the object `of`.
    pub(super) fn column_list(&mut self, of: &ObjectName) -> Result<ColumnList> {
        let open = self.position();
        let end = self.after_bracket(self.at);
        if *self.source.token(end.saturating_sub(1)) != Token::RParen {
            return Err(Error::syntax("the bracket opened here is not closed", open));
        }
        self.expect_token(&Token::LParen)?;
        let mut list = self.part(end - 1);
        self.expect_token(&Token::RParen)?;
        let mut columns = ColumnList::default();
        loop {
            let to = list.item_end();
            let mut item = list.part(to);
            item.list_item(&mut columns)?;
            item.finish().map_err(|error| {
                error.or_hint(|| Some("columns are separated by commas".to_owned()))
            })?;
            if !list.take_token(&Token::Comma) {
                break;
            }
        }
        list.finish()?;
        columns.check(of)?;
        Ok(columns)
    }

    /// The comma, or the end, behind the item that comes next. Commas in brackets, and in those of `MAP<…>`, are its own.
    pub(super) fn item_end(&self) -> usize {
        let (mut depth, mut angles) = (0_usize, 0_usize);
        let mut after_type = false;
        for at in self.at..self.end {
            let token = self.source.token(at);
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                Token::Lt if after_type => angles += 1,
                Token::Gt => angles = angles.saturating_sub(1),
                Token::ShiftRight => angles = angles.saturating_sub(2),
                Token::Comma if depth == 0 && angles == 0 => return at,
                _ => {}
            }
            if !crate::source::is_space(token) {
                after_type = matches!(token, Token::Word(word)
                    if ["ARRAY", "STRUCT", "MAP"].iter().any(|name| word.value.eq_ignore_ascii_case(name)));
            }
        }
        self.end
    }

    fn list_item(&mut self, list: &mut ColumnList) -> Result<()> {
        let position = self.position();
        if self.take(&["WATERMARK", "FOR"]) {
            let watermark = self.watermark()?;
            if list.watermark.replace(watermark).is_some() {
                return Err(Error::syntax("WATERMARK FOR is given twice", position));
            }
            return Ok(());
        }
        let name = if self.take(&["CONSTRAINT"]) {
            Some(self.ident("the name of a constraint")?)
        } else {
            None
        };
        if self.take(&["PRIMARY", "KEY"]) {
            let key = self.idents_in_brackets("the name of a column")?;
            return list.set_primary_key(key, position);
        }
        if self.peek_words(&["UNIQUE"]) && (name.is_some() || *self.peek_second() == Token::LParen)
        {
            self.bump();
            list.unique
                .push(self.idents_in_brackets("the name of a column")?);
            return Ok(());
        }
        if self.peek_words(&["CHECK"]) && (name.is_some() || *self.peek_second() == Token::LParen) {
            self.bump();
            list.checks.push(self.check(name)?);
            return Ok(());
        }
        for (words, followed) in [
            (&["FOREIGN", "KEY"][..], None),
            (&["EXCLUDE"], Some(Token::LParen)),
            (&["LIKE"], None),
        ] {
            if self.peek_words(words) && followed.is_none_or(|token| *self.peek_second() == token) {
                return Err(self.unsupported(words.join(" ").as_str(), None));
            }
        }
        if name.is_some() {
            return Err(self.expected("PRIMARY KEY, UNIQUE or CHECK"));
        }
        match self.column_or_name(list)? {
            Ok(column) => list.columns.push(column),
            Err(name) => list.names.push(name),
        }
        Ok(())
    }

    /// `name type options` of `ALTER … ADD COLUMN`, with the checks beside it.
    pub(super) fn one_column(&mut self) -> Result<(ColumnDef, Vec<Check>)> {
        let mut list = ColumnList::default();
        let position = self.position();
        let column = match self.column_or_name(&mut list)? {
            Ok(column) => column,
            Err(_) => return Err(self.expected("a type")),
        };
        if !list.primary_key.is_empty() || !list.unique.is_empty() {
            return Err(Error::unsupported(
                "ADD COLUMN with PRIMARY KEY or UNIQUE",
                position,
                None,
            ));
        }
        Ok((column, list.checks))
    }

    fn column_or_name(&mut self, list: &mut ColumnList) -> Result<Result<ColumnDef, Ident>> {
        let place = self.position();
        let name = self.ident("a column, a constraint, or WATERMARK FOR")?;
        if self.at_end() {
            return Ok(Err(name));
        }
        let (data_type, sql_type) = self.data_type()?;
        let mut column = ColumnDef {
            name,
            data_type,
            sql_type,
            not_null: false,
            default: None,
            comment: None,
            position: place,
        };
        let mut nullable = false;
        while !self.at_end() {
            self.column_option(&mut column, &mut nullable, list)?;
        }
        if nullable && column.not_null {
            return Err(Error::Definition {
                message: format!(
                    "column {:?} is declared both NULL and NOT NULL",
                    fold(&column.name)
                ),
                position: place,
                sqlstate: SqlState::SYNTAX_ERROR,
            });
        }
        Ok(Ok(column))
    }

    fn column_option(
        &mut self,
        column: &mut ColumnDef,
        nullable: &mut bool,
        list: &mut ColumnList,
    ) -> Result<()> {
        let position = self.position();
        let constraint = if self.take(&["CONSTRAINT"]) {
            Some(self.ident("the name of a constraint")?)
        } else {
            None
        };
        if self.take(&["NOT", "NULL"]) {
            column.not_null = true;
        } else if self.take(&["NULL"]) {
            *nullable = true;
        } else if self.take(&["PRIMARY", "KEY"]) {
            list.set_primary_key(vec![column.name.clone()], position)?;
            column.not_null = true;
        } else if self.take(&["UNIQUE"]) {
            list.unique.push(vec![column.name.clone()]);
        } else if self.take(&["CHECK"]) {
            let check = self.check(constraint)?;
            list.checks.push(check);
        } else if self.take(&["COMMENT"]) {
            column.comment = Some(self.string("a comment")?);
        } else if self.take(&["DEFAULT"]) {
            let start = self.at;
            let end = self
                .find(|at| {
                    at > start
                        && AFTER_DEFAULT.iter().any(|words| {
                            super::words_end(self.source, at, self.end, words).is_some()
                        })
                })
                .unwrap_or(self.end);
            if column.default.replace(self.part(end).sql_expr()?).is_some() {
                return Err(Error::syntax("DEFAULT is given twice", position));
            }
        } else if self.peek_words(&["REFERENCES"]) {
            return Err(self.unsupported("REFERENCES", None));
        } else if self.peek_words(&["GENERATED"]) || self.peek_words(&["AS"]) {
            return Err(self.unsupported("a generated column", Some("compute it in a view")));
        } else if self.peek_words(&["COLLATE"]) {
            return Err(self.unsupported("COLLATE on a column", None));
        } else {
            return Err(self
                .expected("NOT NULL, DEFAULT, PRIMARY KEY, UNIQUE, CHECK, COMMENT, or a comma")
                .or_hint(|| {
                    let found = self.peek_word()?;
                    if found.value.eq_ignore_ascii_case("NOTNULL") {
                        return Some("write NOT NULL".to_owned());
                    }
                    crate::keywords::did_you_mean(
                        &found.value,
                        &[
                            "CHECK", "COMMENT", "DEFAULT", "NOT", "NULL", "PRIMARY", "UNIQUE",
                        ],
                    )
                }));
        }
        Ok(())
    }

    /// Behind `CHECK`.
    fn check(&mut self, name: Option<Ident>) -> Result<Check> {
        let end = self.after_bracket(self.at);
        self.expect_token(&Token::LParen)?;
        let SqlExpr { expr, sql } = self.part(end.saturating_sub(1)).sql_expr()?;
        self.expect_token(&Token::RParen)?;
        Ok(Check {
            name: name.as_ref().map(fold),
            expr,
            sql,
        })
    }

    /// Behind `WATERMARK FOR`.
    fn watermark(&mut self) -> Result<Watermark> {
        let column = self.ident("the name of the event time column")?;
        if self.at_end() {
            let sql = column.to_string();
            return Ok(Watermark {
                expr: Expr::Identifier(column.clone()),
                column,
                sql,
            });
        }
        self.expect(&["AS"])?;
        let SqlExpr { expr, sql } = self.sql_expr()?;
        Ok(Watermark { column, expr, sql })
    }

    /// A type, and its text.
    pub(super) fn data_type(&mut self) -> Result<(DataType, String)> {
        let start = self.at;
        if self.peek_word().is_none() {
            return Err(self.expected("a type"));
        }
        let data_type = self.read_some(super::read::a_data_type)?;
        let text = self.source.text(start, self.at).to_owned();
        // The standard's word for `[]`.
        if self.take(&["ARRAY"]) {
            let items = ArrayElemTypeDef::SquareBracket(Box::new(data_type), None);
            return Ok((DataType::Array(items), format!("{text}[]")));
        }
        Ok((data_type, text))
    }
}

impl ColumnList {
    fn set_primary_key(&mut self, key: Vec<Ident>, position: Position) -> Result<()> {
        if !self.primary_key.is_empty() {
            return Err(Error::Definition {
                message: "more than one primary key; for a key of several columns write PRIMARY KEY (a, b)".to_owned(),
                position,
                sqlstate: SqlState::INVALID_TABLE_DEFINITION,
            });
        }
        self.primary_key = key;
        Ok(())
    }

    /// Each column is there once, and the columns that keys and the watermark name are there.
    fn check(&mut self, of: &ObjectName) -> Result<()> {
        let mut names = std::collections::BTreeSet::new();
        for ident in self
            .columns
            .iter()
            .map(|column| &column.name)
            .chain(&self.names)
        {
            if !names.insert(fold(ident)) {
                return Err(Error::Definition {
                    message: format!("column {:?} is declared twice", fold(ident)),
                    position: position(ident.span.start),
                    sqlstate: SqlState::DUPLICATE_COLUMN,
                });
            }
        }
        if !self.names.is_empty() {
            return Ok(());
        }
        let named = self.primary_key.iter().chain(self.unique.iter().flatten());
        for ident in named.chain(self.watermark.iter().map(|watermark| &watermark.column)) {
            if !names.contains(&fold(ident)) {
                return Err(Error::Definition {
                    message: format!("column {:?} is not declared in {of}", fold(ident)),
                    position: position(ident.span.start),
                    sqlstate: SqlState::UNDEFINED_COLUMN,
                });
            }
        }
        let mut key = std::collections::BTreeSet::new();
        for ident in &self.primary_key {
            if !key.insert(fold(ident)) {
                return Err(Error::Definition {
                    message: format!("column {:?} is twice in the primary key", fold(ident)),
                    position: position(ident.span.start),
                    sqlstate: SqlState::DUPLICATE_COLUMN,
                });
            }
        }
        for column in &mut self.columns {
            column.not_null |= key.contains(&fold(&column.name));
        }
        Ok(())
    }
}
