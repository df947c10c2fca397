//! The literals of a query, and the query with parameters in their places.
//!
//! Programs that write values into their texts send a new text for each value. What they ask is one query all the same, with
//! `id = $1` for `id = 17`; here is how it is found.

use std::ops::Range;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, Select, SetExpr, TableWithJoins,
    UnaryOperator, Value, ValueWithSpan,
};
use datafusion_sql::sqlparser::tokenizer::Token;
use weir_base::Position;

use crate::source::{Source, position};

/// A whole number, or a text in plain quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its bytes in the text.
    range: Range<usize>,
    position: Position,
    /// What it says.
    pub value: LiteralValue,
}

/// What a literal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiteralValue {
    /// A whole number.
    Integer(i64),
    /// A text, its quotes resolved.
    Text(String),
}

impl LiteralValue {
    /// Whether a value of the tree is this, and no more.
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Integer(number), Value::Number(digits, false)) => digits.parse() == Ok(*number),
            (Self::Text(text), Value::SingleQuotedString(value)) => text == value,
            _ => false,
        }
    }
}

/// The literals of a text, in their order; none where it has parameters of its own, or cannot be read.
pub fn literals(text: &str) -> Vec<Literal> {
    let Ok(source) = Source::new(text) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for at in 0..source.len() {
        let value = match source.token(at) {
            Token::Placeholder(_) => return Vec::new(),
            Token::Number(digits, false) => match digits.parse() {
                Ok(number) => LiteralValue::Integer(number),
                Err(_) => continue,
            },
            Token::SingleQuotedString(text) => LiteralValue::Text(text.clone()),
            _ => continue,
        };
        found.push(Literal {
            range: source.offset(at)..source.offset(at + 1),
            position: source.position(at),
            value,
        });
    }
    found
}

/// The text without those of its literals that `is_open` says; of each its kind stays. No two queries that differ in more than these
/// literals have the same.
pub fn without(text: &str, literals: &[Literal], is_open: impl Fn(usize) -> bool) -> String {
    let mut written = String::with_capacity(text.len());
    let mut done = 0;
    for (at, literal) in literals.iter().enumerate() {
        if !is_open(at) {
            continue;
        }
        written.push_str(text.get(done..literal.range.start).unwrap_or_default());
        // No text has this character outside of quotes and comments, and there a literal is none.
        written.push(match literal.value {
            LiteralValue::Integer(_) => '\u{1}',
            LiteralValue::Text(_) => '\u{2}',
        });
        done = literal.range.end;
    }
    written.push_str(text.get(done..).unwrap_or_default());
    written
}

/// Puts `$1`, `$2`, … in the places of those literals of a query that a condition of `WHERE` or `ON` compares with something, and says
/// for each of `literals` whether it was one. All others may be part of what the query is: of a type, a name, a limit.
///
/// `may_be` keeps literals out, by their numbers.
pub fn open(query: &mut Query, literals: &[Literal], may_be: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut places = Vec::new();
    in_query(query, &mut places);
    let mut opened = vec![false; literals.len()];
    places.sort_by_key(|place| (place.span.start.line, place.span.start.column));
    let mut number = 0;
    for place in places {
        let start = position(place.span.start);
        let at = literals.binary_search_by_key(&(start.line, start.column), |literal| {
            (literal.position.line, literal.position.column)
        });
        let Ok(at) = at else {
            continue;
        };
        // The parser may have made one value of several literals.
        let is_this = literals
            .get(at)
            .is_some_and(|literal| literal.value.is(&place.value));
        if is_this
            && may_be(at)
            && let Some(is_open) = opened.get_mut(at)
        {
            *is_open = true;
            number += 1;
            place.value = Value::Placeholder(format!("${number}"));
        }
    }
    opened
}

fn in_query<'a>(query: &'a mut Query, places: &mut Vec<&'a mut ValueWithSpan>) {
    if let Some(with) = &mut query.with {
        for cte in &mut with.cte_tables {
            in_query(&mut cte.query, places);
        }
    }
    in_body(&mut query.body, places);
}

fn in_body<'a>(body: &'a mut SetExpr, places: &mut Vec<&'a mut ValueWithSpan>) {
    match body {
        SetExpr::Select(select) => in_select(select, places),
        SetExpr::Query(query) => in_query(query, places),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left, places);
            in_body(right, places);
        }
        _ => {}
    }
}

