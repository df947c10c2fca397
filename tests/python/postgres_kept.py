"""Plans that are kept answer as plans that are made anew: postgres_kept.py HOST:PORT

A text that comes for the first time is planned as if nothing were kept, so each query is also asked with a comment that no
other has.
"""

import sys
import threading

import psycopg

host, port = sys.argv[1].rsplit(":", 1)
dsn = f"host={host} port={port} dbname=weir user=somebody"


def connect(**options):
    return psycopg.connect(dsn, autocommit=True, **options)


db = connect(prepare_threshold=None)
# Writes values into the text: literals, of which the server makes parameters.
written = psycopg.ClientCursor(db)
texts = 0


def agree(query, parameters=()):
    """Asks a query whose plan is kept, and the same one planned anew; with its values beside the text and in it."""
    global texts
    answers = []
    for ask in [db.execute, written.execute]:
        texts += 1
        anew = ask(f"{query} /* {texts} */", parameters).fetchall()
        for _ in range(4):
            kept = ask(query, parameters).fetchall()
            assert sorted(kept, key=repr) == sorted(anew, key=repr), (query, parameters, kept, anew)
        answers.append(anew)
    return answers[0]


for statement in [
    "CREATE TABLE t (id BIGINT PRIMARY KEY, g BIGINT, v INTEGER, w TEXT)",
    "CREATE TABLE u (id BIGINT PRIMARY KEY, name TEXT)",
    "CREATE TABLE z (id BIGINT PRIMARY KEY, at TIMESTAMPTZ)",
    "CREATE VIEW seen AS SELECT id, v FROM t WHERE v > 2",
    "CREATE MATERIALIZED VIEW by_g AS SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g",
    "INSERT INTO z VALUES (1, '2026-01-02 03:04:05+00')",
    "CREATE STREAM s (x BIGINT)",
    """CREATE TABLE kinds (a BIGINT PRIMARY KEY, b TEXT, small SMALLINT, dec DECIMAL(10, 2), dbl DOUBLE PRECISION, day DATE,
        at TIMESTAMPTZ, yes BOOLEAN)""",
    """INSERT INTO kinds VALUES (1, 'x', 1, 1.5, 1.5, '2026-01-02', '2026-01-02 01:04:05+00', true),
        (2, 'y', 2, 2, 2, '2026-01-03', '2026-01-02 00:00:00+00', false), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL)""",
]:
    db.execute(statement)

