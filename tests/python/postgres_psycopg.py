"""psycopg 3 uses Weir as its database: values of all types both ways, cursors, pipelines, copies, cancelling."""

import datetime as dt
import decimal
import sys
import threading
import time
import uuid

import psycopg
from psycopg import sql

host, port = sys.argv[1].rsplit(":", 1)
dsn = f"host={host} port={port} dbname=weir user=somebody"


def connect(**options):
    return psycopg.connect(dsn, **options)


# Every type, as text and in binary, out and in.
VALUES = [
    ("boolean", True),
    ("smallint", -7),
    ("integer", 2_000_000_000),
    ("bigint", -9_000_000_000_000_000_000),
    ("real", 1.5),
    ("double precision", 0.1),
    ("numeric(20, 4)", decimal.Decimal("-12345678.9000")),
    ("text", "grüß\n\t'quote'"),
    ("bytea", b"\x00\xff bytes"),
    ("date", dt.date(2024, 2, 29)),
    ("time", dt.time(23, 59, 59, 123456)),
    ("timestamp", dt.datetime(2024, 2, 29, 23, 59, 59, 123456)),
    ("timestamptz", dt.datetime(2024, 2, 29, 12, 0, tzinfo=dt.timezone.utc)),
    ("interval", dt.timedelta(days=3, hours=4, seconds=5.5)),
    ("uuid", uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")),
]
with connect(autocommit=True) as connection:
    columns = ", ".join(f"c{i} {name}" for i, (name, _) in enumerate(VALUES))
    connection.execute(f"CREATE TABLE kinds (id BIGINT PRIMARY KEY, {columns})")
    marks = ", ".join(["%s"] * (len(VALUES) + 1))
    wanted = [value for _, value in VALUES]
    for number, binary in enumerate([False, True]):
        with connection.cursor(binary=binary) as cursor:
            cursor.execute(f"INSERT INTO kinds VALUES ({marks})", [number, *wanted])
            assert cursor.rowcount == 1, cursor.rowcount
    connection.execute(f"INSERT INTO kinds VALUES ({marks})", [2, *[None] * len(VALUES)])
    for binary in [False, True]:
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SELECT * FROM kinds ORDER BY id")
            for row in cursor.fetchall()[:2]:
                assert list(row[1:]) == wanted, (binary, row, wanted)
            cursor.execute("SELECT * FROM kinds WHERE id = 2")
            assert list(cursor.fetchone()[1:]) == [None] * len(VALUES)
            cursor.execute("SELECT [1, 2, NULL], ['a', 'b,c', 'NULL', ''], [[1, 2], [3, 4]]")
            assert cursor.fetchone() == ([1, 2, None], ["a", "b,c", "NULL", ""], [[1, 2], [3, 4]])
            cursor.execute("SELECT id FROM kinds WHERE id = ANY(%s) ORDER BY id", [[0, 2]])
            assert [row[0] for row in cursor] == [0, 2]
print("types hold")

# The zone of the session.
with connect(autocommit=True) as connection:
    connection.execute("SET TimeZone = 'Asia/Kolkata'")
    assert connection.info.parameter_status("TimeZone") == "Asia/Kolkata"
    at = connection.execute("SELECT c12::text, c12 FROM kinds WHERE id = 0").fetchone()
    assert at[1] == VALUES[12][1] and at[1].utcoffset() == dt.timedelta(hours=5, minutes=30), at
    connection.execute("RESET ALL")
    assert connection.info.parameter_status("TimeZone") == "UTC"
print("zones hold")

# Transactions: nothing is seen before it is committed, nothing remains of what is rolled back.
with connect() as connection, connect(autocommit=True) as other:
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO t VALUES (1, 'one')")
    assert connection.execute("SELECT name FROM t").fetchall() == [("one",)]
    try:
        other.execute("SELECT * FROM t")
        raise AssertionError("what was not committed is seen")
    except psycopg.errors.UndefinedTable:
        pass
    connection.commit()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.execute("INSERT INTO t VALUES (2, 'two')")
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.rollback()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.execute("INSERT INTO t VALUES (2, 'two')")
    connection.commit()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (2,)
    # A moment: what others write meanwhile is not there.
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)
    other.execute("INSERT INTO t VALUES (3, 'three')")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)
    connection.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)
    connection.rollback()
    # Of two that change the same, the later is told.
    connection.execute("UPDATE t SET name = 'x' WHERE id = 1")
    other.execute("UPDATE t SET name = 'y' WHERE id = 1")
    try:
        connection.commit()
        raise AssertionError("an update was lost")
    except psycopg.errors.SerializationFailure:
        connection.rollback()
    # After a failure there is only the end.
    try:
        connection.execute("SELECT nothing")
    except psycopg.errors.UndefinedColumn as error:
        assert error.diag.statement_position == "8", error.diag.statement_position
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    try:
        connection.execute("SELECT 1")
        raise AssertionError("a failed transaction went on")
    except psycopg.errors.InFailedSqlTransaction:
        connection.rollback()
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (10, 'ten')")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO t VALUES (11, 'eleven')")
                raise RuntimeError
        except RuntimeError:
            pass
    assert other.execute("SELECT id FROM t WHERE id > 9").fetchall() == [(10,)]
