//! `UPDATE`, `DELETE`, `TRUNCATE`: the rows are found and computed by a query on the table as it is, then written in one
//! append, while no other statement may write the table.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use weir_base::{Kind, SqlState};
use weir_catalog::{Entry, ObjectKind, ObjectName, quote_ident};
use weir_connectors::topic::{Change, TableWriter};

use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::ingest::Checks;
use crate::planning::Reading;

/// The name of the key column in queries that find rows to change.
const KEY: &str = "_key";

impl Execution {
    pub(super) async fn update(&self, statement: ast::Statement) -> Result<Answer> {
        let ast::Statement::Update(update) = statement else {
            return Err(Error::new(Kind::Internal, "an UPDATE that is none"));
        };
        if !update.table.joins.is_empty() {
            return Err(Error::unsupported("UPDATE of a join is not supported")
                .with_hint("write UPDATE t SET … FROM … WHERE …"));
        }
        let beside = match &update.from {
            None => &[][..],
            Some(
                ast::UpdateTableFromKind::BeforeSet(from)
                | ast::UpdateTableFromKind::AfterSet(from),
            ) => from.as_slice(),
        };
        let (entry, alias) = self.table_to_change(&update.table.relation, "UPDATE")?;
        let assigned = assignments(&update.assignments, &entry)?;
        let values = entry.columns().iter().map(|column| {
            let value = assigned.iter().find(|(name, _)| *name == column.name);
            let name = quote_ident(&column.name);
            value.map_or_else(
                || format!("{alias}.{name}"),
                |(_, expr)| format!("({expr}) AS {name}"),
            )
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let filter = update
            .selection
            .as_ref()
            .map(|filter| format!(" WHERE {filter}"))
            .unwrap_or_default();
        let sql = select_beside(&entry, &alias, &values, beside, &filter);
        let writer = self.engine.keyed_table(&entry)?.writer().await?;
        let found = self.find(&sql, &entry, &writer).await?;
        let (keys, rows) = split_keys(found, &entry)?;
        Checks::of(&self.engine, &entry)?.check(&rows, &entry)?;
        let returned = self
            .returned_rows(update.returning.as_deref(), &entry, &alias, &rows)
            .await?;
        let rows = self.encode(&entry, rows).await?;
        let changes = vec![Change::Update { keys, rows }];
        let updated = self.change_table(&entry, writer, changes, true).await?;
        self.changed("UPDATE", updated, returned)
    }

    pub(super) async fn delete(&self, statement: ast::Statement) -> Result<Answer> {
        let ast::Statement::Delete(delete) = statement else {
            return Err(Error::new(Kind::Internal, "a DELETE that is none"));
        };
        if !delete.tables.is_empty() {
            return Err(Error::unsupported(
                "DELETE from several tables is not supported",
            ));
        }
        if !delete.order_by.is_empty() || delete.limit.is_some() {
            return Err(Error::unsupported(
                "DELETE with ORDER BY or LIMIT is not supported",
            ));
        }
        let from = match &delete.from {
            ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from) => from,
        };
        let [from] = from.as_slice() else {
            return Err(Error::unsupported(
                "DELETE from several tables at once is not supported",
            ));
        };
        if !from.joins.is_empty() {
            return Err(Error::unsupported("DELETE from a join is not supported"));
        }
        let (entry, alias) = self.table_to_change(&from.relation, "DELETE")?;
        let filter = delete
            .selection
            .as_ref()
            .map(|filter| format!(" WHERE {filter}"))
            .unwrap_or_default();
        let beside = delete.using.as_deref().unwrap_or_default();
        // All columns, where they are to be returned.
        let values = match &delete.returning {
            Some(_) => {
                let columns = entry.columns().iter();
                let columns =
                    columns.map(|column| format!("{alias}.{}", quote_ident(&column.name)));
                columns.collect::<Vec<_>>().join(", ")
            }
            None => String::new(),
        };
        let sql = select_beside(&entry, &alias, &values, beside, &filter);
        let writer = self.engine.keyed_table(&entry)?.writer().await?;
        let found = self.find(&sql, &entry, &writer).await?;
        let (keys, returned) = match &delete.returning {
            Some(items) => {
                let (keys, rows) = split_keys(found, &entry)?;
                let returned = self
                    .returned_rows(Some(items), &entry, &alias, &rows)
                    .await?;
                (keys, returned)
            }
            None => (keys_of(found.column(0))?, None),
        };
        let changes = vec![Change::Delete { keys }];
        let deleted = self.change_table(&entry, writer, changes, true).await?;
        self.changed("DELETE", deleted, returned)
    }

    pub(super) async fn truncate(&self, names: &[ast::ObjectName]) -> Result<Answer> {
        for name in names {
            let relation = ast::TableFactor::Table {
                name: name.clone(),
                alias: None,
                args: None,
                with_hints: vec![],
                version: None,
                with_ordinality: false,
                partitions: vec![],
                json_path: None,
                sample: None,
                index_hints: vec![],
            };
            let (entry, alias) = self.table_to_change(&relation, "TRUNCATE")?;
            let sql = format!("SELECT {alias}.{KEY} FROM {} AS {alias}", entry.name.sql());
            let writer = self.engine.keyed_table(&entry)?.writer().await?;
            let keys = keys_of(self.find(&sql, &entry, &writer).await?.column(0))?;
            let changes = vec![Change::Delete { keys }];
            self.change_table(&entry, writer, changes, true).await?;
        }
        Ok(self.done("TRUNCATE TABLE"))
    }

    /// The table that a statement changes, and the name by which its expressions know it.
    pub(super) fn table_to_change(
        &self,
        relation: &ast::TableFactor,
        verb: &str,
    ) -> Result<(Arc<Entry>, String)> {
        let ast::TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = relation
        else {
            return Err(Error::unsupported(format!(
                "{verb} of {relation} is not supported"
            )));
        };
        let object = self.name(name)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .relation(&object)
            .map_err(|error| Error::from(error).with_position(position_of(name)))?;
        if entry.kind() != ObjectKind::Table {
            let why = if entry.kind() == ObjectKind::Stream {
                ": a stream only grows"
            } else {
                ""
            };
            return Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{verb} is not possible on {}{why}", entry.describe()),
            )
            .with_position(position_of(name)));
        }
        let alias = alias
            .as_ref()
            .map_or_else(|| quote_ident(&object.name), |alias| alias.name.to_string());
        Ok((Arc::clone(entry), alias))
    }

    /// Runs a query on the table as its writer finds it; its first column is the key, the others are the table's.
    async fn find(&self, sql: &str, entry: &Entry, writer: &TableWriter) -> Result<RecordBatch> {
        let query = weir_sql::parse_query(sql)
            .map_err(|error| Error::from_classified(&error).without_position())?;
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        planner.also_knows(entry.name.clone(), writer.snapshot(true));
        // Places in the text that was built here are none in the user's.
        let plan = planner
            .query(&query, &self.request.parameters)
            .await
            .map_err(Error::without_position)?;
        let schema = with_key(entry);
        let width = plan.schema().fields().len();
        let schema = if width == 1 {
            Arc::new(schema.project(&[0])?)
        } else {
            schema
        };
        self.collect(&planner, plan, &schema).await
    }

    /// The new rows of `ON CONFLICT DO UPDATE` with the keys of the old ones, computed from the rows that are there and
    /// those that were given.
    pub(super) async fn merged_rows(
        &self,
        entry: &Arc<Entry>,
        alias: &str,
        given: RecordBatch,
        existing: RecordBatch,
        update: &ast::DoUpdate,
    ) -> Result<(BinaryArray, RecordBatch)> {
        let assigned = assignments(&update.assignments, entry)?;
        let values = entry.columns().iter().map(|column| {
            let name = quote_ident(&column.name);
            match assigned
                .iter()
                .find(|(assigned, _)| *assigned == column.name)
            {
                Some((_, expr)) => format!("({}) AS {name}", of_target(expr.clone(), alias)),
                None => format!("{alias}.{name}"),
            }
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let on = entry
            .primary_key()
            .iter()
            .map(|key| format!("{alias}.{0} = excluded.{0}", quote_ident(key)));
        let on = on.collect::<Vec<_>>().join(" AND ");
        let filter = update
            .selection
            .as_ref()
            .map(|filter| format!(" WHERE {}", of_target(filter.clone(), alias)));
        let filter = filter.unwrap_or_default();
        let from = entry.name.sql();
        let sql = format!(
            "SELECT {alias}.{KEY}, {values} FROM {from} AS {alias} JOIN excluded ON {on}{filter}"
        );
        let query = weir_sql::parse_query(&sql)
            .map_err(|error| Error::from_classified(&error).without_position())?;
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let table =
            |rows: RecordBatch| MemTable::try_new(rows.schema(), vec![vec![rows]]).map(Arc::new);
        planner.also_knows(entry.name.clone(), table(existing)?);
        planner.also_knows(
            ObjectName::new(self.variables.schema(), "excluded"),
            table(given)?,
        );
        let plan = planner
            .query(&query, &self.request.parameters)
            .await
            .map_err(Error::without_position)?;
        split_keys(self.collect(&planner, plan, &with_key(entry)).await?, entry)
    }
}

/// The query that finds the rows to change, each once: their keys, and `values`.
fn select_beside(
    entry: &Entry,
    alias: &str,
    values: &str,
    beside: &[ast::TableWithJoins],
    filter: &str,
) -> String {
    let values = match values {
        "" => String::new(),
        values => format!(", {values}"),
    };
    let from = entry.name.sql();
    if beside.is_empty() {
        return format!("SELECT {alias}.{KEY}{values} FROM {from} AS {alias}{filter}");
    }
    // Of several rows beside one that is changed one counts; which, PostgreSQL does not say either.
    let beside: Vec<_> = beside.iter().map(ToString::to_string).collect();
    format!(
        "SELECT DISTINCT ON ({alias}.{KEY}) {alias}.{KEY}{values} FROM {from} AS {alias}, {}{filter}",
        beside.join(", ")
    )
}

/// The table's columns after the key's.
pub(super) fn with_key(entry: &Entry) -> SchemaRef {
    let key = Arc::new(Field::new(KEY, DataType::Binary, true));
    let columns = entry
        .columns()
        .iter()
        .map(|column| Arc::new(column.field()));
    Arc::new(Schema::new(
        std::iter::once(key).chain(columns).collect::<Vec<_>>(),
    ))
}

/// What each assigned column becomes.
pub(super) fn assignments(
    assignments: &[ast::Assignment],
    entry: &Entry,
) -> Result<Vec<(String, ast::Expr)>> {
    let mut assigned: Vec<(String, ast::Expr)> = Vec::with_capacity(assignments.len());
    for (target, value) in one_each(assignments)? {
        let name = target
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map(normalized)
            .unwrap_or_default();
        let Some(column) = entry.column(&name) else {
            let known = entry.columns().iter().map(|column| column.name.as_str());
            let error = Error::invalid(
                SqlState::UNDEFINED_COLUMN,
                format!("column {name:?} not found in {}", entry.describe()),
            )
            .with_position(position_of(target));
            return Err(match weir_base::nearest::nearest(&name, known) {
                Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                None => error,
            });
        };
        if assigned.iter().any(|(other, _)| *other == name) {
            return Err(Error::invalid(
                SqlState::SYNTAX_ERROR,
                format!("column {name:?} is assigned twice"),
            )
            .with_position(position_of(target)));
        }
        let is_default = matches!(value, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"));
        let value = match (&column.default, is_default) {
            (_, false) => value.clone(),
            (Some(sql), true) => {
                weir_sql::parse_expr(sql).map_err(|error| Error::from_classified(&error))?
            }
            (None, true) => ast::Expr::value(ast::Value::Null),
        };
        assigned.push((name, value));
    }
    Ok(assigned)
}

/// Each column that is assigned, and its value: of `(a, b) = (1, 2)` two.
fn one_each(assignments: &[ast::Assignment]) -> Result<Vec<(&ast::ObjectName, &ast::Expr)>> {
    let mut each = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        match (&assignment.target, &assignment.value) {
            (ast::AssignmentTarget::ColumnName(target), value) => each.push((target, value)),
            (ast::AssignmentTarget::Tuple(targets), ast::Expr::Tuple(values))
                if targets.len() == values.len() =>
            {
                each.extend(targets.iter().zip(values));
            }
            (ast::AssignmentTarget::Tuple(targets), ast::Expr::Nested(value))
                if targets.len() == 1 =>
            {
                each.extend(targets.iter().map(|target| (target, value.as_ref())));
            }
            (ast::AssignmentTarget::Tuple(_), ast::Expr::Tuple(_)) => {
                return Err(Error::invalid(
                    SqlState::SYNTAX_ERROR,
                    "number of columns does not match number of values",
                ));
            }
            _ => {
                return Err(
                    Error::unsupported("SET (a, b) = (SELECT …) is not supported")
                        .with_hint("write UPDATE t SET a = q.a, b = q.b FROM (SELECT …) AS q"),
                );
            }
        }
    }
    Ok(each)
}

/// An expression whose bare column names are those of the target, as beside `excluded` they would be ambiguous.
fn of_target(mut expr: ast::Expr, alias: &str) -> ast::Expr {
    struct Qualify(ast::Ident);
    impl VisitorMut for Qualify {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Identifier(ident) = expr {
                *expr = ast::Expr::CompoundIdentifier(vec![self.0.clone(), ident.clone()]);
            }
            ControlFlow::Continue(())
        }
    }
    let bare = alias.trim_matches('"').replace("\"\"", "\"");
    let _ = VisitMut::visit(&mut expr, &mut Qualify(ast::Ident::with_quote('"', bare)));
    expr
}

fn split_keys(found: RecordBatch, entry: &Entry) -> Result<(BinaryArray, RecordBatch)> {
    let keys = keys_of(found.column(0))?;
    let rows = RecordBatch::try_new(
        entry.arrow_schema(),
        found.columns().iter().skip(1).cloned().collect(),
    )?;
    Ok((keys, rows))
}

fn keys_of(column: &ArrayRef) -> Result<BinaryArray> {
    let column = arrow::compute::cast(column, &DataType::Binary)?;
    let keys = column.as_any().downcast_ref::<BinaryArray>().cloned();
    keys.ok_or_else(|| Error::new(Kind::Internal, "keys that are no bytes"))
}
