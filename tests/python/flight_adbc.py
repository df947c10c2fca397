"""The ADBC driver for Flight SQL against the Flight door: flight_adbc.py HOST:PORT."""

import datetime
import decimal
import sys
import threading
import time

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow

# Keeps the cores busy for longer than any test waits.
SLOW = (
    "SELECT count(*) AS slow FROM generate_series(1, 1000000) AS a(x) "
    "CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * 7 + y) % 1000003 = 1000002"
)


def connect(**options):
    return dbapi.connect(f"grpc://{sys.argv[1]}", autocommit=True, **options)


def one(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchone()


def refused(act, *pieces):
    try:
        act()
    except dbapi.Error as error:
        text = str(error)
        for piece in pieces:
            assert piece in text, (piece, text)
        return error
    raise AssertionError(f"not refused: {pieces}")


def queries(connection):
    with connection.cursor() as cursor:
        assert one(cursor, "SELECT 1 AS one, 'grüß' AS text") == (1, "grüß")
        assert [column[0] for column in cursor.description] == ["one", "text"]
        cursor.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT, born DATE)")
        cursor.execute("INSERT INTO people VALUES (1, 'ada', '1815-12-10'), (2, 'alan', NULL)")
        assert cursor.rowcount == 2, cursor.rowcount
        cursor.execute("SELECT * FROM people ORDER BY id")
        table = cursor.fetch_arrow_table()
        assert table.to_pylist()[0] == {"id": 1, "name": "ada", "born": datetime.date(1815, 12, 10)}
        # View types are sent as plain ones.
        assert table.schema.field("name").type == pyarrow.string(), table.schema
        row = one(
            cursor,
            "SELECT true, 1.25::DECIMAL(10,2), decode('dead', 'hex'), TIMESTAMP '2024-02-29 12:00:00', "
            "[1, 2, 3], INTERVAL '1 day', NULL",
        )
        assert row[:3] == (True, decimal.Decimal("1.25"), b"\xde\xad"), row
        assert row[4] == [1, 2, 3], row
        # More than a message has room for.
        cursor.execute("SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 20000) AS g(value)")
        large = cursor.fetch_arrow_table()
        assert large.num_rows == 20000
        assert large["value"].to_pylist() == list(range(1, 20001))


def failures(connection):
    with connection.cursor() as cursor:
        refused(lambda: cursor.execute("SELECT nmae FROM people"), "42703", "line 1, column 8", "name")
        refused(lambda: cursor.execute("SELEC 1"), "42601")
        refused(lambda: cursor.execute("SELECT * FROM nowhere"), "42P01")
        assert one(cursor, "SELECT 2") == (2,)


def parameters(connection):
    with connection.cursor() as cursor:
        assert one(cursor, "SELECT name FROM people WHERE id = $1", (1,)) == ("ada",)
        assert one(cursor, "SELECT name FROM people WHERE id = $1", (2,)) == ("alan",)
        cursor.executemany("INSERT INTO people (id, name) VALUES ($1, $2)", [(3, "grace"), (4, "edsger")])
        assert one(cursor, "SELECT count(*) FROM people") == (4,)
        assert one(cursor, "SELECT $1 AS n", ("a text",)) == ("a text",)
        # Inserts of many rows happen together or not at all.
        refused(
            lambda: cursor.executemany("INSERT INTO people (id, name) VALUES ($1, $2)", [(5, "new"), (1, "again")]),
            "(id) = ", "23505",
        )
        assert one(cursor, "SELECT count(*) FROM people") == (4,)
        assert cursor.adbc_prepare("SELECT id, name FROM people WHERE id > $1") is not None
        schema = cursor.adbc_execute_schema("SELECT id, name FROM people")
        assert schema.names == ["id", "name"], schema


def objects(connection):
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Weir", info
    types = connection.adbc_get_table_types()
    assert types == ["SYSTEM TABLE", "TABLE", "VIEW"], types
    catalogs = connection.adbc_get_objects(depth="catalogs").read_all().to_pylist()
    assert [catalog["catalog_name"] for catalog in catalogs] == ["weir"], catalogs
    schemas = connection.adbc_get_objects(depth="db_schemas").read_all().to_pylist()
    names = [schema["db_schema_name"] for schema in schemas[0]["catalog_db_schemas"]]
    assert "public" in names and "information_schema" in names, names
    tables = connection.adbc_get_objects(depth="tables", db_schema_filter="public").read_all().to_pylist()
    found = {table["table_name"]: table["table_type"] for table in tables[0]["catalog_db_schemas"][0]["db_schema_tables"]}
    assert found["people"] == "TABLE", found
    everything = connection.adbc_get_objects(depth="all", table_name_filter="peo%").read_all().to_pylist()
    (schema,) = [s for s in everything[0]["catalog_db_schemas"] if s["db_schema_tables"]]
    (table,) = schema["db_schema_tables"]
    columns = [column["column_name"] for column in table["table_columns"]]
    assert columns == ["id", "name", "born"], columns
    types = [column["xdbc_type_name"] for column in table["table_columns"]]
    assert types == ["BIGINT", "TEXT", "DATE"], types
    schema = connection.adbc_get_table_schema("people", db_schema_filter="public")
    assert schema.field("id").type == pyarrow.int64(), schema
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM weir.queries")
        cursor.fetchall()


