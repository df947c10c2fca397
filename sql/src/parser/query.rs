//! Queries and changes of rows, `EMIT`, `EXPLAIN`, `DESCRIBE`, `SUBSCRIBE`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{self, Spanned, TableFactor, Visit, Visitor};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Parser, words_end};
use crate::balance;
use crate::error::{Error, Result};
use crate::source::position;
use crate::statement::{
    Describe, Emit, Explain, Insert, Query, SqlExpr, Statement, Subscribe, SubscribeSource,
};

/// A query, its text, and what followed it.
pub(super) struct QueryPart {
    pub(super) query: Box<ast::Query>,
    pub(super) sql: String,
    pub(super) emit: Option<Emit>,
}

const EMITS: [(&[&str], Emit); 3] = [
    (&["EMIT", "CHANGES"], Emit::Changes),
    (&["EMIT", "ON", "WINDOW", "CLOSE"], Emit::OnWindowClose),
    (&["EMIT", "FINAL"], Emit::OnWindowClose),
];

/// Clauses of a query that may stand behind `EMIT CHANGES`.
const AFTER_EMIT: [&str; 3] = ["LIMIT", "OFFSET", "FETCH"];

impl Parser<'_, '_> {
    pub(super) fn query_statement(&mut self) -> Result<Statement> {
        let QueryPart { query, emit, .. } = self.query_and_emit()?;
        Ok(Statement::Query(Query { query, emit }))
    }

    /// All that is left as a query with an `EMIT` at its end.
    pub(super) fn query_and_emit(&mut self) -> Result<QueryPart> {
        let (tokens, sql, emit) = self.cut_emit();
        if tokens
            .iter()
            .all(|token| crate::source::is_space(&token.token))
        {
            return Err(self.expected("a query"));
        }
        let mut query = self.read_tokens(tokens, super::read::a_query)?;
        balance::query(&mut query)?;
        refuse_traps(&query)?;
        self.at = self.end;
        Ok(QueryPart { query, sql, emit })
    }

    /// All that is left as a query, without `EMIT`.
    pub(super) fn bounded_query(&mut self, of: &str) -> Result<Box<ast::Query>> {
        let part = self.query_and_emit()?;
        match part.emit {
            None => Ok(part.query),
            Some(_) => Err(self.unsupported(&format!("EMIT in the query of {of}"), None)),
        }
    }

    /// The tokens and the text that are left, without `EMIT …`.
    fn cut_emit(&self) -> (Vec<TokenWithSpan>, String, Option<Emit>) {
        let rest = |from, to| self.source.tokens(from, to);
        let found = self.find_emit();
        let Some((from, to, emit)) = found else {
            let sql = self.source.text(self.at, self.end).to_owned();
            return (rest(self.at, self.end).to_vec(), sql, None);
        };
        let mut tokens = rest(self.at, from).to_vec();
        tokens.extend_from_slice(rest(to, self.end));
        let (before, after) = (
            self.source.text(self.at, from),
            self.source.text(to, self.end),
        );
        let sql = match after {
            "" => before.to_owned(),
            after => format!("{before} {after}"),
        };
        (tokens, sql, Some(emit))
    }

    /// Where `EMIT …` starts and ends. It is one only at the end, or before `LIMIT`; else it is a name.
    fn find_emit(&self) -> Option<(usize, usize, Emit)> {
        let emit_at = |at: usize| {
            EMITS.into_iter().find_map(|(words, emit)| {
                let end = words_end(self.source, at, self.end, words)?;
                let rest = Parser::new(self.source, end, self.end);
                let ends = rest.at_end() || AFTER_EMIT.iter().any(|word| rest.peek_words(&[word]));
                ends.then_some((at, end, emit))
            })
        };
        self.find(|at| emit_at(at).is_some()).and_then(emit_at)
    }

    /// `EMIT …`, where it comes next.
    pub(super) fn take_emit(&mut self) -> Option<Emit> {
        EMITS
            .into_iter()
            .find(|(words, _)| self.take(words))
            .map(|(_, emit)| emit)
    }

