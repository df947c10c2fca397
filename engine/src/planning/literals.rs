//! What a number written in SQL is.
//!
//! A number with a point is an exact decimal, as in PostgreSQL and the SQL standard: `0.1 + 0.2 = 0.3`, and a price
//! column of decimals stays exact when it is multiplied by `1.1`. Where it meets a double it becomes one, correctly
//! rounded. A number with an exponent is a double, as in the standard and in DuckDB, Spark and Trino; PostgreSQL makes
//! that one a decimal too, but its decimals have no bound, and `1.8e308` does not fit into ours.
//!
//! DataFusion reads numbers as exact decimals when it is asked to. What is left to do here, before it looks, is to turn
//! those that cannot be decimals into casts from their text, and to refuse those that are out of every range.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value, ValueWithSpan, VisitMut,
    VisitorMut,
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
    match sql.visit(&mut Numbers) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Numbers;

impl VisitorMut for Numbers {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Value(number) => match as_double(number) {
                Ok(None) => {}
                Ok(Some(double)) => *expr = double,
                Err(error) => return ControlFlow::Break(error),
            },
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
