//! Aggregates that are a function of all values: `json_agg(x)` is `json_of_items(array_agg(to_json(x)))`, so that `DISTINCT`,
//! `ORDER BY`, `FILTER` and `OVER` mean what they mean of `array_agg`.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident,
    ObjectName,
};

use super::{call, called, plain_args};

/// An aggregate in other words, if it needs them.
pub(super) fn settle(function: &Function) -> Option<Expr> {
    let name = called(&function.name)?;
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let args = plain_args(&list.args)?;
    match (name.as_str(), args.as_slice()) {
        ("json_agg" | "jsonb_agg", [value]) => {
            let is_distinct = list.duplicate_treatment.is_some();
            let json = match (name.as_str(), is_distinct) {
                (_, true) => (*value).clone(),
                ("json_agg", false) => call("to_json", [(*value).clone()]),
                (_, false) => call("to_jsonb", [(*value).clone()]),
            };
            let all = gathered(function, json);
            let document = call(
                match is_distinct {
                    true => "json_of_list",
                    false => "json_of_items",
                },
                [all],
            );
            Some(binary_form(&name, document))
        }
        ("json_object_agg" | "jsonb_object_agg", [key, value]) => {
            let pair = call("json_pair", [(*key).clone(), (*value).clone()]);
            let document = call("json_of_pairs", [gathered(function, pair)]);
            Some(binary_form(&name, document))
        }
        ("mode", []) => {
            let ordered = within_group(function)?;
            Some(call("most_common", [ordered]))
        }
        ("percentile_disc", [fraction @ Expr::Array(_)]) => {
            let ordered = within_group(function)?;
            Some(call("discrete_percentiles", [(*fraction).clone(), ordered]))
        }
        ("percentile_disc", [fraction]) => {
            let ordered = within_group(function)?;
            Some(call("discrete_percentile", [(*fraction).clone(), ordered]))
        }
        ("percentile_cont", [fraction @ Expr::Array(_)]) => {
            let ordered = within_group(function)?;
            Some(call(
                "continuous_percentiles",
                [(*fraction).clone(), ordered],
            ))
        }
        _ => None,
    }
}

fn binary_form(name: &str, document: Expr) -> Expr {
    match name.starts_with("jsonb") {
        true => call("jsonb_text", [document]),
        false => document,
    }
}

/// `function`, as `array_agg` of `value`.
fn gathered(function: &Function, value: Expr) -> Expr {
    let mut all = function.clone();
    all.name = array_agg();
    if let FunctionArguments::List(list) = &mut all.args {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))];
    }
    Expr::Function(all)
}

/// The values of `WITHIN GROUP (ORDER BY x)` in their order.
fn within_group(function: &Function) -> Option<Expr> {
    let [by] = function.within_group.as_slice() else {
        return None;
    };
    let mut all = function.clone();
    all.name = array_agg();
    all.within_group = vec![];
    if let FunctionArguments::List(list) = &mut all.args {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(by.expr.clone()))];
        list.clauses = vec![FunctionArgumentClause::OrderBy(vec![by.clone()])];
    }
    Some(Expr::Function(all))
}

fn array_agg() -> ObjectName {
    ObjectName::from(vec![Ident::new("array_agg")])
}
