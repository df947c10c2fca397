//! One value as text, as PostgreSQL writes it where it has the type.

use arrow::array::{Array, ArrayAccessor, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Int64Type, IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalYearMonthType, Schema,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::json;
use crate::error::Result;

/// Who reads the text. They differ in dates with a time of day, which people read with a space in the middle, and machines
/// as in ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person.
    Person,
    /// A program.
    Program,
}

const BASE: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_null("NULL");

/// As PostgreSQL shows it.
const PERSON: FormatOptions<'static> = BASE
    .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// The columns of a batch, ready to be read as text.
pub(crate) struct Cells<'a> {
    columns: Vec<Column<'a>>,
    rows: usize,
}

struct Column<'a> {
    array: &'a dyn Array,
    text: Text<'a>,
}

/// How a column's values become text.
enum Text<'a> {
    Special(Special<'a>),
    Plain(ArrayFormatter<'a>),
}

/// Text of a value that is not null, by its row.
pub(super) type Special<'a> = Box<dyn Fn(usize) -> String + 'a>;

impl<'a> Cells<'a> {
    /// The cells of `batch`. Nested values are JSON.
    pub(crate) fn new(batch: &'a RecordBatch, reader: Reader) -> Result<Self> {
        let options = match reader {
            Reader::Person => &PERSON,
            Reader::Program => &BASE,
        };
        let schema = batch.schema_ref();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| {
                let array = array.as_ref();
                let text = if array.data_type().is_nested() {
                    Text::Special(json::text(field, array)?)
                } else if let Some(special) = special(array) {
                    Text::Special(special)
                } else {
                    Text::Plain(ArrayFormatter::try_new(array, options)?)
                };
                Ok(Column { array, text })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            columns,
            rows: batch.num_rows(),
        })
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The values of one row in order of columns; `None` is NULL.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = Option<String>> {
        self.columns.iter().map(move |Column { array, text }| {
            // A column of type NULL has no validity bitmap.
            if array.is_null(row) || array.data_type().is_null() {
                return None;
            }
            Some(match text {
                Text::Special(text) => text(row),
                Text::Plain(text) => text.value(row).to_string(),
            })
        })
    }
}

/// Types that Arrow's own formatter does not write as PostgreSQL does: bytes and spans of time.
pub(super) fn special(array: &dyn Array) -> Option<Special<'_>> {
    use arrow::datatypes::{IntervalUnit as I, TimeUnit as U};
    Some(match array.data_type() {
        DataType::Binary => bytes(array.as_binary::<i32>()),
        DataType::LargeBinary => bytes(array.as_binary::<i64>()),
        DataType::BinaryView => bytes(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary()),
        DataType::Interval(I::YearMonth) => span(
            array,
            |months: i32| (months, 0, 0),
            IntervalYearMonthType {},
        ),
        DataType::Interval(I::DayTime) => span(
            array,
            |span: IntervalDayTime| (0, span.days, i128::from(span.milliseconds) * 1_000_000),
            IntervalDayTimeType {},
        ),
        DataType::Interval(I::MonthDayNano) => span(
            array,
            |span: IntervalMonthDayNano| (span.months, span.days, i128::from(span.nanoseconds)),
            IntervalMonthDayNanoType {},
        ),
        DataType::Duration(unit) => {
            let nanoseconds: i128 = match unit {
                U::Second => 1_000_000_000,
                U::Millisecond => 1_000_000,
                U::Microsecond => 1_000,
                U::Nanosecond => 1,
            };
            let counts = arrow::compute::cast(array, &DataType::Int64).ok()?;
            Box::new(move |row| {
                let count = counts.as_primitive::<Int64Type>().value(row);
                interval(0, 0, i128::from(count) * nanoseconds)
            })
        }
        _ => return None,
    })
}

fn bytes<'a>(array: impl ArrayAccessor<Item = &'a [u8]> + 'a) -> Special<'a> {
    Box::new(move |row| hex(array.value(row)))
}

