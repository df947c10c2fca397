//! What a number or an interval written in SQL is, and spellings that DataFusion does not know.
//!
//! A number with a point is an exact decimal, as in PostgreSQL and the SQL standard: `0.1 + 0.2 = 0.3`, and a price
//! column of decimals stays exact when it is multiplied by `1.1`. Where it meets a double it becomes one, correctly
//! rounded. A number with an exponent is a double, as in the standard and in DuckDB, Spark and Trino; PostgreSQL makes
//! that one a decimal too, but its decimals have no bound, and `1.8e308` does not fit into ours.
//!
//! The clock in an interval is PostgreSQL's: `INTERVAL '1 day 04:05:06'`.
//!
//! DataFusion reads numbers as exact decimals when it is asked to. What is left to do here, before it looks, is to turn
//! those that cannot be decimals into casts from their text, and to refuse those that are out of every range.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Fetch, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, LimitClause, ObjectNamePart, Parens, Query, SetExpr,
    Statement, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use weir_base::{Position, SqlState};

use crate::error::{Error, Result};

/// The most digits that a decimal has.
const DIGITS_MAX: usize = 76;

/// Makes doubles of the numbers in `sql` that are none of DataFusion's decimals.
///
/// # Errors
/// 22003 for a number that is larger than a double can be, or that has too many digits to be kept exactly.
pub(super) fn settle(sql: &mut impl VisitMut) -> Result<()> {
    match sql.visit(&mut Numbers::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Numbers {
    /// Whether the next query is that of an `INSERT`, each of whose values becomes one of its column's type by itself.
    is_source: bool,
}

impl VisitorMut for Numbers {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &mut Statement) -> ControlFlow<Error> {
        self.is_source = matches!(statement, Statement::Insert(_));
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let is_source = std::mem::take(&mut self.is_source);
        if let SetExpr::Values(values) = query.body.as_mut()
            && !is_source
        {
            unite(&mut values.rows);
        }
        fetch_as_limit(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Value(number) => match as_double(number) {
                Ok(None) => {}
                Ok(Some(double)) => *expr = double,
                Err(error) => return ControlFlow::Break(error),
            },
            Expr::Interval(interval) if interval.leading_field.is_none() => {
                spell_out(&mut interval.value);
            }
            Expr::Cast {
                expr: inner,
                data_type: DataType::Interval { .. },
                ..
            } => spell_out(inner),
            Expr::Function(call) => {
                if let Some(remainder) = as_remainder(call) {
                    *expr = remainder;
                }
            }
            // Of zeros only a double has a sign.
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } => {
                if let Expr::Value(ValueWithSpan {
                    value: Value::Number(text, _),
                    span,
                }) = inner.as_ref()
                    && text.contains('.')
                    && text.parse::<f64>().is_ok_and(|value| value == 0.0)
                {
                    *expr = double(format!("-{text}"), *span);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Writes `FETCH FIRST n ROWS ONLY`, which DataFusion does not know, as the `LIMIT n` that it is.
fn fetch_as_limit(query: &mut Query) {
    let has_limit = matches!(
        &query.limit_clause,
        Some(
            LimitClause::LimitOffset { limit: Some(_), .. } | LimitClause::OffsetCommaLimit { .. }
        )
    );
    let is_limit = |fetch: &Fetch| !fetch.with_ties && !fetch.percent;
    if has_limit || !query.fetch.as_ref().is_some_and(is_limit) {
        return;
    }
    let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
    let rows = query.fetch.take().and_then(|fetch| fetch.quantity);
    let (offset, limit_by) = match query.limit_clause.take() {
        Some(LimitClause::LimitOffset {
            offset, limit_by, ..
        }) => (offset, limit_by),
        _ => (None, Vec::new()),
    };
    query.limit_clause = Some(LimitClause::LimitOffset {
        limit: Some(rows.unwrap_or_else(one)),
        offset,
        limit_by,
    });
}

/// `mod(a, b)` as `a % b`.
fn as_remainder(call: &mut Function) -> Option<Expr> {
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else {
        return None;
    };
    let is_plain = call.over.is_none() && call.filter.is_none() && call.within_group.is_empty();
    if !name.value.eq_ignore_ascii_case("mod") || !is_plain {
        return None;
    }
    let FunctionArguments::List(list) = &mut call.args else {
        return None;
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    let [
        FunctionArg::Unnamed(FunctionArgExpr::Expr(left)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(right)),
    ] = list.args.as_mut_slice()
    else {
        return None;
    };
    let operand = |expr: &mut Expr| {
        let null = Expr::Value(Value::Null.into());
        Box::new(Expr::Nested(Box::new(std::mem::replace(expr, null))))
    };
    Some(Expr::BinaryOp {
        left: operand(left),
        op: BinaryOperator::Modulo,
        right: operand(right),
    })
}

/// Writes the numbers of a column of `VALUES` that has a double as doubles. (DataFusion would make decimals of the doubles.)
fn unite(rows: &mut [Parens<Vec<Expr>>]) {
    let number = |expr: &Expr| match expr {
        Expr::Value(ValueWithSpan {
            value: Value::Number(text, _),
            ..
        }) => Some(text.clone()),
        _ => None,
    };
    let width = rows.first().map_or(0, |row| row.content.len());
    for at in 0..width {
        let has_double = rows.iter().any(|row| {
            let text = row.content.get(at).and_then(number);
            text.is_some_and(|text| text.contains(['e', 'E']))
        });
        if !has_double {
            continue;
        }
        for row in rows.iter_mut() {
            if let Some(expr) = row.content.get_mut(at)
                && let Some(text) = number(expr)
                && text.contains('.')
                && let Expr::Value(value) = expr
            {
                *expr = double(text, value.span);
            }
        }
    }
}

/// Writes the clock in the text of an interval in words, which are all that Arrow reads: `1 day 04:05:06.7`.
fn spell_out(value: &mut Expr) {
    if let Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(text),
        ..
    }) = value
        && let Some(spelled) = spelled_out(text)
    {
        *text = spelled;
    }
}

/// The text with its clock in words, if it has one.
pub(super) fn spelled_out(text: &str) -> Option<String> {
    if let Some(words) = iso_duration(text.trim()) {
        return Some(words);
    }
    if let Some(past) = text.trim().strip_suffix("ago") {
        let words = spelled_out(past).unwrap_or_else(|| past.to_owned());
        let words = words.split_ascii_whitespace().map(|word| {
            match word.starts_with(|c: char| c.is_ascii_digit()) {
                true => format!("-{word}"),
                false => word.trim_start_matches('-').to_owned(),
            }
        });
        return Some(words.collect::<Vec<_>>().join(" "));
    }
    let words = text.split_ascii_whitespace().map(|word| {
        let negative = word.starts_with('-');
        let plain = word.trim_start_matches(['+', '-']);
        let Some((hours, rest)) = plain.split_once(':') else {
            return Some(word.trim_start_matches('+').to_owned());
        };
        let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
        let is_number = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        if ![hours, minutes, seconds].into_iter().all(is_number) {
            return None;
        }
        let sign = if negative { "-" } else { "" };
        Some(format!(
            "{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"
        ))
    });
    let words = words.collect::<Option<Vec<_>>>()?;
    text.contains([':', '+']).then(|| words.join(" "))
}

/// `P1Y2M3DT4H5M6S` in words.
fn iso_duration(text: &str) -> Option<String> {
    let rest = text.strip_prefix('P')?;
    let (mut words, mut number, mut in_time) = (Vec::new(), String::new(), false);
    for character in rest.chars() {
        let unit = match (character, in_time) {
            ('T', _) if number.is_empty() => {
                in_time = true;
                continue;
            }
            ('0'..='9' | '.' | '-' | '+', _) => {
                number.push(character);
                continue;
            }
            ('Y', false) => "years",
            ('M', false) => "mons",
            ('W', false) => "weeks",
            ('D', false) => "days",
            ('H', true) => "hours",
            ('M', true) => "minutes",
            ('S', true) => "seconds",
            _ => return None,
        };
        words.push(format!("{} {unit}", std::mem::take(&mut number)));
    }
    (!words.is_empty() && number.is_empty()).then(|| words.join(" "))
}

fn as_double(number: &ValueWithSpan) -> Result<Option<Expr>> {
    let Value::Number(text, _) = &number.value else {
        return Ok(None);
    };
    let text = text.replace('_', "");
    let out_of_range = |why: &str| {
        let start = number.span.start;
        Error::invalid(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("the number {} {why}", shortened(&text)),
        )
        .with_position((start.line > 0).then_some(Position {
            line: start.line,
            column: start.column,
        }))
    };
    if text.contains(['e', 'E']) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_infinite() => {
                Err(out_of_range("is out of range for type DOUBLE PRECISION"))
            }
            Ok(_) => Ok(Some(double(text, number.span))),
            // What else looks like a number (`0x1e`) is not for us to judge.
            Err(_) => Ok(None),
        };
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if whole.trim_start_matches('0').len() + fraction.len() > DIGITS_MAX {
        return Err(out_of_range(&format!(
            "has more digits than a decimal holds, which are {DIGITS_MAX}"
        )));
    }
    Ok(None)
}

fn double(text: String, span: datafusion::sql::sqlparser::tokenizer::Span) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            span,
        })),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= 40 {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::Classify;

    fn settled(sql: &str) -> Result<String> {
        let mut expr = weir_sql::parse_expr(sql).unwrap();
        settle(&mut expr).map(|()| expr.to_string())
    }

    #[test]
    fn only_what_no_decimal_holds_becomes_a_double() {
        for exact in ["1.5", "12345678901234567890.5", "1", "a + 0.1", "'1e5'"] {
            assert_eq!(settled(exact).unwrap(), exact);
        }
        assert_eq!(settled("1e5").unwrap(), "CAST('1e5' AS DOUBLE)");
        assert_eq!(settled("-1.5E-3").unwrap(), "-CAST('1.5E-3' AS DOUBLE)");
        assert_eq!(settled("-0.00").unwrap(), "CAST('-0.00' AS DOUBLE)");
        assert_eq!(settled("-0").unwrap(), "-0");
    }

    #[test]
    fn clocks_of_intervals_are_spelled_out() {
        for (text, spelled) in [
            ("1 day", None),
            ("1 hour x:y", None),
            (
                "P1Y2M3DT4H5M6.5S",
                Some("1 years 2 mons 3 days 4 hours 5 minutes 6.5 seconds"),
            ),
            ("1 week ago", Some("-1 week")),
            ("04:05", Some("04 hours 05 minutes 0 seconds")),
            (
                "-1 mons +1 day -00:00:01.5",
                Some("-1 mons 1 day -00 hours -00 minutes -01.5 seconds"),
            ),
        ] {
            assert_eq!(spelled_out(text).as_deref(), spelled, "{text}");
        }
    }

    #[test]
    fn what_nothing_holds_is_refused() {
        let digits = "9".repeat(77);
        for sql in ["1e309", &digits, &format!("0.{}", "0".repeat(77))] {
            let error = settled(sql).unwrap_err();
            assert_eq!(error.sqlstate(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
            assert!(error.message().len() < 130, "{error}");
        }
        assert!(settled(&digits[1..]).is_ok());
    }
}
