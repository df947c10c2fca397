//! Arrow columns grown from JSON values, one reader for each column.

use std::sync::Arc;

use arrow::array::builder::{
    ArrayBuilder, BinaryBuilder, BinaryViewBuilder, BooleanBuilder, FixedSizeBinaryBuilder,
    LargeBinaryBuilder, LargeStringBuilder, PrimitiveBuilder, StringBuilder, StringViewBuilder,
};
use arrow::array::{ArrayRef, ArrowPrimitiveType, NullArray};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use weir_base::SqlState;

use super::bytes::{Fixed, bytes, strings};
use super::json::{Cursor, Syntax, Token};
use super::logical;
use super::nested::{FixedLists, Lists, Maps, Structs};
use super::scalar::{self, Reject};

/// Why a value is refused, and the column or field it stands in (`address.zip`); none when the row is no JSON object.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) path: Option<String>,
    pub(crate) message: String,
    pub(crate) sqlstate: SqlState,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    pub(super) fn within(mut self, name: &str) -> Self {
        self.path = Some(match self.path {
            Some(path) => format!("{name}.{path}"),
            None => name.to_owned(),
        });
        self
    }

    /// That a key or value is not in its format.
    pub(crate) fn text(message: impl Into<String>) -> Self {
        Self {
            path: None,
            message: message.into(),
            sqlstate: SqlState::INVALID_TEXT_REPRESENTATION,
            hint: None,
        }
    }

    /// The same, of one of its fields.
    pub(crate) fn field(path: Option<String>, message: String) -> Self {
        Self {
            path,
            ..Self::text(message)
        }
    }

    pub(super) fn null() -> Self {
        Self {
            path: None,
            message: "null is not allowed: it is declared NOT NULL".to_owned(),
            sqlstate: SqlState::NOT_NULL_VIOLATION,
            hint: None,
        }
    }
}

impl From<Syntax> for Wrong {
    fn from(syntax: Syntax) -> Self {
        Self {
            path: None,
            message: format!(
                "not valid JSON at byte {}: {}",
                syntax.at + 1,
                syntax.message
            ),
            sqlstate: SqlState::INVALID_TEXT_REPRESENTATION,
            hint: None,
        }
    }
}

impl From<Reject> for Wrong {
    fn from(reject: Reject) -> Self {
        Self {
            path: None,
            message: reject.message,
            sqlstate: reject.sqlstate,
            hint: reject.hint.map(str::to_owned),
        }
    }
}

