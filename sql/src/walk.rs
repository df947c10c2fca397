//! Every query and expression in a statement, wherever it stands.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Visit, Visitor};

use crate::statement::{
    AlterOperation, Check, ColumnChange, ColumnDef, CopySource, Cursor, Describe, Prepared,
    SinkSource, Statement, Subscribe, SubscribeSource, Watermark,
};

/// Shows all of them to `visitor`, until it breaks.
pub(crate) fn walk<V: Visitor>(statement: &Statement, visitor: &mut V) -> ControlFlow<V::Break> {
    match statement {
        Statement::Query(query) => query.query.visit(visitor),
        Statement::Insert(insert) => insert.insert.visit(visitor),
        Statement::Update(statement) | Statement::Delete(statement) => statement.visit(visitor),
        Statement::Copy(copy) => match &copy.source {
            CopySource::Query(query) => query.visit(visitor),
            CopySource::Table(..) => ControlFlow::Continue(()),
        },
        Statement::CreateStream(stream) => columns(
            &stream.columns,
            &stream.checks,
            stream.watermark.as_ref(),
            visitor,
        ),
        Statement::CreateTable(table) => {
            columns(
                &table.columns,
                &table.checks,
                table.watermark.as_ref(),
                visitor,
            )?;
            table.query.visit(visitor)
        }
        Statement::CreateExternalTable(table) => columns(&table.columns, &[], None, visitor),
        Statement::CreateView(view) => view.query.visit(visitor),
        Statement::CreateMaterializedView(view) => view.query.visit(visitor),
        Statement::CreateSink(sink) => match &sink.source {
            SinkSource::Query { query, .. } => query.visit(visitor),
            SinkSource::Object(_) => ControlFlow::Continue(()),
        },
        Statement::Alter(alter) => match &alter.operation {
            AlterOperation::As { query, .. } => query.visit(visitor),
            AlterOperation::AddColumn { column, checks, .. } => {
                columns(std::slice::from_ref(column), checks, None, visitor)
            }
            AlterOperation::AlterColumn {
                change: ColumnChange::SetDefault(default),
                ..
            } => default.expr.visit(visitor),
            _ => ControlFlow::Continue(()),
        },
        Statement::Describe(Describe::Query(query)) => query.visit(visitor),
        Statement::Explain(explain) => walk(&explain.statement, visitor),
        Statement::Subscribe(subscribe) => in_subscribe(subscribe, visitor),
        Statement::Cursor(Cursor::Declare { statement, .. }) => walk(&statement.statement, visitor),
        Statement::Prepared(Prepared::Prepare { statement, .. }) => {
            walk(&statement.statement, visitor)
        }
        Statement::Prepared(Prepared::Execute { parameters, .. }) => parameters.visit(visitor),
        _ => ControlFlow::Continue(()),
    }
}

fn columns<V: Visitor>(
    columns: &[ColumnDef],
    checks: &[Check],
    watermark: Option<&Watermark>,
    visitor: &mut V,
) -> ControlFlow<V::Break> {
    for default in columns.iter().filter_map(|column| column.default.as_ref()) {
        default.expr.visit(visitor)?;
    }
    for check in checks {
        check.expr.visit(visitor)?;
    }
    match watermark {
        Some(watermark) => watermark.expr.visit(visitor),
        None => ControlFlow::Continue(()),
    }
}

fn in_subscribe<V: Visitor>(subscribe: &Subscribe, visitor: &mut V) -> ControlFlow<V::Break> {
    if let SubscribeSource::Query(query) = &subscribe.source {
        query.visit(visitor)?;
    }
    for bound in subscribe.as_of.iter().chain(&subscribe.up_to) {
        bound.expr.visit(visitor)?;
    }
    ControlFlow::Continue(())
}
