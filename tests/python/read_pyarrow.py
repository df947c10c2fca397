"""Reads what Weir serves with pyarrow: read_pyarrow.py URL."""

import datetime
import decimal
import io
import sys
import urllib.request

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

url = sys.argv[1]


def fetch(sql, accept):
    request = urllib.request.Request(f"{url}/v1/sql", data=sql.encode(), headers={"Accept": accept, "Content-Type": "text/plain"})
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)


def check(table):
    row, empty = table.sort_by("id").to_pylist()
    assert row["id"] == 1 and row["yes"] is True and row["small"] == -5, row
    assert row["real"] == 1.5 and row["double"] == 0.1, row
    assert row["dec"] == decimal.Decimal("12345.6789"), row
    assert row["text"] == "grüß" and row["raw"] == b"\xde\xad", row
    assert row["day"] == datetime.date(2024, 2, 29), row
    assert row["clock"] == datetime.time(12, 34, 56, 789000), row
    assert row["at"].replace(tzinfo=None) == datetime.datetime(2024, 2, 29, 12, 34, 56, 789000), row
    assert row["zoned"].astimezone(datetime.timezone.utc) == datetime.datetime(2024, 2, 29, 10, 34, 56, 789000, datetime.timezone.utc), row
    assert str(row["uid"]) == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", row
    assert row["doc"] == '{"a": 1}', row
    assert row["tags"] == ["x", "y"] and row["place"] == {"lat": 1.5, "lon": 2.5}, row
    assert empty["id"] == 2 and all(value is None for name, value in empty.items() if name != "id"), empty


columns = "id, yes, small, real, double, dec, text, raw, day, clock, at, zoned, uid, doc, tags, place"
with fetch(f"SELECT {columns}, span FROM s", "application/vnd.apache.arrow.stream") as response:
    table = pa.ipc.open_stream(response).read_all()
check(table)
assert table.column("span")[0].as_py() is not None

with fetch(f"SELECT {columns} FROM s", "application/vnd.apache.parquet") as response:
    check(pa.parquet.read_table(io.BytesIO(response.read())))

# A large one, batch by batch.
with fetch("SELECT value, 'row ' || value AS text FROM generate_series(1, 300000) AS g(value)", "application/vnd.apache.arrow.stream") as response:
    reader = pa.ipc.open_stream(response)
    total = sum(batch.num_rows for batch in reader)
assert total == 300000, total

# None at all.
with fetch("SELECT 1 AS one WHERE false", "application/vnd.apache.arrow.stream") as response:
    assert pa.ipc.open_stream(response).read_all().num_rows == 0
print("ok")