    pub(super) fn insert(&mut self) -> Result<Statement> {
        let mut upsert = false;
        let mut cut = None;
        if let Some(with) = self.find(|at| self.options_start(at)) {
            let mut options = Parser::new(self.source, with, self.end);
            options.expect(&["WITH"])?;
            let position = options.position();
            for (key, value) in options.options_in_brackets()? {
                if key != "upsert" || value != "true" {
                    let error =
                        Error::syntax(format!("unknown option {key:?} of INSERT"), position);
                    return Err(error.or_hint(|| Some("write WITH (upsert)".to_owned())));
                }
                upsert = true;
            }
            cut = Some((with, options.at));
        }
        let emit = self.find_emit();
        let mut tokens = Vec::with_capacity(self.end - self.at);
        for at in self.at..self.end {
            let in_options = cut.is_some_and(|(from, to)| (from..to).contains(&at));
            let in_emit = emit.is_some_and(|(from, to, _)| (from..to).contains(&at));
            if !in_options && !in_emit {
                tokens.extend_from_slice(self.source.tokens(at, at + 1));
            }
        }
        let mut insert = Box::new(self.read_tokens(tokens, super::read::a_statement)?);
        balance::statement(&mut insert)?;
        match insert.as_ref() {
            ast::Statement::Insert(ast::Insert { source, .. }) => {
                if let Some(source) = source {
                    refuse_traps(source)?;
                }
            }
            _ => return Err(self.expected("INSERT INTO")),
        }
        self.at = self.end;
        Ok(Statement::Insert(Insert {
            insert,
            emit: emit.map(|(_, _, emit)| emit),
            upsert,
        }))
    }

    pub(super) fn update_or_delete(&mut self) -> Result<Statement> {
        let position = self.position();
        let mut statement = Box::new(self.read_all(super::read::a_statement)?);
        balance::statement(&mut statement)?;
        match statement.as_ref() {
            ast::Statement::Update(_) => Ok(Statement::Update(statement)),
            ast::Statement::Delete(_) => Ok(Statement::Delete(statement)),
            _ => Err(Error::syntax("expected UPDATE or DELETE", position)),
        }
    }

    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.bump();
        self.take(&["TABLE"]);
        let names = self.object_names("the name of a table")?;
        // Which is what happens without it, too.
        self.take(&["CONTINUE", "IDENTITY"]);
        self.take(&["RESTRICT"]);
        for words in [&["CASCADE"][..], &["RESTART", "IDENTITY"]] {
            if self.peek_words(words) {
                return Err(self.unsupported(&format!("TRUNCATE … {}", words.join(" ")), None));
            }
        }
        Ok(Statement::Truncate(names))
    }

    pub(super) fn describe(&mut self) -> Result<Statement> {
        self.bump();
        if self.starts_query() {
            return Ok(Statement::Describe(Describe::Query(
                self.bounded_query("DESCRIBE")?,
            )));
        }
        // DESCRIBE TABLE t, but also a table of that name.
        let start = self.at;
        if self.object_kind().is_some() && self.at_end() {
            self.at = start;
        }
        Ok(Statement::Describe(Describe::Object(
            self.object_name("the name of a table or a view")?,
        )))
    }

    /// Whether a query comes next; `TABLE t` is none here.
    pub(super) fn starts_query(&self) -> bool {
        ["SELECT", "WITH", "VALUES"]
            .iter()
            .any(|word| self.peek_words(&[word]))
            || *self.peek() == Token::LParen
    }

    pub(super) fn explain(&mut self) -> Result<Statement> {
        self.bump();
        let (mut analyze, mut verbose, mut format) = (false, false, None);
        let second_is_query = match self.peek_second() {
            Token::LParen => true,
            Token::Word(word) => ["SELECT", "WITH", "VALUES", "TABLE"]
                .iter()
                .any(|start| word.value.eq_ignore_ascii_case(start)),
            _ => false,
        };
        if *self.peek() == Token::LParen && !second_is_query {
            let position = self.position();
            for (key, value) in self.options_in_brackets()? {
                let on = match value.to_ascii_lowercase().as_str() {
                    "true" | "on" | "1" => Ok(true),
                    "false" | "off" | "0" => Ok(false),
                    _ => Err(Error::syntax(
                        format!("option {key} of EXPLAIN is on or off"),
                        position,
                    )),
                };
                match key.as_str() {
                    "analyze" => analyze = on?,
                    "verbose" => verbose = on?,
                    "format" => format = Some(value.to_ascii_lowercase()),
                    // What a plan shows depends on none of these: it has times where it was run, and no costs.
                    "costs" | "timing" | "summary" => {
                        on?;
                    }
                    // There are none of those, which is all that is asked for.
                    "buffers" | "wal" | "settings" | "generic_plan" if matches!(on, Ok(false)) => {}
                    _ => {
                        return Err(Error::unsupported(
                            format!("EXPLAIN ({})", key.to_uppercase()),
                            position,
                            Some("options are ANALYZE, VERBOSE, COSTS, TIMING, SUMMARY and FORMAT"),
                        ));
                    }
                }
            }
        } else {
            loop {
                if self.take(&["ANALYZE"]) {
                    analyze = true;
                } else if self.take(&["VERBOSE"]) {
                    verbose = true;
                } else if self.take(&["FORMAT"]) {
                    format = Some(self.ident("a format")?.value.to_ascii_lowercase());
                } else {
                    break;
                }
            }
        }
        if self.peek_words(&["EXPLAIN"]) {
            return Err(self.expected("a statement to explain"));
        }
        Ok(Statement::Explain(Explain {
            analyze,
            verbose,
            format,
            statement: Box::new(self.statement()?),
        }))
    }

    pub(super) fn subscribe(&mut self) -> Result<Subscribe> {
        self.expect(&["SUBSCRIBE"])?;
        self.take(&["TO"]);
        let as_of = |at: usize| words_end(self.source, at, self.end, &["AS", "OF"]).is_some();
        let up_to = |at: usize| words_end(self.source, at, self.end, &["UP", "TO"]).is_some();
        let clause = |at: usize| self.options_start(at) || as_of(at) || up_to(at);
        let to = self.find(clause).unwrap_or(self.end);
        let up_to_start = self.find(up_to).unwrap_or(self.end);
        let mut source = self.part(to);
        let source = if source.starts_query() {
            SubscribeSource::Query(source.bounded_query("SUBSCRIBE")?)
        } else {
            let name = source.object_name("the name of a stream, a table or a view")?;
            source.finish()?;
            SubscribeSource::Object(name)
        };
        let options = if self.take(&["WITH"]) {
            self.options_in_brackets()?
        } else {
            Vec::new()
        };
        let as_of = if self.take(&["AS", "OF"]) {
            Some(self.part(up_to_start.max(self.at)).sql_expr()?)
        } else {
            None
        };
        let up_to = if self.take(&["UP", "TO"]) {
            Some(self.part(self.end).sql_expr()?)
        } else {
            None
        };
        Ok(Subscribe {
            source,
            options,
            as_of,
            up_to,
        })
    }

    /// All that is left as an expression.
    pub(super) fn sql_expr(&mut self) -> Result<SqlExpr> {
        let sql = self.source.text(self.at, self.end).to_owned();
        if self.at_end() {
            return Err(self.expected("an expression"));
        }
        let mut expr = self.read_all(super::read::an_expr)?;
        balance::expr(&mut expr)?;
        Ok(SqlExpr { expr, sql })
    }

    /// Whether `WITH (` stands at `at`: options, as a query's `WITH` is followed by a name.
    pub(super) fn options_start(&self, at: usize) -> bool {
        words_end(self.source, at, self.end, &["WITH"])
            .is_some_and(|end| *Parser::new(self.source, end, self.end).peek() == Token::LParen)
    }
}