print("transactions hold")

# Cursors that the server keeps.
with connect() as connection:
    query = "SELECT value FROM generate_series(1, 10000) AS g(value) ORDER BY value"
    with connection.cursor("c", scrollable=True) as cursor:
        cursor.itersize = 777
        cursor.execute(query)
        assert [row[0] for row in cursor] == list(range(1, 10001))
        cursor.scroll(-10, mode="relative")
        assert cursor.fetchone() == (9992,)
        cursor.scroll(41, mode="absolute")
        assert cursor.fetchmany(2) == [(42,), (43,)]
    with connection.cursor("b", binary=True) as cursor:
        cursor.execute(query + " LIMIT %s", [3])
        assert cursor.fetchall() == [(1,), (2,), (3,)]
    connection.commit()
    with connection.cursor("h", withhold=True) as cursor:
        cursor.execute(query)
        connection.commit()
        assert cursor.fetchmany(2) == [(1,), (2,)]
print("cursors hold")

# A pipeline is one transaction.
with connect(autocommit=True) as connection:
    with connection.pipeline():
        one = connection.execute("SELECT 1")
        two = connection.execute("INSERT INTO t VALUES (20, 'twenty')")
        three = connection.execute("SELECT 3")
    assert one.fetchone() == (1,) and two.rowcount == 1 and three.fetchone() == (3,)
    try:
        with connection.pipeline():
            connection.execute("INSERT INTO t VALUES (21, 'twenty-one')")
            connection.execute("SELECT nothing")
        raise AssertionError("an error was swallowed")
    except psycopg.errors.UndefinedColumn:
        pass
    assert connection.execute("SELECT id FROM t WHERE id >= 20").fetchall() == [(20,)]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(i, str(i)) for i in range(30, 40)])
    assert connection.execute("SELECT count(*) FROM t WHERE id >= 30").fetchone() == (10,)
print("pipelines hold")

# Copies.
with connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE copied (id BIGINT PRIMARY KEY, name TEXT, price NUMERIC(10, 2), at TIMESTAMP)")
    rows = [(i, f"n\t{i}\\" if i % 3 else None, decimal.Decimal(i) / 4, dt.datetime(2024, 1, 1, 0, 0, i % 60)) for i in range(20000)]
    with connection.cursor() as cursor:
        with cursor.copy("COPY copied FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        assert cursor.rowcount == 20000, cursor.rowcount
        for form in ["", "(FORMAT binary)"]:
            with cursor.copy(f"COPY (SELECT * FROM copied ORDER BY id) TO STDOUT {form}") as copy:
                copy.set_types(["int8", "text", "numeric", "timestamp"])
                assert list(copy.rows()) == rows, form
        connection.execute("TRUNCATE copied")
        with cursor.copy("COPY copied (id, name, price) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int8", "text", "numeric"])
            copy.write_row((1, "a", decimal.Decimal("1.5")))
        assert connection.execute("SELECT * FROM copied").fetchall() == [(1, "a", decimal.Decimal("1.50"), None)]
        with cursor.copy("COPY copied TO STDOUT (FORMAT csv, HEADER)") as copy:
            assert b"".join(copy) == b"id,name,price,at\n1,a,1.50,\n"
        try:
            with cursor.copy("COPY copied FROM STDIN (FORMAT csv)") as copy:
                copy.write("2,b,1.25,2024-01-01\n3,c,no number,2024-01-01\n")
            raise AssertionError("a wrong row was taken")
        except psycopg.errors.InvalidTextRepresentation as error:
            assert error.diag.context == 'COPY copied, line 2, column price: "no number"', error.diag.context
        assert connection.execute("SELECT count(*) FROM copied").fetchone() == (1,)
print("copies hold")

# Stopping: on request, and by time.
SLOW = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x) CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * 7 + y) % 1000003 = 1000002"
with connect(autocommit=True) as connection:
    threading.Timer(0.5, connection.cancel).start()
    began = time.monotonic()
    try:
        connection.execute(SLOW)
        raise AssertionError("it was not stopped")
    except psycopg.errors.QueryCanceled:
        assert time.monotonic() - began < 2, time.monotonic() - began
    connection.execute("SET statement_timeout = '300ms'")
    began = time.monotonic()
    try:
        connection.execute(SLOW)
        raise AssertionError("it was not stopped")
    except psycopg.errors.QueryCanceled:
        assert time.monotonic() - began < 2, time.monotonic() - began
    assert connection.execute("SELECT 1").fetchone() == (1,)
print("stops hold")

# A live query through a cursor.
with connect() as connection, connect(autocommit=True) as other:
    other.execute("CREATE STREAM bids (id BIGINT, price BIGINT)")
    other.execute("INSERT INTO bids VALUES (1, 10), (2, 20)")
    connection.execute("DECLARE live CURSOR FOR SUBSCRIBE bids")
    got = connection.execute("FETCH 10 live").fetchall()
    assert sorted(got) == [(1, 10), (2, 20)], got
    assert connection.execute("FETCH ALL live").fetchall() == []
    other.execute("INSERT INTO bids VALUES (3, 30)")
    assert connection.execute("FETCH 1 live").fetchall() == [(3, 30)]
    connection.execute("CLOSE live")
print("live cursors hold")
