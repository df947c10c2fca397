"""What each user may do over the PostgreSQL protocol: postgres_rights.py HOST:PORT PASSWORD"""

import asyncio
import sys

import asyncpg
import psycopg

address, password = sys.argv[1:]
host, port = address.rsplit(":", 1)

# Who may read `t` and `s`, and nothing else.
READS = [
    "INSERT INTO t VALUES (7, 'x')",
    "INSERT INTO t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    "INSERT INTO t VALUES (7, 'x') RETURNING id",
    "INSERT INTO s SELECT x FROM s EMIT CHANGES",
    "UPDATE t SET name = 'y'",
    "DELETE FROM t RETURNING *",
    "DELETE FROM t USING s WHERE t.id = s.x",
    "TRUNCATE t",
    "EXPLAIN INSERT INTO t VALUES (8, 'x')",
    "PREPARE p AS DELETE FROM t",
    "COPY t FROM STDIN",
    "COPY (SELECT 1) TO '/no/where.csv'",
    "CREATE TABLE x AS SELECT * FROM t",
    "CREATE VIEW x AS SELECT * FROM t",
    "CREATE MATERIALIZED VIEW x AS SELECT * FROM t",
    "CREATE SINK x INTO t AS SELECT x AS id, 'k' AS name FROM s",
    "CREATE SCHEMA x",
    "CREATE STREAM x (x BIGINT) WITH (topic = 's')",
    "CREATE CONNECTION x WITH (type = 's3', bucket = 'b')",
    "ALTER TABLE t RENAME TO u",
    "COMMENT ON TABLE t IS 'x'",
    "DROP TABLE t",
    "GRANT SELECT ON t TO PUBLIC",
    "GRANT admin TO reads",
    "CREATE USER x",
    "ALTER USER boss PASSWORD 'another password'",
    "CREATE TOKEN x FOR boss",
    "CREATE POLICY x ON t TO reads USING (true)",
    "SELECT * FROM '/no/where.csv'",
    "SELECT * FROM read_csv('/no/where.csv')",
    "EXPLAIN ANALYZE SELECT * FROM policed",
]
# Who may add rows to `t`, and nothing else: what is there is seen, and not shown.
ADDS = [
    "SELECT * FROM t",
    "SELECT 1 WHERE EXISTS (SELECT * FROM t)",
    "WITH x AS (SELECT * FROM t) SELECT * FROM x",
    "SELECT * FROM t EMIT CHANGES",
    "SUBSCRIBE t",
    "COPY t TO STDOUT",
    "COPY (SELECT name FROM t) TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t",
    "DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE t",
    "PREPARE p AS SELECT * FROM t",
    "EXPLAIN SELECT * FROM t",
    "DESCRIBE SELECT * FROM t",
    "INSERT INTO t SELECT id + 100, name FROM t",
    "INSERT INTO t VALUES (9, 'x') RETURNING name",
    "INSERT INTO t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
    "UPDATE t SET name = 'y'",
    "DELETE FROM t",
]
# Who has no right at all: nothing is there.
NOBODY = {
    "SELECT * FROM t": "42P01",
    "SUBSCRIBE t": "42P01",
    "COPY t TO STDOUT": "42P01",
    "COPY t FROM STDIN": "42P01",
    "COPY nothing FROM STDIN": "42P01",
    "DROP TABLE t": "42P01",
    "PREPARE p AS SELECT * FROM t": "42P01",
    "CREATE TABLE x (id BIGINT)": "42501",
}


def connect(user):
    return psycopg.connect(host=host, port=port, dbname="weir", user=user, password=password, autocommit=True)


def state(act):
    try:
        act()
        return "done"
    except psycopg.Error as error:
        return error.sqlstate


def copied(connection, sql):
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        if "TO STDOUT" in sql:
            return list(copy)
        copy.write("7\tx\n")


def simple(connection, sql):
    if sql.startswith("COPY") and "STD" in sql:
        return lambda: copied(connection, sql)
    return lambda: connection.execute(sql)


def extended(connection, sql):
    if sql.startswith("COPY") and "STD" in sql:
        return lambda: copied(connection, sql)
    return lambda: connection.execute(sql, prepare=True, binary=True)


wrong = []


def check(what, found, expected):
    if found != expected:
        wrong.append(f"{what}: {found}, not {expected}")


for user, attempts in [("reads", dict.fromkeys(READS, "42501")), ("adds", dict.fromkeys(ADDS, "42501")), ("nobody", NOBODY)]:
    with connect(user) as connection:
        for sql, expected in attempts.items():
            for way in [simple, extended]:
                check(f"{user}, {way.__name__}: {sql}", state(way(connection, sql)), expected)
        check(f"{user} goes on", state(lambda: connection.execute("SELECT 1")), "done")


