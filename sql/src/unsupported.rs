//! What the parser reads and DataFusion's planner passes over in silence.
//!
//! A clause that is ignored gives a wrong answer, so the engine refuses it before it plans. The list was made by reading
//! `datafusion-sql` 55.2: each node of the tree that its planner takes apart with `..`, or binds to `_`. What the planner
//! itself refuses is not repeated here.

use std::ops::ControlFlow::{self, Break, Continue};

use datafusion_sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArguments, GroupByExpr, Ident, OrderByKind, Query, Select,
    SetExpr, SetOperator, Spanned, TableAlias, TableFactor, TableVersion, Visit, Visitor,
    WindowType,
};
use weir_base::Position;

use crate::source::position;
use crate::statement::Statement;
use crate::walk::walk;

/// A construct that planning would ignore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The construct, in SQL's words.
    pub what: String,
    /// Where it, or what it belongs to, stands.
    pub position: Option<Position>,
    /// What to write in its place.
    pub hint: Option<&'static str>,
}

/// The first construct in the statement's queries and expressions that DataFusion's planner would ignore.
///
/// `FOR SYSTEM_TIME AS OF` is one, and the arguments' names and `PARTITION BY` within a table function are not: an engine
/// that plans a relation by itself looks at it before it asks here, or asks [`first_ignored_but`].
pub fn first_ignored(statement: &Statement) -> Option<Ignored> {
    first_ignored_but(statement, |_| false)
}

/// As [`first_ignored`], but passes over the relations that `planned` says the engine plans by itself. (What is within
/// them is looked at.)
pub fn first_ignored_but(
    statement: &Statement,
    planned: impl Fn(&TableFactor) -> bool,
) -> Option<Ignored> {
    let mut finder = Finder {
        planned: &planned,
        found: None,
    };
    match walk(statement, &mut finder) {
        Break(ignored) => Some(ignored),
        Continue(()) => None,
    }
}

type Found = ControlFlow<Ignored>;

struct Finder<'p> {
    planned: &'p dyn Fn(&TableFactor) -> bool,
    found: Option<Position>,
}

/// Breaks when `present`.
fn refuse(present: bool, what: &str, position: Option<Position>) -> Found {
    refuse_with(present, what, position, None)
}

fn refuse_with(
    present: bool,
    what: &str,
    position: Option<Position>,
    hint: Option<&'static str>,
) -> Found {
    if !present {
        return Continue(());
    }
    Break(Ignored {
        what: what.to_owned(),
        position,
        hint,
    })
}

pub(crate) fn place(node: &impl Spanned) -> Option<Position> {
    let start = node.span().start;
    (start.line > 0).then(|| position(start))
}

/// Where a query starts; found without a walk over all of it.
pub(crate) fn start_of(query: &Query) -> Option<Position> {
    let mut query = query;
    loop {
        if let Some(with) = &query.with {
            return Some(position(with.with_token.0.span.start));
        }
        let mut body = &*query.body;
        while let SetExpr::SetOperation { left, .. } = body {
            body = left;
        }
        match body {
            SetExpr::Select(select) => return Some(position(select.select_token.0.span.start)),
            SetExpr::Query(inner) => query = inner,
            _ => return None,
        }
    }
}

fn place_of(ident: &Ident) -> Option<Position> {
    let start = ident.span.start;
    (start.line > 0).then(|| position(start))
}

