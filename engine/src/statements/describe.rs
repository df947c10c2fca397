//! What a statement wants and gives: planned as it would be to run, and not run.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use weir_base::Kind;
use weir_catalog::{Entry, quote_ident};
use weir_sql::Parsed;
use weir_sql::statement::{self, Emit, Statement, SubscribeSource};

use super::change::assignments;
use super::sink::begun_sink_columns;
use super::write::fill_in_defaults;
use super::{Execution, normalized, position_of};
use crate::description::Description;
use crate::error::{Error, Result};
use crate::planning::{Planner, Reading, columns, parameter_types, with_unknown_parameters};

/// Types of parameters, and columns of the answer.
type Shape = (Vec<DataType>, SchemaRef);

impl Execution {
    /// Plans a statement, and says what it wants and gives.
    pub(crate) async fn describe_statement(&self, parsed: Parsed) -> Result<Description> {
        let statement = parsed.statement;
        self.refuse_ignored(&statement)?;
        self.authorise(&statement)?;
        let (tag, reads_only) = (statement.tag(), statement.reads_only());
        let is_live = match &statement {
            Statement::Query(query) => query.emit.is_some(),
            Statement::Subscribe(_) => true,
            _ => false,
        };
        let (parameters, columns) = self.shape(statement).await?;
        Ok(Description {
            parameters,
            columns,
            tag,
            reads_only,
            is_live,
        })
    }

    async fn shape(&self, statement: Statement) -> Result<Shape> {
        match statement {
            Statement::Query(query) => match query.emit {
                None => {
                    let planner = self.planner(self.snapshot(), Reading::Bounded);
                    let plan = planner.unbound(&query.query).await?;
                    self.shape_of(&planner, plan, &self.request.hints)
                }
                Some(emit) => self.live_shape(&query.query, emit).await,
            },
            Statement::Subscribe(subscribe) => {
                let query = match subscribe.source {
                    SubscribeSource::Query(query) => *query,
                    SubscribeSource::Object(name) => query_of(&format!("SELECT * FROM {name}"))?,
                };
                self.live_shape(&query, Emit::Changes).await
            }
            Statement::Explain(explain) => {
                // What is explained may have parameters.
                let (parameters, _) = Box::pin(self.shape(*explain.statement)).await?;
                Ok((parameters, LogicalPlan::explain_schema()))
            }
            Statement::Show(show) => Ok(self.rows_of_command(self.shown(show)?.schema())),
            Statement::Describe(describe) => {
                let rows = self.described(describe).await?;
                Ok(self.rows_of_command(rows.schema()))
            }
            Statement::Insert(insert) if insert.emit.is_some() => {
                Ok(self.rows_of_command(begun_sink_columns()))
            }
            Statement::Insert(insert) => self.insert_shape(insert).await,
            Statement::Update(update) => self.update_shape(*update).await,
            Statement::Delete(delete) => self.delete_shape(*delete).await,
            _ => Ok(self.rows_of_command(Arc::new(Schema::empty()))),
        }
    }

    /// A statement that takes no parameters.
    fn rows_of_command(&self, columns: SchemaRef) -> Shape {
        let hints = self.request.hints.iter();
        let types = hints.map(|hint| hint.clone().unwrap_or(DataType::Utf8View));
        (types.collect(), columns)
    }

    fn shape_of(
        &self,
        planner: &Planner,
        plan: LogicalPlan,
        hints: &[Option<DataType>],
    ) -> Result<Shape> {
        let parameters = parameter_types(&plan, hints)?;
        let plan = with_unknown_parameters(plan, &parameters)?;
        // The types that its parts have in the end.
        let options = planner.state.config_options();
        let plan = planner
            .state
            .analyzer()
            .execute_and_check(plan, options, |_, _| {})?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Ok((parameters, columns::shown(&schema).unwrap_or(schema)))
    }

    async fn insert_shape(&self, insert: statement::Insert) -> Result<Shape> {
        let ast::Statement::Insert(mut insert) = *insert.insert else {
            return Err(Error::new(Kind::Internal, "an INSERT that is none"));
        };
        let ast::TableObject::TableName(target) = insert.table.clone() else {
            return Ok(self.rows_of_command(Arc::new(Schema::empty())));
        };
        let returning = insert.returning.take();
        insert.on = None;
        let name = self.name(&target)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .relation(&name)
            .map_err(|error| Error::from(error).with_position(position_of(&target)))?;
        let entry = Arc::clone(entry);
        let alias = match insert.table_alias.take() {
            Some(alias) => quote_ident(&normalized(&alias.alias)),
            None => quote_ident(&entry.name.name),
        };
        fill_in_defaults(&mut insert, &entry)?;
        let planner = self.planner(snapshot, Reading::Bounded);
        let plan = planner.unbound_insert(insert, &entry).await?;
        let parameters = parameter_types(&plan, &self.request.hints)?;
        let from = format!("{} AS {alias}", entry.name.sql());
        let columns = self.returned(returning.as_deref(), &from).await?;
        Ok((parameters, columns))
    }

