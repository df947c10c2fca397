//! Values of one token: numbers, dates, times and their kin.

use arrow::array::ArrowPrimitiveType;
use arrow::array::builder::PrimitiveBuilder;
use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::*;
use weir_base::SqlState;

use super::column::{Append, Discard, Reader, Scalars};
use super::json::Token;
use super::text::{
    DecimalError, decimal_digits, parse_date, parse_interval, parse_time, parse_timestamp,
    per_second,
};

/// Arrow's half-precision float.
#[allow(non_camel_case_types)]
type f16 = <Float16Type as ArrowPrimitiveType>::Native;

/// Why a value is refused.
#[derive(Debug, Clone)]
pub(crate) struct Reject {
    pub(crate) message: String,
    pub(crate) sqlstate: SqlState,
    pub(crate) hint: Option<&'static str>,
}

impl Reject {
    pub(crate) fn text(message: String) -> Self {
        Self {
            message,
            sqlstate: SqlState::INVALID_TEXT_REPRESENTATION,
            hint: None,
        }
    }

    #[cold]
    pub(crate) fn expected(wanted: &str, found: &Token<'_>) -> Self {
        Self::text(format!("expected {wanted}, found {}", found.describe()))
    }

    pub(crate) fn bytes(found: &Token<'_>) -> Self {
        Self {
            hint: Some("write bytes as hexadecimal digits, such as \"\\\\x00ff\" or \"00ff\""),
            ..Self::expected("BYTEA", found)
        }
    }

    #[cold]
    fn range(wanted: &str, found: &Token<'_>) -> Self {
        Self {
            message: format!("{} is out of range for {wanted}", found.describe()),
            sqlstate: SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            hint: None,
        }
    }

    fn hinted(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }
}

/// What SQL calls a type that [`reader`] reads.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INTEGER UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE PRECISION".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".to_owned(),
        DataType::Interval(_) => "INTERVAL".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA".to_owned(),
        other => other.to_string(),
    }
}

/// A reader for a type whose values are one token each; none for other types.
pub(crate) fn reader(data_type: &DataType) -> Option<Box<dyn Reader>> {
    simple(Simple {
        data_type,
        kept: true,
    })
}

/// As [`reader`], but values are only looked at.
pub(crate) fn checker(data_type: &DataType) -> Option<Box<dyn Reader>> {
    simple(Simple {
        data_type,
        kept: false,
    })
}

/// A column of values that are one token each.
#[derive(Clone, Copy)]
struct Simple<'a> {
    data_type: &'a DataType,
    /// Whether its values are kept.
    kept: bool,
}

