//! `INSERT`: the target with its defaults, and the query whose columns go there by their places, not by their names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use weir_catalog::{Entry, ObjectKind, ObjectName};

use super::Planner;
use crate::error::Result;
use crate::statements::normalized;

/// The name under which DataFusion finds the target, apart from the same relation in the query. No catalog has it.
const TARGET: &str = "\u{1}target";

impl Planner {
    /// Plans an `INSERT`, the target's defaults filled in.
    pub(crate) async fn insert(
        &self,
        insert: ast::Insert,
        target: &Arc<Entry>,
        parameters: &[ScalarValue],
    ) -> Result<LogicalPlan> {
        self.bound(self.unbound_insert(insert, target).await?, parameters)
    }

    /// As [`Self::insert`], parameters left open.
    pub(crate) async fn unbound_insert(
        &self,
        mut insert: ast::Insert,
        target: &Arc<Entry>,
    ) -> Result<LogicalPlan> {
        let defaults = target.columns().iter().filter_map(|column| {
            let sql = column.default.as_deref()?;
            Some(
                crate::rows::expression(&self.engine, sql, &DFSchema::empty())
                    .map(|expr| (column.name.clone(), expr)),
            )
        });
        let defaults = defaults.collect::<Result<HashMap<_, _>>>()?;
        // That it may be written was asked before, and it is not read here.
        let inner = self.open_entry(target, false).await?;
        // Where we look for nulls ourselves, DataFusion must not: it does not say in which column one is.
        let schema = match target.kind() {
            ObjectKind::Stream | ObjectKind::Table => nullable(&inner.schema()),
            _ => inner.schema(),
        };
        let provider = Target {
            inner,
            schema,
            defaults,
        };
        let schema_name = self.variables.schema();
        self.also_knows(ObjectName::new(schema_name, TARGET), Arc::new(provider));
        insert.table =
            ast::TableObject::TableName(ast::ObjectName::from(vec![ast::Ident::with_quote(
                '"', TARGET,
            )]));
        if let Some(source) = &mut insert.source {
            name_apart(&mut source.body);
        }
        self.statement(ast::Statement::Insert(insert)).await
    }
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<Field>>(),
        schema.metadata().clone(),
    ))
}

/// Gives the columns of a query names of their own, where two would have the same: DataFusion refuses `SELECT a, a`, and
/// here no name matters.
fn name_apart(body: &mut ast::SetExpr) {
    let mut pending = vec![body];
    while let Some(body) = pending.pop() {
        match body {
            ast::SetExpr::Select(select) => rename(&mut select.projection),
            ast::SetExpr::Query(query) => pending.push(&mut query.body),
            ast::SetExpr::SetOperation { left, right, .. } => {
                pending.extend([left.as_mut(), right.as_mut()]);
            }
            _ => {}
        }
    }
}

fn rename(items: &mut [ast::SelectItem]) {
    // What a wildcard stands for is not known here.
    let has_wildcard = items.iter().any(|item| {
        matches!(
            item,
            ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..)
        )
    });
    let mut taken = HashSet::new();
    for (at, item) in items.iter_mut().enumerate() {
        let (name, expr) = match item {
            ast::SelectItem::UnnamedExpr(expr) => (name_of(expr), expr),
            ast::SelectItem::ExprWithAlias { expr, alias } => (normalized(alias), expr),
            _ => continue,
        };
        if taken.insert(name) && !has_wildcard {
            continue;
        }
        *item = ast::SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: ast::Ident::with_quote('"', format!("column {}", at + 1)),
        };
    }
}

fn name_of(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Identifier(ident) => normalized(ident),
        ast::Expr::CompoundIdentifier(parts) => parts.last().map(normalized).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The target of an `INSERT`, which tells the planner what a column gets that is not given.
#[derive(Debug)]
struct Target {
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    defaults: HashMap<String, Expr>,
}

#[async_trait]
impl TableProvider for Target {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.get(column)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        self.inner.scan(state, projection, filters, limit).await
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        self.inner.insert_into(state, input, op).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(sql: &str) -> String {
        let mut query = weir_sql::parse_query(sql).unwrap();
        name_apart(&mut query.body);
        query.to_string()
    }

    #[test]
    fn only_columns_that_would_share_a_name_get_another() {
        assert_eq!(renamed("SELECT a, b + 1 FROM t"), "SELECT a, b + 1 FROM t");
        assert_eq!(
            renamed("SELECT a, t.A, 0, 0, b AS a FROM t"),
            "SELECT a, t.A AS \"column 2\", 0, 0 AS \"column 4\", b AS \"column 5\" FROM t"
        );
        assert_eq!(
            renamed("SELECT *, a FROM t UNION ALL (SELECT a, a FROM u)"),
            "SELECT *, a AS \"column 2\" FROM t UNION ALL (SELECT a, a AS \"column 2\" FROM u)"
        );
        assert_eq!(renamed("VALUES (1, 1)"), "VALUES (1, 1)");
    }
}