async def described():
    """asyncpg has each statement described before it runs."""
    connection = await asyncpg.connect(host=host, port=int(port), user="adds", password=password, database="weir")
    for sql in ADDS:
        if sql.startswith(("COPY", "DECLARE", "PREPARE")):
            continue
        try:
            await connection.fetch(sql)
            check(f"asyncpg: {sql}", "done", "42501")
        except asyncpg.PostgresError as error:
            check(f"asyncpg: {sql}", error.sqlstate, "42501")
    for copy in [
        connection.copy_from_table("t", output="/dev/null"),
        connection.copy_from_query("SELECT * FROM t", output="/dev/null"),
    ]:
        try:
            await copy
            check("asyncpg copies", "done", "42501")
        except asyncpg.PostgresError as error:
            check("asyncpg copies", error.sqlstate, "42501")
    await connection.close()


asyncio.run(described())

# What was prepared, declared or begun before a right was taken does not outlive it.
boss = connect("boss")
boss.execute("GRANT SELECT ON t TO passing")
with connect("passing") as connection:
    connection.execute("PREPARE p AS SELECT * FROM t")
    assert connection.execute("EXECUTE p").fetchall()
    again = "SELECT name FROM t WHERE id = %s"
    assert connection.execute(again, [1], prepare=True).fetchall()
    boss.execute("REVOKE SELECT ON t FROM passing")
    check("EXECUTE after REVOKE", state(lambda: connection.execute("EXECUTE p")), "42P01")
    check("prepared before REVOKE", state(lambda: connection.execute(again, [1], prepare=True)), "42P01")
    boss.execute("GRANT SELECT ON t TO passing")
    check("after GRANT", state(lambda: connection.execute("EXECUTE p")), "done")
    connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t")
    assert connection.execute("FETCH 1 c").fetchall()
    boss.execute("ALTER USER passing NOLOGIN")
    check("a cursor of who may no longer sign in", state(lambda: connection.execute("FETCH 1 c")), "28000")
    check("whose connection is closed", connection.closed, True)
check("who may no longer sign in", state(lambda: connect("passing")), None)

# What others run is not seen, and not stopped.
with connect("boss") as other, connect("reads") as reader:
    other.execute("SELECT 'of boss'")
    seen = reader.execute("SELECT sql FROM weir.queries").fetchall()
    assert seen and not any("of boss" in sql or "EMIT CHANGES" in sql and "INTO" not in sql for (sql,) in seen), seen

# What is temporary anybody may make, of what they may read; nobody else is shown it, and it goes with its session.
with connect("reads") as reader, connect("reads") as again, connect("nobody") as nobody:
    reader.execute("CREATE TEMP TABLE own AS SELECT id FROM policed")
    reader.execute("INSERT INTO own VALUES (7)")
    check("one's own rows", reader.execute("SELECT id FROM own ORDER BY id").fetchall(), [(1,), (7,)])
    ((schema,),) = reader.execute("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()").fetchall()
    check("a view of the policed", reader.execute("CREATE TEMP VIEW hidden AS SELECT id FROM policed").statusmessage, "CREATE VIEW")
    check("and its rows", reader.execute("SELECT id FROM hidden").fetchall(), [(1,)])
    for who in [again, nobody, boss]:
        for sql in [f"SELECT * FROM {schema}.own", f"INSERT INTO {schema}.own VALUES (8)", f"DROP TABLE {schema}.own", "SELECT * FROM own"]:
            check(f"{who.info.user}: {sql}", state(lambda: who.execute(sql)) in ("42P01", "3F000"), True)
        check("what is there", who.execute("SELECT count(*) FROM pg_class WHERE relname = 'own'").fetchall(), [(0,)])
    check("who has no right at all", state(lambda: nobody.execute("CREATE TEMP TABLE own (id BIGINT)")), "done")
    check("may not read by it", state(lambda: nobody.execute("CREATE TEMP TABLE more AS SELECT * FROM t")), "42P01")
    check("nor make what stays", state(lambda: nobody.execute("CREATE TABLE more (id BIGINT)")), "42501")

# No plan tells what a policy hides, and how.
with connect("reads") as connection:
    plan = str(connection.execute("EXPLAIN VERBOSE SELECT * FROM policed WHERE id > 0").fetchall())
    assert "secret" not in plan and "Guard" in plan, plan
    check("rows under a policy", connection.execute("SELECT id FROM policed").fetchall(), [(1,)])
    # Nor does an error.
    check(
        "a condition on a hidden row",
        connection.execute("SELECT id FROM policed WHERE 1 / (id - 2) < 1").fetchall(),
        [(1,)],
    )

assert not wrong, "\n".join(wrong)
print("ok")
