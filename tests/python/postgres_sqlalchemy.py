"""SQLAlchemy reflects Weir's catalog, as Superset does: everything that its inspector can be asked."""

import sys

import sqlalchemy as sa
from sqlalchemy.engine.reflection import ObjectKind

engine = sa.create_engine(f"postgresql+psycopg://somebody@{sys.argv[1]}/weir")

with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    assert connection.dialect.server_version_info == (15, 0), connection.dialect.server_version_info
    for statement in [
        "CREATE SCHEMA sales",
        "CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL DEFAULT 'nobody', credit NUMERIC(12, 2), at TIMESTAMPTZ, tags TEXT[])",
        "CREATE TABLE sales.orders (region INTEGER NOT NULL, number INTEGER NOT NULL, total NUMERIC(10, 2), "
        "CONSTRAINT positive CHECK (total > 0), PRIMARY KEY (region, number))",
        "CREATE STREAM clicks (page TEXT NOT NULL, at TIMESTAMP)",
        "CREATE VIEW rich AS SELECT id, name FROM users WHERE credit > 100",
        "CREATE MATERIALIZED VIEW pages AS SELECT page, count(*) AS hits FROM clicks GROUP BY page",
        "COMMENT ON TABLE users IS 'who buys'",
        "COMMENT ON COLUMN users.credit IS 'in francs'",
    ]:
        connection.exec_driver_sql(statement)

inspector = sa.inspect(engine)
assert inspector.default_schema_name == "public"
assert set(inspector.get_schema_names()) >= {"public", "sales", "information_schema"}, inspector.get_schema_names()
assert sorted(inspector.get_table_names()) == ["clicks", "users"], inspector.get_table_names()
assert inspector.get_table_names(schema="sales") == ["orders"]
assert inspector.get_view_names() == ["rich"]
assert inspector.get_materialized_view_names() == ["pages"]
assert inspector.get_temp_table_names() == []
assert inspector.get_sequence_names() == []
assert inspector.has_table("users") and not inspector.has_table("nothing")
assert inspector.has_schema("sales") and not inspector.has_schema("nothing")
columns = {column["name"]: column for column in inspector.get_columns("users")}
assert list(columns) == ["id", "name", "credit", "at", "tags"]
assert isinstance(columns["id"]["type"], sa.BIGINT)
assert isinstance(columns["credit"]["type"], sa.NUMERIC)
assert (columns["credit"]["type"].precision, columns["credit"]["type"].scale) == (12, 2)
assert columns["at"]["type"].timezone
assert isinstance(columns["tags"]["type"].item_type, sa.TEXT)
assert columns["name"]["default"] == "'nobody'", columns["name"]
assert not columns["name"]["nullable"] and columns["credit"]["nullable"]
assert columns["credit"]["comment"] == "in francs"
assert inspector.get_pk_constraint("users")["constrained_columns"] == ["id"]
assert inspector.get_pk_constraint("orders", schema="sales")["constrained_columns"] == ["region", "number"]
assert inspector.get_foreign_keys("users") == []
assert inspector.get_unique_constraints("users") == []
assert [check["name"] for check in inspector.get_check_constraints("orders", schema="sales")] == ["positive"]
assert inspector.get_indexes("users") == [], inspector.get_indexes("users")
assert inspector.get_table_comment("users")["text"] == "who buys"
assert inspector.get_view_definition("rich").startswith("SELECT id, name FROM users"), inspector.get_view_definition("rich")
assert inspector.get_table_options("users") is not None
for multi in ["columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints", "table_comment", "table_options"]:
    found = getattr(inspector, f"get_multi_{multi}")(kind=ObjectKind.ANY)
    assert (None, "users") in found, (multi, found)
assert inspector.get_enums() == [] and inspector.get_domains() == []

metadata = sa.MetaData()
metadata.reflect(engine, views=True)
assert set(metadata.tables) == {"clicks", "users", "rich", "pages"}, list(metadata.tables)
users = metadata.tables["users"]
with engine.begin() as connection:
    connection.execute(users.insert(), {"id": 1, "credit": 500, "tags": ["a", "b"]})
    connection.execute(users.insert(), {"id": 2, "name": "zwei"})
with engine.connect() as connection:
    rows = connection.execute(sa.select(users.c.id, users.c.name, users.c.tags).order_by(users.c.id)).all()
    assert rows == [(1, "nobody", ["a", "b"]), (2, "zwei", None)], rows
    assert connection.execute(sa.select(sa.func.count()).select_from(metadata.tables["rich"])).scalar() == 1
print("sqlalchemy holds")
