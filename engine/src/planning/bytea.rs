//! Text that is read as `BYTEA`: PostgreSQL's input forms (manual, 8.4), where Arrow takes the text's own bytes.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Cast;
use weir_base::SqlState;

use crate::error::{Error, Result};

/// `expr` with its literal texts that are converted to bytes as those bytes.
pub(super) fn read(expr: Expr) -> Result<Transformed<Expr>, DataFusionError> {
    expr.transform_up(|expr| {
        if let Expr::Cast(Cast { expr: inner, field }) = &expr
            && let Expr::Literal(value, metadata) = inner.as_ref()
            && let Some(bytes) = of_literal(value, field.data_type())?
        {
            return Ok(Transformed::yes(Expr::Literal(bytes, metadata.clone())));
        }
        Ok(Transformed::no(expr))
    })
}

/// The bytes that a text stands for where it becomes a value of `wanted`; none if it is no text, or `wanted` no bytes.
///
/// # Errors
/// 22P02 when the text is not of either form.
pub(super) fn of_literal(value: &ScalarValue, wanted: &DataType) -> Result<Option<ScalarValue>> {
    let wrap = match wanted {
        DataType::Binary => ScalarValue::Binary,
        DataType::LargeBinary => ScalarValue::LargeBinary,
        DataType::BinaryView => ScalarValue::BinaryView,
        _ => return Ok(None),
    };
    let (ScalarValue::Utf8(Some(text))
    | ScalarValue::LargeUtf8(Some(text))
    | ScalarValue::Utf8View(Some(text))) = value
    else {
        return Ok(None);
    };
    match bytes(text) {
        Some(bytes) => Ok(Some(wrap(Some(bytes)))),
        None => Err(no_value(text)),
    }
}

pub(super) fn no_value(text: &str) -> Error {
    Error::invalid(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("{text:?} is no value of type BYTEA"),
    )
    .with_hint(r"write bytes as '\x00ff'; a backslash in text as '\\'")
}

/// The bytes that a text stands for, if it is of either form.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => hexadecimal(digits),
        None => escaped(text),
    }
}

/// Pairs of digits; there may be spaces between the pairs.
fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.chars();
    while let Some(first) = rest.next() {
        if first.is_ascii_whitespace() {
            continue;
        }
        let (high, low) = (first.to_digit(16)?, rest.next()?.to_digit(16)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(bytes)
}

/// The text's own bytes, but for `\\` and for `\` with three octal digits.
fn escaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, expected) in [
            ("", &b""[..]),
            ("\\x", b""),
            ("\\xdeadBEEF", b"\xde\xad\xbe\xef"),
            ("\\xde ad", b"\xde\xad"),
            ("abc ü", "abc ü".as_bytes()),
            ("a\\\\b\\000\\377", b"a\\b\x00\xff"),
        ] {
            assert_eq!(bytes(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["\\xd", "\\xdg", "\\x d", "\\", "a\\9", "\\400", "\\12"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
