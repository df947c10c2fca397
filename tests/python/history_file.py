"""Reads one Parquet file of a stream's history with pyarrow: its columns, and the offsets that it answers for."""

import sys

import pyarrow.parquet

path, start, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
table = pyarrow.parquet.read_table(path, partitioning=None)
assert table["_offset"].to_pylist() == list(range(start, end)), (start, end, table["_offset"])
expected = ["n", "_partition", "_offset", "_timestamp", "_key", "_headers"]
assert table.column_names[: len(expected)] == expected, table.column_names
statistics = pyarrow.parquet.read_metadata(path).row_group(0).column(0).statistics
assert statistics.has_min_max, statistics
