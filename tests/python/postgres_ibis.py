"""Ibis: expressions become Weir's SQL; tables are made, filled and dropped by it."""

import datetime as dt
import sys

import ibis
import pandas as pd
import pyarrow as pa

host, port = sys.argv[1].rsplit(":", 1)
connection = ibis.postgres.connect(host=host, port=int(port), user="somebody", password="", database="weir")
assert connection.version == "15.0", connection.version
assert connection.current_database == "public" and connection.current_catalog == "weir"


def run(*statements):
    for statement in statements:
        connection.raw_sql(statement).close()
        connection.con.commit()


run(
    "SET read_your_writes = on",
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, who TEXT NOT NULL, amount NUMERIC(10, 2), at TIMESTAMP, day DATE, tags TEXT[], "
    "x DOUBLE PRECISION, j JSONB, u UUID)",
    "INSERT INTO orders VALUES "
    "(1, 'ann', 1.5, '2024-01-01 10:00', '2024-01-01', ARRAY['a', 'b'], 0.5, '{\"a\": 1}', '00112233-4455-6677-8899-aabbccddeeff'), "
    "(2, 'bob', 2.5, '2024-02-01 10:00', '2024-02-01', NULL, 1.5, NULL, NULL), "
    "(3, 'ann', 4, '2024-02-03 10:00', '2024-02-03', NULL, 2.5, NULL, NULL)",
    "CREATE STREAM clicks (page TEXT, n BIGINT)",
    "CREATE MATERIALIZED VIEW pages AS SELECT page, sum(n) AS n FROM clicks GROUP BY page",
)
assert {"orders", "clicks", "pages"} <= set(connection.list_tables()), connection.list_tables()
assert "public" in connection.list_databases()
orders = connection.table("orders")
assert dict(orders.schema().items()) == {
    "id": ibis.dtype("!int64"),
    "who": ibis.dtype("!string"),
    "amount": ibis.dtype("decimal(10, 2)"),
    "at": ibis.dtype("timestamp(6)"),
    "day": ibis.dtype("date"),
    "tags": ibis.dtype("array<string>"),
    "x": ibis.dtype("float64"),
    "j": ibis.dtype("json"),
    "u": ibis.dtype("uuid"),
}, orders.schema()
print("schemas hold")

# Out, as what people work with.
assert orders.count().execute() == 3
frame = orders.order_by("id").to_pandas()
assert frame["who"].tolist() == ["ann", "bob", "ann"] and frame["tags"][0] == ["a", "b"] and frame["j"][0] == {"a": 1}
assert frame["at"][0] == pd.Timestamp("2024-01-01 10:00") and frame["amount"].astype(str).tolist() == ["1.50", "2.50", "4.00"]
arrow = orders.select("id", "at", "amount").order_by("id").to_pyarrow()
assert arrow.column("at").to_pylist()[0] == dt.datetime(2024, 1, 1, 10) and arrow.schema.field("amount").type == pa.decimal128(10, 2)
assert sum(batch.num_rows for batch in orders.select("id").to_pyarrow_batches(chunk_size=2)) == 3