def ingest(connection):
    rows = pyarrow.table({"id": list(range(5000)), "text": [f"row {n}" for n in range(5000)]})
    with connection.cursor() as cursor:
        assert cursor.adbc_ingest("loaded", rows, mode="create") == 5000
        assert one(cursor, "SELECT count(*), max(id) FROM loaded") == (5000, 4999)
        refused(lambda: cursor.adbc_ingest("loaded", rows, mode="create"), "loaded")
        assert cursor.adbc_ingest("loaded", rows.slice(0, 10), mode="append") == 10
        # A reader of batches, and one of them.
        batch = rows.slice(0, 5).combine_chunks().to_batches()[0]
        reader = pyarrow.RecordBatchReader.from_batches(batch.schema, [batch, batch])
        assert cursor.adbc_ingest("batches", reader, mode="create") == 10
        assert cursor.adbc_ingest("loaded", batch, mode="create_append") == 5
        assert one(cursor, "SELECT count(*) FROM loaded") == (5015,)
        refused(lambda: cursor.adbc_ingest("nowhere", rows, mode="append"), "nowhere")
        cursor.execute("CREATE STREAM bids (id BIGINT NOT NULL, text TEXT)")
        assert cursor.adbc_ingest("bids", rows, mode="append") == 5000
        # One wrong row refuses all.
        wrong = pyarrow.table({"id": pyarrow.array([1, None, 3], pyarrow.int64()), "text": ["a", "b", "c"]})
        refused(lambda: cursor.adbc_ingest("bids", wrong, mode="append"), "row 2")
        assert one(cursor, "SELECT count(*) FROM bids") == (5000,)
        assert cursor.adbc_ingest("loaded", rows.slice(0, 7), mode="replace") == 7
        assert one(cursor, "SELECT count(*) FROM loaded") == (7,)
        assert cursor.adbc_ingest("fresh", rows.slice(0, 3), mode="replace") == 3
        keyed = pyarrow.table({"id": [1], "name": ["again"], "born": pyarrow.array([None], pyarrow.date32())})
        refused(lambda: cursor.adbc_ingest("people", keyed, mode="append"), "23505")
        # What was made for rows that are refused does not stay.
        unnamed = pyarrow.table([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
        refused(lambda: cursor.adbc_ingest("doubled", unnamed, mode="create"))
        refused(lambda: cursor.execute("SELECT * FROM doubled"), "42P01")
        cursor.adbc_ingest("in_schema", rows.slice(0, 1), mode="create", db_schema_name="public")
        assert one(cursor, "SELECT count(*) FROM public.in_schema") == (1,)


def cancel(connection):
    with connection.cursor() as cursor:
        thread = threading.Timer(0.5, cursor.adbc_cancel)
        thread.start()
        started = time.monotonic()
        try:
            cursor.execute(SLOW)
            cursor.fetchall()
        except dbapi.Error as error:
            assert "ancel" in str(error), error
        else:
            raise AssertionError("it was not cancelled")
        assert time.monotonic() - started < 30
        thread.join()
    with connection.cursor() as cursor:
        deadline = time.monotonic() + 30
        while one(cursor, "SELECT count(*) FROM weir.queries WHERE state = 'running' AND sql LIKE '%AS slow%' AND sql NOT LIKE '%weir.queries%'")[0]:
            assert time.monotonic() < deadline, "the query goes on"


def live(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM bids WHERE id < 3 EMIT CHANGES")
        reader = cursor.fetch_record_batch()
        seen = []
        while len(seen) < 3:
            seen += reader.read_next_batch().column("id").to_pylist()
        assert seen == [0, 1, 2], seen
        with connect() as other, other.cursor() as writer:
            writer.execute("INSERT INTO bids VALUES (2, 'later')")
        while len(seen) < 4:
            seen += reader.read_next_batch().column("id").to_pylist()
        assert seen[3] == 2, seen
        cursor.adbc_cancel()
    # The form of changes is asked for by a header.
    with connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.flight.sql.rpc.call_header.weir-envelope": "upsert"})
        cursor.execute("SELECT id, name FROM people WHERE id = 1 EMIT CHANGES")
        rows = cursor.fetch_record_batch().read_next_batch().to_pylist()
        assert rows == [{"_op": "upsert", "id": 1, "name": "ada"}], rows
        cursor.adbc_cancel()


def transactions(connection):
    with dbapi.connect(f"grpc://{sys.argv[1]}", autocommit=False) as own, own.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM people")
        before = cursor.fetchone()[0]
        cursor.execute("INSERT INTO people (id, name) VALUES (100, 'in a transaction')")
        with connection.cursor() as other:
            assert one(other, "SELECT count(*) FROM people") == (before,)
        own.rollback()
        assert one(cursor, "SELECT count(*) FROM people") == (before,)
        own.commit()
        cursor.execute("INSERT INTO people (id, name) VALUES (100, 'in a transaction')")
        own.commit()
        with connection.cursor() as other:
            assert one(other, "SELECT count(*) FROM people") == (before + 1,)
        # What is defined is taken back, too.
        cursor.execute("CREATE TABLE made (id BIGINT)")
        own.rollback()
        refused(lambda: cursor.execute("SELECT * FROM made"), "42P01")
        own.rollback()


def settings(connection):
    # One connection is one session.
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA sales")
        cursor.execute("CREATE TABLE sales.orders (n BIGINT)")
        cursor.execute("SET search_path = sales")
        assert one(cursor, "SELECT count(*) FROM orders") == (0,)
    with connect() as other, other.cursor() as cursor:
        refused(lambda: cursor.execute("SELECT count(*) FROM orders"), "42P01")


def handshake():
    with connect(db_kwargs={"username": "ada", "password": "anything"}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = information_schema")
            assert one(cursor, "SELECT count(*) > 0 FROM tables") == (True,)


with connect() as connection:
    steps = sys.argv[2:] or ["queries", "failures", "parameters", "objects", "ingest", "transactions", "live", "cancel", "settings"]
    for step in steps:
        globals()[step](connection)
handshake()
assert adbc_driver_manager.__version__
print("ok")
