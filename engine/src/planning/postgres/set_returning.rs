//! Functions that give rows: `generate_series`, `unnest`, `jsonb_each` and their kin, in `FROM` and among the columns.
//!
//! Each has a function that gives a list; a call in `FROM` becomes a query that unnests it, `WITH ORDINALITY` beside the list
//! of its places, and a call among the columns `unnest` of it. What such a query takes from the relations before it,
//! [`super::lateral`] plans.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArguments, Ident, Select, SelectItem, TableAlias,
    TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
};
use weir_base::SqlState;

use super::{call, called, plain_args};
use crate::error::{Error, Result};

/// What a function's rows have for columns.
enum Columns {
    /// One, which has the function's name, or that of its alias.
    One,
    /// One, of one row: the value that the function gives.
    Single,
    /// One of this name.
    Named(&'static str),
    /// The fields of its rows.
    Fields(&'static [&'static str]),
    /// What the alias declares.
    Declared,
}

struct SetReturning {
    name: &'static str,
    /// The function that gives a list; none for a list itself.
    list: Option<&'static str>,
    columns: Columns,
}

const fn rows(name: &'static str, list: &'static str, columns: Columns) -> SetReturning {
    SetReturning {
        name,
        list: Some(list),
        columns,
    }
}

const PAIR: Columns = Columns::Fields(&["key", "value"]);

const ALL: [SetReturning; 23] = [
    SetReturning {
        name: "unnest",
        list: None,
        columns: Columns::One,
    },
    rows("generate_series", "series", Columns::One),
    rows("generate_subscripts", "subscripts", Columns::One),
    rows("string_to_table", "string_to_array", Columns::One),
    rows(
        "regexp_split_to_table",
        "regexp_split_to_array",
        Columns::One,
    ),
    rows("regexp_matches", "regexp_all_matches", Columns::One),
    rows(
        "json_array_elements",
        "json_array_items",
        Columns::Named("value"),
    ),
    rows(
        "jsonb_array_elements",
        "json_array_items",
        Columns::Named("value"),
    ),
    rows(
        "json_array_elements_text",
        "json_array_texts",
        Columns::Named("value"),
    ),
    rows(
        "jsonb_array_elements_text",
        "json_array_texts",
        Columns::Named("value"),
    ),
    rows("json_object_keys", "json_keys", Columns::One),
    rows("jsonb_object_keys", "json_keys", Columns::One),
    rows("json_each", "json_pairs", PAIR),
    rows("jsonb_each", "json_pairs", PAIR),
    rows("json_each_text", "json_text_pairs", PAIR),
    rows("jsonb_each_text", "json_text_pairs", PAIR),
    rows("json_to_recordset", "json_array_items", Columns::Declared),
    rows("jsonb_to_recordset", "json_array_items", Columns::Declared),
    rows("json_to_record", "make_array", Columns::Declared),
    rows("jsonb_to_record", "make_array", Columns::Declared),
    rows("_pg_expandarray", "numbered", Columns::Fields(&["x", "n"])),
    rows(
        "pg_options_to_table",
        "option_pairs",
        Columns::Fields(&["option_name", "option_value"]),
    ),
    rows(
        "aclexplode",
        "acl_items",
        Columns::Fields(&["grantor", "grantee", "privilege_type", "is_grantable"]),
    ),
];

/// Aggregates whose one value makes one row of all.
const AGGREGATES: [&str; 14] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "every",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
];

/// Whether a function gives rows.
pub(super) fn is_one(name: &str) -> bool {
    known(name).is_some()
}

/// Whether a function is an aggregate that people write.
pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// Functions that give one value, and stand in `FROM` as a row of it.
const SINGLE: [SetReturning; 8] = [
    single("current_database"),
    single("current_schema"),
    single("current_schemas"),
    single("current_setting"),
    single("pg_backend_pid"),
    single("string_to_array"),
    single("txid_current"),
    single("version"),
];

const fn single(name: &'static str) -> SetReturning {
    SetReturning {
        name,
        list: None,
        columns: Columns::Single,
    }
}

fn in_from_known(name: &str) -> Option<&'static SetReturning> {
    known(name).or_else(|| SINGLE.iter().find(|function| function.name == name))
}