/// Months, days and nanoseconds of each value.
fn span<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    parts: impl Fn(T::Native) -> (i32, i32, i128) + 'a,
    _type: T,
) -> Special<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |row| {
        let (months, days, nanoseconds) = parts(array.value(row));
        interval(months, days, nanoseconds)
    })
}

/// PostgreSQL's form: `1 year 2 mons -3 days +04:05:06.789`.
fn interval(months: i32, days: i32, nanoseconds: i128) -> String {
    let mut text = String::new();
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let sign = if after_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        text.push_str(&format!("{space}{sign}{value} {unit}{plural}"));
        after_negative = value < 0;
    }
    if nanoseconds != 0 || text.is_empty() {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match (nanoseconds < 0, after_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let seconds = nanoseconds.unsigned_abs() / 1_000_000_000;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        text.push_str(&format!(
            "{space}{sign}{hours:02}:{minutes:02}:{seconds:02}"
        ));
        let rest = nanoseconds.unsigned_abs() % 1_000_000_000;
        if rest > 0 {
            text.push_str(format!(".{rest:09}").trim_end_matches('0'));
        }
    }
    text
}

/// Whether a column is aligned to the right.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The names of the columns.
pub(crate) fn names(schema: &Schema) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DurationMillisecondArray, ListArray,
        NullArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn spans_of_time_read_as_in_postgresql() {
        for (months, days, nanoseconds, text) in [
            (0, 0, 0, "00:00:00"),
            (
                14,
                -3,
                14_706_789_000_000,
                "1 year 2 mons -3 days +04:05:06.789",
            ),
            (0, 1, 0, "1 day"),
            (0, 0, -1_500_000_000, "-00:00:01.5"),
        ] {
            assert_eq!(interval(months, days, nanoseconds), text);
        }
        let duration = DurationMillisecondArray::from(vec![90_000]);
        assert_eq!(only(Arc::new(duration)).as_deref(), Some("00:01:30"));
    }

    #[test]
    fn programs_read_iso_8601_and_json() {
        let at = TimestampMicrosecondArray::from(vec![1_700_000_000_120_000]);
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None])]);
        let columns: [(&str, ArrayRef); 3] = [
            ("at", Arc::new(at.clone())),
            ("tz", Arc::new(at.with_timezone("+00:00"))),
            ("list", Arc::new(list)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let cells = Cells::new(&batch, Reader::Program).unwrap();
        let row: Vec<String> = cells.row(0).flatten().collect();
        assert_eq!(
            row,
            [
                "2023-11-14T22:13:20.120",
                "2023-11-14T22:13:20.120Z",
                "[1,null]"
            ]
        );
    }

    fn only(array: ArrayRef) -> Option<String> {
        let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
        Cells::new(&batch, Reader::Person)
            .unwrap()
            .row(0)
            .next()
            .unwrap()
    }

    #[test]
    fn values_read_as_in_postgresql() {
        let at = TimestampMicrosecondArray::from(vec![1_700_000_000_120_000]);
        assert_eq!(
            only(Arc::new(at.clone())).as_deref(),
            Some("2023-11-14 22:13:20.120")
        );
        assert_eq!(
            only(Arc::new(at.with_timezone("+00:00"))).as_deref(),
            Some("2023-11-14 22:13:20.120+00:00")
        );
        let bytes = BinaryArray::from_vec(vec![b"\x00\xff"]);
        assert_eq!(only(Arc::new(bytes)).as_deref(), Some("\\x00ff"));
        let decimal = Decimal128Array::from(vec![-1205])
            .with_precision_and_scale(9, 2)
            .unwrap();
        assert_eq!(only(Arc::new(decimal)).as_deref(), Some("-12.05"));
        assert_eq!(
            only(Arc::new(BooleanArray::from(vec![true]))).as_deref(),
            Some("true")
        );
        assert_eq!(only(Arc::new(NullArray::new(1))), None);
    }
}
