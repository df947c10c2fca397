//! Columns of text and bytes, and of what is kept as text: UUIDs and JSON.

use std::sync::Arc;

use arrow::array::builder::{
    ArrayBuilder, BinaryBuilder, BinaryViewBuilder, FixedSizeBinaryBuilder, LargeBinaryBuilder,
    LargeStringBuilder, StringBuilder, StringViewBuilder,
};
use arrow::array::{ArrayRef, NullArray};
use arrow::error::ArrowError;

use super::Logical;
use super::column::{Discard, Reader, Wrong};
use super::json::{Cursor, Token, is_json};
use super::scalar::Reject;
use super::text::{is_canonical_uuid, parse_hex};

/// Builders of text or bytes, whatever their layout.
pub(super) trait AppendBytes<T: ?Sized> {
    fn append(&mut self, value: &T) -> Result<(), Reject>;
    fn append_none(&mut self);
    fn count(&self) -> usize;
    fn array(&mut self) -> ArrayRef;
}

impl<T: ?Sized> AppendBytes<T> for Discard {
    fn append(&mut self, _value: &T) -> Result<(), Reject> {
        self.0 += 1;
        Ok(())
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

macro_rules! append_bytes {
    ($($builder:ty: $value:ty),+) => {
        $(impl AppendBytes<$value> for $builder {
            fn append(&mut self, value: &$value) -> Result<(), Reject> {
                self.append_value(value);
                Ok(())
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
        })+
    };
}

append_bytes!(
    StringBuilder: str, LargeStringBuilder: str, StringViewBuilder: str,
    BinaryBuilder: [u8], LargeBinaryBuilder: [u8], BinaryViewBuilder: [u8]
);

/// Byte strings that all have one length.
pub(super) struct Fixed {
    builder: FixedSizeBinaryBuilder,
    width: i32,
}

impl Fixed {
    pub(super) fn new(builder: FixedSizeBinaryBuilder, width: i32) -> Self {
        Self { builder, width }
    }
}

impl AppendBytes<[u8]> for Fixed {
    fn append(&mut self, value: &[u8]) -> Result<(), Reject> {
        self.builder.append_value(value).map_err(|_| {
            Reject::text(format!(
                "expected {} bytes, found {}",
                self.width,
                value.len()
            ))
        })
    }
    fn append_none(&mut self) {
        self.builder.append_null();
    }
    fn count(&self) -> usize {
        self.builder.len()
    }
    fn array(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

pub(super) fn strings<B: AppendBytes<str> + Send + 'static>(
    builder: B,
    kind: Option<Logical>,
) -> Box<dyn Reader> {
    match kind {
        None => Box::new(Strings(builder)),
        Some(Logical::Uuid) => Box::new(Uuids(builder)),
        Some(Logical::Json) => Box::new(Jsons(builder)),
    }
}

pub(super) fn bytes<B: AppendBytes<[u8]> + Send + 'static>(builder: B) -> Box<dyn Reader> {
    Box::new(Bytes {
        builder,
        scratch: Vec::new(),
    })
}

struct Strings<B>(B);

impl<B: AppendBytes<str> + Send> Reader for Strings<B> {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.token()? {
            Token::Text(text) => self.0.append(&text)?,
            Token::Null => {
                self.0.append_none();
                return Ok(false);
            }
            other => return Err(Reject::expected("TEXT", &other).into()),
        }
        Ok(true)
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        self.0.append(text)?;
        Ok(true)
    }
    fn null(&mut self) {
        self.0.append_none();
    }
    fn len(&self) -> usize {
        self.0.count()
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(self.0.array())
    }
}

/// UUIDs, kept in one form so that equal ones are equal as text.
struct Uuids<B>(B);

impl<B: AppendBytes<str> + Send> Reader for Uuids<B> {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.token()? {
            Token::Text(text) => self.text(&text),
            Token::Null => {
                self.0.append_none();
                Ok(false)
            }
            other => Err(Reject::expected("UUID", &other).into()),
        }
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        if is_canonical_uuid(text) {
            self.0.append(text)?;
            return Ok(true);
        }
        let uuid: uuid::Uuid = text
            .trim()
            .parse()
            .map_err(|_| Reject::expected("UUID", &Token::Text(text.into())))?;
        let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
        self.0
            .append(uuid.hyphenated().encode_lower(&mut canonical))?;
        Ok(true)
    }
    fn null(&mut self) {
        self.0.append_none();
    }
    fn len(&self) -> usize {
        self.0.count()
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(self.0.array())
    }
}

/// JSON values, kept as their text. JSON's null is SQL's.
struct Jsons<B>(B);

impl<B: AppendBytes<str> + Send> Reader for Jsons<B> {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.raw()? {
            "null" => {
                self.0.append_none();
                Ok(false)
            }
            raw => {
                self.0.append(raw)?;
                Ok(true)
            }
        }
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        if !is_json(text) {
            return Err(Reject::expected("JSON", &Token::Text(text.into())).into());
        }
        match text.trim() {
            "null" => {
                self.0.append_none();
                Ok(false)
            }
            text => {
                self.0.append(text)?;
                Ok(true)
            }
        }
    }
    fn null(&mut self) {
        self.0.append_none();
    }
    fn len(&self) -> usize {
        self.0.count()
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(self.0.array())
    }
}

struct Bytes<B> {
    builder: B,
    scratch: Vec<u8>,
}

impl<B: AppendBytes<[u8]> + Send> Reader for Bytes<B> {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.token()? {
            Token::Text(text) => self.text(&text),
            Token::Null => {
                self.builder.append_none();
                Ok(false)
            }
            other => Err(Reject::bytes(&other).into()),
        }
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        if !parse_hex(text, &mut self.scratch) {
            return Err(Reject::bytes(&Token::Text(text.into())).into());
        }
        self.builder.append(&self.scratch)?;
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
