//! JSON: one array, or an object a line.
//!
//! The forms are those of the server's own JSON. Integers and decimals that a floating point number cannot hold are
//! strings, because a reader that makes numbers into floating point would silently change them; so are NaN and the
//! infinities, which JSON does not have. A column of type JSON is the document itself.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type, SchemaRef, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, JsonArray, JsonFormat, LineDelimited, NullableEncoder,
    Writer, WriterBuilder, make_encoder,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::value::RawValue;

use super::cell::{Special, special};
use super::{RowWriter, Sink, renamed, with_unique_names};
use crate::error::Result;

/// Rows as JSON objects.
pub(crate) struct Objects<F: JsonFormat> {
    writer: Writer<Sink, F>,
    schema: SchemaRef,
}

/// One JSON array.
pub(crate) type OneArray = Objects<JsonArray>;

/// An object a line.
pub(crate) type Lines = Objects<LineDelimited>;

impl<F: JsonFormat> Objects<F> {
    /// A writer to `sink`.
    pub(crate) fn new(schema: &SchemaRef, sink: Sink) -> Self {
        Self {
            writer: WriterBuilder::new()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(ServerForms))
                .build(sink),
            schema: with_unique_names(schema),
        }
    }
}

impl<F: JsonFormat + Send> RowWriter for Objects<F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(&renamed(batch, &self.schema)?)?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.writer.get_mut().flush()?)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.finish()?;
        let mut sink = self.writer.into_inner();
        if F::default().ends_without_line_feed() {
            sink.write_all(b"\n")?;
        }
        Ok(sink.flush()?)
    }
}

trait LastLine {
    fn ends_without_line_feed(&self) -> bool;
}

impl<F: JsonFormat> LastLine for F {
    fn ends_without_line_feed(&self) -> bool {
        let mut end = Vec::new();
        // Writing to a vector does not fail.
        let _ = self.end_stream(&mut end);
        end.last().is_some_and(|byte| *byte != b'\n')
    }
}

/// The JSON text of a column's values, by row.
pub(super) fn text<'a>(field: &'a FieldRef, array: &'a dyn Array) -> Result<Special<'a>> {
    static OPTIONS: LazyLock<EncoderOptions> = LazyLock::new(|| {
        EncoderOptions::default()
            .with_explicit_nulls(true)
            .with_encoder_factory(Arc::new(ServerForms))
    });
    let encoder = RefCell::new(make_encoder(field, array, &OPTIONS)?);
    Ok(Box::new(move |row| {
        let mut text = Vec::new();
        encoder.borrow_mut().encode(row, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }))
}

/// The largest integer up to which floating point holds all integers: 2⁵³.
const EXACT_MAX: u64 = 1 << 53;

/// Decimal digits that floating point always holds.
const EXACT_DIGITS: usize = 15;

#[derive(Debug)]
struct ServerForms;

impl EncoderFactory for ServerForms {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Int64 => Box::new(Integers(array.as_primitive::<Int64Type>(), |value| {
                value.unsigned_abs()
            })),
            DataType::UInt64 => {
                Box::new(Integers(array.as_primitive::<UInt64Type>(), |value| value))
            }
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => {
                const OPTIONS: FormatOptions<'static> = FormatOptions::new();
                Box::new(Decimals(ArrayFormatter::try_new(array, &OPTIONS)?))
            }
            DataType::Float64 => Box::new(Floats(array.as_primitive::<Float64Type>())),
            DataType::Float32 => Box::new(Floats(array.as_primitive::<Float32Type>())),
            DataType::Utf8View if is_json(field) => {
                let texts = array.as_string_view();
                Box::new(Documents(Box::new(move |at| texts.value(at))))
            }
            DataType::Utf8 if is_json(field) => {
                let texts = array.as_string::<i32>();
                Box::new(Documents(Box::new(move |at| texts.value(at))))
            }
            _ => match special(array) {
                Some(text) => Box::new(Texts(text)),
                None => return Ok(None),
            },
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Integers<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>, fn(T::Native) -> u64);

impl<T: ArrowPrimitiveType> Encoder for Integers<'_, T>
where
    T::Native: ToString,
{
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let value = self.0.value(at);
        push_number(&value.to_string(), (self.1)(value) <= EXACT_MAX, out);
    }
}

