"""pyarrow's own Flight client against the Flight door, for what drivers leave out: flight_pyarrow.py HOST:PORT."""

import sys

import pyarrow
import pyarrow.flight as flight

SQL = "type.googleapis.com/arrow.flight.protocol.sql."


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(tag, payload):
    if isinstance(payload, str):
        payload = payload.encode()
    return varint(tag << 3 | 2) + varint(len(payload)) + payload


def packed(name, message=b""):
    return field(1, SQL + name) + field(2, message)


def query(sql):
    return flight.FlightDescriptor.for_command(packed("CommandStatementQuery", field(1, sql)))


def act(client, name, body=b"", options=None):
    return [result.body.to_pybytes() for result in client.do_action(flight.Action(name, body), options)]


def refused(error, act):
    try:
        act()
    except error as refusal:
        return str(refusal)
    raise AssertionError(f"not refused, as {error}")


def read(client, sql, options=None):
    info = client.get_flight_info(query(sql), options)
    (endpoint,) = info.endpoints
    return client.do_get(endpoint.ticket, options).read_all()


def tickets(client):
    info = client.get_flight_info(query("SELECT 7 AS n"))
    assert info.schema.names == ["n"]
    ticket = info.endpoints[0].ticket
    assert client.do_get(ticket).read_all()["n"].to_pylist() == [7]
    # A ticket is worth one answer.
    said = refused(KeyError, lambda: client.do_get(ticket).read_all())
    assert "the ticket is worth nothing" in said, said
    for wrong in [b"", b"garbage", packed("TicketStatementQuery", field(1, b"0" * 16))]:
        refused((flight.FlightError, pyarrow.ArrowInvalid, NotImplementedError, KeyError), lambda: client.do_get(flight.Ticket(wrong)).read_all())
    refused((flight.FlightError, pyarrow.ArrowInvalid), lambda: client.get_flight_info(flight.FlightDescriptor.for_command(b"\xff\xff")))
    refused((flight.FlightError, pyarrow.ArrowNotImplementedError), lambda: client.get_flight_info(flight.FlightDescriptor.for_path("a")))


def cancelling(client):
    info = client.get_flight_info(query("SELECT value FROM generate_series(1, 1000000000) AS g(value)"))
    body = field(1, info.serialize())
    # Renewed while it waits, cancelled while it is read, and not cancellable afterwards.
    act(client, "RenewFlightEndpoint", field(1, info.endpoints[0].serialize()))
    reader = client.do_get(info.endpoints[0].ticket)
    assert reader.read_chunk().data.num_rows > 0
    assert act(client, "CancelFlightInfo", body) == [b"\x08\x01"]

    def drain():
        while True:
            reader.read_chunk()

    said = refused((flight.FlightCancelledError, flight.FlightError, pyarrow.ArrowCancelled), drain)
    assert "cancelled" in said, said
    assert act(client, "CancelFlightInfo", body) == [b"\x08\x03"]
    info = client.get_flight_info(query("SELECT value FROM generate_series(1, 1000000000) AS g(value)"))
    assert act(client, "CancelFlightInfo", field(1, info.serialize())) == [b"\x08\x01"]
    refused(KeyError, lambda: client.do_get(info.endpoints[0].ticket).read_all())


def option(name, value):
    return field(1, field(1, name) + field(2, value))


