//! Casts whose meaning depends on how the type is written: `::jsonb`, `::json`, `::varchar(3)`, `::char(3)`, `'now'::timestamp`,
//! and type names with PostgreSQL's schema before them.

use datafusion::sql::sqlparser::ast::{
    CastKind, CharacterLength, DataType, Expr, Ident, ObjectName, ObjectNamePart, TypedString,
};

use super::{call, literal, number, take};
use crate::error::{Error, Result};
use crate::statements::normalized;

/// Writes such a cast in other words.
pub(super) fn settle(expr: &mut Expr) -> Result<()> {
    if let Expr::TypedString(TypedString {
        data_type, value, ..
    }) = expr
    {
        // `date 'today'`, `jsonb '{}'`: the same as a cast.
        let is_special = matches!(
            data_type,
            DataType::JSON | DataType::JSONB | DataType::Custom(..)
        ) || literal(&Expr::Value(value.clone()))
            .is_some_and(|text| moment(text).is_some());
        if is_special {
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::Value(value.clone())),
                data_type: data_type.clone(),
                array: false,
                format: None,
            };
        }
    }
    let Expr::Cast {
        expr: inner,
        data_type,
        kind,
        ..
    } = expr
    else {
        return Ok(());
    };
    plain_type(data_type);
    match data_type {
        DataType::JSONB if is_cast(kind) => **inner = call("jsonb_text", [take(inner)]),
        DataType::JSON if is_cast(kind) => **inner = call("json_text", [take(inner)]),
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::CharVarying(Some(length))
        | DataType::Nvarchar(Some(length))
        | DataType::Char(Some(length))
        | DataType::Character(Some(length)) => {
            if let CharacterLength::IntegerLength { length, .. } = length {
                let length = i64::try_from(*length).unwrap_or(i64::MAX);
                let text = Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(take(inner)),
                    data_type: DataType::Text,
                    array: false,
                    format: None,
                };
                **inner = call("left", [text, number(length)]);
                *data_type = DataType::Text;
            }
        }
        DataType::Date | DataType::Timestamp(..) => {
            if let Some(text) = literal(inner) {
                if matches!(
                    text.trim()
                        .trim_start_matches(['+', '-'])
                        .to_lowercase()
                        .as_str(),
                    "infinity"
                ) {
                    return Err(Error::unsupported(format!(
                        "{text:?} as a date or time is not supported"
                    ))
                    .with_hint("use a date that is far away, such as '9999-12-31'"));
                }
                if let Some(moment) = moment(text) {
                    **inner = moment;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_cast(kind: &CastKind) -> bool {
    matches!(kind, CastKind::Cast | CastKind::DoubleColon)
}

/// What `'today'` and its kin are.
fn moment(text: &str) -> Option<Expr> {
    let day = |days: i64| {
        let today = call("current_date", []);
        super::binary(
            today,
            datafusion::sql::sqlparser::ast::BinaryOperator::Plus,
            number(days),
        )
    };
    Some(match text.trim().to_lowercase().as_str() {
        "now" => call("now", []),
        "today" => day(0),
        "tomorrow" => day(1),
        "yesterday" => day(-1),
        "epoch" => super::text("1970-01-01 00:00:00"),
        _ => return None,
    })
}

/// Takes PostgreSQL's schema off a type's name, and knows the types by it that the parser only knows without.
fn plain_type(data_type: &mut DataType) {
    if let DataType::Array(element) = data_type {
        use datafusion::sql::sqlparser::ast::ArrayElemTypeDef as Element;
        if let Element::SquareBracket(inner, _)
        | Element::AngleBracket(inner)
        | Element::Parenthesis(inner) = element
        {
            plain_type(inner);
        }
        return;
    }
    let DataType::Custom(name, modifiers) = data_type else {
        return;
    };
    let [
        ObjectNamePart::Identifier(schema),
        ObjectNamePart::Identifier(plain),
    ] = name.0.as_slice()
    else {
        return;
    };
    if normalized(schema) != "pg_catalog" || !modifiers.is_empty() {
        return;
    }
    let plain = normalized(plain);
    match weir_sql::parse_data_type(&plain) {
        Ok(known) => *data_type = known,
        Err(_) => *name = ObjectName::from(vec![Ident::new(plain)]),
    }
}
