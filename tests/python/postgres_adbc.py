"""ADBC's PostgreSQL driver: binary COPY for reading, all types, catalog, ingestion in each mode, transactions."""

import datetime as dt
import decimal
import sys
import uuid

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as postgresql
import pyarrow as pa

uri = f"postgresql://somebody@{sys.argv[1]}/weir"


def ask(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetch_arrow_table()


VALUES = {
    "b": ("BOOLEAN", "true", pa.bool_(), True),
    "s": ("SMALLINT", "7", pa.int16(), 7),
    "i": ("INTEGER", "-8", pa.int32(), -8),
    "r": ("REAL", "1.5", pa.float32(), 1.5),
    "d": ("DOUBLE PRECISION", "0.1", pa.float64(), 0.1),
    "t": ("TEXT", "'grüß'", pa.string(), "grüß"),
    "y": ("BYTEA", "'\\x00ff'", pa.binary(), b"\x00\xff"),
    "day": ("DATE", "'2024-02-29'", pa.date32(), dt.date(2024, 2, 29)),
    "time": ("TIME", "'12:34:56.5'", pa.time64("us"), dt.time(12, 34, 56, 500000)),
    "ts": ("TIMESTAMP", "'2024-02-29 12:00'", pa.timestamp("us"), dt.datetime(2024, 2, 29, 12)),
    "tz": ("TIMESTAMPTZ", "'2024-02-29 12:00+00'", pa.timestamp("us", "UTC"), dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)),
    "list": ("BIGINT[]", "ARRAY[1, 2, NULL]", pa.list_(pa.int64()), [1, 2, None]),
    "texts": ("TEXT[]", "ARRAY['x', 'y,z']", pa.list_(pa.string()), ["x", "y,z"]),
}
with postgresql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
    assert connection.adbc_get_info()["vendor_name"] == "PostgreSQL"
    columns = ", ".join(f'"{name}" {value[0]}' for name, value in VALUES.items())
    cursor.execute(f"CREATE TABLE kinds (id BIGINT PRIMARY KEY, {columns}, n NUMERIC(20, 4), u UUID, j JSONB, iv INTERVAL)")
    literals = ", ".join(value[1] for value in VALUES.values())
    cursor.execute(
        f"INSERT INTO kinds VALUES (1, {literals}, 12345.6789, '00112233-4455-6677-8899-aabbccddeeff', '{{\"a\": 1}}', '1 day 2 hours')"
    )
    cursor.execute("INSERT INTO kinds (id) VALUES (2)")
    # By COPY in binary, which is the default, and by the extended protocol.
    for use_copy in ["true", "false"]:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": use_copy})
        table = ask(cursor, "SELECT * FROM kinds ORDER BY id")
        for name, (_, _, kind, wanted) in VALUES.items():
            column = table.column(name)
            assert column.type == kind, (use_copy, name, column.type)
            assert column.to_pylist() == [wanted, None], (use_copy, name, column.to_pylist())
        # A number of any length is a text to Arrow, and a UUID is one.
        assert table.column("n").type.storage_type == pa.string() and table.column("n")[0].as_py() == "12345.6789"
        assert table.column("u").type == pa.uuid() and table.column("u")[0].as_py() == uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
        assert table.column("j")[0].as_py() == '{"a": 1}'
        assert table.column("iv")[0].as_py() == pa.MonthDayNano([0, 1, 7_200_000_000_000])
    cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "true"})
    big = ask(cursor, "SELECT v, v::text AS t FROM generate_series(1, 200000) AS g(v) ORDER BY v")
    assert big.num_rows == 200000 and big.column("t")[199999].as_py() == "200000"
    print("types hold")

    assert ask(cursor, "SELECT id FROM kinds WHERE t = $1", ("grüß",)).to_pylist() == [{"id": 1}]
    assert ask(cursor, "SELECT id FROM kinds WHERE id = ANY($1) ORDER BY id", ([1, 2, 3],)).column("id").to_pylist() == [1, 2]
    cursor.executemany("INSERT INTO kinds (id, t) VALUES ($1, $2)", [(3, "x"), (4, "y")])
    assert ask(cursor, "SELECT t FROM kinds WHERE id > 2 ORDER BY id").column("t").to_pylist() == ["x", "y"]
    try:
        ask(cursor, "SELECT nothing FROM kinds")
        raise AssertionError("an error was swallowed")
    except adbc_driver_manager.ProgrammingError as error:
        assert error.sqlstate == "42703", error.sqlstate
    print("parameters hold")

    schema = connection.adbc_get_table_schema("kinds")
    assert schema.names == ["id", *VALUES, "n", "u", "j", "iv"], schema.names
    assert schema.field("tz").type == pa.timestamp("us", "UTC")
    # Only the types are asked for.
    assert cursor.adbc_execute_schema("SELECT id, t FROM kinds").types == [pa.int64(), pa.string()]
    cursor.execute("CREATE VIEW named AS SELECT id, t FROM kinds")
    found = {}
    for catalog in connection.adbc_get_objects(depth="all", catalog_filter="weir", db_schema_filter="public").read_all().to_pylist():
        for schema in catalog["catalog_db_schemas"]:
            for table in schema["db_schema_tables"]:
                found[table["table_name"]] = table
    assert found["kinds"]["table_type"] == "table" and found["named"]["table_type"] == "view", found
    assert [column["column_name"] for column in found["named"]["table_columns"]] == ["id", "t"]
    keys = [constraint["constraint_column_names"] for constraint in found["kinds"]["table_constraints"] if constraint["constraint_type"] == "PRIMARY KEY"]
    assert keys == [["id"]], keys
    one = connection.adbc_get_objects(depth="all", table_name_filter="kin%").read_all().to_pylist()
    names = [table["table_name"] for catalog in one for schema in catalog["catalog_db_schemas"] or [] for table in schema["db_schema_tables"]]
    assert names == ["kinds"], names
    print("catalog holds")

    rows = pa.table(
        {
            "id": pa.array([1, 2], pa.int64()),
            "n": ["a", None],
            "x": [1.5, 2.5],
            "at": pa.array([dt.datetime(2024, 1, 1)] * 2, pa.timestamp("us", "UTC")),
            "price": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(10, 2)),
            "l": pa.array([[1, 2], None], pa.list_(pa.int64())),
            "bytes": pa.array([b"x", None], pa.binary()),
            "ok": [True, None],
            "day": pa.array([dt.date(2024, 1, 1), None]),
        }
    )
    for mode, count in [("create", 2), ("append", 4), ("create_append", 6), ("replace", 2)]:
        assert cursor.adbc_ingest("taken", rows, mode=mode) == 2
        assert ask(cursor, "SELECT count(*) AS n FROM taken").to_pylist() == [{"n": count}], mode
    back = ask(cursor, "SELECT * FROM taken ORDER BY id")
    for name in ["id", "n", "x", "at", "l", "bytes", "ok", "day"]:
        assert back.column(name).to_pylist() == rows.column(name).to_pylist(), (name, back.column(name))
    assert decimal.Decimal(back.column("price")[0].as_py()) == decimal.Decimal("1.25") and back.column("price")[1].as_py() is None
    cursor.execute("CREATE STREAM events (id BIGINT, n TEXT)")
    assert cursor.adbc_ingest("events", rows.select(["id", "n"]), mode="append") == 2
    assert ask(cursor, "SELECT id, n FROM events ORDER BY id").to_pylist() == rows.select(["id", "n"]).to_pylist()
    cursor.execute("CREATE SCHEMA lab")
    assert cursor.adbc_ingest("events", rows.select(["id"]), mode="create", db_schema_name="lab") == 2
    assert cursor.adbc_ingest("own", rows, mode="create", temporary=True) == 2
    assert cursor.adbc_ingest("own", rows, mode="append", temporary=True) == 2
    assert ask(cursor, "SELECT count(*) AS n FROM own").to_pylist() == [{"n": 4}]
    with postgresql.connect(uri, autocommit=True) as other, other.cursor() as others:
        try:
            ask(others, "SELECT * FROM own")
            raise AssertionError("another session sees what is temporary")
        except adbc_driver_manager.ProgrammingError as error:
            assert error.sqlstate == "42P01", error
    print("ingestion holds")

with postgresql.connect(uri) as connection, connection.cursor() as cursor:
    cursor.execute("CREATE TABLE once (id BIGINT PRIMARY KEY)")
    cursor.adbc_ingest("once", pa.table({"id": [1]}), mode="append")
    connection.rollback()
    cursor.execute("CREATE TABLE once (id BIGINT PRIMARY KEY)")
    cursor.adbc_ingest("once", pa.table({"id": [2]}), mode="append")
    connection.commit()
    assert ask(cursor, "SELECT * FROM once").to_pylist() == [{"id": 2}]
print("adbc holds")