def sessions(client):
    text = lambda value: field(1, value)
    good = option("schema", text("information_schema")) + option("catalog", text("weir")) + option("timezone", text("Europe/Zurich"))
    assert act(client, "SetSessionOptions", good) == [b""]
    assert read(client, "SELECT count(*) > 0 AS some FROM tables")["some"].to_pylist() == [True]
    (options,) = act(client, "GetSessionOptions")
    assert b"Europe/Zurich" in options and b"information_schema" in options, options
    (errors,) = act(client, "SetSessionOptions", option("colour", text("red")))
    assert errors == field(1, field(1, "colour") + field(2, b"\x08\x01")), errors
    (errors,) = act(client, "SetSessionOptions", option("timezone", text("Mars")))
    assert errors == field(1, field(1, "timezone") + field(2, b"\x08\x02")), errors
    (errors,) = act(client, "SetSessionOptions", option("catalog", text("other")))
    assert errors, errors
    # Views as they are, for who reads them.
    views = b"\x10\x01"
    act(client, "SetSessionOptions", option("flight.views", views))
    assert read(client, "SELECT 'a' || 'b' AS t").schema.field("t").type in (pyarrow.string_view(), pyarrow.string())
    assert act(client, "CloseSession") == [b"\x08\x01"]
    assert b"Europe/Zurich" not in act(client, "GetSessionOptions")[0]


def live(client):
    client.do_get  # Its rows come with positions, by which a reader goes on.
    for sql in ["CREATE STREAM ticks (n BIGINT)", "INSERT INTO ticks VALUES (1), (2)"]:
        info = client.get_flight_info(query(sql))
        assert info.endpoints == []
    info = client.get_flight_info(query("SELECT n FROM ticks EMIT CHANGES"))
    reader = client.do_get(info.endpoints[0].ticket)
    seen, position = [], None
    while len(seen) < 2:
        chunk = reader.read_chunk()
        seen += chunk.data["n"].to_pylist()
        if chunk.app_metadata is not None:
            position = chunk.app_metadata.to_pybytes()
    assert seen == [1, 2] and position == b"ticks:2", (seen, position)
    reader.cancel()
    client.get_flight_info(query("INSERT INTO ticks VALUES (3)"))
    options = flight.FlightCallOptions(headers=[(b"weir-resume", position)])
    info = client.get_flight_info(query("SELECT n FROM ticks EMIT CHANGES"), options)
    reader = client.do_get(info.endpoints[0].ticket)
    assert reader.read_chunk().data["n"].to_pylist() == [3]
    reader.cancel()
    wrong = flight.FlightCallOptions(headers=[(b"weir-envelope", b"paper")])
    refused(pyarrow.ArrowInvalid, lambda: client.get_flight_info(query("SELECT n FROM ticks EMIT CHANGES"), wrong))


def actions(client):
    names = [action.type for action in client.list_actions()]
    assert "CancelFlightInfo" in names and "SetSessionOptions" in names, names
    refused((flight.FlightError, NotImplementedError, pyarrow.ArrowNotImplementedError), lambda: act(client, "MakeCoffee"))
    refused((flight.FlightError, pyarrow.ArrowInvalid), lambda: act(client, "CreatePreparedStatement", b"\xff"))
    for info_id in [0, 8, 100, 500, 576]:
        info = client.get_flight_info(
            flight.FlightDescriptor.for_command(packed("CommandGetSqlInfo", field(1, varint(info_id))))
        )
        table = client.do_get(info.endpoints[0].ticket).read_all()
        assert table["info_name"].to_pylist() == [info_id], table
    types = client.get_flight_info(flight.FlightDescriptor.for_command(packed("CommandGetXdbcTypeInfo")))
    table = client.do_get(types.endpoints[0].ticket).read_all()
    assert "BIGINT" in table["type_name"].to_pylist(), table


def tokens(address):
    client = flight.FlightClient(f"grpc://{address}")
    pair = client.authenticate_basic_token("ada", "secret")
    options = flight.FlightCallOptions(headers=[pair])
    act(client, "SetSessionOptions", option("schema", field(1, "information_schema")), options)
    # The session is the token's, on every connection.
    other = flight.FlightClient(f"grpc://{address}")
    assert read(other, "SELECT count(*) > 0 AS some FROM tables", options)["some"].to_pylist() == [True]
    act(other, "CloseSession", options=options)
    refused(flight.FlightUnauthenticatedError, lambda: read(client, "SELECT 1", options))
    bad = flight.FlightCallOptions(headers=[(b"authorization", b"Digest abc")])
    refused(flight.FlightUnauthenticatedError, lambda: read(client, "SELECT 1", bad))