/// One growing column.
pub(crate) trait Reader: Send {
    /// Appends the value at the cursor; false when it is null.
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong>;
    /// Appends a value given as bare text, as in CSV or as the key of a map; false when it is null.
    fn text(&mut self, text: &str) -> Result<bool, Wrong>;
    /// Appends a null.
    fn null(&mut self);
    /// How many values it has.
    fn len(&self) -> usize;
    /// Makes the column one of `rows` values after a value was begun and given up; the last one then means nothing.
    fn mend(&mut self, rows: usize) {
        while self.len() < rows {
            self.null();
        }
    }
    /// The column so far; the reader is empty again.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// A reader that looks at values as [`reader`]'s does, and keeps those of simple types not. What it finishes as is of no use.
pub(crate) fn checker(field: &Field, strict: bool) -> Result<Box<dyn Reader>, ArrowError> {
    let kind = logical(field);
    Ok(match field.data_type() {
        DataType::Boolean => Box::new(Scalars {
            builder: Discard(0),
            parse: scalar::boolean,
        }),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => strings(Discard(0), kind),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => bytes(Discard(0)),
        other => match scalar::checker(other) {
            Some(checker) => checker,
            None => reader(field, strict)?,
        },
    })
}

/// A reader for a field's type. `strict` refuses unknown fields of structs.
pub(crate) fn reader(field: &Field, strict: bool) -> Result<Box<dyn Reader>, ArrowError> {
    let kind = logical(field);
    Ok(match field.data_type() {
        DataType::Null => Box::new(Nulls(0)),
        DataType::Boolean => Box::new(Scalars {
            builder: BooleanBuilder::new(),
            parse: scalar::boolean,
        }),
        DataType::Utf8 => strings(StringBuilder::new(), kind),
        DataType::LargeUtf8 => strings(LargeStringBuilder::new(), kind),
        DataType::Utf8View => strings(StringViewBuilder::new(), kind),
        DataType::Binary => bytes(BinaryBuilder::new()),
        DataType::LargeBinary => bytes(LargeBinaryBuilder::new()),
        DataType::BinaryView => bytes(BinaryViewBuilder::new()),
        DataType::FixedSizeBinary(width) => {
            bytes(Fixed::new(FixedSizeBinaryBuilder::new(*width), *width))
        }
        DataType::List(item) => Box::new(Lists::<i32>::new(item, strict)?),
        DataType::LargeList(item) => Box::new(Lists::<i64>::new(item, strict)?),
        DataType::FixedSizeList(item, size) => Box::new(FixedLists::new(item, *size, strict)?),
        DataType::Struct(fields) => Box::new(Structs::new(fields, strict)?),
        DataType::Map(entries, sorted) => Box::new(Maps::new(entries, *sorted, strict)?),
        other => scalar::reader(other)
            .ok_or_else(|| ArrowError::NotYetImplemented(format!("columns of type {other}")))?,
    })
}

/// A builder of values that are parsed from one token.
pub(crate) trait Append<V> {
    fn append(&mut self, value: V);
    fn append_none(&mut self);
    fn count(&self) -> usize;
    fn array(&mut self) -> ArrayRef;
}

/// Counts values and forgets them.
pub(crate) struct Discard(pub(crate) usize);

impl<V> Append<V> for Discard {
    fn append(&mut self, _value: V) {
        self.0 += 1;
    }
    fn append_none(&mut self) {
        self.0 += 1;
    }
    fn count(&self) -> usize {
        self.0
    }
    fn array(&mut self) -> ArrayRef {
        Arc::new(NullArray::new(std::mem::take(&mut self.0)))
    }
}

impl<T: ArrowPrimitiveType> Append<T::Native> for PrimitiveBuilder<T> {
    fn append(&mut self, value: T::Native) {
        self.append_value(value);
    }
    fn append_none(&mut self) {
        self.append_null();
    }
    fn count(&self) -> usize {
        ArrayBuilder::len(self)
    }
    fn array(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}

impl Append<bool> for BooleanBuilder {
    fn append(&mut self, value: bool) {
        self.append_value(value);
    }
    fn append_none(&mut self) {
        self.append_null();
    }
    fn count(&self) -> usize {
        ArrayBuilder::len(self)
    }
    fn array(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}

/// Values parsed from one token each.
pub(crate) struct Scalars<B, F> {
    pub(crate) builder: B,
    pub(crate) parse: F,
}

impl<V, B, F> Reader for Scalars<B, F>
where
    B: Append<V> + Send,
    F: FnMut(&Token<'_>) -> Result<V, Reject> + Send,
{
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        let token = cursor.token()?;
        if token == Token::Null {
            self.builder.append_none();
            return Ok(false);
        }
        self.builder.append((self.parse)(&token)?);
        Ok(true)
    }

    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        self.builder
            .append((self.parse)(&Token::Text(text.into()))?);
        Ok(true)
    }

    fn null(&mut self) {
        self.builder.append_none();
    }

    fn len(&self) -> usize {
        self.builder.count()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(self.builder.array())
    }
}

/// A column of which nothing is known: only nulls.
struct Nulls(usize);

impl Reader for Nulls {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.token()? {
            Token::Null => {
                self.0 += 1;
                Ok(false)
            }
            other => Err(Reject::expected("null", &other).into()),
        }
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        Err(Reject::expected("null", &Token::Text(text.into())).into())
    }
    fn null(&mut self) {
        self.0 += 1;
    }
    fn len(&self) -> usize {
        self.0
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(NullArray::new(std::mem::take(&mut self.0))))
    }
}
