"""dbt builds a project on Weir: seeds, views, tables, incremental models, snapshots, tests, documents; twice, with new rows between."""

import json
import os
import pathlib
import shutil
import sys
import tempfile

import psycopg
from dbt.cli.main import dbtRunner

host, port = sys.argv[1].rsplit(":", 1)
os.environ.update(WEIR_HOST=host, WEIR_PORT=port, DBT_SEND_ANONYMOUS_USAGE_STATS="false", DO_NOT_TRACK="1")
folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-dbt-")) / "shop"
shutil.copytree(pathlib.Path(__file__).parent.parent / "dbt", folder)
os.environ.update(DBT_PROJECT_DIR=str(folder), DBT_PROFILES_DIR=str(folder), DBT_LOG_PATH=str(folder / "logs"), DBT_TARGET_PATH=str(folder / "target"))
connection = psycopg.connect(host=host, port=port, user="somebody", dbname="weir", autocommit=True)


def ask(sql):
    return connection.execute(sql).fetchall()


def dbt(*arguments):
    """What a command did, by the names of what it did it to."""
    done = dbtRunner().invoke(["--quiet", "--no-use-colors", *arguments])
    results = [] if not hasattr(done.result, "results") else done.result.results
    said = {result.node.name: result.status for result in results} if arguments[0] != "docs" else {}
    assert done.success, (arguments, done.exception, [(result.node.name, result.status, result.message) for result in results])
    return said


for statement in [
    "CREATE STREAM orders (id BIGINT NOT NULL, customer_id BIGINT, amount NUMERIC(10, 2), at TIMESTAMP)",
    "CREATE MATERIALIZED VIEW hot AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id",
    "INSERT INTO orders VALUES (1, 1, 10, '2024-01-01'), (2, 2, 5.5, '2024-01-02'), (3, 1, 2, '2024-01-03'), (4, 3, -1, '2024-01-04')",
]:
    connection.execute(statement)
connection.execute("FLUSH")

assert dbt("debug") == {}
assert dbt("seed") == {"customers": "success"}
models = {name: "success" for name in ["stg_orders", "order_totals", "order_log", "order_days", "hot_customers"]}
assert dbt("run") == models
assert ask("SELECT name, orders, total::text FROM analytics.order_totals ORDER BY name") == [("Ann", 2, "12.00"), ("Bob", 1, "5.50")]
assert ask("SELECT id FROM analytics.order_log ORDER BY id") == [(1,), (2,), (3,)]
assert ask("SELECT name, total::text FROM analytics.hot_customers ORDER BY name") == [("Ann", "12.00"), ("Bob", "5.50")]
tests = dbt("test")
assert len(tests) == 8 and set(tests.values()) == {"pass"}, tests
assert dbt("snapshot") == {"totals_over_time": "success"}
print("the first run holds")

# More comes, one order is corrected; all is built again, the incremental models from what is new.
connection.execute("INSERT INTO orders VALUES (3, 1, 3, '2024-01-03 12:00'), (5, 3, 7, '2024-02-01'), (6, 2, 1, '2024-02-02')")
connection.execute("FLUSH")
connection.execute("CREATE VIEW of_people AS SELECT * FROM analytics.order_totals")
assert dbt("seed") == {"customers": "success"}
# stg_orders tells what came twice, and its test must find it.
assert dbt("run") == models
assert ask("SELECT id, amount::text FROM analytics.order_log ORDER BY id") == [(1, "10.00"), (2, "5.50"), (3, "3.00"), (5, "7.00"), (6, "1.00")]
assert ask("SELECT sum(orders)::bigint FROM analytics.order_days") == [(5,)]
assert dbt("snapshot") == {"totals_over_time": "success"}
history = "SELECT customer_id, total::text, dbt_valid_to IS NULL FROM analytics.totals_over_time ORDER BY customer_id, dbt_valid_from"
assert ask(history) == [(1, "12.00", False), (1, "15.00", True), (2, "5.50", False), (2, "6.50", True), (3, "7.00", True)], ask(history)
# What read a table that was built anew goes with the old one, as in PostgreSQL.
assert ask("SELECT count(*) FROM pg_views WHERE viewname = 'of_people'") == [(0,)]
failed = dbtRunner().invoke(["--quiet", "test", "--select", "stg_orders"])
assert not failed.success and sorted(result.status for result in failed.result.results) == ["fail", "pass"], failed.result
assert dbt("run", "--full-refresh", "--select", "order_log") == {"order_log": "success"}
assert len(ask("SELECT id FROM analytics.order_log")) == 6
print("the second run holds")

dbt("docs", "generate")
catalog = json.loads((folder / "target" / "catalog.json").read_text())
node = catalog["nodes"]["model.shop.order_totals"]
assert node["metadata"]["type"] == "BASE TABLE" and node["metadata"]["comment"] == "What each customer has bought.", node["metadata"]
columns = {name: (column["type"], column["comment"] or None) for name, column in node["columns"].items()}
assert columns == {"customer_id": ("bigint", "Who."), "name": ("text", None), "orders": ("bigint", None), "total": ("numeric(20,2)", None)}, columns
assert catalog["nodes"]["model.shop.stg_orders"]["metadata"]["type"] == "VIEW"
assert set(catalog["sources"]) == {"source.shop.live.orders", "source.shop.live.hot"}, catalog["sources"].keys()
print("documents hold")
shutil.rmtree(folder.parent)
print("dbt holds")