struct Decimals<'a>(ArrayFormatter<'a>);

impl Encoder for Decimals<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let text = self.0.value(at).to_string();
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        push_number(&text, digits <= EXACT_DIGITS, out);
    }
}

struct Floats<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Encoder for Floats<'_, T>
where
    T::Native: Into<f64>,
{
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let value = self.0.value(at);
        let double: f64 = value.into();
        if double.is_nan() {
            push_number("NaN", false, out);
        } else if double.is_infinite() {
            push_number(
                if double > 0.0 {
                    "Infinity"
                } else {
                    "-Infinity"
                },
                false,
                out,
            );
        } else {
            // The shortest text that reads back as the same number.
            push_number(&format!("{value:?}"), true, out);
        }
    }
}

/// Values whose text needs no escapes but for backslashes.
struct Texts<'a>(Special<'a>);

impl Encoder for Texts<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        push_number(&(self.0)(at).replace('\\', "\\\\"), false, out);
    }
}

/// JSON documents as they are, and as a string what is none.
struct Documents<'a>(Box<dyn Fn(usize) -> &'a str + 'a>);

impl Encoder for Documents<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let text = (self.0)(at);
        if serde_json::from_str::<&RawValue>(text).is_ok() && !text.contains('\n') {
            out.extend_from_slice(text.as_bytes());
        } else {
            out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        }
    }
}

fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get("ARROW:extension:name")
        .map(String::as_str)
        == Some("arrow.json")
}

fn push_number(text: &str, exact: bool, out: &mut Vec<u8>) {
    if exact {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BinaryArray, Decimal128Array, StringArray};
    use arrow::datatypes::Schema;

    use super::super::tests::{Memory, sample, written};
    use super::super::{Expanded, Format};
    use super::*;

    #[test]
    fn lines_hold_all_columns_and_exact_numbers() {
        assert_eq!(
            written(Format::Ndjson, Expanded::Off, &[sample()]).text(),
            "{\"id\":1,\"na|me\":\"Ann, \\\"A\\\"\",\"x\":1.5}\n\
             {\"id\":20,\"na|me\":null,\"x\":\"NaN\"}\n\
             {\"id\":\"9223372036854775807\",\"na|me\":\"two\\nlines\\t日本\",\"x\":null}\n"
        );
    }

    #[test]
    fn an_array_is_whole_with_and_without_rows() {
        let rows = written(Format::Json, Expanded::Off, &[sample(), sample()]).text();
        let value: serde_json::Value = serde_json::from_str(&rows).unwrap();
        assert_eq!(value.as_array().map(Vec::len), Some(6));
        assert!(rows.ends_with("]\n"));
        assert_eq!(written(Format::Json, Expanded::Off, &[]).text(), "[]\n");
    }

    #[test]
    fn documents_and_bytes_are_written_as_the_server_does() {
        let metadata = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned())];
        let fields = vec![
            Field::new("j", DataType::Utf8, false).with_metadata(metadata.into()),
            Field::new("b", DataType::Binary, false),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["{\"a\": 1}", "no"])),
            Arc::new(BinaryArray::from_vec(vec![b"\x01", b""])),
        ];
        let schema = Arc::new(Schema::new(fields));
        let memory = Memory::default();
        let mut writer = Lines::new(&schema, Box::new(memory.clone()));
        writer
            .write(&RecordBatch::try_new(schema, columns).unwrap())
            .unwrap();
        assert_eq!(
            memory.text(),
            "{\"j\":{\"a\": 1},\"b\":\"\\\\x01\"}\n{\"j\":\"no\",\"b\":\"\\\\x\"}\n"
        );
    }

    #[test]
    fn long_decimals_are_strings() {
        let decimals = Decimal128Array::from(vec![125, 12_345_678_901_234_567])
            .with_precision_and_scale(20, 2)
            .unwrap();
        let batch = RecordBatch::try_from_iter([("d", Arc::new(decimals) as _)]).unwrap();
        let memory = Memory::default();
        let mut writer = Lines::new(&batch.schema(), Box::new(memory.clone()));
        writer.write(&batch).unwrap();
        assert_eq!(
            memory.text(),
            "{\"d\":1.25}\n{\"d\":\"123456789012345.67\"}\n"
        );
    }
}
