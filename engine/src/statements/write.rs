//! `INSERT`: into streams, tables and external tables; and the rows of `CREATE TABLE … AS`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::{DmlStatement, LogicalPlan};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use weir_base::{Kind, SqlState};
use weir_catalog::{Body, Entry, ObjectKind, ObjectName, quote_ident};
use weir_connectors::topic::{Change, OnConflict, Rows, TableWriter, encode_batch};
use weir_sql::statement;

use super::copy::COPIED;
use super::{Execution, ident_position, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::ingest::{Checks, append, from_row_error, refuse_mirror, stream_writer};
use crate::lanes::{Lane, panicked};
use crate::planning::{Planner, Reading};
use crate::rows::row_schema;

impl Execution {
    pub(super) async fn insert(&self, insert: statement::Insert) -> Result<Answer> {
        self.insert_from(insert, None, "INSERT").await
    }

    /// An `INSERT` whose query may read rows that the client sent.
    pub(super) async fn insert_from(
        &self,
        insert: statement::Insert,
        copied: Option<Arc<dyn TableProvider>>,
        tag: &str,
    ) -> Result<Answer> {
        let ast::Statement::Insert(mut ast) = *insert.insert else {
            return Err(Error::new(Kind::Internal, "an INSERT that is none"));
        };
        let ast::TableObject::TableName(target) = ast.table.clone() else {
            return Err(Error::unsupported(
                "INSERT INTO a function or a query is not supported",
            ));
        };
        let returning = ast.returning.take();
        // What the rows are called in ON CONFLICT and RETURNING; the rows that are given are planned without it.
        let alias = ast.table_alias.take().map(|alias| alias.alias);
        if ast.overwrite {
            return Err(Error::unsupported("INSERT OVERWRITE is not supported")
                .with_hint("DELETE first, or write to another place with COPY"));
        }
        let conflict = ast.on.take();
        let name = self.name(&target)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .relation(&name)
            .map_err(|error| Error::from(error).with_position(position_of(&target)))?;
        let entry = Arc::clone(entry);
        let alias = match alias {
            Some(alias) => quote_ident(&normalized(&alias)),
            None => quote_ident(&entry.name.name),
        };
        if entry.kind() != ObjectKind::Table && (conflict.is_some() || insert.upsert) {
            return Err(Error::unsupported(format!(
                "{} has no key that rows could conflict in",
                entry.describe()
            )));
        }
        refuse_mirror(&entry).map_err(|error| error.with_position(position_of(&target)))?;
        fill_in_defaults(&mut ast, &entry)?;
        let planner = self.planner(snapshot, Reading::Bounded);
        if let Some(copied) = copied {
            let name = ObjectName::new(self.variables.schema(), COPIED);
            planner.also_knows(name, copied);
        }
        let plan = planner
            .insert(ast, &entry, &self.request.parameters)
            .await?;
        if returning.is_some() && entry.kind() == ObjectKind::ExternalTable {
            return Err(Error::unsupported(
                "RETURNING of an external table is not supported",
            ));
        }
        let returning = Returning {
            items: returning.as_deref(),
            alias: &alias,
        };
        let (rows, returned) = match entry.kind() {
            ObjectKind::ExternalTable if self.transaction.is_some() => {
                return Err(Error::invalid(
                    SqlState("25001"),
                    format!(
                        "rows for {} cannot be written inside a transaction block",
                        entry.describe()
                    ),
                )
                .with_hint("files cannot be taken back: write them outside of the transaction"));
            }
            ObjectKind::ExternalTable => (self.run_to_count(&planner, &plan).await?, None),
            ObjectKind::Stream => {
                let batch = self
                    .collect(&planner, dml_input(plan)?, &entry.arrow_schema())
                    .await?;
                let writer = stream_writer(&self.engine, &entry.name)?;
                writer.checks.check(&batch, &entry)?;
                let returned = returning.of(self, &entry, &batch).await?;
                let rows = match &self.transaction {
                    Some(transaction) => transaction.keep_rows(&entry, batch)?,
                    None => {
                        let rows = self.encode(&entry, batch).await?;
                        append(&writer, &rows, None).await?.rows
                    }
                };
                (rows, returned)
            }
            ObjectKind::Table => {
                let batch = self
                    .collect(&planner, dml_input(plan)?, &entry.arrow_schema())
                    .await?;
                self.insert_into_table(&entry, batch, conflict, insert.upsert, returning)
                    .await?
            }
            _ => {
                return Err(Error::invalid(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("{} cannot be written to", entry.describe()),
                )
                .with_position(position_of(&target)));
            }
        };
        self.changed(tag, rows, returned)
    }

    /// Does changes of a table, or has the transaction keep them. `reads` tells whether they were computed from its rows.
    pub(super) async fn change_table(
        &self,
        entry: &Arc<Entry>,
        writer: TableWriter,
        changes: Vec<Change>,
        reads: bool,
    ) -> Result<u64> {
        if entry.is_temporary() {
            return self.change_temporary(entry, writer, changes).await;
        }
        match &self.transaction {
            Some(transaction) if transaction.is_own(entry) => {
                let rows = commit(writer, changes).await?;
                transaction.wrote_own(entry);
                Ok(rows)
            }
            Some(transaction) => transaction.keep_changes(entry, &writer, changes, reads),
            None => commit(writer, changes).await,
        }
    }

    /// Does changes of a temporary table at once: nobody else sees them, and a transaction knows how the rows were.
    async fn change_temporary(
        &self,
        entry: &Arc<Entry>,
        writer: TableWriter,
        changes: Vec<Change>,
    ) -> Result<u64> {
        let Some(transaction) = &self.transaction else {
            return commit(writer, changes).await;
        };
        transaction.writes_temporary(&self.engine, self.session.temporary(), entry)?;
        let rows = commit(writer, changes).await?;
        transaction.look_again(entry.topic().map(|(topic, _)| topic));
        Ok(rows)
    }

    async fn insert_into_table(
        &self,
        entry: &Arc<Entry>,
        batch: RecordBatch,
        conflict: Option<ast::OnInsert>,
        upsert: bool,
        returning: Returning<'_>,
    ) -> Result<(u64, Option<RecordBatch>)> {
        Checks::of(&self.engine, entry)?.check(&batch, entry)?;
        let on_conflict = match conflict {
            None if upsert => OnConflict::Replace,
            None => OnConflict::Error,
            Some(ast::OnInsert::OnConflict(conflict)) => {
                if upsert {
                    return Err(Error::invalid(
                        SqlState::SYNTAX_ERROR,
                        "ON CONFLICT and WITH (upsert) contradict each other",
                    ));
                }
                check_conflict_target(&conflict, entry)?;
                match conflict.action {
                    ast::OnConflictAction::DoNothing => OnConflict::Nothing,
                    ast::OnConflictAction::DoUpdate(update) => {
                        return self
                            .insert_or_update(entry, batch, &update, returning)
                            .await;
                    }
                }
            }
            Some(_) => {
                return Err(Error::unsupported("ON DUPLICATE KEY is not supported")
                    .with_hint("use ON CONFLICT"));
            }
        };
        let mut rows = self.encode(entry, batch.clone()).await?;
        let writer = self.engine.keyed_table(entry)?.writer().await?;
        let mut returned = batch;
        if on_conflict == OnConflict::Nothing && returning.items.is_some() {
            // Rows that are there already are not given out.
            let conflicts = writer.conflicts(&rows)?;
            returned = take_record_batch(&returned, &conflicts.fresh)?;
            rows = self.encode(entry, returned.clone()).await?;
        }
        let returned = returning.of(self, entry, &returned).await?;
        let written = self
            .change_table(
                entry,
                writer,
                vec![Change::Insert { rows, on_conflict }],
                false,
            )
            .await?;
        Ok((written, returned))
    }

    /// `ON CONFLICT DO UPDATE`: rows whose key is there are computed anew from both rows, the others are inserted.
    async fn insert_or_update(
        &self,
        entry: &Arc<Entry>,
        batch: RecordBatch,
        update: &ast::DoUpdate,
        returning: Returning<'_>,
    ) -> Result<(u64, Option<RecordBatch>)> {
        let rows = self.encode(entry, batch.clone()).await?;
        let writer = self.engine.keyed_table(entry)?.writer().await?;
        let conflicts = writer.conflicts(&rows)?;
        let fresh = take_record_batch(&batch, &conflicts.fresh)?;
        let given = take_record_batch(&batch, &conflicts.given)?;
        let mut written = fresh.clone();
        let mut changes = vec![Change::Insert {
            rows: self.encode(entry, fresh).await?,
            on_conflict: OnConflict::Error,
        }];
        if given.num_rows() > 0 {
            let (keys, rows) = self
                .merged_rows(entry, returning.alias, given, conflicts.existing, update)
                .await?;
            Checks::of(&self.engine, entry)?.check(&rows, entry)?;
            written = concat_batches(&rows.schema(), [&written, &rows])?;
            changes.push(Change::Update {
                keys,
                rows: self.encode(entry, rows).await?,
            });
        }
        let returned = returning.of(self, entry, &written).await?;
        let written = self.change_table(entry, writer, changes, true).await?;
        Ok((written, returned))
    }

    /// Runs a plan and gives all its rows as one batch in `schema`, within the query's memory.
    pub(super) async fn collect(
        &self,
        planner: &Planner,
        plan: LogicalPlan,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let physical = planner.physical(&plan).await?;
        let context = planner.task_context();
        let _admitted = self.engine.admission.bounded(&self.running).await?;
        self.running.runs(Some(Arc::clone(&physical)));
        let reservation = MemoryConsumer::new("rows to write").register(context.memory_pool());
        let schema = Arc::clone(schema);
        let work = async move {
            let mut batches = datafusion::physical_plan::execute_stream(physical, context)?;
            let mut all = Vec::new();
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                reservation.try_grow(batch.get_array_memory_size())?;
                all.push(batch);
            }
            one_batch(&all, &schema)
        };
        self.engine.lanes.run(Lane::Heavy, work).await
    }

    /// Rows as they are stored, computed off the async threads.
    pub(super) async fn encode(&self, entry: &Arc<Entry>, batch: RecordBatch) -> Result<Rows> {
        let schema = row_schema(&self.engine, entry)?;
        let entry = Arc::clone(entry);
        let encoded = tokio::task::spawn_blocking(move || {
            let batch = with_canonical_json(&entry, batch)?;
            encode_batch(&schema, &batch).map_err(from_row_error)
        });
        encoded.await.map_err(panicked)?
    }

    /// Writes the rows of a plan into a table that cannot be seen yet.
    pub(super) async fn fill(
        &self,
        planner: &Planner,
        entry: &Entry,
        plan: LogicalPlan,
    ) -> Result<u64> {
        let entry = Arc::new(entry.clone());
        let batch = self.collect(planner, plan, &entry.arrow_schema()).await?;
        Checks::of(&self.engine, &entry)?.check(&batch, &entry)?;
        let rows = self.encode(&entry, batch).await?;
        let writer = self.engine.keyed_table(&entry)?.writer().await?;
        commit(
            writer,
            vec![Change::Insert {
                rows,
                on_conflict: OnConflict::Error,
            }],
        )
        .await
    }
}