fn simple(t: Simple<'_>) -> Option<Box<dyn Reader>> {
    use IntervalUnit::{DayTime, MonthDayNano, YearMonth};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match t.data_type {
        DataType::Int8 => integers::<Int8Type>(t),
        DataType::Int16 => integers::<Int16Type>(t),
        DataType::Int32 => integers::<Int32Type>(t),
        DataType::Int64 => integers::<Int64Type>(t),
        DataType::UInt8 => integers::<UInt8Type>(t),
        DataType::UInt16 => integers::<UInt16Type>(t),
        DataType::UInt32 => integers::<UInt32Type>(t),
        DataType::UInt64 => integers::<UInt64Type>(t),
        DataType::Float16 => floats::<Float16Type>(t, Float16Type::parse, f16::is_infinite),
        DataType::Float32 => floats::<Float32Type>(t, |text| text.parse().ok(), f32::is_infinite),
        DataType::Float64 => floats::<Float64Type>(t, |text| text.parse().ok(), f64::is_infinite),
        DataType::Decimal32(p, s) => {
            decimals::<Decimal32Type>(t, *p, *s, |digits| digits.parse().ok())
        }
        DataType::Decimal64(p, s) => {
            decimals::<Decimal64Type>(t, *p, *s, |digits| digits.parse().ok())
        }
        DataType::Decimal128(p, s) => {
            decimals::<Decimal128Type>(t, *p, *s, |digits| digits.parse().ok())
        }
        DataType::Decimal256(p, s) => {
            decimals::<Decimal256Type>(t, *p, *s, arrow::datatypes::i256::from_string)
        }
        DataType::Date32 => texts::<Date32Type>(t, "2024-12-31", |text| {
            i32::try_from(parse_date(text)?).ok()
        }),
        DataType::Date64 => texts::<Date64Type>(t, "2024-12-31", |text| {
            parse_timestamp(text, Millisecond, 0)
        }),
        DataType::Time32(Second) => texts::<Time32SecondType>(t, TIME, |text| time32(text, Second)),
        DataType::Time32(Millisecond) => {
            texts::<Time32MillisecondType>(t, TIME, |text| time32(text, Millisecond))
        }
        DataType::Time64(Microsecond) => {
            texts::<Time64MicrosecondType>(t, TIME, |text| parse_time(text, Microsecond))
        }
        DataType::Time64(Nanosecond) => {
            texts::<Time64NanosecondType>(t, TIME, |text| parse_time(text, Nanosecond))
        }
        DataType::Timestamp(unit, zone) => {
            let east = match zone {
                None => 0,
                Some(zone) => east_of_utc(zone)?,
            };
            match unit {
                Second => timestamps::<TimestampSecondType>(t, *unit, east),
                Millisecond => timestamps::<TimestampMillisecondType>(t, *unit, east),
                Microsecond => timestamps::<TimestampMicrosecondType>(t, *unit, east),
                Nanosecond => timestamps::<TimestampNanosecondType>(t, *unit, east),
            }
        }
        DataType::Duration(unit) => match unit {
            Second => durations::<DurationSecondType>(t, *unit),
            Millisecond => durations::<DurationMillisecondType>(t, *unit),
            Microsecond => durations::<DurationMicrosecondType>(t, *unit),
            Nanosecond => durations::<DurationNanosecondType>(t, *unit),
        },
        DataType::Interval(MonthDayNano) => {
            texts::<IntervalMonthDayNanoType>(t, INTERVAL, |text| {
                let (months, days, nanos) = parse_interval(text)?;
                Some(IntervalMonthDayNano::new(months, days, nanos))
            })
        }
        DataType::Interval(DayTime) => texts::<IntervalDayTimeType>(t, INTERVAL, |text| {
            let (months, days, nanos) = parse_interval(text)?;
            let millis = i32::try_from(nanos / 1_000_000).ok()?;
            (months == 0 && nanos % 1_000_000 == 0).then(|| IntervalDayTime::new(days, millis))
        }),
        DataType::Interval(YearMonth) => texts::<IntervalYearMonthType>(t, INTERVAL, |text| {
            let (months, days, nanos) = parse_interval(text)?;
            (days == 0 && nanos == 0).then_some(months)
        }),
        _ => return None,
    })
}

const TIME: &str = "23:59:59.999";
const INTERVAL: &str = "P1DT2H";
const TIMESTAMP_HINT: &str = "write it as text, such as \"2024-12-31T23:59:59.999Z\"; for a number of milliseconds, declare the column BIGINT";

/// How many seconds east of UTC a zone of a column lies; none for a zone whose offset changes.
pub(crate) fn east_of_utc(zone: &str) -> Option<i64> {
    match zone {
        "UTC" | "utc" | "Z" | "Etc/UTC" => Some(0),
        _ => {
            let nanos = |text: &str| parse_timestamp(text, TimeUnit::Second, 0);
            let local = zone
                .starts_with(['+', '-'])
                .then(|| nanos(&format!("2000-01-01T00:00{zone}")))??;
            Some(nanos("2000-01-01")? - local)
        }
    }
}

/// Whether a token is true or false.
pub(crate) fn boolean(token: &Token<'_>) -> Result<bool, Reject> {
    match token {
        Token::True => Ok(true),
        Token::False => Ok(false),
        Token::Text(text)
            if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("t") =>
        {
            Ok(true)
        }
        Token::Text(text)
            if text.eq_ignore_ascii_case("false") || text.eq_ignore_ascii_case("f") =>
        {
            Ok(false)
        }
        other => Err(Reject::expected("BOOLEAN", other)),
    }
}

