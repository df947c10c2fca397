//! The fields of JSON objects, each a growing column.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{Field, Fields as ArrowFields};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use weir_base::SqlState;

use super::column::{Reader, Wrong, checker, reader};
use super::json::Cursor;

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
    /// Whether its column is given; otherwise its values are only looked at.
    kept: bool,
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
            kept: true,
        })
    }

    /// A field whose values are looked at, and whose column nobody wants.
    pub(crate) fn checked(
        key: &str,
        name: &str,
        field: &Field,
        fill: Option<ScalarValue>,
        strict: bool,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            reader: checker(field, strict)?,
            kept: false,
            ..Self::new(key, name, field, fill, strict)?
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

    pub(super) fn of_struct(fields: &ArrowFields, strict: bool) -> Result<Self, ArrowError> {
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
                    if slot.kept {
                        slot.filled.push(row - 1);
                    }
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

    /// Makes a row of what is there of one that was begun and given up; it means nothing.
    #[cold]
    pub(super) fn give_up(&mut self) {
        let row = self.rows + 1;
        for slot in &mut self.slots {
            slot.reader.mend(row);
        }
        self.rows = row;
    }

    /// Appends a row in which every field is null, whatever they require: the parent is null.
    pub(super) fn null(&mut self) {
        for slot in &mut self.slots {
            slot.reader.null();
        }
        self.rows += 1;
    }

    /// The columns so far of the fields that are kept; the fields are empty again.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        for slot in self.slots.iter_mut().filter(|slot| !slot.kept) {
            slot.seen = 0;
            slot.reader.finish()?;
        }
        self.slots
            .iter_mut()
            .filter(|slot| slot.kept)
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
