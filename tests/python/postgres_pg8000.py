"""pg8000, which is Python alone, uses Weir."""

import datetime as dt
import decimal
import sys

import pg8000.dbapi

host, port = sys.argv[1].rsplit(":", 1)
connection = pg8000.dbapi.connect(user="somebody", host=host, port=int(port), database="weir")
cursor = connection.cursor()
cursor.execute("CREATE TABLE p (id BIGINT PRIMARY KEY, name TEXT, price NUMERIC(8, 2), at TIMESTAMP)")
cursor.execute("INSERT INTO p VALUES (%s, %s, %s, %s)", (1, "a", decimal.Decimal("1.25"), dt.datetime(2024, 1, 2, 3, 4, 5)))
connection.commit()
cursor.execute("SELECT * FROM p WHERE id = %s", (1,))
assert list(cursor.fetchone()) == [1, "a", decimal.Decimal("1.25"), dt.datetime(2024, 1, 2, 3, 4, 5)]
assert [column[0] for column in cursor.description] == ["id", "name", "price", "at"]
connection.rollback()
try:
    cursor.execute("SELECT * FROM nowhere")
    raise AssertionError
except pg8000.dbapi.DatabaseError as error:
    assert error.args[0]["C"] == "42P01", error.args
connection.rollback()
connection.close()
print("pg8000 holds")
