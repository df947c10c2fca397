//! Times as numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::error::{Error, Result};

/// How many nanoseconds one unit of a timestamp's numbers is.
pub(crate) fn nanos_per_unit(data_type: &DataType) -> Result<i128> {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => Ok(1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(1000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(1),
        _ => Err(Error::Internal("an event time is no timestamp")),
    }
}

/// The numbers of timestamps, in their own unit.
pub(crate) fn native(times: &ArrayRef) -> Result<Int64Array> {
    nanos_per_unit(times.data_type())?;
    let numbers = cast(times, &DataType::Int64)?;
    Ok(numbers.as_primitive::<Int64Type>().clone())
}

/// Numbers as timestamps of a type.
pub(crate) fn as_times(numbers: Vec<i64>, data_type: &DataType) -> Result<ArrayRef> {
    let numbers = Int64Array::from(numbers).into_data().into_builder();
    let times = numbers.data_type(data_type.clone()).build()?;
    Ok(Arc::clone(&make_array(times)))
}