impl Visitor for Finder<'_> {
    type Break = Ignored;

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        let here = start_of(query).or(self.found);
        self.found = here;
        if let Some(lock) = query.locks.first() {
            let what = format!("FOR {}", lock.lock_type);
            refuse(true, &what, lock.of.as_ref().and_then(place).or(here))?;
        }
        refuse(query.for_clause.is_some(), "FOR XML or FOR JSON", here)?;
        refuse_with(
            query.settings.is_some(),
            "SETTINGS",
            here,
            Some("write SET before the query"),
        )?;
        refuse(query.format_clause.is_some(), "FORMAT", here)?;
        if let Some(order_by) = &query.order_by {
            let of_select = matches!(*query.body, SetExpr::Select(_));
            match &order_by.kind {
                OrderByKind::All(_) => refuse(!of_select, "ORDER BY ALL of a set operation", here)?,
                OrderByKind::Expressions(exprs) => {
                    for by in exprs {
                        named_window(&by.expr, "ORDER BY")?;
                    }
                }
            }
        }
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let here = place_of(&cte.alias.name);
                refuse(cte.from.is_some(), "FROM after a query in WITH", here)?;
                alias(Some(&cte.alias))?;
                let body = &cte.query;
                let recursive = with.recursive
                    && matches!(
                        &*body.body,
                        SetExpr::SetOperation {
                            op: SetOperator::Union,
                            ..
                        }
                    );
                let decorated = body.order_by.is_some()
                    || body.limit_clause.is_some()
                    || body.fetch.is_some()
                    || body.with.is_some();
                refuse_with(
                    recursive && decorated,
                    "ORDER BY, LIMIT or WITH in a recursive query",
                    here,
                    Some("put it into the query that reads the recursive one"),
                )?;
            }
        }
        Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        let here = Some(position(select.select_token.0.span.start));
        refuse_with(
            select.into.is_some(),
            "SELECT … INTO",
            here,
            Some("write CREATE TABLE t AS SELECT …"),
        )?;
        refuse(
            !select.optimizer_hints.is_empty(),
            "an optimizer hint",
            here,
        )?;
        refuse(select.exclude.is_some(), "EXCLUDE after the columns", here)?;
        refuse(select.prewhere.is_some(), "PREWHERE", here)?;
        refuse(!select.connect_by.is_empty(), "CONNECT BY", here)?;
        refuse(select.value_table_mode.is_some(), "SELECT AS", here)?;
        refuse(
            select.select_modifiers.is_some(),
            "a modifier after SELECT",
            here,
        )?;
        let modifiers = match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
        };
        if let Some(modifier) = modifiers.first() {
            refuse(true, &format!("GROUP BY … {modifier}"), here)?;
        }
        if let Some(qualify) = &select.qualify {
            named_window(qualify, "QUALIFY")?;
        }
        if let Some(ast::Distinct::On(exprs)) = &select.distinct {
            for expr in exprs {
                named_window(expr, "DISTINCT ON")?;
            }
        }
        for join in select.from.iter().flat_map(|from| &from.joins) {
            // Of these it has another meaning.
            let is_asof = matches!(join.join_operator, ast::JoinOperator::AsOf { .. });
            refuse(
                join.global && !is_asof,
                "GLOBAL JOIN",
                place(&join.relation),
            )?;
        }
        Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Found {
        if (self.planned)(factor) {
            return Continue(());
        }
        match factor {
            TableFactor::Table {
                name,
                alias: its_alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let here = place(name);
                if let Some(version) = version {
                    let what = match version {
                        TableVersion::ForSystemTimeAsOf(_) => "FOR SYSTEM_TIME AS OF",
                        TableVersion::TimestampAsOf(_) => "TIMESTAMP AS OF",
                        TableVersion::VersionAsOf(_) => "VERSION AS OF",
                        TableVersion::Changes { .. } => "CHANGES (…)",
                        TableVersion::Function(_) => "AT (…) or BEFORE (…)",
                    };
                    refuse(true, what, here)?;
                }
                refuse(!with_hints.is_empty(), "a table hint, WITH (…)", here)?;
                refuse(!index_hints.is_empty(), "an index hint", here)?;
                // Of a function the engine plans it.
                refuse(*with_ordinality && args.is_none(), "WITH ORDINALITY", here)?;
                refuse(!partitions.is_empty(), "PARTITION (…) after a table", here)?;
                refuse(json_path.is_some(), "a path after a table", here)?;
                refuse(sample.is_some(), "TABLESAMPLE", here)?;
                let settings = args.as_ref().is_some_and(|args| args.settings.is_some());
                refuse(settings, "SETTINGS of a table function", here)?;
                match args {
                    // Its columns may be declared: `json_to_record(…) AS t (a INT)`.
                    Some(_) => alias_of_function(its_alias.as_ref()),
                    None => alias(its_alias.as_ref()),
                }
            }
            TableFactor::Derived {
                alias: its_alias,
                sample,
                ..
            } => {
                let here = its_alias.as_ref().and_then(|alias| place_of(&alias.name));
                refuse(sample.is_some(), "TABLESAMPLE", here)?;
                alias(its_alias.as_ref())
            }
            TableFactor::Function {
                name,
                args,
                alias: its_alias,
                ..
            } => {
                let named = args
                    .iter()
                    .any(|arg| !matches!(arg, FunctionArg::Unnamed(_)));
                refuse(named, "a named argument of a LATERAL function", place(name))?;
                alias_of_function(its_alias.as_ref())
            }
            TableFactor::UNNEST {
                alias: its_alias, ..
            }
            | TableFactor::NestedJoin {
                alias: its_alias, ..
            } => alias(its_alias.as_ref()),
            // The planner refuses the others, by name.
            _ => Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Found {
        match expr {
            Expr::Function(function) => {
                let here = place(&function.name);
                let parametric = function.parameters != FunctionArguments::None;
                refuse(parametric, "a second list of arguments", here)?;
                refuse_with(
                    matches!(function.args, FunctionArguments::Subquery(_)) && !is_array(function),
                    "a query as the argument of a function",
                    here,
                    Some("write it in brackets of its own: f((SELECT …))"),
                )?;
                Continue(())
            }
            Expr::Trim {
                trim_characters: Some(characters),
                ..
            } => refuse(
                characters.len() > 1,
                "TRIM with several arguments",
                place(expr),
            ),
            _ => Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> Found {
        match statement {
            ast::Statement::Insert(insert) => {
                let here = Some(position(insert.insert_token.0.span.start));
                refuse(insert.or.is_some(), "INSERT OR …", here)?;
                refuse(insert.ignore, "INSERT IGNORE", here)?;
                refuse(insert.overwrite, "INSERT OVERWRITE", here)?;
                refuse(insert.replace_into, "REPLACE INTO", here)?;
                refuse(insert.priority.is_some(), "a priority of INSERT", here)?;
                refuse(insert.partitioned.is_some(), "PARTITION of INSERT", here)?;
                refuse(
                    !insert.after_columns.is_empty(),
                    "PARTITION of INSERT",
                    here,
                )?;
                refuse(
                    insert.insert_alias.is_some(),
                    "an alias of the new row",
                    here,
                )?;
                refuse(!insert.assignments.is_empty(), "INSERT … SET", here)?;
                refuse(insert.settings.is_some(), "SETTINGS", here)?;
                refuse(insert.format_clause.is_some(), "FORMAT", here)?;
                refuse(insert.output.is_some(), "OUTPUT", here)?;
                refuse(
                    insert.multi_table_insert_type.is_some(),
                    "INSERT into several tables",
                    here,
                )
            }
            ast::Statement::Update(update) => {
                let here = Some(position(update.update_token.0.span.start));
                refuse(update.or.is_some(), "UPDATE OR …", here)?;
                refuse(update.output.is_some(), "OUTPUT", here)?;
                refuse(update.limit.is_some(), "LIMIT of UPDATE", here)?;
                refuse(!update.order_by.is_empty(), "ORDER BY of UPDATE", here)?;
                refuse(
                    !update.table.joins.is_empty(),
                    "JOIN in UPDATE before SET",
                    here,
                )
            }
            ast::Statement::Delete(delete) => {
                let here = Some(position(delete.delete_token.0.span.start));
                refuse(
                    !delete.tables.is_empty(),
                    "DELETE from several tables",
                    here,
                )?;
                refuse(delete.output.is_some(), "OUTPUT", here)?;
                refuse(delete.limit.is_some(), "LIMIT of DELETE", here)?;
                refuse(!delete.order_by.is_empty(), "ORDER BY of DELETE", here)
            }
            _ => Continue(()),
        }
    }
}

fn alias_of_function(alias: Option<&TableAlias>) -> Found {
    let Some(alias) = alias else {
        return Continue(());
    };
    refuse(
        alias.at.is_some(),
        "AT after an alias",
        place_of(&alias.name),
    )
}

fn alias(alias: Option<&TableAlias>) -> Found {
    alias_of_function(alias)?;
    let Some(alias) = alias else {
        return Continue(());
    };
    let typed = alias
        .columns
        .iter()
        .find(|column| column.data_type.is_some());
    refuse_with(
        typed.is_some(),
        "a type in a list of column names",
        typed.and_then(|column| place_of(&column.name)),
        Some("cast the columns in the query"),
    )
}

/// `ARRAY(SELECT …)`, which the engine plans.
fn is_array(function: &ast::Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case("array")
}

/// Names of windows are looked up in the list of columns only; elsewhere the `OVER` would be dropped.
fn named_window(expr: &Expr, clause: &str) -> Found {
    let mut finder = NamedWindow { depth: 0 };
    match expr.visit(&mut finder) {
        Break(here) => refuse_with(
            true,
            &format!("OVER and the name of a window in {clause}"),
            here,
            Some("write the whole window in OVER (…)"),
        ),
        Continue(()) => Continue(()),
    }
}

struct NamedWindow {
    /// Queries within the expression have windows of their own.
    depth: usize,
}

impl Visitor for NamedWindow {
    type Break = Option<Position>;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.depth = self.depth.saturating_sub(1);
        Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(function)
                if self.depth == 0 && matches!(function.over, Some(WindowType::NamedWindow(_))) =>
            {
                Break(place(&function.name))
            }
            _ => Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn ignored(sql: &str) -> Option<Ignored> {
        first_ignored(&parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))[0].statement)
    }

    #[test]
    fn what_the_planner_passes_over_is_found() {
        for (sql, what, line_and_column) in [
            ("SELECT * FROM a FOR UPDATE", "FOR UPDATE", (1, 1)),
            ("SELECT * FROM a FOR SHARE OF a", "FOR SHARE", (1, 30)),
            (
                "SELECT * FROM a TABLESAMPLE BERNOULLI (10)",
                "TABLESAMPLE",
                (1, 15),
            ),
            (
                "SELECT * FROM (SELECT 1) x TABLESAMPLE SYSTEM (10)",
                "TABLESAMPLE",
                (1, 26),
            ),
            (
                "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.t AS c ON true",
                "FOR SYSTEM_TIME AS OF",
                (1, 22),
            ),
            (
                "SELECT * FROM a AT (TIMESTAMP => '2024-01-01')",
                "AT (…) or BEFORE (…)",
                (1, 15),
            ),
            (
                "SELECT * FROM a WITH (NOLOCK)",
                "a table hint, WITH (…)",
                (1, 15),
            ),
            (
                "SELECT * FROM f WITH ORDINALITY",
                "WITH ORDINALITY",
                (1, 15),
            ),
            (
                "SELECT * FROM a, LATERAL f(x => 1)",
                "a named argument of a LATERAL function",
                (1, 26),
            ),
            (
                "SELECT * FROM f AS x (a INT)",
                "a type in a list of column names",
                (1, 23),
            ),
            ("SELECT a INTO b FROM c", "SELECT … INTO", (1, 1)),
            (
                "SELECT a FROM c WINDOW w AS () ORDER BY sum(a) OVER w",
                "OVER and the name of a window in ORDER BY",
                (1, 41),
            ),
            (
                "SELECT a FROM c WINDOW w AS () QUALIFY sum(a) OVER w > 1",
                "OVER and the name of a window in QUALIFY",
                (1, 40),
            ),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r LIMIT 5) SELECT * FROM r",
                "ORDER BY, LIMIT or WITH in a recursive query",
                (1, 16),
            ),
            (
                "CREATE VIEW v AS SELECT 1 UNION SELECT a FROM (SELECT * FROM b FOR UPDATE) c",
                "FOR UPDATE",
                (1, 48),
            ),
            (
                "EXPLAIN SELECT (SELECT max(x) FROM b TABLESAMPLE (1))",
                "TABLESAMPLE",
                (1, 36),
            ),
            ("INSERT OVERWRITE t SELECT 1", "INSERT OVERWRITE", (1, 1)),
            (
                "INSERT INTO t SELECT * FROM b FOR UPDATE EMIT CHANGES",
                "FOR UPDATE",
                (1, 15),
            ),
            (
                "CREATE TABLE t (a INT CHECK (a IN (SELECT b FROM c FOR UPDATE)))",
                "FOR UPDATE",
                (1, 36),
            ),
        ] {
            let found = ignored(sql).unwrap_or_else(|| panic!("{sql}: nothing found"));
            assert_eq!(found.what, what, "{sql}");
            let position = found
                .position
                .map(|position| (position.line, position.column));
            assert_eq!(position, Some(line_and_column), "{sql}");
        }
    }

    #[test]
    fn what_the_planner_plans_is_not() {
        for sql in [
            "SELECT DISTINCT ON (a) a, sum(b) FILTER (WHERE c) OVER w FROM d WINDOW w AS (ORDER BY e) ORDER BY a LIMIT 1 OFFSET 2",
            "WITH x (a, b) AS MATERIALIZED (SELECT 1, 2) SELECT * EXCLUDE (a) FROM x AS y (c, d), LATERAL (SELECT c) z",
            "SELECT ARRAY(SELECT a FROM b), sum(a) OVER (w ORDER BY b) FROM json_to_record('{}') AS c (a INT, b INT) WINDOW w AS (), v AS (w ORDER BY b)",
            "SELECT * FROM unnest(ARRAY[1]) WITH ORDINALITY AS a (b, c)",
            "SELECT * FROM TUMBLE(TABLE bids, at, size => INTERVAL '1 minute') GROUP BY ROLLUP (a, b)",
            "SELECT /*+ a hint is a comment */ trim(both 'x' from a), ARRAY[1, 2][1], {'a': 1} FROM b NATURAL JOIN c",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r ORDER BY n LIMIT 5",
            "UPDATE t SET a = 1 FROM b WHERE t.c = b.c",
            "DELETE FROM t USING b WHERE t.c = b.c RETURNING *",
        ] {
            assert_eq!(ignored(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_relation_that_the_engine_plans_is_passed_over() {
        let parsed = parse("SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.t ON true, (SELECT 1) c TABLESAMPLE (1)").unwrap();
        let versions = |factor: &TableFactor| {
            matches!(
                factor,
                TableFactor::Table {
                    version: Some(_),
                    ..
                }
            )
        };
        let found = first_ignored_but(&parsed[0].statement, versions).unwrap();
        assert_eq!(found.what, "TABLESAMPLE");
    }
}
