"""Reads what Weir serves with DuckDB: read_duckdb.py URL."""

import os
import sys
import tempfile
import urllib.request

import duckdb
import pyarrow as pa
import pyarrow.ipc

url = sys.argv[1]


def fetch(sql, accept):
    request = urllib.request.Request(f"{url}/v1/sql", data=sql.encode(), headers={"Accept": accept, "Content-Type": "text/plain"})
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)


columns = "id, yes, small, real, double, dec, text, day, at, tags, place"
wanted = "id = 1 AND yes AND small = -5 AND real = 1.5 AND double = 0.1 AND dec = 12345.6789 AND text = 'grüß' AND day = DATE '2024-02-29' AND tags = ['x', 'y'] AND place.lat = 1.5"
with duckdb.connect() as db, tempfile.TemporaryDirectory() as folder:
    with fetch(f"SELECT {columns} FROM s", "application/vnd.apache.arrow.stream") as response:
        served = pa.ipc.open_stream(response)
        assert db.execute(f"SELECT count(*), count(*) FILTER ({wanted}) FROM served").fetchone() == (2, 1)

    path = os.path.join(folder, "s.parquet")
    with fetch(f"SELECT {columns} FROM s", "application/vnd.apache.parquet") as response, open(path, "wb") as file:
        file.write(response.read())
    assert db.execute(f"SELECT count(*), count(*) FILTER ({wanted}) FROM '{path}'").fetchone() == (2, 1)

    path = os.path.join(folder, "s.csv")
    with fetch("SELECT id, text, dec FROM s ORDER BY id", "text/csv") as response, open(path, "wb") as file:
        file.write(response.read())
    assert db.execute(f"SELECT id, text FROM '{path}' ORDER BY id").fetchall() == [(1, "grüß"), (2, None)]

    path = os.path.join(folder, "s.ndjson")
    with fetch("SELECT id, text, tags FROM s ORDER BY id", "application/x-ndjson") as response, open(path, "wb") as file:
        file.write(response.read())
    assert db.execute(f"SELECT id, text, tags FROM '{path}' ORDER BY id").fetchall() == [(1, "grüß", ["x", "y"]), (2, None, None)]
print("ok")