fn in_select<'a>(select: &'a mut Select, places: &mut Vec<&'a mut ValueWithSpan>) {
    for TableWithJoins { joins, .. } in &mut select.from {
        for join in joins {
            if let JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) = &mut join.join_operator
                && let JoinConstraint::On(condition) = constraint
            {
                in_condition(condition, places);
            }
        }
    }
    if let Some(condition) = &mut select.selection {
        in_condition(condition, places);
    }
}

fn in_condition<'a>(condition: &'a mut Expr, places: &mut Vec<&'a mut ValueWithSpan>) {
    match condition {
        Expr::Nested(inner)
        | Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: inner,
        } => in_condition(inner, places),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And | BinaryOperator::Or,
            right,
        } => {
            in_condition(left, places);
            in_condition(right, places);
        }
        Expr::BinaryOp {
            left,
            op:
                BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq,
            right,
        } => match (left.as_mut(), right.as_mut()) {
            // What is compared tells the parameter's type, which two literals do not.
            (Expr::Value(_), Expr::Value(_)) => {}
            (Expr::Value(value), _) | (_, Expr::Value(value)) => places.push(value),
            _ => {}
        },
        Expr::Between {
            expr, low, high, ..
        } if !matches!(**expr, Expr::Value(_)) => {
            for bound in [low, high] {
                if let Expr::Value(value) = bound.as_mut() {
                    places.push(value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Statement;

    /// The query with parameters, and its text without the literals that they stand for.
    fn opened(sql: &str) -> (String, String) {
        let literals = literals(sql);
        let parsed = crate::parse(sql).unwrap().remove(0);
        let Statement::Query(query) = parsed.statement else {
            panic!("{sql} is no query");
        };
        let mut query = query.query;
        let is_open = open(&mut query, &literals, |_| true);
        (query.to_string(), without(sql, &literals, |at| is_open[at]))
    }

    #[test]
    fn what_is_compared_becomes_a_parameter() {
        for (sql, with_parameters) in [
            (
                "SELECT a FROM t WHERE id = 17",
                "SELECT a FROM t WHERE id = $1",
            ),
            (
                "SELECT 1 FROM t WHERE 2 < a AND (b = 'x' OR NOT c >= 'y') LIMIT 3",
                "SELECT 1 FROM t WHERE $1 < a AND (b = $2 OR NOT c >= $3) LIMIT 3",
            ),
            (
                "SELECT * FROM t JOIN u ON t.a = u.a AND u.b > 5 WHERE t.c BETWEEN 1 AND 2",
                "SELECT * FROM t JOIN u ON t.a = u.a AND u.b > $1 WHERE t.c BETWEEN $2 AND $3",
            ),
            (
                "WITH w AS (SELECT a FROM t WHERE a <> 4) SELECT a FROM w UNION ALL SELECT a FROM u WHERE a = 6",
                "WITH w AS (SELECT a FROM t WHERE a <> $1) SELECT a FROM w UNION ALL SELECT a FROM u WHERE a = $2",
            ),
        ] {
            assert_eq!(opened(sql).0, with_parameters);
        }
    }

    #[test]
    fn what_may_be_a_part_of_the_query_stays() {
        for sql in [
            "SELECT 1, 'a' FROM t ORDER BY 1 LIMIT 5",
            "SELECT CAST(a AS VARCHAR(10)) FROM t WHERE INTERVAL '1 day' > b",
            "SELECT a FROM t WHERE 1 = 1",
            "SELECT a FROM t WHERE a IN (1, 2) AND b LIKE 'x%'",
            "SELECT a FROM t WHERE a = -1 AND b = 1.5 AND f(3) = b",
            "SELECT a FROM t WHERE a = 99999999999999999999",
            "SELECT a FROM t WHERE a = 'foo'\n'bar'",
        ] {
            assert_eq!(opened(sql).1, sql);
        }
        assert!(literals("SELECT a FROM t WHERE a = $1 AND b = 2").is_empty());
    }

    #[test]
    fn a_text_without_literals_tells_queries_apart() {
        let of = |sql| opened(sql).1;
        let one = of("SELECT a FROM t WHERE id = 17 AND b = 'x' LIMIT 5");
        assert_eq!(
            one,
            of("SELECT a FROM t WHERE id = 4 AND b = 'it''s' LIMIT 5")
        );
        for other in [
            "SELECT a FROM t WHERE id = 17 AND b = 'x' LIMIT 6",
            "SELECT a FROM t WHERE id = '17' AND b = 'x' LIMIT 5",
            "SELECT a FROM t WHERE id = 17 AND c = 'x' LIMIT 5",
            "SELECT a FROM t WHERE id = 17 AND b = E'x' LIMIT 5",
        ] {
            assert_ne!(one, of(other));
        }
    }
}