fn known(name: &str) -> Option<&'static SetReturning> {
    ALL.iter().find(|function| function.name == name)
}

/// A call among the columns as `unnest` of its list.
pub(super) fn in_projection(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let mut lists = Lists::default();
            let _ = expr.visit(&mut lists);
        }
    }
}

#[derive(Default)]
struct Lists {
    /// How many queries, and calls of `unnest`, the expression at hand stands in.
    inside: usize,
}

fn is_unnest(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if called(&function.name).as_deref() == Some("unnest"))
}

impl VisitorMut for Lists {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut ast::Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut ast::Query) -> ControlFlow<()> {
        self.inside = self.inside.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_unnest(expr) {
            self.inside += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_unnest(expr) {
            self.inside = self.inside.saturating_sub(1);
            return ControlFlow::Continue(());
        }
        if self.inside > 0 {
            return ControlFlow::Continue(());
        }
        if let Expr::Function(function) = expr
            && let Some(name) = called(&function.name)
            && let Some(SetReturning {
                list: Some(list), ..
            }) = known(&name)
            && let FunctionArguments::List(args) = &function.args
            && let Some(args) = plain_args(&args.args)
        {
            let list = call(list, args.into_iter().cloned());
            *expr = call("unnest", [list]);
        }
        ControlFlow::Continue(())
    }
}

/// A call in `FROM` as a query.
pub(super) fn in_from(factor: &mut TableFactor) -> Result<()> {
    let (name, args, with_ordinality, alias) = match factor {
        TableFactor::Table {
            name,
            args: Some(args),
            with_ordinality,
            alias,
            ..
        } => (
            called(name),
            arguments(&args.args),
            *with_ordinality,
            alias.clone(),
        ),
        TableFactor::Function {
            name,
            args,
            with_ordinality,
            alias,
            ..
        } => (
            called(name),
            arguments(args),
            *with_ordinality,
            alias.clone(),
        ),
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_offset: false,
            with_ordinality,
            ..
        } => (
            Some("unnest".to_owned()),
            Some(array_exprs.clone()),
            *with_ordinality,
            alias.clone(),
        ),
        _ => return Ok(()),
    };
    let Some(function) = name.as_deref().and_then(in_from_known) else {
        // A function is looked up without its schema.
        if let TableFactor::Table { name: written, .. } = factor
            && written.0.len() > 1
            && let Some(name) = name
        {
            *written = ast::ObjectName::from(vec![Ident::new(name)]);
        }
        return match with_ordinality {
            true => Err(Error::unsupported(
                "WITH ORDINALITY of this function is not supported",
            )),
            false => Ok(()),
        };
    };
    let Some(args) = args else { return Ok(()) };
    // A long series of numbers is not put together in memory.
    let is_numbers = function.name == "generate_series" && args.iter().all(is_number);
    if is_numbers
        && !with_ordinality
        && let TableFactor::Table { name, alias, .. } = factor
    {
        *name = ast::ObjectName::from(vec![Ident::new(function.name)]);
        *alias = Some(with_column(alias.take(), function.name));
        return Ok(());
    }
    *factor = as_query(function, &args, with_ordinality, alias)?;
    Ok(())
}

fn arguments(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    Some(plain_args(args)?.into_iter().cloned().collect())
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => {
            matches!(&value.value, ast::Value::Number(text, _) if text.bytes().all(|byte| byte.is_ascii_digit()))
        }
        Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr,
        } => is_number(expr),
        _ => false,
    }
}

/// An alias that names its one column, as that of a function does.
fn with_column(alias: Option<TableAlias>, name: &str) -> TableAlias {
    let mut alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new(name),
        columns: vec![],
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef {
            name: alias.name.clone(),
            data_type: None,
        });
    }
    alias
}

