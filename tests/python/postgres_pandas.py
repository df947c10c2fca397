"""pandas reads from Weir and writes to it: over SQLAlchemy with psycopg, and over ADBC."""

import datetime as dt
import sys

import adbc_driver_postgresql.dbapi
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

address = sys.argv[1]
# What was written is seen in views that are kept, too.
engine = sa.create_engine(
    f"postgresql+psycopg://somebody@{address}/weir", connect_args={"options": "-c read_your_writes=on"}
)
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    for statement in [
        "CREATE TABLE sales (id BIGINT PRIMARY KEY, region TEXT, amount DOUBLE PRECISION, price NUMERIC(10, 2), "
        "at TIMESTAMPTZ, day DATE, ok BOOLEAN, tags TEXT[])",
        "INSERT INTO sales VALUES (1, 'north', 10.5, 1.25, '2024-01-01T00:00:00Z', '2024-01-01', true, ARRAY['a', 'b']), "
        "(2, 'south', 20, 2.5, '2024-01-02T00:00:00Z', '2024-01-02', false, NULL), (3, 'north', NULL, NULL, NULL, NULL, NULL, NULL)",
        "CREATE STREAM clicks (page TEXT, hits BIGINT)",
        "CREATE MATERIALIZED VIEW pages AS SELECT page, sum(hits) AS hits FROM clicks GROUP BY page",
    ]:
        connection.exec_driver_sql(statement)

# Reading.
frame = pd.read_sql("SELECT * FROM sales ORDER BY id", engine)
assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
    "id": "int64",
    "region": "str",
    "amount": "float64",
    "price": "float64",
    "at": "datetime64[us, UTC]",
    "day": "object",
    "ok": "object",
    "tags": "object",
}, frame.dtypes
assert frame["tags"][0] == ["a", "b"] and frame["day"][1] == dt.date(2024, 1, 2)
assert frame["price"].sum() == 3.75 and frame["amount"].isna().tolist() == [False, False, True]
asked = pd.read_sql(sa.text("SELECT id FROM sales WHERE region = :region ORDER BY id"), engine, params={"region": "north"})
assert asked["id"].tolist() == [1, 3]
table = pd.read_sql_table("sales", engine, index_col="id", columns=["region", "at"])
assert table.loc[2, "region"] == "south" and table.loc[2, "at"] == pd.Timestamp("2024-01-02", tz="UTC")
with engine.connect().execution_options(stream_results=True) as connection:
    chunks = pd.read_sql("SELECT v FROM generate_series(1, 2500) AS g(v)", connection, chunksize=1000)
    assert [len(chunk) for chunk in chunks] == [1000, 1000, 500]

# Writing: into a table that is there, into a stream, into new tables.
rows = pd.DataFrame(
    {
        "id": [10, 11],
        "region": ["east", "west"],
        "amount": [1.5, None],
        "ok": [True, False],
        "at": pd.to_datetime(["2024-03-01", "2024-03-02"], utc=True),
    }
)
rows.to_sql("sales", engine, if_exists="append", index=False)
rows.assign(id=[12, 13]).to_sql("sales", engine, if_exists="append", index=False, method="multi")
asked = pd.read_sql("SELECT id, amount, ok, at FROM sales WHERE id >= 10 ORDER BY id", engine)
assert asked["id"].tolist() == [10, 11, 12, 13] and asked["ok"].tolist() == [True, False, True, False]
assert asked["at"][1] == pd.Timestamp("2024-03-02", tz="UTC") and asked["amount"].isna().tolist() == [False, True, False, True]
try:
    rows.to_sql("sales", engine, if_exists="append", index=False)
    raise AssertionError("a key was written twice")
except pd.errors.DatabaseError as error:
    assert isinstance(error.__cause__, sa.exc.IntegrityError), error
pd.DataFrame({"page": ["a", "b", "a"], "hits": [1, 2, 3]}).to_sql("clicks", engine, if_exists="append", index=False)
assert pd.read_sql("SELECT * FROM pages ORDER BY page", engine).astype({"hits": int}).values.tolist() == [["a", 4], ["b", 2]]
for if_exists in ["fail", "replace", "delete_rows"]:
    rows.to_sql("fresh", engine, index=False, if_exists=if_exists)
    assert len(pd.read_sql_table("fresh", engine)) == 2, if_exists
rows.to_sql("fresh", engine, index=False, schema="public", if_exists="append", dtype={"id": sa.BIGINT})
assert pd.read_sql("SELECT count(*) AS n, max(id) AS last FROM fresh", engine).values.tolist() == [[4, 11]]
print("sqlalchemy holds")

with adbc_driver_postgresql.dbapi.connect(f"postgresql://somebody@{address}/weir") as connection:
    frame = pd.read_sql("SELECT id, region, at FROM sales ORDER BY id", connection, dtype_backend="pyarrow")
    assert frame.dtypes["at"] == pd.ArrowDtype(pa.timestamp("us", "UTC")), frame.dtypes
    assert frame["id"].tolist() == [1, 2, 3, 10, 11, 12, 13]
    assert len(pd.read_sql_table("sales", connection)) == 7
    more = rows.assign(id=[20, 21])[["id", "region", "at"]]
    assert more.to_sql("sales", connection, if_exists="append", index=False) == 2
    for if_exists in ["fail", "append", "replace"]:
        more.to_sql("fresh_too", connection, index=False, if_exists=if_exists)
    assert pd.read_sql("SELECT count(*) AS n FROM fresh_too", connection)["n"].tolist() == [2]
    assert pd.read_sql("SELECT count(*) AS n FROM sales", connection)["n"].tolist() == [9]
print("adbc holds")
print("pandas holds")
