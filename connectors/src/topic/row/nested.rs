//! Columns of lists, structs and maps.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, GenericListArray, MapArray, NullBufferBuilder,
    OffsetSizeTrait, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::filter;
use arrow::datatypes::{DataType, FieldRef, Fields as ArrowFields};
use arrow::error::ArrowError;

use super::column::{Reader, Wrong, reader};
use super::fields::Fields;
use super::json::{Cursor, Token};
use super::scalar::Reject;

/// Reads a value of a nested type from its JSON text.
fn nested(reader: &mut dyn Reader, text: &str) -> Result<bool, Wrong> {
    let mut cursor = Cursor::new(text);
    let there = reader.read(&mut cursor)?;
    cursor.end()?;
    Ok(there)
}

/// Which items belong to lists: all but those of lists that were begun and given up.
#[derive(Default)]
struct Kept {
    /// How many items were appended to lists that are whole.
    closed: usize,
    /// The items that belong to no list.
    dropped: Vec<Range<usize>>,
    dropped_count: usize,
}

impl Kept {
    /// The end of a list whose items end at `count`, among the items that are kept.
    fn end(&self, count: usize) -> usize {
        count - self.dropped_count
    }

    fn drop_to(&mut self, count: usize) {
        self.dropped_count += count - self.closed;
        self.dropped.push(self.closed..count);
        self.closed = count;
    }

    /// The items that are kept; it starts anew.
    fn finish(&mut self, items: ArrayRef) -> Result<ArrayRef, ArrowError> {
        if self.dropped.is_empty() {
            return Ok(items);
        }
        let mut mask = vec![true; items.len()];
        for range in &self.dropped {
            if let Some(items) = mask.get_mut(range.clone()) {
                items.fill(false);
            }
        }
        filter(&items, &BooleanArray::from(mask))
    }
}

/// The items of lists.
struct Items {
    field: FieldRef,
    reader: Box<dyn Reader>,
    count: usize,
    kept: Kept,
}

impl Items {
    fn new(field: &FieldRef, strict: bool) -> Result<Self, ArrowError> {
        Ok(Self {
            field: Arc::clone(field),
            reader: reader(field, strict)?,
            count: 0,
            kept: Kept::default(),
        })
    }

    /// Takes the items since the last list as one list's, and gives its end.
    fn close(&mut self) -> usize {
        self.kept.closed = self.count;
        self.kept.end(self.count)
    }

    /// Drops the items since the last list.
    #[cold]
    fn give_up(&mut self) {
        // The item that went wrong may be there in part.
        self.count += 1;
        self.reader.mend(self.count);
        self.kept.drop_to(self.count);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.count = 0;
        let items = self.kept.finish(self.reader.finish()?)?;
        self.kept = Kept::default();
        Ok(items)
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

pub(super) struct Lists<O: OffsetSizeTrait> {
    items: Items,
    ends: Vec<O>,
    nulls: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> Lists<O> {
    pub(super) fn new(item: &FieldRef, strict: bool) -> Result<Self, ArrowError> {
        Ok(Self {
            items: Items::new(item, strict)?,
            ends: vec![O::zero()],
            nulls: NullBufferBuilder::new(0),
        })
    }

    fn close(&mut self, valid: bool) -> Result<(), Wrong> {
        let end = O::from_usize(self.items.kept.end(self.items.count))
            .ok_or_else(|| Reject::text("too many list items in one batch".to_owned()))?;
        self.items.close();
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
    fn len(&self) -> usize {
        self.nulls.len()
    }
    fn mend(&mut self, rows: usize) {
        if self.len() < rows {
            self.items.give_up();
        }
        while self.len() < rows {
            self.null();
        }
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let ends = std::mem::replace(&mut self.ends, vec![O::zero()]);
        Ok(Arc::new(GenericListArray::<O>::try_new(
            Arc::clone(&self.items.field),
            OffsetBuffer::new(ScalarBuffer::from(ends)),
            self.items.finish()?,
            self.nulls.finish(),
        )?))
    }
}

pub(super) struct FixedLists {
    items: Items,
    size: usize,
    nulls: NullBufferBuilder,
}

impl FixedLists {
    pub(super) fn new(item: &FieldRef, size: i32, strict: bool) -> Result<Self, ArrowError> {
        Ok(Self {
            items: Items::new(item, strict)?,
            size: usize::try_from(size).unwrap_or_default(),
            nulls: NullBufferBuilder::new(0),
        })
    }
}

impl Reader for FixedLists {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Wrong> {
        match self.items.read(cursor)? {
            None => {
                self.null();
                Ok(false)
            }
            Some(count) if count == self.size => {
                self.items.close();
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
        self.items.count += self.size;
        self.items.close();
        self.nulls.append_null();
    }
    fn len(&self) -> usize {
        self.nulls.len()
    }
    fn mend(&mut self, rows: usize) {
        if self.len() < rows {
            self.items.give_up();
        }
        while self.len() < rows {
            self.null();
        }
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        Ok(Arc::new(FixedSizeListArray::try_new(
            Arc::clone(&self.items.field),
            i32::try_from(self.size).unwrap_or(i32::MAX),
            self.items.finish()?,
            nulls,
        )?))
    }
}

pub(super) struct Structs {
    fields: Fields,
    arrow: ArrowFields,
    nulls: NullBufferBuilder,
}

impl Structs {
    pub(super) fn new(fields: &ArrowFields, strict: bool) -> Result<Self, ArrowError> {
        Ok(Self {
            fields: Fields::of_struct(fields, strict)?,
            arrow: fields.clone(),
            nulls: NullBufferBuilder::new(0),
        })
    }
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
    fn len(&self) -> usize {
        self.nulls.len()
    }
    fn mend(&mut self, rows: usize) {
        if self.len() < rows {
            self.fields.give_up();
            self.nulls.append_null();
        }
        while self.len() < rows {
            self.null();
        }
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
pub(super) struct Maps {
    entries: FieldRef,
    fields: ArrowFields,
    sorted: bool,
    keys: Box<dyn Reader>,
    values: Box<dyn Reader>,
    values_nullable: bool,
    ends: Vec<i32>,
    count: usize,
    kept: Kept,
    nulls: NullBufferBuilder,
}

impl Maps {
    pub(super) fn new(entries: &FieldRef, sorted: bool, strict: bool) -> Result<Self, ArrowError> {
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
            kept: Kept::default(),
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
        let end = i32::try_from(self.kept.end(self.count))
            .map_err(|_| Reject::text("too many map entries in one batch".to_owned()))?;
        self.kept.closed = self.count;
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
    fn len(&self) -> usize {
        self.nulls.len()
    }
    fn mend(&mut self, rows: usize) {
        if self.len() < rows {
            // The entry that went wrong may be there in part.
            self.count += 1;
            self.keys.mend(self.count);
            self.values.mend(self.count);
            self.kept.drop_to(self.count);
        }
        while self.len() < rows {
            self.null();
        }
    }
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let keys = self.kept.finish(self.keys.finish()?)?;
        let values = self.kept.finish(self.values.finish()?)?;
        self.kept = Kept::default();
        self.count = 0;
        let length = keys.len();
        let entries = StructArray::try_new_with_length(
            self.fields.clone(),
            vec![keys, values],
            None,
            length,
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
