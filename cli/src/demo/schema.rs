//! The demo's streams and external tables, as SQL.

use std::path::Path;

/// Everything that the demo needs, in order; each statement may be executed again at every start.
pub(crate) fn statements(folder: &Path) -> Vec<String> {
    let location = |file: &str| folder.join(file).display().to_string().replace('\'', "''");
    vec![
        "CREATE STREAM IF NOT EXISTS people (
  id BIGINT NOT NULL,
  name TEXT NOT NULL,
  email TEXT,
  city_id BIGINT NOT NULL,
  country TEXT NOT NULL,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND
)"
        .to_owned(),
        "CREATE STREAM IF NOT EXISTS auctions (
  id BIGINT NOT NULL,
  item TEXT NOT NULL,
  category TEXT NOT NULL,
  seller BIGINT NOT NULL,
  initial_bid BIGINT NOT NULL,
  reserve BIGINT,
  at TIMESTAMP NOT NULL,
  expires TIMESTAMP NOT NULL,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND
)"
        .to_owned(),
        "CREATE STREAM IF NOT EXISTS bids (
  auction BIGINT NOT NULL,
  bidder BIGINT NOT NULL,
  price BIGINT NOT NULL,
  channel TEXT,
  url TEXT,
  at TIMESTAMP NOT NULL,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND
) WITH (partitions = 2)"
            .to_owned(),
        format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS cities STORED AS PARQUET LOCATION '{}'",
            location("cities.parquet")
        ),
        format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS countries (
  code TEXT, name TEXT, continent TEXT, capital TEXT, population BIGINT, area_km2 DOUBLE, currency TEXT
) STORED AS CSV LOCATION '{}'",
            location("countries.csv")
        ),
        format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS continents STORED AS NDJSON LOCATION '{}'",
            location("continents.ndjson")
        ),
    ]
}
