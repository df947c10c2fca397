//! Windows over a relation: `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` in `FROM`, which give all columns of a relation, and the window
//! that each row is in.
//!
//! Each is written out as a query, so that whatever runs queries runs them: once, or as rows come. Windows are aligned to
//! 1970-01-01 00:00:00 UTC. A row without a time is in no window; with `HOP` and `CUMULATE` a row may be in several.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use weir_base::SqlState;

use super::closing::{self, Closing};
use crate::error::{Error, Result};
use crate::statements::{normalized, position_of};

/// A kind of window, its parameters behind relation and time, and the query that it stands for. In it `w_t`, `w_at`, `w_size`,
/// `w_slide`, `w_step`, `w_gap` and `w_key` are what was given.
struct Kind {
    name: &'static str,
    parameters: &'static [&'static str],
    query: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "tumble",
        parameters: &["size"],
        query: "SELECT *, date_bin(w_size, w_at) AS window_start, date_bin(w_size, w_at) + w_size AS window_end \
                FROM w_t WHERE w_at IS NOT NULL",
    },
    Kind {
        name: "hop",
        parameters: &["slide", "size"],
        query: "SELECT *, window_start + w_size AS window_end FROM (\
                SELECT *, unnest(generate_series(date_bin(w_slide, w_at - w_size) + w_slide, date_bin(w_slide, w_at), w_slide)) \
                AS window_start FROM w_t WHERE w_at IS NOT NULL)",
    },
    Kind {
        name: "cumulate",
        parameters: &["step", "size"],
        query: "SELECT * FROM (\
                SELECT *, date_bin(w_size, w_at) AS window_start, \
                unnest(generate_series(date_bin(w_step, w_at) + w_step, date_bin(w_size, w_at) + w_size, w_step)) \
                AS window_end FROM w_t WHERE w_at IS NOT NULL)",
    },
    Kind {
        name: "session",
        parameters: &["gap"],
        query: "SELECT * EXCLUDE (w_new, w_number), \
                min(w_at) OVER (PARTITION BY w_key, w_number) AS window_start, \
                max(w_at) OVER (PARTITION BY w_key, w_number) + w_gap AS window_end FROM (\
                SELECT *, sum(w_new) OVER (PARTITION BY w_key ORDER BY w_at RANGE UNBOUNDED PRECEDING) AS w_number FROM (\
                SELECT *, CASE WHEN w_at <= lag(w_at) OVER (PARTITION BY w_key ORDER BY w_at) + w_gap THEN 0 ELSE 1 END AS w_new \
                FROM w_t WHERE w_at IS NOT NULL))",
    },
];

/// A session in which a row is alone: those of rows that follow one another are put together when they close.
const ONE_ROW_SESSION: &str =
    "SELECT *, w_at AS window_start, w_at + w_gap AS window_end FROM w_t WHERE w_at IS NOT NULL";

