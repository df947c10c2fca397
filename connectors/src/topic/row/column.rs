//! Arrow columns grown from JSON values, one reader for each column, and [`Fields`] for the objects that hold them.

use std::sync::Arc;

use arrow::array::builder::{
    BinaryBuilder, BinaryViewBuilder, BooleanBuilder, FixedSizeBinaryBuilder, LargeBinaryBuilder,
    LargeStringBuilder, PrimitiveBuilder, StringBuilder, StringViewBuilder,
};
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeListArray, GenericListArray, MapArray,
    NullArray, NullBufferBuilder, OffsetSizeTrait, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, FieldRef, Fields as ArrowFields};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use weir_base::SqlState;

use super::json::{Cursor, Syntax, Token, is_json};
use super::scalar::{self, Reject};
use super::text::{is_canonical_uuid, parse_hex};
use super::{Logical, logical};

/// Why a value is refused, and the column or field it stands in (`address.zip`); none when the row is no JSON object.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) path: Option<String>,
    pub(crate) message: String,
    pub(crate) sqlstate: SqlState,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    fn within(mut self, name: &str) -> Self {
        self.path = Some(match self.path {
            Some(path) => format!("{name}.{path}"),
            None => name.to_owned(),
        });
        self
    }

    fn null() -> Self {
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
    /// The column so far; the reader is empty again.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
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
        DataType::FixedSizeBinary(width) => bytes(Fixed {
            builder: FixedSizeBinaryBuilder::new(*width),
            width: *width,
        }),
        DataType::List(item) => Box::new(Lists::<i32>::new(item, strict)?),
        DataType::LargeList(item) => Box::new(Lists::<i64>::new(item, strict)?),
        DataType::FixedSizeList(item, size) => Box::new(FixedLists {
            items: Items::new(item, strict)?,
            size: usize::try_from(*size).unwrap_or_default(),
            nulls: NullBufferBuilder::new(0),
        }),
        DataType::Struct(fields) => Box::new(Structs {
            fields: Fields::of_struct(fields, strict)?,
            arrow: fields.clone(),
            nulls: NullBufferBuilder::new(0),
        }),
        DataType::Map(entries, sorted) => Box::new(Maps::new(entries, *sorted, strict)?),
        other => scalar::reader(other)
            .ok_or_else(|| ArrowError::NotYetImplemented(format!("columns of type {other}")))?,
    })
}

/// A builder of values that are parsed from one token.
pub(crate) trait Append<V> {
    fn append(&mut self, value: V);
    fn append_none(&mut self);
    fn array(&mut self) -> ArrayRef;
}

impl<T: ArrowPrimitiveType> Append<T::Native> for PrimitiveBuilder<T> {
    fn append(&mut self, value: T::Native) {
        self.append_value(value);
    }
    fn append_none(&mut self) {
        self.append_null();
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

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(self.builder.array())
    }
}

/// Builders of text or bytes, whatever their layout.
trait AppendBytes<T: ?Sized> {
    fn append(&mut self, value: &T) -> Result<(), Reject>;
    fn append_none(&mut self);
    fn array(&mut self) -> ArrayRef;
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
struct Fixed {
    builder: FixedSizeBinaryBuilder,
    width: i32,
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
    fn array(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

fn strings<B: AppendBytes<str> + Send + 'static>(
    builder: B,
    kind: Option<Logical>,
) -> Box<dyn Reader> {
    match kind {
        None => Box::new(Strings(builder)),
        Some(Logical::Uuid) => Box::new(Uuids(builder)),
        Some(Logical::Json) => Box::new(Jsons(builder)),
    }
}

fn bytes<B: AppendBytes<[u8]> + Send + 'static>(builder: B) -> Box<dyn Reader> {
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
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(NullArray::new(std::mem::take(&mut self.0))))
    }
}

/// Reads a value of a nested type from its JSON text.
fn nested(reader: &mut dyn Reader, text: &str) -> Result<bool, Wrong> {
    let mut cursor = Cursor::new(text);
    let there = reader.read(&mut cursor)?;
    cursor.end()?;
    Ok(there)
}

/// The items of lists.
struct Items {
    field: FieldRef,
    reader: Box<dyn Reader>,
    count: usize,
}

impl Items {
    fn new(field: &FieldRef, strict: bool) -> Result<Self, ArrowError> {
        Ok(Self {
            field: Arc::clone(field),
            reader: reader(field, strict)?,
            count: 0,
        })
    }

