//! Calls of PostgreSQL's functions under the names and with the arguments that DataFusion, or `functions/`, knows.

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName,
};

use super::{call, called, literal, number, plain_args, text};
use crate::statements::normalized;

/// Functions that have another name here.
const NAMES: [(&str, &str); 11] = [
    ("every", "bool_and"),
    ("variance", "var_samp"),
    ("ceiling", "ceil"),
    ("sign", "signum"),
    ("gen_random_uuid", "uuid"),
    ("transaction_timestamp", "now"),
    ("statement_timestamp", "now"),
    ("array_remove", "array_remove_all"),
    ("array_replace", "array_replace_all"),
    ("array_length", "array_dimension_length"),
    ("array_upper", "array_dimension_length"),
];

/// Parts of a date that DataFusion does not know, or cuts fractions off.
const OWN_FIELDS: [&str; 16] = [
    "second",
    "seconds",
    "milliseconds",
    "millisecond",
    "microseconds",
    "microsecond",
    "epoch",
    "century",
    "decade",
    "millennium",
    "julian",
    "isodow",
    "isoyear",
    "timezone",
    "timezone_hour",
    "timezone_minute",
];

/// Units that DataFusion truncates to.
const TRUNCATED: [&str; 10] = [
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
];

/// Whether a part of a date is taken by our own function.
pub(super) fn is_own_field(field: &str) -> bool {
    OWN_FIELDS.contains(&field)
}

/// Takes PostgreSQL's schema off a function's name, and gives it the name that it has here.
pub(super) fn rename(function: &mut Function) {
    let Some(name) = called(&function.name) else {
        return;
    };
    let known = NAMES.iter().find(|(theirs, _)| *theirs == name);
    let is_qualified = function.name.0.len() > 1;
    if known.is_none() && !is_qualified {
        return;
    }
    // Only where the clauses are those of a plain call do two functions of a name differ.
    let ours = known.map_or(name.as_str(), |(_, ours)| ours);
    let span = match function.name.0.last().and_then(|part| part.as_ident()) {
        Some(ident) => ident.span,
        None => return,
    };
    function.name = ObjectName::from(vec![Ident {
        value: ours.to_owned(),
        quote_style: None,
        span,
    }]);
}

/// A call in other words, if it needs them.
pub(super) fn settle(function: &Function) -> Option<Expr> {
    let name = called(&function.name)?;
    let FunctionArguments::List(FunctionArgumentList {
        args,
        duplicate_treatment: None,
        clauses,
    }) = &function.args
    else {
        return None;
    };
    if !clauses.is_empty() || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    if name == "make_interval" {
        return make_interval(args);
    }
    let args = plain_args(args)?;
    match (name.as_str(), args.as_slice()) {
        ("date_part", [field, value]) => {
            let field = literal(field)?.to_lowercase();
            is_own_field(&field).then(|| call("part_of", [text(field), (*value).clone()]))
        }
        ("date_trunc", [unit, value]) => {
            let unit = literal(unit)?.to_lowercase();
            let singular = unit.strip_suffix('s').unwrap_or(&unit);
            let is_known = TRUNCATED.contains(&singular);
            // An interval is told from a timestamp by its type, which is not known here.
            let looks_like_interval = matches!(value, Expr::Interval(_));
            match is_known && !looks_like_interval {
                true if singular == unit => None,
                true => Some(call("date_trunc", [text(singular), (*value).clone()])),
                false => Some(call("truncated", [text(unit), (*value).clone()])),
            }
        }
        // The day of another zone begins at another moment.
        ("date_trunc", [unit, value, zone]) => {
            let local = call("timezone", [(*zone).clone(), (*value).clone()]);
            let local = settle_date_trunc((*unit).clone(), local);
            Some(call("timezone", [(*zone).clone(), local]))
        }
        // Without a sign, DataFusion's number would make a decimal of every sum.
        ("cardinality", [_]) => Some(super::cast_to(
            Expr::Function(function.clone()),
            ast::DataType::Integer(None),
        )),
        ("coalesce", args) => arrays_read(args),
        ("age", [number]) if is_xid(number) => Some(call("xid_age", [(*number).clone()])),
        ("age", [since]) => Some(call("age", [call("current_date", []), (*since).clone()])),
        ("substring" | "substr", [value, pattern]) if literal(pattern).is_some() => Some(call(
            "substring_pattern",
            [(*value).clone(), (*pattern).clone()],
        )),
        _ => None,
    }
}

/// `coalesce(a, '{}')` where the literal is read as an array if the others are arrays.
fn arrays_read(args: &[&Expr]) -> Option<Expr> {
    let is_array =
        |arg: &Expr| literal(arg).is_some_and(|text| text.starts_with('{') && text.ends_with('}'));
    let other = args.iter().find(|arg| literal(arg).is_none())?;
    if !args.iter().any(|arg| is_array(arg)) {
        return None;
    }
    let args = args.iter().map(|arg| match is_array(arg) {
        true => call("array_as", [(*other).clone(), (*arg).clone()]),
        false => (*arg).clone(),
    });
    Some(call("coalesce", args.collect::<Vec<_>>()))
}

/// Whether an expression says that it is the number of a transaction, and no moment.
fn is_xid(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => called(&function.name).as_deref() == Some("catalog_xmin"),
        Expr::Cast {
            data_type: ast::DataType::Custom(name, _),
            ..
        } => called(name).as_deref() == Some("xid"),
        Expr::Nested(inner) => is_xid(inner),
        _ => false,
    }
}

fn settle_date_trunc(unit: Expr, value: Expr) -> Expr {
    let plain = call("date_trunc", [unit, value]);
    match &plain {
        Expr::Function(function) => settle(function).unwrap_or(plain),
        _ => plain,
    }
}

/// `make_interval(days => 1)`: what is not given is nothing.
fn make_interval(args: &[FunctionArg]) -> Option<Expr> {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let mut given: [Option<Expr>; 7] = Default::default();
    for (at, arg) in args.iter().enumerate() {
        let (at, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (at, value),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                let name = normalized(name);
                (NAMES.iter().position(|known| *known == name)?, value)
            }
            _ => return None,
        };
        *given.get_mut(at)? = Some(value.clone());
    }
    let values = given.map(|value| value.unwrap_or_else(|| number(0)));
    Some(call("interval_of_parts", values))
}
