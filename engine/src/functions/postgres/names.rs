//! Names and how they are written: `format_type`, `quote_ident`, `parse_ident`, encodings; and `pg_typeof`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::{Function, arg, field_of, immutable, on, on_nulls, stable, text_arg, type_named};
use crate::postgres::values::Value;
use crate::postgres::{display_name, oids, type_of_field};
use crate::system::System;
use crate::system::objects::{Relation, is_shown};

pub(super) const FUNCTIONS: &[Function] = &[
    stable(
        "format_type",
        &[on_nulls(&["oid", "int4"], "text", |system, args| {
            let Some(oid) = arg(args, 0).oid() else {
                return Ok(Value::Null);
            };
            let modifier = arg(args, 1).int();
            let modifier = modifier.and_then(|it| i32::try_from(it).ok());
            let own = own_type(system, oid);
            Ok(own.unwrap_or_else(|| display_name(oid, modifier)).into())
        })],
    ),
    immutable(
        "pg_encoding_to_char",
        &[on(&["int4"], "name", |_, args| {
            Ok(match arg(args, 0).int() {
                Some(UTF8) => "UTF8".into(),
                Some(0) => "SQL_ASCII".into(),
                _ => "".into(),
            })
        })],
    ),
    immutable(
        "pg_char_to_encoding",
        &[on(&["name"], "int4", |_, args| {
            let name = text_arg(args, 0).to_uppercase().replace('-', "");
            Ok(Value::Int(match name.as_str() {
                "UTF8" | "UNICODE" => UTF8,
                "SQL_ASCII" => 0,
                _ => -1,
            }))
        })],
    ),
    stable(
        "pg_client_encoding",
        &[on(&[], "name", |_, _| Ok("UTF8".into()))],
    ),
    stable(
        "getdatabaseencoding",
        &[on(&[], "name", |_, _| Ok("UTF8".into()))],
    ),
];

/// PostgreSQL's number of the encoding.
const UTF8: i64 = 6;

/// The name of the type of a relation's rows, or of arrays of them.
pub(super) fn own_type(system: &System, oid: u32) -> Option<String> {
    let (id, part) = oids::object(oid)?;
    let entry = system.entry(id).filter(|entry| is_shown(entry))?;
    let name = super::references::shown(system, Relation::Own(entry));
    match part {
        1 => Some(name),
        2 => Some(format!("{name}[]")),
        _ => None,
    }
}

/// The parts of a dotted name, folded unless quoted.
pub(super) fn name_parts(text: &str) -> Option<(Vec<String>, &str)> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut left = quoted;
            loop {
                let end = left.find('"')?;
                let (before, after) = left.split_at_checked(end)?;
                part.push_str(before);
                left = after.strip_prefix('"')?;
                match left.strip_prefix('"') {
                    Some(more) => {
                        part.push('"');
                        left = more;
                    }
                    None => break,
                }
            }
            if part.is_empty() {
                return None;
            }
            parts.push(part);
            rest = left;
        } else {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (part, left) = rest.split_at_checked(end)?;
            if part.is_empty() || part.starts_with(|c: char| c.is_ascii_digit() || c == '$') {
                return None;
            }
            parts.push(part.to_lowercase());
            rest = left;
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None => return Some((parts, rest)),
        }
    }
}

pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::from(TypeOf::default())))?;
    Ok(())
}

/// `pg_typeof(any)`: the type of a value, as a `regtype`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf(Signature);

impl Default for TypeOf {
    fn default() -> Self {
        Self(Signature::any(1, Volatility::Stable))
    }
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &'static str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(type_named("regtype")?.arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(field_of("regtype", self.name())?))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let field = args.arg_fields.first();
        let oid = field.map(|field| type_of_field(field).pg_type.oid);
        Ok(ColumnarValue::Scalar(ScalarValue::UInt32(oid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_parts() {
        let parts = |text| name_parts(text).map(|(parts, rest)| (parts.join("|"), rest.to_owned()));
        let found = |parts: &str, rest: &str| Some((parts.to_owned(), rest.to_owned()));
        assert_eq!(parts("Public.Users"), found("public|users", ""));
        assert_eq!(parts(" \"A \"\"b\"\"\" . c"), found("A \"b\"|c", ""));
        assert_eq!(parts("f(int)"), found("f", "(int)"));
        assert_eq!(parts("1a"), None);
        assert_eq!(parts("\"a"), None);
        assert_eq!(parts("a."), None);
    }
}