QUERIES = [
    ("SELECT v FROM t WHERE id = %s", [(1,), (2,), (999,), (None,), (1,)]),
    ("SELECT v, w FROM t WHERE id = %s AND v > 5", [(1,), (2,), (3,)]),
    # What the planner could make of one value must not be kept for others.
    ("SELECT id FROM t WHERE v > %s AND v > 5 ORDER BY id LIMIT 10", [(7,), (3,), (100,)]),
    ("SELECT id FROM t WHERE w LIKE %s", [("%",), ("a%",), ("b",)]),
    ("SELECT id FROM t WHERE (%s::boolean OR v > 10)", [(True,), (False,), (None,)]),
    ("SELECT g, count(*), sum(v), min(w) FROM t GROUP BY g HAVING count(*) > %s", [(0,), (1,)]),
    ("SELECT t.id, u.name FROM t JOIN u ON u.id = t.g WHERE t.v >= %s", [(0,), (6,)]),
    ("SELECT t.id, u.name FROM t LEFT JOIN u ON u.id = t.g AND u.id <> %s", [(0,), (1,)]),
    ("SELECT id, row_number() OVER (PARTITION BY g ORDER BY id) FROM t WHERE v < %s", [(9,), (4,)]),
    ("SELECT id FROM t WHERE v < %s UNION ALL SELECT id FROM u WHERE id > %s", [(5, 0), (9, 1)]),
    ("SELECT count(*) FROM t", [()]),
    ("SELECT max(id), %s::text FROM t", [("a",), (None,), ("b",)]),
    ("SELECT w || %s FROM t WHERE id = %s", [("x", 1), ("y", 2)]),
    ("SELECT id FROM t WHERE v = %s", [(3,), (3.0,), (4,)]),
    ("SELECT n, total FROM by_g WHERE g = %s", [(0,), (1,), (7,)]),
    ("SELECT count(*), sum(n) FROM by_g", [()]),
    ("SELECT id FROM seen WHERE v <> %s", [(4,), (5,)]),
    ("SELECT id FROM t WHERE id IN (SELECT id FROM u) AND v <> %s", [(4,), (5,)]),
    ("SELECT (SELECT max(id) FROM u), %s::bigint", [(1,), (2,)]),
    ("SELECT id FROM t ORDER BY v DESC, id LIMIT %s", [(1,), (3,)]),
    ("SELECT id FROM t WHERE w = %s", [("b",), ("it's",), ("ab",), ("",)]),
    ("SELECT id FROM t WHERE %s < v AND w >= %s ORDER BY id LIMIT 3", [(3, "a"), (4, "b"), (300, "z")]),
    ("SELECT id FROM t WHERE v BETWEEN %s AND %s", [(3, 7), (8, 2), (-1, 100)]),
    ("SELECT t.id FROM t JOIN u ON u.id = t.g AND t.v > %s WHERE t.id <> %s", [(3, 1), (5, 2)]),
    ("SELECT id, v / 2 FROM t WHERE id = %s ORDER BY 1 LIMIT 2", [(1,), (2,), (99999999999,), (2**63,)]),
    ("SELECT a, b FROM kinds WHERE small = %s", [(1,), (2,), (40000,), (-1,)]),
    ("SELECT a, b FROM kinds WHERE dec > %s", [(1,), (2,), (100000000000,)]),
    ("SELECT a, b FROM kinds WHERE dbl <= %s", [(1,), (2,), (2**53 + 1,)]),
    ("SELECT a, b FROM kinds WHERE day = %s", [("2026-01-02",), ("2026-01-03",)]),
    ("SELECT a, b FROM kinds WHERE at >= %s", [("2026-01-02 03:04:05+02",), ("2026-01-02",)]),
    ("SELECT a, b FROM kinds WHERE yes = %s", [("true",), ("no",)]),
    ("SELECT count(*) FROM s", [()]),
    ("SELECT count(*), max(x) FROM s WHERE x > %s", [(0,), (1,)]),
    ("SELECT count(*) FROM information_schema.tables WHERE table_name <> %s", [("t",)]),
    ("SELECT count(*) FROM pg_class WHERE reltuples > %s", [(0,)]),
]
WRITES = [
    "INSERT INTO u VALUES (0, 'none'), (1, 'one')",
    "INSERT INTO t VALUES (1, 0, 3, 'ab'), (2, 1, 7, 'b'), (3, 1, 12, NULL)",
    "UPDATE t SET v = v + 1, w = 'a' || id WHERE id <= 2",
    "DELETE FROM t WHERE id = 1",
    "INSERT INTO t VALUES (1, 1, 4, 'back'), (4, 0, 5, 'a')",
    "INSERT INTO s VALUES (1), (2)",
    "DELETE FROM u WHERE id = 0",
    "INSERT INTO s VALUES (3)",
    "INSERT INTO t SELECT i, i % 3, i % 20, 'a' || i FROM generate_series(1000, 3000) AS s(i)",
    "TRUNCATE t",
    "INSERT INTO t VALUES (2, 0, 9, 'end')",
]
for write in WRITES:
    db.execute(write)
    db.execute("FLUSH")
    for query, values in QUERIES:
        for parameters in values:
            agree(query, parameters)

# A literal may say what the query is.
for wrong in ["'x'", "1.5", "NULL", "-1"]:
    for _ in range(4):
        agree(f"SELECT id FROM t WHERE w = 'b' OR v = {wrong}" if wrong != "'x'" else "SELECT id FROM t WHERE w = 'x'")
for text in ["nothing", "7"]:
    states = set()
    for _ in range(4):
        try:
            states.add(str(db.execute(f"SELECT id FROM t WHERE v = '{text}'").fetchall()))
        except psycopg.Error as error:
            states.add(error.sqlstate)
    assert len(states) == 1, (text, states)
