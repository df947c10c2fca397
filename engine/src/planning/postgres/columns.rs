//! The names of a query's columns, as PostgreSQL gives them: that of the column or function, `?column?` where there is none.
//!
//! PostgreSQL lets columns share a name; DataFusion does not. So the second of a name gets a number behind a character that
//! no name has ([`APART`]). In an answer it is `name_2`, and its field says what its name is ([`column_name`]).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef as Element, CastKind, DataType, Expr, Ident, Select, SelectItem, SetExpr,
    TimezoneInfo, TrimWhereField, Value,
};

use super::called;
use crate::statements::normalized;

/// Stands between a name and the number that keeps it apart from the same name before it.
const APART: char = '\u{1}';

/// Gives each column of `select` that has no name its own. `is_outermost` tells that no other query reads it.
pub(super) fn name(select: &mut Select, is_outermost: bool) {
    let has_wildcard = select.projection.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    let mut taken = HashSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = of_expr(expr);
                let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                // Columns of different relations may share a name.
                let is_first = taken.insert((qualifier(expr), name.clone()));
                // What a wildcard stands for is not known here: it may be this column, too.
                let is_apart = !is_first || (has_wildcard && is_column && is_outermost);
                if is_column && !is_apart {
                    continue;
                }
                let alias = if is_apart { apart(&name, at) } else { name };
                *item = SelectItem::ExprWithAlias {
                    expr: super::take(expr),
                    alias: Ident::with_quote('"', alias),
                };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = normalized(alias);
                if !taken.insert((None, name.clone())) {
                    *alias = Ident::with_quote('"', apart(&name, at));
                }
            }
            _ => {}
        }
    }
}

fn apart(name: &str, at: usize) -> String {
    format!("{name}{APART}{}", at + 1)
}

/// What stands before a column's name.
fn qualifier(expr: &Expr) -> Option<String> {
    match expr {
        Expr::CompoundIdentifier(parts) => {
            let (_, qualifier) = parts.split_last()?;
            let parts: Vec<_> = qualifier.iter().map(normalized).collect();
            Some(parts.join("."))
        }
        _ => None,
    }
}

/// The name that PostgreSQL gives to a column of this expression (`FigureColname`).
pub(super) fn of_expr(expr: &Expr) -> String {
    name_of(expr).unwrap_or_else(|| "?column?".to_owned())
}

fn name_of(expr: &Expr) -> Option<String> {
    let known = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(name) => Some(normalized(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normalized),
        Expr::CompoundFieldAccess { root, .. } => name_of(root),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Function(function) => {
            called(&function.name).or_else(|| function.name.0.last()?.as_ident().map(normalized))
        }
        Expr::Cast {
            expr,
            data_type,
            kind: CastKind::Cast | CastKind::DoubleColon,
            ..
        } => name_of(expr)
            .filter(|name| name != "?column?" && !is_of_type(expr))
            .or_else(|| Some(type_name(data_type))),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type)),
        Expr::Interval(_) => known("interval"),
        Expr::Case {
            else_result: Some(result),
            ..
        } => name_of(result).or_else(|| known("case")),
        Expr::Case { .. } => known("case"),
        Expr::Array(_) => known("array"),
        Expr::Tuple(_) => known("row"),
        Expr::Exists { .. } => known("exists"),
        Expr::Extract { .. } => known("extract"),
        Expr::Substring { .. } => known("substring"),
        Expr::Trim { trim_where, .. } => known(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Overlay { .. } => known("overlay"),
        Expr::Position { .. } => known("position"),
        Expr::Ceil { .. } => known("ceil"),
        Expr::Floor { .. } => known("floor"),
        Expr::AtTimeZone { .. } => known("timezone"),
        Expr::Value(value) => match value.value {
            Value::Boolean(_) => known("bool"),
            _ => None,
        },
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => name_of(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(normalized(alias)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression has its name from a type only, which gives way to that of a cast around it.
fn is_of_type(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { expr, .. } => name_of(expr).is_none() || is_of_type(expr),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => is_of_type(inner),
        Expr::TypedString(_) => true,
        _ => false,
    }
}

/// The name of a type as PostgreSQL's catalog has it.
fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Real | DataType::Float4 => "float4",
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => {
            "float8"
        }
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric",
        DataType::Boolean | DataType::Bool => "bool",
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => {
            "varchar"
        }
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        DataType::Timestamp(_, zone) => match zone {
            TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => "timestamptz",
            _ => "timestamp",
        },
        DataType::Interval { .. } => "interval",
        DataType::Array(element) => {
            return match element {
                Element::SquareBracket(inner, _)
                | Element::AngleBracket(inner)
                | Element::Parenthesis(inner) => type_name(inner),
                Element::None => "array".to_owned(),
            };
        }
        DataType::Custom(name, _) => {
            return name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map(normalized)
                .unwrap_or_default();
        }
        other => return other.to_string().to_lowercase(),
    };
    name.to_owned()
}

/// The schema of an answer: no two columns of one name, as readers of JSON and Parquet need it, each with the name that the query
/// gave it in its field ([`column_name`]). None where it has those already.
pub(crate) fn shown(schema: &SchemaRef) -> Option<SchemaRef> {
    let is_apart = |field: &Arc<Field>| field.name().contains(APART);
    if !schema.fields().iter().any(is_apart) {
        return None;
    }
    let mut taken: HashSet<String> = schema
        .fields()
        .iter()
        .filter(|field| !is_apart(field))
        .map(|field| field.name().clone())
        .collect();
    let fields = schema.fields().iter().map(|field| {
        if !is_apart(field) {
            return Arc::clone(field);
        }
        let name = shown_name(field.name());
        let mut unique = name.to_owned();
        let mut number = 1;
        while !taken.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}_{number}");
        }
        let mut metadata = field.metadata().clone();
        if unique != name {
            metadata.insert(COLUMN_NAME_KEY.to_owned(), name.to_owned());
        }
        Arc::new(
            field
                .as_ref()
                .clone()
                .with_name(unique)
                .with_metadata(metadata),
        )
    });
    Some(Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        schema.metadata().clone(),
    )))
}

/// Where a field keeps the name that its column has in the query, if that is another.
const COLUMN_NAME_KEY: &str = "weir.column_name";

/// The name that a query gives to the column of an answer. Two may have the same, where the fields' own names differ.
pub fn column_name(field: &Field) -> &str {
    field
        .metadata()
        .get(COLUMN_NAME_KEY)
        .map_or(field.name(), String::as_str)
}

/// The name that a reader sees.
pub(crate) fn shown_name(name: &str) -> &str {
    name.split(APART).next().unwrap_or(name)
}

/// A plan whose columns have the names that its reader sees, where no two would have the same.
pub(crate) fn restored(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| shown_name(field.name()))
        .collect();
    let is_changed = schema
        .fields()
        .iter()
        .zip(&names)
        .any(|(field, name)| field.name() != name);
    let distinct: HashSet<_> = names.iter().collect();
    if !is_changed || distinct.len() < names.len() {
        return Ok(plan);
    }
    let columns: Vec<PlanExpr> = schema
        .iter()
        .zip(&names)
        .map(|((relation, field), name)| {
            let column = PlanExpr::Column((relation, field).into());
            match field.name() == name {
                true => column,
                false => column.alias(*name),
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