/// Names that the parser takes where a clause of ours was meant.
fn refuse_traps(query: &ast::Query) -> Result<()> {
    match query.visit(&mut Traps) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Traps;

impl Visitor for Traps {
    type Break = Error;

    /// The parser takes a change of rows for a query; it is one of `WITH` at most, which is not built.
    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        let mut bodies = vec![&*query.body];
        while let Some(body) = bodies.pop() {
            let (what, changed) = match body {
                ast::SetExpr::SetOperation { left, right, .. } => {
                    bodies.extend([&**right, &**left]);
                    continue;
                }
                ast::SetExpr::Insert(changed) => ("INSERT", changed),
                ast::SetExpr::Update(changed) => ("UPDATE", changed),
                ast::SetExpr::Delete(changed) => ("DELETE", changed),
                ast::SetExpr::Merge(changed) => ("MERGE", changed),
                _ => continue,
            };
            return ControlFlow::Break(Error::unsupported(
                format!("{what} within a query"),
                position(changed.span().start),
                None,
            ));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, .. } => (Some(name), alias),
            TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => (None, alias),
            _ => return ControlFlow::Continue(()),
        };
        let Some(alias) = alias.as_ref().filter(|alias| !alias.explicit) else {
            return ControlFlow::Continue(());
        };
        let is = |ident: &ast::Ident, word: &str| {
            ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case(word)
        };
        if is(&alias.name, "EMIT") {
            let message = "expected CHANGES, ON WINDOW CLOSE or FINAL after EMIT";
            return ControlFlow::Break(
                Error::syntax(message, position(alias.name.span.start))
                    .or_hint(|| Some("for a table's alias write AS \"emit\"".to_owned())),
            );
        }
        if let Some([part]) = name.map(|name| name.0.as_slice())
            && let Some(ident) = part.as_ident()
            && (is(ident, "STREAM") || is(ident, "SOURCE"))
        {
            let message = format!(
                "expected a name after FROM, found {} {}",
                ident.value, alias.name
            );
            return ControlFlow::Break(
                Error::syntax(message, position(ident.span.start)).or_hint(|| {
                    Some(format!(
                        "write the name alone: {}; for a table of that name with an alias write {} AS {}",
                        alias.name, ident.value, alias.name
                    ))
                }),
            );
        }
        ControlFlow::Continue(())
    }
}