for limit in [1, 2, 1, 2, 1]:
    assert len(db.execute(f"SELECT id FROM z WHERE id >= 0 UNION ALL SELECT id FROM z WHERE id >= 0 LIMIT {limit}").fetchall()) == limit

# What depends on more than rows is computed each time.
moments = {db.execute("SELECT now() FROM t WHERE id = 2").fetchone() for _ in range(5)}
assert len(moments) == 5, moments
for zone in ["UTC", "Europe/Zurich", "UTC"]:
    db.execute(f"SET TIME ZONE '{zone}'")
    agree("SELECT id, at::text FROM z")
db.execute("CREATE TABLE of_schema (a BIGINT PRIMARY KEY)")
db.execute("INSERT INTO of_schema VALUES (1)")
db.execute("CREATE SCHEMA other")
db.execute("CREATE TABLE other.of_schema (a BIGINT PRIMARY KEY)")
db.execute("INSERT INTO other.of_schema VALUES (2)")
for schema, value in [("public", 1), ("other", 2), ("public", 1)]:
    db.execute(f"SET search_path = {schema}")
    assert agree("SELECT a FROM of_schema") == [(value,)]

# A definition that changes.
agree("SELECT * FROM u WHERE id = %s", (1,))
db.execute("ALTER TABLE u ADD COLUMN extra TEXT")
assert agree("SELECT * FROM u WHERE id = %s", (1,)) == [(1, "one", None)]
db.execute("DROP TABLE u")
db.execute("CREATE TABLE u (id TEXT PRIMARY KEY, n BIGINT)")
db.execute("INSERT INTO u VALUES ('1', 5)")
assert agree("SELECT * FROM u WHERE id = %s", ("1",)) == [("1", 5)]

# A transaction sees one moment, and what it has written.
POINT = "SELECT v FROM t WHERE id = %s"
other = psycopg.connect(dsn, prepare_threshold=0)
assert other.execute(POINT, (2,)).fetchone() == (9,)
db.execute("UPDATE t SET v = 10 WHERE id = 2")
for _ in range(3):
    assert other.execute(POINT, (2,)).fetchone() == (9,)
other.rollback()
for _ in range(3):
    assert other.execute(POINT, (2,)).fetchone() == (10,)
other.execute("UPDATE t SET v = 11 WHERE id = 2")
for _ in range(3):
    assert other.execute(POINT, (2,)).fetchone() == (11,)
    assert db.execute(POINT, (2,)).fetchone() == (10,)
other.rollback()
for _ in range(3):
    assert other.execute(POINT, (2,)).fetchone() == (10,)
other.rollback()

# A session's own table comes before the one that others see.
for _ in range(3):
    assert db.execute(POINT, (2,)).fetchone() == (10,)
with connect(prepare_threshold=None) as mine:
    mine.execute("CREATE TEMPORARY TABLE t (id BIGINT PRIMARY KEY, v INTEGER)")
    mine.execute("INSERT INTO t VALUES (2, -1)")
    for _ in range(3):
        assert mine.execute(POINT, (2,)).fetchone() == (-1,)
        assert db.execute(POINT, (2,)).fetchone() == (10,)

# Runs beside each other have values of their own.
db.execute("INSERT INTO t SELECT i, 0, i, 'w' FROM generate_series(5000, 5100) AS s(i)")
wrong = []


def ask(first):
    with connect(prepare_threshold=0) as mine:
        for at in range(100):
            number = 5000 + (first + at) % 101
            found = mine.execute(POINT, (number,)).fetchall()
            if found != [(number,)]:
                wrong.append((number, found))


threads = [threading.Thread(target=ask, args=(first * 13,)) for first in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong, wrong[:5]

# A table that outgrows its plans.
db.execute("INSERT INTO t SELECT i, i % 7, i % 50, 'x' FROM generate_series(10000, 150000) AS s(i)")
db.execute("FLUSH")
for query, values in QUERIES:
    if "u" not in query.replace("sum", "").replace("count", "").split() and "u." not in query and "FROM u" not in query:
        agree(query, values[0])
print("kept plans hold")