/// What an `INSERT` is to return.
#[derive(Clone, Copy)]
struct Returning<'a> {
    items: Option<&'a [ast::SelectItem]>,
    /// What the table is called there.
    alias: &'a str,
}

impl Returning<'_> {
    async fn of(
        self,
        execution: &Execution,
        entry: &Entry,
        rows: &RecordBatch,
    ) -> Result<Option<RecordBatch>> {
        execution
            .returned_rows(self.items, entry, self.alias, rows)
            .await
    }
}

/// Does the changes of one statement, durably, and gives the number of rows that they affect.
pub(super) async fn commit(writer: TableWriter, changes: Vec<Change>) -> Result<u64> {
    let commit = writer.commit(changes).await?;
    let affected = commit.affected.iter().sum();
    commit.durable().await?;
    Ok(affected)
}

/// Rows whose columns of type JSONB are in PostgreSQL's form of it.
fn with_canonical_json(entry: &Entry, batch: RecordBatch) -> Result<RecordBatch> {
    let is_binary = |at: usize| {
        let column = entry.columns().get(at);
        column.is_some_and(|column| column.sql_type.eq_ignore_ascii_case("jsonb"))
    };
    if !(0..batch.num_columns()).any(is_binary) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().enumerate().map(|(at, column)| {
        Ok(match is_binary(at) {
            true => arrow::compute::cast(
                &crate::functions::json::canonical(column)?,
                column.data_type(),
            )?,
            false => Arc::clone(column),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// All batches as one in `schema`, which says more than the plan's about names, nulls and logical types.
fn one_batch(batches: &[RecordBatch], schema: &SchemaRef) -> Result<RecordBatch> {
    let Some(first) = batches.first() else {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    };
    let all = concat_batches(&first.schema(), batches)?;
    let columns = all
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            // A column of nothing but NULL has no bitmap.
            let nulls = column.logical_nulls().filter(|_| !field.is_nullable());
            if let Some(nulls) = nulls
                && nulls.null_count() > 0
            {
                let row = (0..nulls.len())
                    .find(|row| nulls.is_null(*row))
                    .unwrap_or_default() as u64
                    + 1;
                return Err(Error::invalid(
                    SqlState::NOT_NULL_VIOLATION,
                    format!(
                        "row {row}: column {:?} is NOT NULL, but its value is null",
                        field.name()
                    ),
                )
                .at_row(row, Some(field.name().clone())));
            }
            if column.data_type() == field.data_type() {
                check_digits(column)?;
                Ok(Arc::clone(column))
            } else {
                let options = arrow::compute::CastOptions {
                    safe: false,
                    ..Default::default()
                };
                Ok(arrow::compute::cast_with_options(
                    column,
                    field.data_type(),
                    &options,
                )?)
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Refuses decimals with more digits than their type has, which sums and products may give.
fn check_digits(column: &ArrayRef) -> Result<()> {
    match column.data_type() {
        DataType::Decimal128(precision, _) => column
            .as_primitive::<Decimal128Type>()
            .validate_decimal_precision(*precision)?,
        DataType::Decimal256(precision, _) => column
            .as_primitive::<Decimal256Type>()
            .validate_decimal_precision(*precision)?,
        _ => {}
    }
    Ok(())
}

/// The rows that a planned `INSERT` would write.
fn dml_input(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Dml(DmlStatement { input, .. }) => Ok(Arc::unwrap_or_clone(input)),
        other => Err(Error::new(
            Kind::Internal,
            format!("an INSERT was planned as {}", other.display()),
        )),
    }
}

/// Writes out what `DEFAULT` stands for, and leaves out the columns that a short list of values does not reach.
pub(super) fn fill_in_defaults(ast: &mut ast::Insert, entry: &Entry) -> Result<()> {
    let columns = entry.columns();
    let default_of = |name: &str| -> Result<ast::Expr> {
        match columns
            .iter()
            .find(|column| column.name == name)
            .and_then(|column| column.default.as_deref())
        {
            Some(sql) => weir_sql::parse_expr(sql).map_err(|error| Error::from_classified(&error)),
            None => Ok(ast::Expr::value(ast::Value::Null)),
        }
    };
    let Some(source) = &mut ast.source else {
        // INSERT INTO t DEFAULT VALUES
        let values = columns
            .iter()
            .map(|column| default_of(&column.name))
            .collect::<Result<Vec<_>>>()?;
        let text = values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        ast.source = Some(
            weir_sql::parse_query(&format!("VALUES ({text})"))
                .map_err(|error| Error::from_classified(&error))?,
        );
        return Ok(());
    };
    let ast::SetExpr::Values(values) = source.body.as_mut() else {
        return Ok(());
    };
    let width = values.rows.first().map_or(0, |row| row.content.len());
    if ast.columns.is_empty()
        && width < columns.len()
        && matches!(entry.body, Body::Stream(_) | Body::Table(_))
    {
        let names = columns
            .iter()
            .take(width)
            .map(|column| ast::Ident::with_quote('"', &column.name));
        ast.columns = names
            .map(|name| ast::ObjectName::from(vec![name]))
            .collect();
    }
    let given: Vec<String> = match ast.columns.as_slice() {
        [] => columns.iter().map(|column| column.name.clone()).collect(),
        given => given
            .iter()
            .map(|name| {
                name.0
                    .last()
                    .and_then(|part| part.as_ident())
                    .map(normalized)
                    .unwrap_or_default()
            })
            .collect(),
    };
    for row in &mut values.rows {
        for (value, name) in row.content.iter_mut().zip(&given) {
            let is_default = matches!(value, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"));
            if is_default {
                *value = default_of(name)?;
            }
        }
    }
    Ok(())
}

/// `ON CONFLICT (columns)` must name the primary key.
fn check_conflict_target(conflict: &ast::OnConflict, entry: &Entry) -> Result<()> {
    let key = entry.primary_key();
    if key.is_empty() {
        return Err(Error::invalid(
            SqlState("42P10"),
            format!(
                "{} has no primary key, so rows cannot conflict",
                entry.describe()
            ),
        ));
    }
    match &conflict.conflict_target {
        None => Ok(()),
        Some(ast::ConflictTarget::Columns(columns)) => {
            let mut named: Vec<String> = columns.iter().map(normalized).collect();
            named.sort();
            let mut key = key.to_vec();
            key.sort();
            if named == key {
                return Ok(());
            }
            Err(Error::invalid(
                SqlState("42P10"),
                "ON CONFLICT must name the columns of the primary key",
            )
            .with_hint(format!("the key is ({})", entry.primary_key().join(", ")))
            .with_position(columns.first().and_then(ident_position)))
        }
        Some(ast::ConflictTarget::OnConstraint(_)) => Err(Error::unsupported(
            "ON CONFLICT ON CONSTRAINT is not supported",
        )
        .with_hint("name the key's columns")),
    }
}