class Cookies(flight.ClientMiddlewareFactory, flight.ClientMiddleware):
    """Keeps what the server sets."""

    def __init__(self):
        flight.ClientMiddlewareFactory.__init__(self)
        flight.ClientMiddleware.__init__(self)
        self.kept = []

    def start_call(self, info):
        return self

    def sending_headers(self):
        return {}

    def received_headers(self, headers):
        self.kept += headers.get("set-cookie", [])


def cookies(address):
    kept = Cookies()
    client = flight.FlightClient(f"grpc://{address}", middleware=[kept])
    act(client, "SetSessionOptions", option("schema", field(1, "information_schema")))
    (cookie,) = kept.kept
    assert cookie.startswith("arrow_flight_session_id="), cookie
    # It names the session on every connection.
    other = flight.FlightClient(f"grpc://{address}")
    options = flight.FlightCallOptions(headers=[(b"cookie", cookie.encode())])
    assert read(other, "SELECT count(*) > 0 AS some FROM tables", options)["some"].to_pylist() == [True]


def first(message, tag):
    """The bytes of the field `tag`, which is the message's first."""
    assert message[0] == tag << 3 | 2 and message[1] < 128, message
    return message[2 : 2 + message[1]]


def savepoints(client):
    def begin(name, message):
        (result,) = act(client, name, packed(name.replace("Begin", "ActionBegin") + "Request", message))
        # A google.protobuf.Any, of which the second field has what was begun.
        kind = first(result, 1)
        return first(first(result[2 + len(kind) :], 2), 1)

    def insert(transaction, n):
        sql = f"INSERT INTO marked VALUES ({n})"
        command = packed("CommandStatementQuery", field(1, sql) + field(2, transaction))
        client.get_flight_info(flight.FlightDescriptor.for_command(command))

    client.get_flight_info(query("CREATE TABLE marked (n BIGINT)"))
    transaction = begin("BeginTransaction", b"")
    insert(transaction, 1)
    savepoint = begin("BeginSavepoint", field(1, transaction) + field(2, "here"))
    insert(transaction, 2)
    act(client, "EndSavepoint", packed("ActionEndSavepointRequest", field(1, savepoint) + b"\x10\x02"))
    insert(transaction, 3)
    assert read(client, "SELECT count(*) AS n FROM marked")["n"].to_pylist() == [0]
    act(client, "EndTransaction", packed("ActionEndTransactionRequest", field(1, transaction) + b"\x10\x01"))
    assert read(client, "SELECT n FROM marked ORDER BY n")["n"].to_pylist() == [1, 3]
    refused(KeyError, lambda: insert(transaction, 4))


def ingesting(client):
    (result,) = act(client, "BeginTransaction", packed("ActionBeginTransactionRequest"))
    kind = first(result, 1)
    transaction = first(first(result[2 + len(kind) :], 2), 1)
    sql = field(1, "CREATE TABLE put (n BIGINT)") + field(2, transaction)
    client.get_flight_info(flight.FlightDescriptor.for_command(packed("CommandStatementQuery", sql)))
    rows = pyarrow.table({"n": [1, 2, 3]})
    # It must be there, and is appended to.
    command = field(1, b"\x08\x02\x10\x02") + field(2, "put") + field(6, transaction)
    command = packed("CommandStatementIngest", command)
    writer, _ = client.do_put(flight.FlightDescriptor.for_command(command), rows.schema)
    writer.write_table(rows)
    writer.close()
    act(client, "EndTransaction", packed("ActionEndTransactionRequest", field(1, transaction) + b"\x10\x01"))
    assert read(client, "SELECT sum(n) AS n FROM put")["n"].to_pylist() == [6]


assert len(sys.argv) > 1
client = flight.FlightClient(f"grpc://{sys.argv[1]}")
tickets(client)
cancelling(client)
live(client)
actions(client)
sessions(client)
tokens(sys.argv[1])
cookies(sys.argv[1])
savepoints(client)
ingesting(client)
print("ok")
