"""asyncpg uses Weir: statements described by the server, binary values, arrays, cursors, copies, a pool's reset."""

import asyncio
import datetime as dt
import decimal
import sys
import uuid

import asyncpg

host, port = sys.argv[1].rsplit(":", 1)


async def main():
    connection = await asyncpg.connect(host=host, port=int(port), user="somebody", database="weir")
    assert connection.get_server_version().major == 15
    await connection.execute(
        "CREATE TABLE a (id BIGINT PRIMARY KEY, name TEXT, price NUMERIC(12, 3), at TIMESTAMPTZ, day DATE, is_new BOOLEAN, "
        "ratio DOUBLE PRECISION, raw BYTEA, code UUID, after INTERVAL)"
    )
    row = (
        1,
        "eins",
        decimal.Decimal("12.500"),
        dt.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=dt.timezone.utc),
        dt.date(1969, 7, 20),
        True,
        -0.25,
        b"\x00\x01",
        uuid.UUID(int=7),
        dt.timedelta(days=1, seconds=3),
    )
    marks = ", ".join(f"${i + 1}" for i in range(len(row)))
    # A parameter for a UUID is told as text.
    given = [str(value) if isinstance(value, uuid.UUID) else value for value in row]
    assert await connection.execute(f"INSERT INTO a VALUES ({marks})", *given) == "INSERT 0 1"
    assert tuple(await connection.fetchrow("SELECT * FROM a WHERE id = $1", 1)) == row
    statement = await connection.prepare("SELECT name FROM a WHERE price > $1 LIMIT $2")
    assert [p.name for p in statement.get_parameters()] == ["numeric", "int8"], statement.get_parameters()
    assert await statement.fetchval(decimal.Decimal("1.5"), 1) == "eins"
    async with connection.transaction():
        seen = 0
        async for record in connection.cursor(
            "SELECT value FROM generate_series(1, 1000) AS g(value) ORDER BY value", prefetch=64
        ):
            seen += 1
            assert record["value"] == seen
        assert seen == 1000
        cursor = await connection.cursor("SELECT value FROM generate_series(1, 10) AS g(value) ORDER BY value")
        assert [r[0] for r in await cursor.fetch(3)] == [1, 2, 3]
        assert (await cursor.fetchrow())[0] == 4
    # The types of arrays are looked up in the catalog.
    await connection.execute("CREATE TABLE lists (id BIGINT PRIMARY KEY, names TEXT[], numbers BIGINT[], days DATE[])")
    lists = (1, ["a", None, "c"], [1, 2, 3], [dt.date(2024, 5, 6)])
    await connection.execute("INSERT INTO lists VALUES ($1, $2, $3, $4)", *lists)
    assert tuple(await connection.fetchrow("SELECT * FROM lists")) == lists
    assert await connection.fetchval("SELECT count(*) FROM a WHERE id = ANY($1::bigint[])", [1, 2]) == 1
    assert await connection.fetchval("SELECT ARRAY['x', 'y']") == ["x", "y"]
    kinds = await connection.fetch("SELECT relname, relkind, oid FROM pg_class WHERE relname = ANY($1::text[]) ORDER BY 1", ["a", "lists"])
    assert [(kind["relname"], kind["relkind"]) for kind in kinds] == [("a", b"r"), ("lists", b"r")], kinds
    await connection.reset()
    await connection.execute("CREATE TABLE c (id BIGINT PRIMARY KEY, name TEXT)")
    rows = [(i, f"row {i}" if i % 2 else None) for i in range(5000)]
    assert await connection.copy_records_to_table("c", records=rows) == "COPY 5000"
    assert await connection.fetchval("SELECT count(*) FROM c WHERE name IS NULL") == 2500
    try:
        await connection.execute("SELECT 1 / 0")
        raise AssertionError
    except asyncpg.DivisionByZeroError:
        pass
    try:
        await connection.fetchval(
            "SELECT count(*) FROM generate_series(1, 1000000) AS a(x) CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * 7 + y) % 1000003 = 2",
            timeout=0.5,
        )
        raise AssertionError
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    print("asyncpg holds")


asyncio.run(main())
