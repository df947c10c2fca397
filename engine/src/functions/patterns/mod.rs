//! `to_char`, `to_timestamp`, `to_date`, `to_number`: PostgreSQL's patterns (manual, 9.8).

mod moment;
mod number;
mod read;

use arrow::array::{Array, ArrayRef, Date32Array};
use arrow::datatypes::DataType;
use chrono::Datelike;
use datafusion::common::Result;

use super::clock;
use super::define::Kind::{
    Date, Double, Instant, Integer, Interval, Numeric, Text, Time, Timestamp,
};
use super::define::{Arguments, Definition, Memo, function, takes, takes_by};
use super::shown;

/// The functions of this folder.
pub(super) const FUNCTIONS: [Definition; 4] = [
    function(
        "to_char",
        &[
            takes(&[Instant, Text], Text, of_moments),
            takes(&[Timestamp, Text], Text, of_moments),
            takes(&[Interval, Text], Text, of_intervals),
            takes(&[Time, Text], Text, of_times),
            takes(&[Numeric, Text], Text, of_numbers),
            takes(&[Integer, Text], Text, of_numbers),
            takes(&[Double, Text], Text, of_numbers),
        ],
    ),
    function(
        "to_timestamp",
        &[
            takes(&[Text, Text], Instant, |args| {
                let zone = clock::session_zone(args)?;
                let (texts, patterns) = (args.text(0)?, args.text(1)?);
                let mut memo = Memo::new();
                args.instants(|row| {
                    let pattern = memo.get(patterns.value(row), moment::parse)?;
                    let read = read::read(texts.value(row), pattern)?;
                    Ok(Some(match read.ahead_seconds {
                        Some(ahead) => clock::micros(read.clock) - i64::from(ahead) * 1_000_000,
                        None => clock::moment(read.clock, zone),
                    }))
                })
            }),
            takes(&[Double], Instant, |args| {
                let seconds = args.doubles(0)?;
                args.instants(|row| {
                    let micros = (seconds.value(row) * 1e6).round();
                    match micros.is_finite() && micros.abs() < 8.2e18 {
                        true => Ok(Some(micros as i64)),
                        false => Err(clock::out_of_range().into()),
                    }
                })
            }),
            // What DataFusion's takes beside: a moment as it is.
            takes(&[Instant], Instant, |args| {
                Ok(arrow::array::ArrayRef::clone(args.array(0)?))
            }),
            takes(&[Timestamp], Timestamp, |args| {
                Ok(arrow::array::ArrayRef::clone(args.array(0)?))
            }),
        ],
    ),
    function(
        "to_date",
        &[
            takes(&[Text, Text], Date, |args| {
                let (texts, patterns) = (args.text(0)?, args.text(1)?);
                let mut memo = Memo::new();
                args.values::<i32, Date32Array>(|row| {
                    let pattern = memo.get(patterns.value(row), moment::parse)?;
                    let read = read::read(texts.value(row), pattern)?;
                    Ok(Some(read.clock.date().num_days_from_ce() - 719_163))
                })
            }),
            takes(&[Date], Date, |args| Ok(ArrayRef::clone(args.array(0)?))),
        ],
    ),
    function(
        "to_number",
        &[takes_by(
            &[Text, Text],
            |_| Ok(DataType::Decimal128(38, 10)),
            number::read_all,
        )],
    ),
];

fn of_moments(args: &Arguments) -> Result<ArrayRef> {
    let (values, patterns) = (args.timestamps(0)?, args.text(1)?);
    let zone = match values.data_type() {
        DataType::Timestamp(_, Some(_)) => Some(clock::session_zone(args)?),
        _ => None,
    };
    let mut memo = Memo::new();
    args.texts(|row| {
        let value = values.value(row);
        let shown = match zone {
            Some(zone) => moment::Shown {
                clock: clock::local(value, zone)?,
                ahead_seconds: Some(clock::ahead(value, zone)?),
            },
            None => moment::Shown {
                clock: clock::naive(value)?,
                ahead_seconds: None,
            },
        };
        let pattern = memo.get(patterns.value(row), moment::parse)?;
        Ok(Some(moment::show(pattern, &shown)))
    })
}

fn of_times(args: &Arguments) -> Result<ArrayRef> {
    let (values, patterns) = (args.times(0)?, args.text(1)?);
    let mut memo = Memo::new();
    args.texts(|row| {
        let shown = moment::Shown {
            clock: clock::naive(values.value(row))?,
            ahead_seconds: None,
        };
        let pattern = memo.get(patterns.value(row), moment::parse)?;
        Ok(Some(moment::show(pattern, &shown)))
    })
}

fn of_intervals(args: &Arguments) -> Result<ArrayRef> {
    let (values, patterns) = (args.intervals(0)?, args.text(1)?);
    let mut memo = Memo::new();
    args.texts(|row| {
        let pattern = memo.get(patterns.value(row), moment::parse)?;
        Ok(Some(moment::show_interval(pattern, values.value(row))))
    })
}

fn of_numbers(args: &Arguments) -> Result<ArrayRef> {
    let (values, patterns) = (args.array(0)?, args.text(1)?);
    let is_double = *values.data_type() == DataType::Float64;
    let mut memo = Memo::new();
    args.texts(|row| {
        let text = match is_double {
            // Without exponent.
            true => format!("{}", args.doubles(0)?.value(row)),
            false => shown::text_of(values, row)?,
        };
        let pattern = memo.get(patterns.value(row), number::parse)?;
        number::show(pattern, &text).map(Some)
    })
}
