"""PostgreSQL's ODBC driver, through unixODBC: what Tableau, Excel and Power BI ask for by it."""

import datetime as dt
import decimal
import sys
import uuid

import pyodbc

host, port = sys.argv[1].rsplit(":", 1)


def connect(options="", **more):
    return pyodbc.connect(f"Driver={{PostgreSQL Unicode}};Server={host};Port={port};Database=weir;Uid=somebody;Pwd=x;{options}", **more)


def ask(cursor, sql, *parameters):
    cursor.execute(sql, *parameters)
    return [tuple(row) for row in cursor.fetchall()]


connection = connect(autocommit=True)
cursor = connection.cursor()
assert connection.getinfo(pyodbc.SQL_DBMS_NAME) == "PostgreSQL" and connection.getinfo(pyodbc.SQL_DBMS_VER) == "15.0.0"
cursor.execute(
    "CREATE TABLE kinds (id BIGINT PRIMARY KEY, b BOOLEAN, s SMALLINT, i INTEGER, r REAL, d DOUBLE PRECISION, n NUMERIC(20, 4), t TEXT, "
    "y BYTEA, day DATE, time TIME, ts TIMESTAMP, tz TIMESTAMPTZ, u UUID, j JSONB)"
)
cursor.execute("CREATE STREAM clicks (page TEXT, hits BIGINT)")
cursor.execute("CREATE MATERIALIZED VIEW pages AS SELECT page, sum(hits) AS hits FROM clicks GROUP BY page")
cursor.execute("CREATE TABLE pairs (a INTEGER, b INTEGER, v TEXT, PRIMARY KEY (b, a))")
moment = dt.datetime(2024, 2, 29, 12, 34, 56, 789000)
given = [
    1, True, 7, -8, 1.5, 0.1, decimal.Decimal("12345.6789"), "grüß 'x'", b"\x00\xff", dt.date(2024, 2, 29), dt.time(12, 34, 56), moment, moment,
    uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), '{"a": 1}',
]  # fmt: skip
cursor.execute(f"INSERT INTO kinds VALUES ({', '.join('?' * len(given))})", *given)
cursor.execute("INSERT INTO kinds (id) VALUES (2)")
one, two = ask(cursor, "SELECT * FROM kinds ORDER BY id")
# The driver shows a boolean as a text, unless it is told otherwise.
wanted = [*given]
wanted[1], wanted[13] = "1", "00112233-4455-6677-8899-AABBCCDDEEFF"
assert list(one) == wanted, (one, wanted)
assert list(two) == [2, *[None] * 14]
assert ask(cursor, "SELECT id FROM kinds WHERE id = ? AND t = ? AND day = ? AND n = ?", 1, given[7], given[9], given[6]) == [(1,)]
print("values hold")

# The catalog.
tables = {(row.table_schem, row.table_name): row.table_type for row in cursor.tables()}
assert tables["public", "kinds"] == "TABLE" and tables["public", "clicks"] == "TABLE", tables
assert [row.table_name for row in cursor.tables(table="kin%", tableType="TABLE")] == ["kinds"]
assert "public" in [row[1] for row in cursor.tables(catalog="", schema="%", table="")]
assert [row[0] for row in cursor.tables(catalog="%", schema="", table="")] == ["weir"]
columns = {row.column_name: (row.type_name, row.column_size, row.nullable) for row in cursor.columns(table="kinds")}
assert columns["id"] == ("int8", 19, 0) and columns["n"] == ("numeric", 20, 1) and columns["tz"][0] == "timestamptz", columns
assert [row.column_name for row in cursor.primaryKeys(table="kinds")] == ["id"]
keys = {row.column_name: row.key_seq for row in cursor.primaryKeys(table="pairs")}
assert keys == {"b": 1, "a": 2}, keys
assert cursor.foreignKeys(table="kinds").fetchall() == []
assert [(row.index_name, row.column_name) for row in cursor.statistics(table="kinds", unique=True) if row.index_name] == [("kinds_pkey", "id")]
assert len(cursor.getTypeInfo().fetchall()) > 20
assert len(cursor.procedures().fetchall()) > 100
print("the catalog holds")

cursor.executemany("INSERT INTO kinds (id, t) VALUES (?, ?)", [(i, str(i)) for i in range(10, 20)])
cursor.fast_executemany = True
cursor.executemany("INSERT INTO kinds (id, t) VALUES (?, ?)", [(i, str(i)) for i in range(20, 40)])
assert ask(cursor, "SELECT count(*) FROM kinds WHERE id >= 10") == [(30,)]
for options in [
    "",
    "UseDeclareFetch=1;Fetch=100",
    "UseDeclareFetch=1;Fetch=100;UseServerSidePrepare=0",
    "UseDeclareFetch=1;UpdatableCursors=1;Fetch=50",
    "UseServerSidePrepare=0",
    "Protocol=7.4-0",
    "Protocol=7.4-1",
    "Protocol=7.4-2",
    "ByteaAsLongVarBinary=1;BoolsAsChar=0;TextAsLongVarchar=0",
]:
    for autocommit in [True, False]:
        one = connect(options, autocommit=autocommit)
        inner = one.cursor()
        rows = ask(inner, "SELECT v, v::text FROM generate_series(1, 1000) AS g(v) WHERE v > ? ORDER BY v", 5)
        assert rows == [(v, str(v)) for v in range(6, 1001)], (options, autocommit)
        assert ask(inner, "SELECT id, t FROM kinds WHERE t = ?", "15") == [(15, "15")]
        inner.execute("INSERT INTO kinds (id, t) VALUES (?, ?)", 1000, "x")
        assert inner.rowcount == 1
        if autocommit:
            inner.execute("DELETE FROM kinds WHERE id = ?", 1000)
        else:
            one.rollback()
        assert ask(inner, "SELECT count(*) FROM kinds WHERE id = 1000") == [(0,)]
        if not autocommit:
            one.commit()
        try:
            ask(inner, "SELECT nothing FROM kinds")
            raise AssertionError("an error was swallowed")
        except pyodbc.Error as error:
            assert error.args[0] in ("42703", "42S22"), error.args
        if not autocommit:
            one.rollback()
        assert ask(inner, "SELECT 1") == [(1,)]
        one.close()
print("cursors hold")

# What Tableau sends when it connects and asks.
cursor.execute('CREATE LOCAL TEMPORARY TABLE "#Tableau_1_Connect" ("COL" INTEGER) ON COMMIT PRESERVE ROWS')
cursor.execute('INSERT INTO "#Tableau_1_Connect" VALUES (?)', 1)
assert ask(cursor, 'SELECT "COL" FROM "#Tableau_1_Connect"') == [(1,)]
cursor.execute('DROP TABLE "#Tableau_1_Connect"')
assert ask(cursor, 'SELECT "COL" FROM (SELECT 1 AS "COL") AS "SUBQUERY"') == [(1,)]
cursor.execute("BEGIN")
cursor.execute('declare "SQL_CUR0x1" cursor with hold for SELECT "kinds"."id" AS "id" FROM "public"."kinds" "kinds" ORDER BY 1')
assert ask(cursor, 'fetch 3 in "SQL_CUR0x1"') == [(1,), (2,), (10,)]
cursor.execute("COMMIT")
assert ask(cursor, 'fetch 2 in "SQL_CUR0x1"') == [(11,), (12,)]
cursor.execute('close "SQL_CUR0x1"')
print("odbc holds")