/// Writes out the windows of a statement. With `closing` their rows wait until they have closed.
///
/// # Errors
/// When one has not the arguments that it needs.
pub(super) fn expand(statement: &mut ast::Statement, closing: bool) -> Result<()> {
    let mut expander = Expander {
        closing,
        error: None,
    };
    let _ = VisitMut::visit(statement, &mut expander);
    match expander.error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Expander {
    closing: bool,
    error: Option<Error>,
}

impl VisitorMut for Expander {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        match expanded(factor, self.closing) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(query)) => {
                *factor = query;
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// The query that a table factor stands for, if it is a window.
fn expanded(factor: &ast::TableFactor, closing: bool) -> Result<Option<ast::TableFactor>> {
    let (name, args, alias) = match factor {
        ast::TableFactor::Table {
            name,
            args: Some(args),
            alias,
            ..
        } => (name, args.args.as_slice(), alias),
        ast::TableFactor::TableFunction {
            expr: ast::Expr::Function(function),
            alias,
        } => match &function.args {
            ast::FunctionArguments::List(list) => (&function.name, list.args.as_slice(), alias),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let called = match name.0.as_slice() {
        [part] => part.as_ident().map(normalized).unwrap_or_default(),
        _ => return Ok(None),
    };
    let Some(kind) = KINDS.iter().find(|kind| kind.name == called) else {
        return Ok(None);
    };
    let filled = filled(kind, args, closing);
    let filled = filled.map_err(|error| error.with_position(position_of(name)))?;
    let alias = alias.clone().or_else(|| {
        Some(ast::TableAlias {
            explicit: true,
            name: filled.alias,
            columns: Vec::new(),
            at: None,
        })
    });
    Ok(Some(match closing {
        true => closing::factor(filled.query, &filled.closing, alias),
        false => ast::TableFactor::Derived {
            lateral: false,
            subquery: filled.query,
            alias,
            sample: None,
        },
    }))
}

struct Filled {
    query: Box<ast::Query>,
    alias: ast::Ident,
    closing: Closing,
}

fn filled(kind: &Kind, args: &[ast::FunctionArg], closing: bool) -> Result<Filled> {
    let wrong = || {
        let parameters = kind.parameters.join(", ");
        let keys = if kind.name == "session" {
            " [PARTITION BY key]"
        } else {
            ""
        };
        Error::invalid(
            SqlState("42883"),
            format!(
                "{} needs a relation, a time and {}",
                kind.name.to_uppercase(),
                kind.parameters.join(" and ")
            ),
        )
        .with_hint(format!(
            "write {}(t{keys}, at, {parameters}): intervals such as INTERVAL '10 seconds'",
            kind.name.to_uppercase()
        ))
    };
    let mut positional = Vec::new();
    let mut named = Vec::new();
    for arg in args {
        match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => positional.push(expr),
            ast::FunctionArg::Named {
                name,
                arg: ast::FunctionArgExpr::Expr(expr),
                ..
            } => named.push((normalized(name), expr)),
            ast::FunctionArg::ExprNamed {
                name: ast::Expr::Identifier(name),
                arg: ast::FunctionArgExpr::Expr(expr),
                ..
            } => named.push((normalized(name), expr)),
            _ => return Err(wrong()),
        }
    }
    let mut names = vec!["data", "timecol"];
    names.extend(kind.parameters);
    let given = names.iter().enumerate().map(|(at, name)| {
        let by_name = named.iter().find(|(given, _)| given == name);
        by_name
            .map(|(_, expr)| *expr)
            .or_else(|| positional.get(at).copied())
    });
    let given: Vec<&ast::Expr> = given.collect::<Option<_>>().ok_or_else(wrong)?;
    let known = named
        .iter()
        .all(|(given, _)| names.contains(&given.as_str()));
    if !known || positional.len() + named.len() != names.len() {
        return Err(wrong());
    }
    let (relation, time) = match given.as_slice() {
        [relation, time, ..] => (*relation, *time),
        _ => return Err(wrong()),
    };
    let (relation, keys) = match relation {
        ast::Expr::BinaryOp {
            left,
            op: ast::BinaryOperator::Custom(operator),
            right,
        } if operator == weir_sql::dialect::PARTITION_BY && kind.name == "session" => {
            (left.as_ref(), keys(right))
        }
        relation => (relation, Vec::new()),
    };
    let mut values: Vec<(String, ast::Expr)> = vec![("w_at".to_owned(), descriptor(time))];
    for (parameter, value) in kind.parameters.iter().zip(given.iter().skip(2)) {
        values.push((format!("w_{parameter}"), (*value).clone()));
    }
    let of_session = kind.name == "session";
    let text = match of_session && closing {
        true => ONE_ROW_SESSION,
        false => kind.query,
    };
    let closing = match of_session {
        true => Closing::Session { keys: keys.len() },
        false => Closing::Grid {
            // The end is the start and the size, but of windows that grow.
            start: match (kind.name, given.last()) {
                ("tumble" | "hop", Some(size)) => Some(size.to_string()),
                _ => None,
            },
        },
    };
    let parsed = crate::text::parse_one(text)?;
    let weir_sql::Statement::Query(query) = parsed.statement else {
        return Err(Error::new(
            weir_base::Kind::Internal,
            "a window is no query",
        ));
    };
    let (relation, alias) = source(relation).ok_or_else(wrong)?;
    let mut query = query.query;
    if text == ONE_ROW_SESSION {
        closing::add_keys(&mut query, &keys);
    }
    let mut filler = Filler {
        relation,
        values,
        keys,
    };
    let _ = VisitMut::visit(query.as_mut(), &mut filler);
    Ok(Filled {
        query,
        alias,
        closing,
    })
}

/// `DESCRIPTOR(at)` is `at`.
fn descriptor(time: &ast::Expr) -> ast::Expr {
    if let ast::Expr::Function(function) = time
        && function.name.to_string().eq_ignore_ascii_case("descriptor")
        && let ast::FunctionArguments::List(list) = &function.args
        && let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(column))] =
            list.args.as_slice()
    {
        return column.clone();
    }
    time.clone()
}

fn keys(expr: &ast::Expr) -> Vec<ast::Expr> {
    match expr {
        ast::Expr::Tuple(keys) => keys.clone(),
        key => vec![key.clone()],
    }
}

/// What stands in the place of a window's relation, and what the window is called then.
fn source(relation: &ast::Expr) -> Option<(Source, ast::Ident)> {
    match relation {
        ast::Expr::Identifier(name) => Some((
            Source::Name(ast::ObjectName::from(vec![name.clone()])),
            name.clone(),
        )),
        ast::Expr::CompoundIdentifier(parts) => Some((
            Source::Name(ast::ObjectName::from(parts.clone())),
            parts.last()?.clone(),
        )),
        ast::Expr::Subquery(query) => {
            Some((Source::Query(query.clone()), ast::Ident::new("windows")))
        }
        _ => None,
    }
}

enum Source {
    Name(ast::ObjectName),
    Query(Box<ast::Query>),
}

/// Puts what was given into a window's query.
struct Filler {
    relation: Source,
    values: Vec<(String, ast::Expr)>,
    keys: Vec<ast::Expr>,
}

impl VisitorMut for Filler {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Function(ast::Function {
            over: Some(ast::WindowType::WindowSpec(window)),
            ..
        }) = expr
        {
            let is_key = |expr: &ast::Expr| matches!(expr, ast::Expr::Identifier(name) if name.value == "w_key");
            if let Some(at) = window.partition_by.iter().position(is_key) {
                window
                    .partition_by
                    .splice(at..=at, self.keys.iter().cloned());
            }
        }
        if let ast::Expr::Identifier(name) = expr
            && let Some((_, value)) = self.values.iter().find(|(known, _)| *known == name.value)
        {
            *expr = ast::Expr::Nested(Box::new(value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, .. } = factor
            && name.to_string() == "w_t"
        {
            match &self.relation {
                Source::Name(relation) => *name = relation.clone(),
                Source::Query(query) => {
                    *factor = ast::TableFactor::Derived {
                        lateral: false,
                        subquery: query.clone(),
                        alias: None,
                        sample: None,
                    };
                }
            }
        }
        ControlFlow::Continue(())
    }
}
