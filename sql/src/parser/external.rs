//! Options, and what moves rows to and from files: `COPY`, `CREATE EXTERNAL TABLE`.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::Parser;
use super::create::untyped;
use crate::error::{Error, Result};
use crate::statement::{
    Copy, CopyFrom, CopySource, CreateExternalTable, PartitionColumn, Statement, fold,
};

/// The clauses that may follow a location, in any order.
#[derive(Default)]
struct Clauses {
    format: Option<String>,
    partitioned_by: Vec<PartitionColumn>,
    location: Option<String>,
    options: Vec<(String, String)>,
}

/// Words of PostgreSQL's old `COPY` syntax that take a text.
const COPY_TEXTS: [&str; 5] = ["DELIMITER", "NULL", "QUOTE", "ESCAPE", "ENCODING"];

impl Parser<'_, '_> {
    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.bump();
        let source = if *self.peek() == Token::LParen {
            let end = self.after_bracket(self.at);
            let open = self.position();
            self.bump();
            let mut query = self.part(end - 1);
            let query = query.bounded_query("COPY")?;
            if !self.take_token(&Token::RParen) {
                return Err(Error::syntax("the bracket opened here is not closed", open));
            }
            CopySource::Query(query)
        } else {
            let table = self.object_name("the name of a table, or a query in brackets")?;
            let columns = match self.peek() {
                Token::LParen => self.idents_in_brackets("the name of a column")?,
                _ => Vec::new(),
            };
            CopySource::Table(table, columns)
        };
        let to = self.take(&["TO"]);
        if !to {
            self.expect(&["FROM"])
                .map_err(|_| self.expected("TO or FROM"))?;
        }
        if self.peek_words(&["PROGRAM"]) {
            return Err(self.unsupported("COPY … PROGRAM", None));
        }
        let standard: &[&str] = if to { &["STDOUT"] } else { &["STDIN"] };
        let target = if self.take(standard) {
            None
        } else {
            Some(self.string("a location")?)
        };
        let clauses = self.clauses("COPY")?;
        let Clauses {
            format,
            partitioned_by,
            options,
            ..
        } = clauses;
        if to {
            return Ok(Statement::Copy(Copy {
                source,
                target,
                format,
                partitioned_by: partitioned_by
                    .into_iter()
                    .map(|column| fold(&column.name))
                    .collect(),
                options,
            }));
        }
        match source {
            CopySource::Table(table, columns) => Ok(Statement::CopyFrom(CopyFrom {
                table,
                columns,
                source: target,
                format,
                options,
            })),
            CopySource::Query(_) => Err(self.unsupported("COPY (query) FROM", None)),
        }
    }

    /// Behind `CREATE [OR REPLACE] EXTERNAL TABLE`.
    pub(super) fn create_external_table(&mut self, or_replace: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of an external table")?;
        let columns = match self.peek() {
            Token::LParen => self.column_list(&name)?,
            _ => Default::default(),
        };
        if !columns.names.is_empty() {
            return Err(untyped(&columns.names));
        }
        if !columns.checks.is_empty()
            || !columns.primary_key.is_empty()
            || !columns.unique.is_empty()
        {
            return Err(self.unsupported("a constraint on an external table", None));
        }
        if columns.watermark.is_some() {
            return Err(self.unsupported("WATERMARK FOR on an external table", None));
        }
        let clauses = self.clauses("CREATE EXTERNAL TABLE")?;
        let Some(location) = clauses.location else {
            let error = self.expected("LOCATION 'path or URL'");
            return Err(error);
        };
        Ok(Statement::CreateExternalTable(CreateExternalTable {
            name,
            or_replace,
            if_not_exists,
            columns: columns.columns,
            stored_as: clauses.format,
            location,
            partitioned_by: clauses.partitioned_by,
            options: clauses.options,
        }))
    }

    fn clauses(&mut self, of: &str) -> Result<Clauses> {
        let mut clauses = Clauses::default();
        while !self.at_end() {
            let position = self.position();
            let twice = |what: &str| Err(Error::syntax(format!("{what} is given twice"), position));
            if self.take(&["STORED", "AS"]) {
                let format = match self.peek() {
                    Token::SingleQuotedString(_) => self.string("a format")?,
                    _ => self.ident("a format")?.value,
                };
                if clauses.format.replace(format.to_lowercase()).is_some() {
                    return twice("STORED AS");
                }
            } else if self.take(&["PARTITIONED", "BY"]) {
                if !clauses.partitioned_by.is_empty() {
                    return twice("PARTITIONED BY");
                }
                clauses.partitioned_by = self.partition_columns()?;
            } else if of != "COPY" && self.take(&["LOCATION"]) {
                let location = self.string("a location")?;
                if clauses.location.replace(location).is_some() {
                    return twice("LOCATION");
                }
            } else if self.take(&["OPTIONS"]) || *self.peek() == Token::LParen {
                let options = self.options_in_brackets()?;
                clauses.options.extend(options);
            } else if self.take(&["WITH"]) {
                match self.peek() {
                    Token::LParen => {
                        let options = self.options_in_brackets()?;
                        clauses.options.extend(options);
                    }
                    _ if self.peek_words(&["HEADER", "ROW"]) => {
                        return Err(
                            self.unsupported("WITH HEADER ROW", Some("write WITH (header = true)"))
                        );
                    }
                    _ if of == "COPY" => {}
                    _ => return Err(self.expected("options in brackets")),
                }
            } else if of == "COPY" && self.old_copy_option(&mut clauses)? {
            } else {
                return Err(self.expected("STORED AS, PARTITIONED BY, LOCATION, OPTIONS or WITH"));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for (key, _) in &clauses.options {
            if !seen.insert(key.as_str()) {
                return Err(Error::syntax(
                    format!("option {key:?} is given twice"),
                    self.position(),
                ));
            }
        }
        if of == "COPY"
            && clauses.format.is_none()
            && let Some(at) = clauses.options.iter().position(|(key, _)| key == "format")
        {
            clauses.format = Some(clauses.options.remove(at).1.to_lowercase());
        }
        Ok(clauses)
    }

    /// `COPY … WITH CSV HEADER DELIMITER ','`, PostgreSQL's syntax before 9.0, which is still sent.
    fn old_copy_option(&mut self, clauses: &mut Clauses) -> Result<bool> {
        for format in ["CSV", "BINARY"] {
            if self.take(&[format]) {
                clauses.format = Some(format.to_lowercase());
                return Ok(true);
            }
        }
        if self.take(&["HEADER"]) {
            clauses
                .options
                .push(("header".to_owned(), "true".to_owned()));
            return Ok(true);
        }
        for word in COPY_TEXTS {
            if self.take(&[word]) {
                self.take(&["AS"]);
                let value = self.string(word)?;
                clauses.options.push((word.to_lowercase(), value));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn partition_columns(&mut self) -> Result<Vec<PartitionColumn>> {
        let end = self.after_bracket(self.at);
        self.expect_token(&Token::LParen)?;
        let mut columns = Vec::new();
        let mut list = self.part(end.saturating_sub(1));
        while !list.at_end() {
            let to = list.item_end();
            let mut item = list.part(to);
            let name = item.ident("the name of a column")?;
            let data_type = if item.at_end() {
                None
            } else {
                Some(item.data_type()?)
            };
            item.finish()?;
            columns.push(PartitionColumn { name, data_type });
            if !list.take_token(&Token::Comma) {
                break;
            }
        }
        list.finish()?;
        self.expect_token(&Token::RParen)?;
        if columns.is_empty() {
            return Err(self.expected("the name of a column"));
        }
        Ok(columns)
    }

    /// `(key = value, "dotted.key" = 'value', flag)`; DataFusion's `('key' 'value')` and PostgreSQL's `(KEY value)`, too.
    pub(super) fn options_in_brackets(&mut self) -> Result<Vec<(String, String)>> {
        self.expect_token(&Token::LParen)?;
        let mut options: Vec<(String, String)> = Vec::new();
        while *self.peek() != Token::RParen {
            let position = self.position();
            let key = self.option_key()?;
            let value = if self.take_token(&Token::Eq) {
                self.option_value()?
            } else if matches!(self.peek(), Token::Comma | Token::RParen) {
                "true".to_owned()
            } else {
                self.option_value()?
            };
            if options.iter().any(|(known, _)| *known == key) {
                return Err(Error::syntax(
                    format!("option {key:?} is given twice"),
                    position,
                ));
            }
            options.push((key, value));
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        if !self.take_token(&Token::RParen) {
            return Err(self.expected("a comma or a closing bracket"));
        }
        Ok(options)
    }

    /// Keys within brackets, without values: `(a, b)`.
    pub(super) fn option_keys(&mut self) -> Result<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let mut keys = vec![self.option_key()?];
        while self.take_token(&Token::Comma) {
            keys.push(self.option_key()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(keys)
    }

    fn option_key(&mut self) -> Result<String> {
        if matches!(self.peek(), Token::SingleQuotedString(_)) {
            return Ok(self.string("an option")?.to_lowercase());
        }
        let mut key = self.ident("the name of an option")?.value;
        while self.take_token(&Token::Period) {
            key.push('.');
            key.push_str(&self.ident("the rest of an option's name")?.value);
        }
        Ok(key.to_lowercase())
    }

    /// A text, a number, or a word, as text.
    pub(super) fn option_value(&mut self) -> Result<String> {
        let sign = match self.peek() {
            Token::Minus => {
                self.bump();
                "-"
            }
            Token::Plus => {
                self.bump();
                ""
            }
            _ => {
                return match self.peek() {
                    Token::Number(..) => self.number(""),
                    Token::Word(_) => {
                        // INTERVAL '5' SECOND is its text.
                        if self.take(&["INTERVAL"]) {
                            let mut text = self.string("an interval")?;
                            if let Some(unit) = self.peek_word() {
                                text = format!("{text} {}", unit.value.to_lowercase());
                                self.bump();
                            }
                            return Ok(text);
                        }
                        Ok(self.ident("a value")?.value)
                    }
                    _ => self.string("a value: a number, a word, or a text"),
                };
            }
        };
        self.number(sign)
    }

    fn number(&mut self, sign: &str) -> Result<String> {
        let Token::Number(digits, _) = self.peek() else {
            return Err(self.expected("a number"));
        };
        let number = format!("{sign}{}", digits.replace('_', ""));
        self.bump();
        Ok(number)
    }
}
