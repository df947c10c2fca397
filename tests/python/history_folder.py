"""Counts the rows of a stream's history with DuckDB, as one table with Hive partitions."""

import sys

import duckdb

files = f"{sys.argv[1]}/*/*/*.parquet"
query = "SELECT count(*), count(DISTINCT partition) FROM read_parquet(?, hive_partitioning = true)"
rows, partitions = duckdb.execute(query, [files]).fetchone()
assert partitions == 2, partitions
print(rows)