fn boxed<T, F>(column: Simple<'_>, parse: F) -> Box<dyn Reader>
where
    T: ArrowPrimitiveType,
    F: FnMut(&Token<'_>) -> Result<T::Native, Reject> + Send + 'static,
    PrimitiveBuilder<T>: Append<T::Native> + Send,
{
    if !column.kept {
        let builder = Discard(0);
        return Box::new(Scalars { builder, parse });
    }
    Box::new(Scalars {
        builder: PrimitiveBuilder::<T>::new().with_data_type(column.data_type.clone()),
        parse,
    })
}

fn integers<T>(column: Simple<'_>) -> Box<dyn Reader>
where
    T: ArrowPrimitiveType,
    T::Native: std::str::FromStr + TryFrom<i128>,
{
    let name = sql_name(column.data_type);
    boxed::<T, _>(column, move |token| {
        let text: &str = match token {
            Token::Number(text) => text,
            Token::Text(text) => text.trim(),
            other => return Err(Reject::expected(&name, other)),
        };
        match text.parse() {
            Ok(value) => Ok(value),
            Err(_) => whole_number(text)
                .ok_or_else(|| Reject::expected(&name, token))
                .and_then(|value| {
                    T::Native::try_from(value).map_err(|_| Reject::range(&name, token))
                }),
        }
    })
}

/// A number that is whole, however it is written: `5.0`, `1e3`. One too large for 128 bits is as good as the largest.
#[cold]
fn whole_number(text: &str) -> Option<i128> {
    const SCALE: i8 = 18;
    let mut digits = String::new();
    match decimal_digits(text, 38, SCALE, &mut digits) {
        Ok(()) => {
            let scaled: i128 = digits.parse().ok()?;
            let one = 10i128.pow(SCALE as u32);
            // A fraction too fine for the scale would have been rounded away.
            let fine = text
                .split_once('.')
                .is_some_and(|(_, fraction)| fraction.len() > SCALE as usize)
                || text.contains(['e', 'E']) && text.contains('-');
            (scaled % one == 0 && !fine).then_some(scaled / one)
        }
        Err(DecimalError::Range) => Some(i128::MAX),
        Err(DecimalError::Text) => None,
    }
}

fn floats<T: ArrowPrimitiveType>(
    column: Simple<'_>,
    parse: fn(&str) -> Option<T::Native>,
    infinite: fn(T::Native) -> bool,
) -> Box<dyn Reader> {
    let name = sql_name(column.data_type);
    boxed::<T, _>(column, move |token| {
        let text: &str = match token {
            Token::Number(text) => text,
            Token::Text(text) => text.trim(),
            other => return Err(Reject::expected(&name, other)),
        };
        let value = parse(text).ok_or_else(|| Reject::expected(&name, token))?;
        if infinite(value) && text.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(Reject::range(&name, token));
        }
        Ok(value)
    })
}

fn decimals<T: DecimalType + ArrowPrimitiveType>(
    column: Simple<'_>,
    precision: u8,
    scale: i8,
    parse: fn(&str) -> Option<T::Native>,
) -> Box<dyn Reader> {
    let name = sql_name(column.data_type);
    let mut digits = String::new();
    boxed::<T, _>(column, move |token| {
        let text: &str = match token {
            Token::Number(text) => text,
            Token::Text(text) => text,
            other => return Err(Reject::expected(&name, other)),
        };
        match decimal_digits(text, precision, scale, &mut digits) {
            Ok(()) => parse(&digits).ok_or_else(|| Reject::range(&name, token)),
            Err(DecimalError::Range) => Err(Reject::range(&name, token)),
            Err(DecimalError::Text) => Err(Reject::expected(&name, token)),
        }
    })
}

fn texts<T: ArrowPrimitiveType>(
    column: Simple<'_>,
    example: &'static str,
    parse: fn(&str) -> Option<T::Native>,
) -> Box<dyn Reader> {
    let name = format!("{} such as {example:?}", sql_name(column.data_type));
    boxed::<T, _>(column, move |token| match token {
        Token::Text(text) => parse(text).ok_or_else(|| Reject::expected(&name, token)),
        other => Err(Reject::expected(&name, other)),
    })
}

fn time32(text: &str, unit: TimeUnit) -> Option<i32> {
    i32::try_from(parse_time(text, unit)?).ok()
}

fn timestamps<T: ArrowPrimitiveType<Native = i64>>(
    column: Simple<'_>,
    unit: TimeUnit,
    east: i64,
) -> Box<dyn Reader> {
    let name = sql_name(column.data_type);
    boxed::<T, _>(column, move |token| match token {
        Token::Text(text) => parse_timestamp(text, unit, east)
            .ok_or_else(|| Reject::expected(&name, token).hinted(TIMESTAMP_HINT)),
        other => Err(Reject::expected(&name, other).hinted(TIMESTAMP_HINT)),
    })
}

fn durations<T: ArrowPrimitiveType<Native = i64>>(
    column: Simple<'_>,
    unit: TimeUnit,
) -> Box<dyn Reader> {
    let name = sql_name(column.data_type);
    boxed::<T, _>(column, move |token| match token {
        Token::Number(text) => text.parse().map_err(|_| Reject::expected(&name, token)),
        Token::Text(text) => {
            let duration = |text: &str| {
                let (months, days, nanos) = parse_interval(text)?;
                let nanos = i128::from(days) * 86_400_000_000_000 + i128::from(nanos);
                let value = nanos / (1_000_000_000 / i128::from(per_second(unit)));
                (months == 0).then(|| i64::try_from(value).ok()).flatten()
            };
            text.parse()
                .ok()
                .or_else(|| duration(text))
                .ok_or_else(|| Reject::expected(&name, token))
        }
        other => Err(Reject::expected(&name, other)),
    })
}
