//! Where the demo's people live: the cities of the example file, by population.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::files;
use crate::error::{Error, Result};

/// A city.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct City {
    pub(crate) id: i64,
    pub(crate) country: String,
}

/// All cities, each with the population of itself and those before it.
#[derive(Debug, Clone)]
pub(crate) struct Cities {
    cities: Vec<(i64, City)>,
}

impl Cities {
    /// Reads the example file that the binary carries.
    pub(crate) fn load() -> Result<Self> {
        let file = Bytes::from_static(files::CITIES);
        let mut cities = Vec::new();
        let mut people = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            let batch = batch?;
            let column = |name: &str| {
                batch.column_by_name(name).ok_or_else(|| {
                    Error::from(ArrowError::SchemaError(format!(
                        "cities.parquet has no {name}"
                    )))
                })
            };
            let (ids, populations) = (column("id")?, column("population")?);
            let countries = column("country")?.as_string::<i32>();
            for row in 0..batch.num_rows() {
                people += populations.as_primitive::<Int64Type>().value(row);
                let city = City {
                    id: ids.as_primitive::<Int64Type>().value(row),
                    country: countries.value(row).to_owned(),
                };
                cities.push((people, city));
            }
        }
        if cities.is_empty() {
            return Err(Error::Rows("cities.parquet has no rows".into()));
        }
        Ok(Self { cities })
    }

    /// The city of the inhabitant at `share` (from 0 to 1) of all.
    pub(crate) fn pick(&self, share: f64) -> &City {
        let all = self.cities.last().map_or(0, |(people, _)| *people);
        let inhabitant = (share * all as f64) as i64;
        let at = self
            .cities
            .partition_point(|(people, _)| *people <= inhabitant);
        &self.cities[at.min(self.cities.len() - 1)].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cities_are_picked_by_population() {
        let cities = Cities::load().unwrap();
        assert_eq!(cities.pick(0.0).country, "CN", "Shanghai is the largest");
        assert_eq!(cities.pick(1.0), &cities.cities.last().unwrap().1);
        assert!(cities.cities.len() > 5_000);
    }
}