    /// The items of one list, up to its closing bracket; nothing when it is null.
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<usize>, Wrong> {
        match cursor.token()? {
            Token::List => {}
            Token::Null => return Ok(None),
            other => return Err(Reject::expected("a list", &other).into()),
        }
        let before = self.count;
        while cursor.item(self.count == before)? {
            let there = self
                .reader
                .read(cursor)
                .map_err(|wrong| wrong.within("[]"))?;
            if !there && !self.field.is_nullable() {
                return Err(Wrong::null().within("[]"));
            }
            self.count += 1;
        }
        Ok(Some(self.count - before))
    }
}

struct Lists<O: OffsetSizeTrait> {
    items: Items,
    ends: Vec<O>,
    nulls: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> Lists<O> {
    fn new(item: &FieldRef, strict: bool) -> Result<Self, ArrowError> {
        Ok(Self {
            items: Items::new(item, strict)?,
            ends: vec![O::zero()],
            nulls: NullBufferBuilder::new(0),
        })
    }

    fn close(&mut self, valid: bool) -> Result<(), Wrong> {
        let end = O::from_usize(self.items.count)
            .ok_or_else(|| Reject::text("too many list items in one batch".to_owned()))?;
        self.ends.push(end);
        self.nulls.append(valid);
        Ok(())
    }
}

impl<O: OffsetSizeTrait> Reader for Lists<O> {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        let there = self.items.read(cursor)?.is_some();
        self.close(there)?;
        Ok(there)
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        nested(self, text)
    }
    fn null(&mut self) {
        self.ends
            .push(self.ends.last().copied().unwrap_or(O::zero()));
        self.nulls.append(false);
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.items.count = 0;
        let ends = std::mem::replace(&mut self.ends, vec![O::zero()]);
        Ok(Arc::new(GenericListArray::<O>::try_new(
            Arc::clone(&self.items.field),
            OffsetBuffer::new(ScalarBuffer::from(ends)),
            self.items.reader.finish()?,
            self.nulls.finish(),
        )?))
    }
}

struct FixedLists {
    items: Items,
    size: usize,
    nulls: NullBufferBuilder,
}

impl Reader for FixedLists {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match self.items.read(cursor)? {
            None => {
                self.null();
                Ok(false)
            }
            Some(count) if count == self.size => {
                self.nulls.append_non_null();
                Ok(true)
            }
            Some(count) => Err(Reject::text(format!(
                "expected a list of {}, found {count} items",
                self.size
            ))
            .into()),
        }
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        nested(self, text)
    }
    fn null(&mut self) {
        for _ in 0..self.size {
            self.items.reader.null();
        }
        self.nulls.append_null();
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.items.count = 0;
        let nulls = self.nulls.finish();
        Ok(Arc::new(FixedSizeListArray::try_new(
            Arc::clone(&self.items.field),
            i32::try_from(self.size).unwrap_or(i32::MAX),
            self.items.reader.finish()?,
            nulls,
        )?))
    }
}

struct Structs {
    fields: Fields,
    arrow: ArrowFields,
    nulls: NullBufferBuilder,
}

impl Reader for Structs {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.token()? {
            Token::Object => {}
            Token::Null => {
                self.null();
                return Ok(false);
            }
            other => return Err(Reject::expected("an object", &other).into()),
        }
        self.fields.read(cursor)?;
        self.nulls.append_non_null();
        Ok(true)
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        nested(self, text)
    }
    fn null(&mut self) {
        self.fields.null();
        self.nulls.append_null();
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let length = self.nulls.len();
        Ok(Arc::new(StructArray::try_new_with_length(
            self.arrow.clone(),
            self.fields.finish()?,
            self.nulls.finish(),
            length,
        )?))
    }
}

/// Maps, as objects whose keys are the text of the map's keys.
struct Maps {
    entries: FieldRef,
    fields: ArrowFields,
    sorted: bool,
    keys: Box<dyn Reader>,
    values: Box<dyn Reader>,
    values_nullable: bool,
    ends: Vec<i32>,
    count: usize,
    nulls: NullBufferBuilder,
}