fn as_query(
    function: &SetReturning,
    args: &[Expr],
    with_ordinality: bool,
    alias: Option<TableAlias>,
) -> Result<TableFactor> {
    let lists: Vec<Expr> = match function.list {
        None if matches!(function.columns, Columns::Single) => {
            let value = call(function.name, args.iter().cloned());
            vec![call("make_array", [value])]
        }
        None => args.to_vec(),
        Some(list) => vec![call(list, args.iter().cloned())],
    };
    let declared: Vec<TableAliasColumnDef> = alias
        .as_ref()
        .map_or_else(Vec::new, |alias| alias.columns.clone());
    let name = alias
        .as_ref()
        .map_or_else(|| Ident::new(function.name), |alias| alias.name.clone());
    let ordinals = lists
        .first()
        .map(|list| format!("unnest(ordinals({list}))"));
    let (sql, defaults): (String, Vec<String>) = match &function.columns {
        Columns::One | Columns::Named(_) | Columns::Single => {
            let default = match (&function.columns, &alias) {
                (Columns::Named(name), _) => (*name).to_owned(),
                (_, Some(alias)) => alias.name.to_string(),
                (_, None) => function.name.to_owned(),
            };
            let mut items: Vec<_> = lists.iter().map(|list| format!("unnest({list})")).collect();
            let mut names: Vec<String> = match items.len() {
                1 => vec![default],
                many => (0..many).map(|at| apart_from(function.name, at)).collect(),
            };
            if let Some(ordinals) = ordinals.filter(|_| with_ordinality) {
                items.push(ordinals);
                names.push("ordinality".to_owned());
            }
            (items.join(", "), names)
        }
        Columns::Fields(fields) => {
            let mut items: Vec<_> = fields
                .iter()
                .map(|field| format!("_row['{field}']"))
                .collect();
            let mut names: Vec<String> = fields.iter().map(ToString::to_string).collect();
            if with_ordinality {
                items.push("_n".to_owned());
                names.push("ordinality".to_owned());
            }
            (items.join(", "), names)
        }
        Columns::Declared => {
            let mut items = Vec::with_capacity(declared.len());
            for column in &declared {
                let Some(data_type) = &column.data_type else {
                    return Err(needs_columns(function.name));
                };
                let key = crate::statements::normalized(&column.name).replace('\'', "''");
                items.push(format!("json_get_text(_row, '{key}')::{data_type}"));
            }
            if items.is_empty() || with_ordinality {
                return Err(needs_columns(function.name));
            }
            (items.join(", "), vec![])
        }
    };
    let names: Vec<String> = (0..defaults.len().max(declared.len()))
        .filter_map(|at| match declared.get(at) {
            Some(column) => Some(column.name.to_string()),
            None => defaults.get(at).cloned(),
        })
        .collect();
    let rows = match &function.columns {
        Columns::One | Columns::Named(_) | Columns::Single => format!("SELECT {sql}"),
        Columns::Fields(_) | Columns::Declared => {
            let list = lists.first().map(ToString::to_string).unwrap_or_default();
            let number = match with_ordinality {
                true => format!(", unnest(ordinals({list}))"),
                false => String::new(),
            };
            let columns = if with_ordinality { "_row, _n" } else { "_row" };
            format!("SELECT {sql} FROM (SELECT unnest({list}){number}) AS _rows ({columns})")
        }
    };
    let mut subquery = super::parsed(&rows)?;
    // The names are given here, so that a filter above knows them, too.
    if let ast::SetExpr::Select(select) = subquery.body.as_mut() {
        for (item, name) in select.projection.iter_mut().zip(&names) {
            if let SelectItem::UnnamedExpr(expr) = item {
                *item = SelectItem::ExprWithAlias {
                    expr: super::take(expr),
                    alias: ident(name),
                };
            }
        }
    }
    Ok(TableFactor::Derived {
        lateral: args.iter().any(names_column),
        subquery,
        alias: Some(TableAlias {
            explicit: true,
            name,
            columns: vec![],
            at: None,
        }),
        sample: None,
    })
}

/// A name as it was written.
fn ident(name: &str) -> Ident {
    match name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    {
        Some(quoted) => Ident::with_quote('"', quoted.replace("\"\"", "\"")),
        None => Ident::new(name),
    }
}

fn apart_from(name: &str, at: usize) -> String {
    match at {
        0 => name.to_owned(),
        at => format!("{name}_{}", at + 1),
    }
}

fn needs_columns(function: &str) -> Error {
    Error::invalid(
        SqlState("42601"),
        format!("{function} needs a list of columns with their types"),
    )
    .with_hint(format!("write FROM {function}(…) AS t (a INT, b TEXT)"))
}

/// Whether an expression depends on a row of another relation.
fn names_column(expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
