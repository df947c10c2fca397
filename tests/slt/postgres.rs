//! A statement over the PostgreSQL protocol. The files hold what the REST door writes; the same values in PostgreSQL's
//! forms are put into those.

use serde_json::Value;
use sqllogictest::DBOutput;
use weir_tests::postgres::{PostgresClient, PostgresError};

use super::connection::number;
use super::kind::Kind;

/// Runs a statement.
///
/// # Errors
/// The error that the server told of.
pub(super) async fn run(
    client: &mut PostgresClient,
    sql: &str,
) -> Result<DBOutput<Kind>, PostgresError> {
    let answer = client.query(sql).await?;
    let Some(columns) = answer.columns else {
        let count = answer
            .tag
            .rsplit(' ')
            .next()
            .and_then(|count| count.parse().ok());
        return Ok(DBOutput::StatementComplete(count.unwrap_or(0)));
    };
    let rows = answer.rows.into_iter().map(|row| {
        let values = row.into_iter().zip(&columns);
        values
            .map(|(value, (_, oid))| match value {
                None => "NULL".to_owned(),
                Some(text) if text.is_empty() => "(empty)".to_owned(),
                Some(text) => as_rest(&text, *oid),
            })
            .collect()
    });
    Ok(DBOutput::Rows {
        rows: rows.collect(),
        types: columns.iter().map(|(_, oid)| kind(*oid)).collect(),
    })
}

fn kind(oid: u32) -> Kind {
    match oid {
        16 => Kind::Boolean,
        20 | 21 | 23 | 26 => Kind::Integer,
        700 | 701 => Kind::Real,
        // Unsigned 64-bit integers are sent as these.
        1700 => Kind::Any,
        17 => Kind::Bytes,
        // `varchar` and `bpchar` stand among the arrays.
        1042 | 1043 => Kind::Any,
        1082 | 1083 | 1114 | 1184 | 1186 => Kind::Time,
        114 | 199 | 3802 | 1000..=1231 | 2951 => Kind::Nested,
        // Text, and what is null and nothing else.
        _ => Kind::Any,
    }
}

/// The type of the elements of an array.
fn element(oid: u32) -> Option<u32> {
    Some(match oid {
        1000 => 16,
        1001 => 17,
        1005 => 21,
        1007 => 23,
        1016 => 20,
        1009 => 25,
        1021 => 700,
        1022 => 701,
        1231 => 1700,
        1182 => 1082,
        1183 => 1083,
        1115 => 1114,
        1185 => 1184,
        1187 => 1186,
        2951 => 2950,
        199 => 114,
        _ => return None,
    })
}

/// A value in the form that the REST door gives it as a word.
fn as_rest(text: &str, oid: u32) -> String {
    match oid {
        16 => if text == "t" { "true" } else { "false" }.to_owned(),
        700 => match text.parse::<f32>() {
            Ok(value) if value.is_finite() => format!("{value:?}"),
            _ => text.to_owned(),
        },
        701 => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => format!("{value:?}"),
            _ => text.to_owned(),
        },
        1083 => fraction(text),
        1114 => fraction(&text.replacen(' ', "T", 1)),
        1184 => zoned(text),
        // Without quotes where it is a string.
        114 | 3802 => match serde_json::from_str(text) {
            Ok(Value::String(text)) => text,
            _ => text.to_owned(),
        },
        oid => match element(oid) {
            Some(element) => json(&mut text.chars().peekable(), element),
            None => text.to_owned(),
        },
    }
}

/// With 0, 3 or 6 digits after the point.
fn fraction(text: &str) -> String {
    match text.split_once('.') {
        None => text.to_owned(),
        Some((whole, digits)) => {
            let width = digits.len().div_ceil(3) * 3;
            format!("{whole}.{digits:0<width$}")
        }
    }
}

fn zoned(text: &str) -> String {
    let text = text.replacen(' ', "T", 1);
    let at = text.rfind(['+', '-']).unwrap_or(text.len());
    let (moment, offset) = text.split_at(at);
    let offset = match offset {
        "+00" => "Z".to_owned(),
        short if short.len() == 3 => format!("{short}:00"),
        long => long.to_owned(),
    };
    format!("{}{offset}", fraction(moment))
}

/// `{1,NULL,"a"}` as JSON.
fn json(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, element: u32) -> String {
    let mut items = Vec::new();
    letters.next();
    loop {
        match letters.peek() {
            None => break,
            Some('}') => {
                letters.next();
                break;
            }
            Some(',') => {
                letters.next();
            }
            Some('{') => items.push(json(letters, element)),
            Some(_) => items.push(item(letters, element)),
        }
    }
    format!("[{}]", items.join(","))
}

fn item(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, element: u32) -> String {
    let mut text = String::new();
    let is_quoted = letters.next_if_eq(&'"').is_some();
    while let Some(letter) = letters.peek().copied() {
        match letter {
            '"' if is_quoted => {
                letters.next();
                break;
            }
            ',' | '}' if !is_quoted => break,
            '\\' => {
                letters.next();
                text.extend(letters.next());
            }
            _ => {
                letters.next();
                text.push(letter);
            }
        }
    }
    if text == "NULL" && !is_quoted {
        return "null".to_owned();
    }
    if element == 114 {
        return text;
    }
    let value = as_rest(&text, element);
    match element {
        16 => value,
        700 | 701 if value.parse().is_ok_and(f64::is_finite) => value,
        20 | 21 | 23 | 1700 => number(value),
        _ => Value::String(value).to_string(),
    }
}
