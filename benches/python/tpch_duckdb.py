"""Runs the TPC-H queries in DuckDB over Parquet files and prints a line a query: tpch_duckdb.py DATA QUERIES RUNS THREADS."""

import pathlib
import sys
import time

import duckdb

data, queries, runs, threads = sys.argv[1:]
db = duckdb.connect()
db.execute(f"SET threads = {int(threads)}")
for file in sorted(pathlib.Path(data).glob("*.parquet")):
    db.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM '{file}'")
for file in sorted(pathlib.Path(queries).glob("q*.sql")):
    sql = file.read_text()
    best = None
    for _ in range(int(runs)):
        started = time.perf_counter()
        rows = len(db.execute(sql).fetchall())
        elapsed = time.perf_counter() - started
        best = elapsed if best is None else min(best, elapsed)
    print(f"{file.stem} {best:.6f} {rows}", flush=True)