impl Maps {
    fn new(entries: &FieldRef, sorted: bool, strict: bool) -> Result<Self, ArrowError> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(ArrowError::SchemaError(
                "a map's entries are structs".to_owned(),
            ));
        };
        let [key, value] = &fields[..] else {
            return Err(ArrowError::SchemaError(
                "a map's entries have two fields".to_owned(),
            ));
        };
        Ok(Self {
            entries: Arc::clone(entries),
            fields: fields.clone(),
            sorted,
            keys: reader(key, strict)?,
            values: reader(value, strict)?,
            values_nullable: value.is_nullable(),
            ends: vec![0],
            count: 0,
            nulls: NullBufferBuilder::new(0),
        })
    }
}

impl Reader for Maps {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match cursor.token()? {
            Token::Object => {}
            Token::Null => {
                self.null();
                return Ok(false);
            }
            other => return Err(Reject::expected("an object", &other).into()),
        }
        let mut first = true;
        while let Some(key) = cursor.key(first)? {
            first = false;
            self.keys
                .text(&key)
                .map_err(|wrong| wrong.within("{key}"))?;
            let there = self
                .values
                .read(cursor)
                .map_err(|wrong| wrong.within(&key))?;
            if !there && !self.values_nullable {
                return Err(Wrong::null().within(&key));
            }
            self.count += 1;
        }
        let end = i32::try_from(self.count)
            .map_err(|_| Reject::text("too many map entries in one batch".to_owned()))?;
        self.ends.push(end);
        self.nulls.append_non_null();
        Ok(true)
    }
    fn text(&mut self, text: &str) -> Result<bool, Wrong> {
        nested(self, text)
    }
    fn null(&mut self) {
        self.ends
            .push(self.ends.last().copied().unwrap_or_default());
        self.nulls.append_null();
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let entries = StructArray::try_new_with_length(
            self.fields.clone(),
            vec![self.keys.finish()?, self.values.finish()?],
            None,
            std::mem::take(&mut self.count),
        )?;
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        Ok(Arc::new(MapArray::try_new(
            Arc::clone(&self.entries),
            OffsetBuffer::new(ScalarBuffer::from(ends)),
            entries,
            self.nulls.finish(),
            self.sorted,
        )?))
    }
}

/// One field of an object.
pub(crate) struct Slot {
    /// Its key in the JSON object.
    pub(crate) key: String,
    /// Its name in messages.
    pub(crate) name: String,
    pub(crate) reader: Box<dyn Reader>,
    /// Null is refused.
    pub(crate) required: bool,
    /// What a row has that does not name the field.
    pub(crate) fill: Option<ScalarValue>,
    /// The rows that were filled.
    filled: Vec<usize>,
    /// The last row that named it, counted from 1.
    seen: usize,
}

impl Slot {
    pub(crate) fn new(
        key: &str,
        name: &str,
        field: &Field,
        fill: Option<ScalarValue>,
        strict: bool,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            key: key.to_owned(),
            name: name.to_owned(),
            reader: reader(field, strict)?,
            required: !field.is_nullable(),
            fill,
            filled: Vec::new(),
            seen: 0,
        })
    }
}

/// How many keys of an object are remembered; those past it are looked up each time.
const ORDER_MAX: usize = 4096;

/// The fields of objects: of rows, and of structs within them.
pub(crate) struct Fields {
    slots: Vec<Slot>,
    /// The keys of the object before, in its order, with the slots they meant: objects of one source look alike.
    order: Vec<(String, Option<usize>)>,
    strict: bool,
    rows: usize,
    /// The rows of which at least one field was filled, in order.
    filled: Vec<usize>,
}

impl Fields {
    pub(crate) fn new(slots: Vec<Slot>, strict: bool) -> Self {
        Self {
            slots,
            order: Vec::new(),
            strict,
            rows: 0,
            filled: Vec::new(),
        }
    }

