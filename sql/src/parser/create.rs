//! `CREATE …`.

use datafusion_sql::sqlparser::ast::{Ident, ObjectName};
use datafusion_sql::sqlparser::tokenizer::Token;

use super::columns::ColumnList;
use super::query::QueryPart;
use super::{Parser, words_end};
use crate::error::{Error, Result};
use crate::keywords::did_you_mean;
use crate::source::position;
use crate::statement::{
    CreateConnection, CreateMaterializedView, CreateSchema, CreateSink, CreateStream, CreateTable,
    CreateView, ObjectKind, SinkSource, Statement, TestConnection, TestedConnection,
};

/// What `CREATE` may be followed by, for hints.
const CREATABLE: [&str; 12] = [
    "CONNECTION",
    "EXTERNAL",
    "MATERIALIZED",
    "ROLE",
    "SCHEMA",
    "SINK",
    "SOURCE",
    "STREAM",
    "TABLE",
    "TEMPORARY",
    "USER",
    "VIEW",
];

impl Parser<'_, '_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        self.bump();
        let or_replace = self.take(&["OR", "REPLACE"]);
        let mut temporary = false;
        for words in [
            &["TEMPORARY"][..],
            &["TEMP"],
            // The standard's words, which say no more here.
            &["LOCAL", "TEMPORARY"],
            &["LOCAL", "TEMP"],
        ] {
            temporary |= self.take(words);
        }
        let position = self.position();
        let Some(kind) = self.object_kind() else {
            if self.is_access_object() && !or_replace && !temporary {
                return self.create_access();
            }
            return Err(self.not_creatable());
        };
        if temporary && !matches!(kind, ObjectKind::Table | ObjectKind::View) {
            let what = format!("CREATE TEMPORARY {}", kind.keywords());
            return Err(Error::unsupported(what, position, None));
        }
        match kind {
            ObjectKind::Schema => self.create_schema(or_replace, position),
            ObjectKind::Stream => self.create_stream(or_replace),
            ObjectKind::Table => self.create_table(or_replace, temporary),
            ObjectKind::ExternalTable => self.create_external_table(or_replace),
            ObjectKind::View => self.create_view(or_replace, temporary),
            ObjectKind::MaterializedView => self.create_materialized_view(or_replace),
            ObjectKind::Sink => self.create_sink(or_replace),
            ObjectKind::Connection => self.create_connection(or_replace),
        }
    }

    fn not_creatable(&self) -> Error {
        let Some(word) = self.peek_word() else {
            return self.expected("what to create");
        };
        let upper = word.value.to_ascii_uppercase();
        let hint = match upper.as_str() {
            "DATABASE" => Some("the one database is weir; write CREATE SCHEMA"),
            "SECRET" | "SERVER" => Some("write CREATE CONNECTION c WITH (type = 's3', …)"),
            "SUBSCRIPTION" => Some("write SUBSCRIBE TO v, or SELECT … EMIT CHANGES"),
            "INDEX" | "UNIQUE" | "FUNCTION" | "AGGREGATE" | "SEQUENCE" | "TYPE" | "DOMAIN"
            | "TRIGGER" | "EXTENSION" | "POLICY" | "PROCEDURE" | "MACRO" | "OPERATOR" | "RULE"
            | "COLLATION" | "PUBLICATION" | "FOREIGN" | "UNLOGGED" | "GLOBAL" | "LOCAL"
            | "VIRTUAL" | "RECURSIVE" | "UNBOUNDED" | "STAGE" | "TASK" => None,
            _ => {
                return self
                    .expected("what to create, such as STREAM, TABLE or VIEW")
                    .or_hint(|| did_you_mean(&upper, &CREATABLE));
            }
        };
        self.unsupported(&format!("CREATE {upper}"), hint)
    }

    fn create_schema(
        &mut self,
        or_replace: bool,
        position: weir_base::Position,
    ) -> Result<Statement> {
        if or_replace {
            return Err(Error::unsupported(
                "CREATE OR REPLACE SCHEMA",
                position,
                Some("write CREATE SCHEMA IF NOT EXISTS"),
            ));
        }
        let if_not_exists = self.if_not_exists();
        if self.peek_words(&["AUTHORIZATION"]) {
            return Err(self.unsupported("AUTHORIZATION", None));
        }
        Ok(Statement::CreateSchema(CreateSchema {
            if_not_exists,
            name: self.object_name("the name of a schema")?,
        }))
    }

    fn create_stream(&mut self, or_replace: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of a stream")?;
        let list = self.typed_columns(&name)?;
        if !list.unique.is_empty() {
            return Err(self.unsupported(
                "UNIQUE on a stream",
                Some("a stream is append-only; a table has a key"),
            ));
        }
        let options = self.with_options()?;
        if self.peek_words(&["AS"]) {
            return Err(self.unsupported(
                "CREATE STREAM … AS",
                Some("write CREATE MATERIALIZED VIEW v AS SELECT …, or CREATE SINK s INTO stream AS SELECT …"),
            ));
        }
        if self.peek_words(&["FORMAT"]) {
            return Err(self.unsupported("FORMAT … ENCODE", Some("write WITH (format = 'json')")));
        }
        if list.columns.is_empty() && options.is_empty() {
            return Err(self.expected("columns in brackets"));
        }
        Ok(Statement::CreateStream(CreateStream {
            name,
            or_replace,
            if_not_exists,
            columns: list.columns,
            primary_key: list.primary_key,
            checks: list.checks,
            watermark: list.watermark,
            options,
        }))
    }

    fn create_table(&mut self, or_replace: bool, temporary: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of a table")?;
        let list = match self.peek() {
            Token::LParen => self.column_list(&name)?,
            _ => ColumnList::default(),
        };
        let options = self.with_options()?;
        // That rows stay is what is meant without it, too.
        let drop_on_commit = temporary
            && !self.take(&["ON", "COMMIT", "PRESERVE", "ROWS"])
            && self.take(&["ON", "COMMIT", "DROP"]);
        for words in [
            &["PARTITION", "BY"][..],
            &["INHERITS"],
            &["ON", "COMMIT"],
            &["TABLESPACE"],
            &["LIKE"],
        ] {
            if self.peek_words(words) {
                return Err(self.unsupported(&words.join(" "), None));
            }
        }
        for words in [&["STORED", "AS"], &["PARTITIONED", "BY"]] {
            if self.peek_words(words) {
                let hint = Some("write CREATE EXTERNAL TABLE for files");
                return Err(self.unsupported(&words.join(" "), hint));
            }
        }
        if !list.names.is_empty() && !list.columns.is_empty()
            || (!list.names.is_empty() && !self.peek_words(&["AS"]))
        {
            return Err(untyped(&list.names));
        }
        let (mut query, mut without_data) = (None, false);
        if self.take(&["AS"]) {
            let data = [
                (&["WITH", "NO", "DATA"][..], true),
                (&["WITH", "DATA"], false),
            ];
            let end = self.find(|at| {
                data.iter().any(|(words, _)| {
                    words_end(self.source, at, self.end, words)
                        .is_some_and(|end| Parser::new(self.source, end, self.end).at_end())
                })
            });
            query = Some(
                self.part(end.unwrap_or(self.end))
                    .bounded_query("CREATE TABLE")?,
            );
            for (words, without) in data {
                if self.take(words) {
                    without_data = without;
                }
            }
        } else if list.columns.is_empty() {
            return Err(self.expected("columns in brackets, or AS and a query"));
        }
        Ok(Statement::CreateTable(CreateTable {
            name,
            or_replace,
            if_not_exists,
            temporary,
            drop_on_commit,
            columns: list.columns,
            column_names: list.names,
            primary_key: list.primary_key,
            unique: list.unique,
            checks: list.checks,
            watermark: list.watermark,
            query,
            without_data,
            options,
        }))
    }

    fn create_view(&mut self, or_replace: bool, temporary: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of a view")?;
        let columns = self.view_columns()?;
        if self.peek_words(&["WITH"]) {
            return Err(self.unsupported("options of a view", None));
        }
        self.expect(&["AS"])?;
        let position = self.position();
        let QueryPart { query, sql, emit } = self.query_and_emit()?;
        if emit.is_some() {
            return Err(Error::unsupported(
                "EMIT in a view",
                position,
                Some("write CREATE MATERIALIZED VIEW, or read the view with SELECT … EMIT CHANGES"),
            ));
        }
        Ok(Statement::CreateView(CreateView {
            name,
            or_replace,
            if_not_exists,
            temporary,
            columns,
            query,
            query_sql: sql,
        }))
    }

    fn create_materialized_view(&mut self, or_replace: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of a materialized view")?;
        let columns = self.view_columns()?;
        let options = self.with_options()?;
        self.expect(&["AS"])?;
        let QueryPart { query, sql, emit } = self.query_and_emit()?;
        Ok(Statement::CreateMaterializedView(CreateMaterializedView {
            name,
            or_replace,
            if_not_exists,
            columns,
            options,
            query,
            query_sql: sql,
            emit,
        }))
    }

    fn create_sink(&mut self, or_replace: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of a sink")?;
        let into = if self.take(&["INTO"]) {
            Some(self.object_name("the name of a table or a stream")?)
        } else {
            None
        };
        let mut options = self.with_options()?;
        let (source, emit) = if self.take(&["AS"]) {
            let end = self.find(|at| self.options_start(at)).unwrap_or(self.end);
            let QueryPart { query, sql, emit } = self.part(end).query_and_emit()?;
            let query_sql = sql;
            (SinkSource::Query { query, query_sql }, emit)
        } else {
            self.expect(&["FROM"])
                .map_err(|_| self.expected("FROM and a name, or AS and a query"))?;
            let from = self.object_name("the name of a stream, a table or a view")?;
            (SinkSource::Object(from), self.take_emit())
        };
        if self.peek_words(&["WITH"]) {
            if !options.is_empty() {
                return Err(Error::syntax("WITH is given twice", self.position()));
            }
            options = self.with_options()?;
        }
        if into.is_none() && options.is_empty() {
            return Err(self.expected("WITH (connector = …), or INTO and a name before the query"));
        }
        Ok(Statement::CreateSink(CreateSink {
            name,
            or_replace,
            if_not_exists,
            into,
            source,
            emit,
            options,
        }))
    }

    fn create_connection(&mut self, or_replace: bool) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name("the name of a connection")?;
        if !self.peek_words(&["WITH"]) {
            return Err(self.expected("WITH (type = …)"));
        }
        Ok(Statement::CreateConnection(CreateConnection {
            name,
            or_replace,
            if_not_exists,
            options: self.with_options()?,
        }))
    }

    pub(super) fn test_connection(&mut self) -> Result<Statement> {
        self.bump();
        if !self.take(&["CONNECTION"]) {
            return Err(self.expected("CONNECTION"));
        }
        let connection = if self.peek_words(&["WITH"]) {
            TestedConnection::New(self.with_options()?)
        } else {
            TestedConnection::Named(
                self.object_name("the name of a connection, or WITH (type = …)")?,
            )
        };
        let at = match self.take(&["AT"]) {
            true => Some(self.string("a location")?),
            false => None,
        };
        Ok(Statement::TestConnection(TestConnection { connection, at }))
    }

    /// `WITH (…)`, where it comes next.
    pub(super) fn with_options(&mut self) -> Result<Vec<(String, String)>> {
        if self.take(&["WITH"]) {
            if *self.peek() != Token::LParen {
                return Err(self.expected("options in brackets, as (key = value, …)"));
            }
            return self.options_in_brackets();
        }
        Ok(Vec::new())
    }

    /// Columns in brackets, each with a type, where brackets come next.
    fn typed_columns(&mut self, of: &ObjectName) -> Result<ColumnList> {
        if *self.peek() != Token::LParen {
            return Ok(ColumnList::default());
        }
        let list = self.column_list(of)?;
        match list.names.is_empty() {
            true => Ok(list),
            false => Err(untyped(&list.names)),
        }
    }

    fn view_columns(&mut self) -> Result<Vec<Ident>> {
        match self.peek() {
            Token::LParen => self.idents_in_brackets("the name of a column"),
            _ => Ok(Vec::new()),
        }
    }
}

/// A column needs a type.
pub(super) fn untyped(names: &[Ident]) -> Error {
    let Some(name) = names.first() else {
        return Error::syntax(
            "expected a type",
            weir_base::Position { line: 1, column: 1 },
        );
    };
    Error::syntax(
        format!("column {name} has no type"),
        position(name.span.start),
    )
    .or_hint(|| Some(format!("write {name} and a type, such as {name} BIGINT")))
}
