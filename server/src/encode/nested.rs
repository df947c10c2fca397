//! Lists, structs, maps, dictionaries and what else holds other arrays: JSON, in CSV too.

use arrow::array::types::{ArrowDictionaryKeyType, RunEndIndexType};
use arrow::array::{
    Array, AsArray, DictionaryArray, FixedSizeListArray, GenericListArray, GenericListViewArray,
    MapArray, OffsetSizeTrait, RunArray, StructArray, UnionArray, downcast_dictionary_array,
    downcast_run_array,
};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

use super::EncodeError;
use super::cell::{Cell, cell, json_string};

/// The cells of an array that holds other arrays.
pub(super) fn nested_cell<'a>(
    array: &'a dyn Array,
    field: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    Ok(match array.data_type() {
        DataType::List(item) => list(array.as_list::<i32>(), item)?,
        DataType::LargeList(item) => list(array.as_list::<i64>(), item)?,
        DataType::ListView(item) => list_view(array.as_list_view::<i32>(), item)?,
        DataType::LargeListView(item) => list_view(array.as_list_view::<i64>(), item)?,
        DataType::FixedSizeList(item, _) => fixed_list(array.as_fixed_size_list(), item)?,
        DataType::Struct(_) => structure(array.as_struct())?,
        DataType::Map(_, _) => map(array.as_map())?,
        DataType::Union(_, _) => union(array.as_union())?,
        DataType::Dictionary(_, _) => downcast_dictionary_array!(
            array => dictionary(array, field)?,
            _ => return Err(unknown(array))
        ),
        DataType::RunEndEncoded(_, values) => downcast_run_array!(
            array => runs(array, values)?,
            _ => return Err(unknown(array))
        ),
        _ => return Err(unknown(array)),
    })
}

fn unknown(array: &dyn Array) -> EncodeError {
    ArrowError::NotYetImplemented(format!("text of a column of type {}", array.data_type())).into()
}

struct List<'a, R> {
    items: Box<dyn Cell + 'a>,
    range: R,
}

impl<R: Fn(usize) -> std::ops::Range<usize>> Cell for List<'_, R> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, item) in (self.range)(row).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.items.json(item, out);
        }
        out.push(b']');
    }
}

fn list<'a, O: OffsetSizeTrait>(
    array: &'a GenericListArray<O>,
    item: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    Ok(Box::new(List {
        items: cell(array.values().as_ref(), item)?,
        range: move |row: usize| {
            let offsets = array.value_offsets();
            offsets[row].as_usize()..offsets[row + 1].as_usize()
        },
    }))
}

fn list_view<'a, O: OffsetSizeTrait>(
    array: &'a GenericListViewArray<O>,
    item: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    Ok(Box::new(List {
        items: cell(array.values().as_ref(), item)?,
        range: move |row: usize| {
            let start = array.value_offsets()[row].as_usize();
            start..start + array.value_sizes()[row].as_usize()
        },
    }))
}

fn fixed_list<'a>(
    array: &'a FixedSizeListArray,
    item: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    let length = usize::try_from(array.value_length()).unwrap_or(0);
    Ok(Box::new(List {
        items: cell(array.values().as_ref(), item)?,
        range: move |row: usize| row * length..(row + 1) * length,
    }))
}

struct Structure<'a> {
    /// `"name":` and the cells.
    fields: Vec<(Vec<u8>, Box<dyn Cell + 'a>)>,
}

fn structure(array: &StructArray) -> Result<Box<dyn Cell + '_>, EncodeError> {
    let fields = array
        .fields()
        .iter()
        .zip(array.columns())
        .map(|(field, column)| Ok((json_key(field.name()), cell(column.as_ref(), field)?)))
        .collect::<Result<_, EncodeError>>()?;
    Ok(Box::new(Structure { fields }))
}

/// `"name":`
pub(super) fn json_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    json_string(name, &mut key);
    key.push(b':');
    key
}

impl Cell for Structure<'_> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (key, cell)) in self.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            cell.json(row, out);
        }
        out.push(b'}');
    }
}

struct Map<'a> {
    array: &'a MapArray,
    keys: Box<dyn Cell + 'a>,
    values: Box<dyn Cell + 'a>,
}

fn map(array: &MapArray) -> Result<Box<dyn Cell + '_>, EncodeError> {
    let fields = array.entries().fields();
    let [key, value] = &fields[..] else {
        return Err(unknown(array));
    };
    Ok(Box::new(Map {
        array,
        keys: cell(array.keys().as_ref(), key)?,
        values: cell(array.values().as_ref(), value)?,
    }))
}

impl Cell for Map<'_> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        let offsets = self.array.value_offsets();
        let mut key = Vec::new();
        out.push(b'{');
        for (at, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            key.clear();
            self.keys.text(entry, &mut key);
            json_string(&String::from_utf8_lossy(&key), out);
            out.push(b':');
            self.values.json(entry, out);
        }
        out.push(b'}');
    }
}

struct Union<'a> {
    array: &'a UnionArray,
    children: Vec<(i8, Box<dyn Cell + 'a>)>,
}

fn union(array: &UnionArray) -> Result<Box<dyn Cell + '_>, EncodeError> {
    let DataType::Union(fields, _) = array.data_type() else {
        return Err(unknown(array));
    };
    let children = fields
        .iter()
        .map(|(id, field)| Ok((id, cell(array.child(id).as_ref(), field)?)))
        .collect::<Result<_, EncodeError>>()?;
    Ok(Box::new(Union { array, children }))
}

impl Union<'_> {
    fn at(&self, row: usize) -> Option<(&dyn Cell, usize)> {
        let id = self.array.type_id(row);
        let (_, cell) = self.children.iter().find(|(child, _)| *child == id)?;
        Some((cell.as_ref(), self.array.value_offset(row)))
    }
}

impl Cell for Union<'_> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        if let Some((cell, row)) = self.at(row) {
            cell.text(row, out);
        }
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        match self.at(row) {
            Some((cell, row)) => cell.json(row, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    fn is_null(&self, row: usize) -> bool {
        self.at(row).is_none_or(|(cell, row)| cell.is_null(row))
    }
}

/// Values that are looked up by an index.
struct Indexed<'a, I> {
    values: Box<dyn Cell + 'a>,
    index: I,
}

impl<I: Fn(usize) -> usize> Cell for Indexed<'_, I> {
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        self.values.text((self.index)(row), out);
    }
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        self.values.json((self.index)(row), out);
    }
    fn is_null(&self, row: usize) -> bool {
        self.values.is_null((self.index)(row))
    }
}

fn dictionary<'a, K: ArrowDictionaryKeyType>(
    array: &'a DictionaryArray<K>,
    field: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    Ok(Box::new(Indexed {
        values: cell(array.values().as_ref(), field)?,
        index: move |row: usize| {
            arrow::datatypes::ArrowNativeType::as_usize(array.keys().value(row))
        },
    }))
}

fn runs<'a, R: RunEndIndexType>(
    array: &'a RunArray<R>,
    values: &Field,
) -> Result<Box<dyn Cell + 'a>, EncodeError> {
    Ok(Box::new(Indexed {
        values: cell(array.values().as_ref(), values)?,
        index: move |row: usize| array.get_physical_index(row),
    }))
}