    fn of_struct(fields: &ArrowFields, strict: bool) -> Result<Self, ArrowError> {
        let slots = fields
            .iter()
            .map(|field| Slot::new(field.name(), field.name(), field, None, strict))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(slots, strict))
    }

    /// How many rows are in it.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows since the last [`Self::finish`] that lacked a field which was filled.
    pub(crate) fn take_filled(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.filled)
    }

    /// Reads an object whose opening bracket is consumed.
    #[inline]
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        let row = self.rows + 1;
        let mut place = 0;
        let mut named = 0;
        while let Some(key) = cursor.key(place == 0)? {
            let slot = match self.order.get(place) {
                Some((expected, slot)) if *expected == key => *slot,
                _ => self.learn(place, &key)?,
            };
            place += 1;
            let Some(slot) = slot.and_then(|at| self.slots.get_mut(at)) else {
                cursor.raw()?;
                continue;
            };
            if slot.seen == row {
                return Err(Wrong {
                    path: Some(slot.name.clone()),
                    message: "it is given twice".to_owned(),
                    sqlstate: SqlState::INVALID_TEXT_REPRESENTATION,
                    hint: None,
                });
            }
            slot.seen = row;
            named += 1;
            let there = slot
                .reader
                .read(cursor)
                .map_err(|wrong| wrong.within(&slot.name))?;
            if !there && slot.required {
                return Err(Wrong::null().within(&slot.name));
            }
        }
        if named < self.slots.len() {
            self.fill(row)?;
        }
        self.rows = row;
        Ok(())
    }

    /// Appends a row whose values are given as bare text, in the order of `slots`; an absent one is null.
    pub(crate) fn texts(&mut self, slots: &[usize], texts: &[Option<&str>]) -> Result<(), Wrong> {
        let row = self.rows + 1;
        for (at, text) in slots.iter().zip(texts) {
            let Some(slot) = self.slots.get_mut(*at) else {
                continue;
            };
            slot.seen = row;
            let there = match text {
                Some(text) => slot
                    .reader
                    .text(text)
                    .map_err(|wrong| wrong.within(&slot.name))?,
                None => {
                    slot.reader.null();
                    false
                }
            };
            if !there && slot.required {
                return Err(Wrong::null().within(&slot.name));
            }
        }
        if slots.len() < self.slots.len() {
            self.fill(row)?;
        }
        self.rows = row;
        Ok(())
    }

    /// The slot of a key, or why there is none.
    pub(crate) fn find(&self, key: &str) -> Result<usize, Wrong> {
        if let Some(at) = self.slots.iter().position(|slot| slot.key == key) {
            return Ok(at);
        }
        let known: Vec<&str> = self.slots.iter().map(|slot| slot.name.as_str()).collect();
        let hint = match weir_base::nearest::nearest(key, known.iter().copied()) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => format!("columns: {}", known.join(", ")),
        };
        Err(Wrong {
            path: Some(key.to_owned()),
            message: "there is no such column".to_owned(),
            sqlstate: SqlState::UNDEFINED_COLUMN,
            hint: Some(hint),
        })
    }

    #[cold]
    fn learn(&mut self, place: usize, key: &str) -> Result<Option<usize>, Wrong> {
        let slot = match self.find(key) {
            Ok(at) => Some(at),
            Err(wrong) if self.strict => return Err(wrong),
            Err(_) => None,
        };
        if let Some(known) = self.order.get_mut(place) {
            *known = (key.to_owned(), slot);
        } else if self.order.len() < ORDER_MAX {
            self.order.push((key.to_owned(), slot));
        }
        Ok(slot)
    }

    /// Gives the fields that a row did not name their value.
    fn fill(&mut self, row: usize) -> Result<(), Wrong> {
        let mut filled = false;
        for slot in self.slots.iter_mut().filter(|slot| slot.seen != row) {
            match &slot.fill {
                Some(value) => {
                    if slot.required && value.is_null() {
                        return Err(Wrong::null().within(&slot.name));
                    }
                    slot.filled.push(row - 1);
                    filled = true;
                }
                None if slot.required => {
                    return Err(Wrong {
                        message: "a value is missing: it is declared NOT NULL and has no default"
                            .to_owned(),
                        ..Wrong::null()
                    }
                    .within(&slot.name));
                }
                None => {}
            }
            slot.reader.null();
        }
        if filled {
            self.filled.push(row - 1);
        }
        Ok(())
    }

    /// Appends a row in which every field is null, whatever they require: the parent is null.
    fn null(&mut self) {
        for slot in &mut self.slots {
            slot.reader.null();
        }
        self.rows += 1;
    }

    /// The columns so far; the fields are empty again.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.slots
            .iter_mut()
            .map(|slot| {
                slot.seen = 0;
                let column = slot.reader.finish()?;
                let filled = std::mem::take(&mut slot.filled);
                match &slot.fill {
                    Some(value) if !value.is_null() && !filled.is_empty() => {
                        let mut mask = vec![false; rows];
                        for row in filled {
                            if let Some(bit) = mask.get_mut(row) {
                                *bit = true;
                            }
                        }
                        let value = value
                            .to_scalar()
                            .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
                        zip(&BooleanArray::from(mask), &value, &column)
                    }
                    _ => Ok(column),
                }
            })
            .collect()
    }
}