# Expressions.
kept = orders.filter(orders.amount > 2).order_by(orders.id).select("id")
assert kept.to_pandas()["id"].tolist() == [2, 3]
grouped = orders.group_by("who").agg(
    n=orders.count(), total=orders.amount.sum(), mean=orders.x.mean(), last=orders.at.max(), median=orders.x.median(), ids=orders.id.collect()
)
rows = grouped.order_by("who").to_pandas()
assert rows["n"].tolist() == [2, 1] and rows["mean"].tolist() == [1.5, 1.5] and rows["median"].tolist() == [1.5, 1.5]
assert [sorted(ids) for ids in rows["ids"]] == [[1, 3], [2]] and rows["total"].astype(str).tolist() == ["5.50", "2.50"]
months = orders.group_by(m=orders.at.truncate("M")).agg(n=orders.count()).order_by("m").to_pandas()
assert months["n"].tolist() == [1, 2] and months["m"][1] == pd.Timestamp("2024-02-01")
window = ibis.window(group_by="who", order_by="id")
over = orders.mutate(
    rank=ibis.row_number().over(window),
    running=orders.x.sum().over(ibis.cumulative_window(group_by="who", order_by="id")),
    before=orders.x.lag().over(ibis.window(order_by="id")),
)
over = over.order_by("id").select("rank", "running", "before").to_pandas()
assert over["rank"].tolist() == [0, 0, 1] and over["running"].tolist() == [0.5, 1.5, 3.0] and over["before"][2] == 1.5
texts = orders.order_by("id").select(
    u=orders.who.upper(), n=orders.who.length(), has=orders.who.contains("n"), part=orders.who.substr(0, 2), found=orders.who.re_search("^a"), cut=orders.who.split("n")
)
first = texts.to_pandas().iloc[0].to_dict()
assert first == {"u": "ANN", "n": 3, "has": True, "part": "an", "found": True, "cut": ["a", "", ""]}, first
times = orders.order_by("id").select(
    y=orders.at.year(), m=orders.at.month(), w=orders.day.day_of_week.index(), e=orders.at.epoch_seconds(), f=orders.at.strftime("%Y-%m"), next=orders.day + ibis.interval(days=1)
)
first = times.to_pandas().iloc[0].to_dict()
assert (first["y"], first["m"], first["w"], first["e"], first["f"]) == (2024, 1, 0, 1704103200, "2024-01"), first
assert pd.Timestamp(first["next"]) == pd.Timestamp("2024-01-02"), first
assert orders.mutate(k=ibis.cases((orders.amount > 2, "big"), else_="small")).order_by("id").k.to_pandas().tolist() == ["small", "big", "big"]
assert orders.order_by("id").select(a=orders.j["a"]).to_pandas()["a"][0] == 1
assert orders.order_by("id").select(n=orders.tags.length(), t=orders.tags[0]).to_pandas()["t"][0] == "a"
assert sorted(orders.select(t=orders.tags.unnest()).to_pandas()["t"]) == ["a", "b"]
assert orders.x.quantile(0.5).execute() == 1.5
assert orders.who.topk(1).to_pandas()["who"].tolist() == ["ann"]
wide = orders.select("id", "who", "x").pivot_wider(id_cols="id", names_from="who", values_from="x", values_agg="max").order_by("id").to_pandas()
assert wide["ann"].tolist()[0] == 0.5 and pd.isna(wide["bob"].tolist()[0])
assert orders.select("x", "id").describe().to_pandas()["count"].tolist() == [3, 3]
assert orders.select("who").union(orders.select("who")).distinct().count().execute() == 2
print("expressions hold")

# Tables of frames, of Arrow, of expressions; joins with them, and with what is in memory.
connection.create_table("people", pd.DataFrame({"name": ["ann", "bob"], "age": [30, 40]}))
connection.create_table("people_too", pa.table({"name": ["cyd"], "age": [50]}))
people = connection.table("people")
joined = orders.join(people, orders.who == people.name).group_by("name").agg(age=ibis._.age.max(), total=ibis._.x.sum())
assert joined.order_by("name").to_pandas().values.tolist() == [["ann", 30, 3.0], ["bob", 40, 1.5]]
assert orders.left_join(people, orders.who == people.name).count().execute() == 3
assert orders.anti_join(people, orders.who == people.name).count().execute() == 0
assert orders.semi_join(people, orders.who == people.name).count().execute() == 3
beside = ibis.memtable(pd.DataFrame({"who": ["ann"], "z": [1]}))
assert orders.join(beside, "who").count().execute() == 2
connection.create_table("counts", orders.group_by("who").agg(n=orders.count()))
connection.create_table("counts", orders.group_by("who").agg(n=orders.count(), most=orders.x.max()), overwrite=True)
assert connection.table("counts").order_by("who").to_pandas()["most"].tolist() == [2.5, 1.5]
connection.create_table("own", orders.select("id"), temp=True)
assert connection.table("own").count().execute() == 3
connection.create_table("plain", schema=ibis.schema({"a": "int64", "b": "string"}))
connection.insert("plain", orders.select(a=orders.id, b=orders.who))
connection.insert("plain", pd.DataFrame({"a": [9], "b": ["z"]}))
assert connection.table("plain").count().execute() == 4
connection.insert("plain", pd.DataFrame({"a": [7], "b": ["y"]}), overwrite=True)
assert connection.table("plain").to_pandas().values.tolist() == [[7, "y"]]
connection.truncate_table("plain")
assert connection.table("plain").count().execute() == 0
connection.insert("clicks", pd.DataFrame({"page": ["a", "b", "a"], "n": [1, 2, 3]}))
assert connection.table("pages").order_by("page").to_pandas()["n"].astype(int).tolist() == [4, 2]
connection.create_view("dear", orders.filter(orders.amount > 2).select("id"))
assert connection.table("dear").count().execute() == 2
connection.drop_view("dear")
connection.drop_table("counts")
assert "counts" not in connection.list_tables()
assert connection.sql("SELECT who, sum(x) AS s FROM orders GROUP BY who").order_by("who").to_pandas()["s"].tolist() == [3.0, 1.5]
connection.create_database("lab")
connection.create_table("first", orders.select("id"), database="lab")
assert connection.list_tables(database="lab") == ["first"]
connection.drop_database("lab", cascade=True)
assert "lab" not in connection.list_databases()
print("tables hold")
connection.disconnect()
print("ibis holds")
