"""What each user may do over Flight SQL: flight_rights.py HOST:PORT PASSWORD"""

import sys

import adbc_driver_flightsql.dbapi as flight
import pyarrow

address, password = sys.argv[1:]

# Who may read `t` and `s`, and nothing else.
READS = [
    "INSERT INTO t VALUES (7, 'x')",
    "INSERT INTO t VALUES (7, 'x') RETURNING id",
    "UPDATE t SET name = 'y'",
    "DELETE FROM t",
    "TRUNCATE t",
    "EXPLAIN INSERT INTO t VALUES (8, 'x')",
    "COPY (SELECT 1) TO '/no/where.csv'",
    "CREATE TABLE x AS SELECT * FROM t",
    "CREATE VIEW x AS SELECT * FROM t",
    "CREATE MATERIALIZED VIEW x AS SELECT * FROM t",
    "CREATE SINK x INTO t AS SELECT x AS id, 'k' AS name FROM s",
    "CREATE SCHEMA x",
    "ALTER TABLE t RENAME TO u",
    "DROP TABLE t",
    "GRANT SELECT ON t TO PUBLIC",
    "CREATE USER x",
    "CREATE TOKEN x FOR boss",
    "CREATE POLICY x ON t TO reads USING (true)",
    "SELECT * FROM '/no/where.csv'",
    "EXPLAIN ANALYZE SELECT * FROM policed",
]
# Who may add rows to `t`, and nothing else.
ADDS = [
    "SELECT * FROM t",
    "SELECT 1 WHERE EXISTS (SELECT * FROM t)",
    "SELECT * FROM t EMIT CHANGES",
    "SUBSCRIBE t",
    "EXPLAIN SELECT * FROM t",
    "INSERT INTO t SELECT id + 100, name FROM t",
    "UPDATE t SET name = 'y'",
    "DELETE FROM t",
]
NOBODY = {"SELECT * FROM t": "42P01", "DROP TABLE t": "42P01", "CREATE TABLE x (id BIGINT)": "42501"}
ROWS = pyarrow.table({"id": pyarrow.array([50], pyarrow.int64()), "name": ["fifty"]})


def connect(user):
    return flight.connect(f"grpc://{address}", autocommit=True, db_kwargs={"username": user, "password": password})


def state(act):
    try:
        act()
        return "done"
    except flight.Error as error:
        text = str(error)
        found = text.split("SQLSTATE ")
        return found[1][:5] if len(found) > 1 else text


wrong = []


def check(what, found, expected):
    if found != expected:
        wrong.append(f"{what}: {found}, not {expected}")


def executed(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchone()


def prepared(connection, sql):
    with connection.cursor() as cursor:
        cursor.adbc_prepare(sql)
        cursor.execute(sql)
        cursor.fetchone()


def updated(connection, sql):
    with connection.cursor() as cursor:
        cursor.adbc_statement.set_sql_query(sql)
        cursor.adbc_statement.execute_update()


def ingested(connection, table, mode):
    with connection.cursor() as cursor:
        cursor.adbc_ingest(table, ROWS, mode=mode)


for user, attempts in [("reads", dict.fromkeys(READS, "42501")), ("adds", dict.fromkeys(ADDS, "42501")), ("nobody", NOBODY)]:
    with connect(user) as connection:
        for sql, expected in attempts.items():
            for way in [executed, prepared, updated]:
                if way is updated and sql.endswith("EMIT CHANGES"):
                    continue
                check(f"{user}, {way.__name__}: {sql}", state(lambda: way(connection, sql)), expected)

for user, table, mode, expected in [
    ("reads", "t", "append", "42501"),
    ("reads", "t", "replace", "42501"),
    ("reads", "fresh", "create", "42501"),
    ("adds", "t", "append", "done"),
    ("adds", "t", "replace", "42501"),
    ("nobody", "t", "append", "42P01"),
]:
    with connect(user) as connection:
        check(f"{user} ingests into {table} by {mode}", state(lambda: ingested(connection, table, mode)), expected)

# Lists have what their reader may use.
with connect("nobody") as connection:
    shown = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
    assert "policed" not in str(shown) and "'s'" not in str(shown), shown

# What was prepared before a right was taken does not outlive it.
boss = connect("boss")
executed(boss, "GRANT SELECT ON t TO passing")
with connect("passing") as connection, connection.cursor() as cursor:
    sql = "SELECT name FROM t WHERE id = $1"
    cursor.adbc_prepare(sql)
    cursor.execute(sql, (1,))
    assert cursor.fetchone()
    executed(boss, "REVOKE SELECT ON t FROM passing")
    check("prepared before REVOKE", state(lambda: cursor.execute(sql, (1,))), "42P01")
    executed(boss, "ALTER USER passing NOLOGIN")
    check("who may no longer sign in", state(lambda: executed(connection, "SELECT 1")), "28000")
    boss.close()

assert not wrong, "\n".join(wrong)
print("ok")