    async fn update_shape(&self, statement: ast::Statement) -> Result<Shape> {
        let ast::Statement::Update(update) = statement else {
            return Err(Error::new(Kind::Internal, "an UPDATE that is none"));
        };
        let (entry, alias) = self.table_to_change(&update.table.relation, "UPDATE")?;
        let assigned = assignments(&update.assignments, &entry)?;
        let others = match &update.from {
            None => &[][..],
            Some(
                ast::UpdateTableFromKind::BeforeSet(from)
                | ast::UpdateTableFromKind::AfterSet(from),
            ) => from,
        };
        let from = from_clause(&entry, &alias, others);
        let values = assigned.iter().map(|(_, expr)| format!("({expr})"));
        let values = values.collect::<Vec<_>>().join(", ");
        let filter = filter_clause(update.selection.as_ref());
        let hints = assigned_types(&assigned, &entry, &self.request.hints);
        let parameters = self
            .types_in(&format!("SELECT {values} FROM {from}{filter}"), &hints)
            .await?;
        let columns = self.returned(update.returning.as_deref(), &from).await?;
        Ok((parameters, columns))
    }

    async fn delete_shape(&self, statement: ast::Statement) -> Result<Shape> {
        let ast::Statement::Delete(delete) = statement else {
            return Err(Error::new(Kind::Internal, "a DELETE that is none"));
        };
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
            &delete.from;
        let Some(target) = from.first() else {
            return Err(Error::new(Kind::Internal, "a DELETE from nothing"));
        };
        let (entry, alias) = self.table_to_change(&target.relation, "DELETE")?;
        let from = from_clause(&entry, &alias, delete.using.as_deref().unwrap_or_default());
        let filter = filter_clause(delete.selection.as_ref());
        let query = format!("SELECT 1 FROM {from}{filter}");
        let parameters = self.types_in(&query, &self.request.hints).await?;
        let columns = self.returned(delete.returning.as_deref(), &from).await?;
        Ok((parameters, columns))
    }

    /// The types of the parameters of a query that was built here.
    async fn types_in(&self, sql: &str, hints: &[Option<DataType>]) -> Result<Vec<DataType>> {
        let planner = self
            .planner(self.snapshot(), Reading::Bounded)
            .with_parameter_types(hints);
        let plan = planner.unbound(&query_of(sql)?).await;
        parameter_types(&plan.map_err(Error::without_position)?, hints)
    }

    /// The columns that `RETURNING` gives.
    async fn returned(
        &self,
        returning: Option<&[ast::SelectItem]>,
        from: &str,
    ) -> Result<SchemaRef> {
        let Some(items) = returning else {
            return Ok(Arc::new(Schema::empty()));
        };
        let items = items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let query = query_of(&format!("SELECT {} FROM {from}", items.join(", ")))?;
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let plan = planner.unbound(&query).await;
        let plan = plan.map_err(Error::without_position)?;
        Ok(self.shape_of(&planner, plan, &self.request.hints)?.1)
    }
}

fn query_of(sql: &str) -> Result<ast::Query> {
    let query = weir_sql::parse_query(sql);
    let query = query.map_err(|error| Error::from_classified(&error).without_position());
    Ok(*query?)
}

fn from_clause(entry: &Entry, alias: &str, others: &[ast::TableWithJoins]) -> String {
    let own = format!("{} AS {alias}", entry.name.sql());
    let all = std::iter::once(own).chain(others.iter().map(ToString::to_string));
    all.collect::<Vec<_>>().join(", ")
}

fn filter_clause(filter: Option<&ast::Expr>) -> String {
    filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"))
}

/// The hints, and for parameters that are assigned to a column as they are, its type.
fn assigned_types(
    assigned: &[(String, ast::Expr)],
    entry: &Entry,
    hints: &[Option<DataType>],
) -> Vec<Option<DataType>> {
    let mut types = hints.to_vec();
    for (name, expr) in assigned {
        let ast::Expr::Value(value) = expr else {
            continue;
        };
        let ast::Value::Placeholder(parameter) = &value.value else {
            continue;
        };
        let number = parameter.strip_prefix('$').unwrap_or_default().parse();
        // What is far out of range is refused when the query is planned.
        let Ok(number @ 1..=u16::MAX) = number else {
            continue;
        };
        let at = usize::from(number) - 1;
        if types.len() <= at {
            types.resize(at + 1, None);
        }
        if let (Some(hint @ None), Some(column)) = (types.get_mut(at), entry.column(name)) {
            *hint = Some(column.data_type.clone());
        }
    }
    types
}
