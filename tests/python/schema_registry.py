"""The Confluent serialisers, as they are, against the schema registry: python schema_registry.py STEP BOOTSTRAP REST_URL

STEP `before` registers, evolves, produces and consumes; `after`, on the same data folder, finds the same ids."""

import datetime
import decimal
import json
import sys
import urllib.error
import urllib.request

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    ServerConfig,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

step, bootstrap, url = sys.argv[1:]
registry = SchemaRegistryClient({"url": url})

USER = {
    "type": "record",
    "name": "User",
    "namespace": "test",
    "fields": [{"name": "name", "type": "string"}, {"name": "age", "type": "int"}],
}
# A field with a default may be added, one without may not.
USER_2 = {**USER, "fields": USER["fields"] + [{"name": "email", "type": ["null", "string"], "default": None}]}
USER_BAD = {**USER, "fields": USER["fields"] + [{"name": "email", "type": "string"}]}

ORDER = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {"id": {"type": "integer"}, "note": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}


def sql(text):
    request = urllib.request.Request(url + "/v1/sql", text.encode(), {"Accept": "application/json", "Content-Type": "text/plain"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["rows"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{text}: {error.read().decode()}") from None


def avro(schema):
    return Schema(json.dumps(schema), "AVRO")


def refused(status, code, call, *arguments, **named):
    try:
        answer = call(*arguments, **named)
    except SchemaRegistryError as error:
        assert (error.http_status_code, error.error_code) == (status, code), error
        return error.error_message
    raise AssertionError(f"it was not refused: {answer}")


def protobuf_class(fields):
    """A message class, as protoc would make it of a file that imports a known one."""
    file = descriptor_pb2.FileDescriptorProto(
        name="event.proto", package="test", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    file.message_type.add(name="Other")
    message = file.message_type.add(name="Event")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(fields, 1):
        field = message.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL)
        if isinstance(kind, str):
            field.type, field.type_name = kinds.TYPE_MESSAGE, kind
        else:
            field.type = kind
    from google.protobuf import timestamp_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Event"))


KINDS = descriptor_pb2.FieldDescriptorProto
Event = protobuf_class([("id", KINDS.TYPE_INT64), ("text", KINDS.TYPE_STRING), ("at", ".google.protobuf.Timestamp")])


def through_the_log(topic, serializer, deserializer, values):
    """Serialised, produced, consumed, deserialised."""
    context = SerializationContext(topic, MessageField.VALUE)
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, key=b"k", value=serializer(value, context))
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"read-{topic}", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    read = []
    while len(read) < len(values):
        message = consumer.poll(30)
        assert message is not None, f"{len(read)} of {len(values)} records came"
        assert message.error() is None, message.error()
        read.append(deserializer(message.value(), context))
    consumer.close()
    return read


def check_avro():
    first = registry.register_schema("users-value", avro(USER))
    assert registry.register_schema("users-value", avro(USER)) == first
    users = [{"name": f"user {at}", "age": at} for at in range(50)]
    serializer = AvroSerializer(registry, json.dumps(USER))
    deserializer = AvroDeserializer(registry)
    assert through_the_log("users", serializer, deserializer, users) == users

    said = refused(409, 409, registry.register_schema, "users-value", avro(USER_BAD))
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in said and "/fields/2" in said, said
    assert not registry.test_compatibility("users-value", avro(USER_BAD))
    assert registry.test_compatibility("users-value", avro(USER_2))
    second = registry.register_schema("users-value", avro(USER_2))
    assert second == first + 1
    assert registry.get_versions("users-value") == [1, 2]
    # Who has the new schema reads old values too.
    reader = AvroDeserializer(registry, json.dumps(USER_2))
    old = AvroSerializer(registry, json.dumps(USER))({"name": "a", "age": 1}, SerializationContext("users", MessageField.VALUE))
    read = reader(old, SerializationContext("users", MessageField.VALUE))
    assert read == {"name": "a", "age": 1, "email": None}, read

    # In SQL the topic is a stream of bytes: magic, id, value.
    heads = {row["value"][:10] for row in sql("SELECT encode(_value, 'hex') AS value FROM users")}
    assert heads == {f"00{first:08x}"}, heads
    # With columns it is what was serialised, whichever schema it was written by.
    sql("CREATE STREAM user_rows (name TEXT, age INT, email TEXT) WITH (topic = 'users', format = 'avro')")
    newer = AvroSerializer(registry, json.dumps(USER_2))
    more = {"name": "new", "age": 50, "email": "e"}
    assert through_the_log("users", newer, reader, [more]) == [more]
    rows = sql("SELECT name, age, email FROM user_rows ORDER BY age")
    assert rows == [{**user, "email": None} for user in users] + [more], rows


def check_protobuf():
    events = [Event(id=at, text=f"event {at}", at={"seconds": at}) for at in range(20)]
    serializer = ProtobufSerializer(Event, registry)
    deserializer = ProtobufDeserializer(Event, {}, registry)
    assert through_the_log("events", serializer, deserializer, events) == events
    sql("CREATE STREAM event_rows (id BIGINT, text TEXT, at TIMESTAMP) WITH (topic = 'events', format = 'protobuf')")
    row = sql("SELECT count(*) AS n, max(id) AS last, max(text) AS text, max(at) AS at FROM event_rows")[0]
    assert row == {"n": 20, "last": 19, "text": "event 9", "at": "1970-01-01T00:00:19"}, row
    latest = registry.get_latest_version("events-value")
    text = latest.schema.schema_str
    assert latest.schema.schema_type == "PROTOBUF" and "message Event {" in text, text
    # The text is the same schema as the descriptor that was registered.
    assert registry.lookup_schema("events-value", Schema(text, "PROTOBUF")).schema_id == latest.schema_id
    more = protobuf_class([("id", KINDS.TYPE_INT64), ("text", KINDS.TYPE_BYTES), ("at", ".google.protobuf.Timestamp"), ("n", KINDS.TYPE_INT32)])
    ProtobufSerializer(more, registry)(more(n=1), SerializationContext("events", MessageField.VALUE))
    changed = protobuf_class([("id", KINDS.TYPE_STRING)])
    try:
        ProtobufSerializer(changed, registry)(changed(id="1"), SerializationContext("events", MessageField.VALUE))
        raise AssertionError("a field changed its type")
    except SchemaRegistryError as error:
        assert error.http_status_code == 409 and "FIELD_SCALAR_KIND_CHANGED" in error.error_message, error


def check_json():
    orders = [{"id": at, "note": "x" * at} for at in range(20)]
    serializer = JSONSerializer(json.dumps(ORDER), registry)
    deserializer = JSONDeserializer(json.dumps(ORDER), schema_registry_client=registry)
    assert through_the_log("orders", serializer, deserializer, orders) == orders
    wider = {**ORDER, "properties": {**ORDER["properties"], "more": {"type": "string"}}}
    narrower = {**ORDER, "properties": {"id": {"type": "integer"}}}
    registry.register_schema("orders-value", Schema(json.dumps(wider), "JSON"))
    said = refused(409, 409, registry.register_schema, "orders-value", Schema(json.dumps(narrower), "JSON"))
    assert "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" in said, said


def consumed(topic, deserializer, count):
    context = SerializationContext(topic, MessageField.VALUE)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"from-sql-{topic}", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    read = []
    while len(read) < count:
        message = consumer.poll(30)
        assert message is not None, f"{len(read)} of {count} records came"
        assert message.error() is None, message.error()
        read.append(deserializer(message.value(), context))
    consumer.close()
    return read


def check_sql_writes():
    # SQL writes by the schema that a client registered, as a stream of the columns that it makes.
    sql("CREATE STREAM user_writes WITH (topic = 'users', format = 'avro')")
    before = sql("SELECT count(*) AS n FROM users")[0]["n"]
    sql("INSERT INTO user_writes (name, age, email) VALUES ('by sql', 7, NULL)")
    users = consumed("users", AvroDeserializer(registry), before + 1)
    assert {"name": "by sql", "age": 7, "email": None} in users, users[-1]

    # Columns make a schema.
    sql("CREATE STREAM sold (id BIGINT NOT NULL, note TEXT, price DECIMAL(10, 2), day DATE, tags TEXT[]) WITH (format = 'avro')")
    assert registry.get_latest_version("sold-value").schema.schema_type == "AVRO"
    sql("INSERT INTO sold VALUES (1, 'a', 12.34, '2024-02-29', ['x']), (2, NULL, NULL, NULL, NULL)")
    assert consumed("sold", AvroDeserializer(registry), 2) == [
        {"id": 1, "note": "a", "price": decimal.Decimal("12.34"), "day": datetime.date(2024, 2, 29), "tags": ["x"]},
        {"id": 2, "note": None, "price": None, "day": None, "tags": None},
    ]
    sql("CREATE STREAM told (id BIGINT, text TEXT, at TIMESTAMP) WITH (format = 'protobuf')")
    sql("INSERT INTO told VALUES (1, 'a', '1970-01-01 00:00:19'), (2, NULL, NULL)")
    told = consumed("told", ProtobufDeserializer(Event, {}, registry), 2)
    assert told == [Event(id=1, text="a", at={"seconds": 19, "nanos": 0}), Event(id=2)], told
    text = registry.get_latest_version("told-value").schema.schema_str
    assert "optional int64 id = 1;" in text, text


def check_the_rest():
    assert sorted(registry.get_schema_types()) == ["AVRO", "JSON", "PROTOBUF"]
    assert registry.get_subjects() == ["events-value", "orders-value", "users-value"]
    assert registry.get_subjects(subject_prefix="us") == ["users-value"]
    first = registry.get_version("users-value", 1)
    assert registry.get_subjects_by_schema_id(first.schema_id) == ["users-value"]
    assert registry.get_schema_by_guid(first.guid).schema_str == first.schema.schema_str
    places = registry.get_schema_versions(first.schema_id)
    assert [(place.subject, place.version) for place in places] == [("users-value", 1)]

    refused(404, 40401, registry.get_versions, "nothing")
    refused(404, 40402, registry.get_version, "users-value", 9)
    refused(404, 40403, registry.get_schema, 4711)
    refused(422, 42201, registry.register_schema, "bad", Schema('{"type": "recrd"}', "AVRO"))
    refused(422, 42203, registry.set_compatibility, "users-value", "SIDEWAYS")

    # References: a schema that another one uses cannot be deleted.
    registry.register_schema("address", avro({"type": "record", "name": "Address", "fields": [{"name": "city", "type": "string"}]}))
    person = {"type": "record", "name": "Person", "fields": [{"name": "home", "type": "Address"}]}
    reference = SchemaReference("Address", "address", 1)
    person_id = registry.register_schema("person", Schema(json.dumps(person), "AVRO", [reference]))
    assert registry.get_referenced_by("address", 1) == [person_id]
    refused(422, 42206, registry.delete_subject, "address")
    assert registry.get_schema(person_id).references[0].subject == "address"

    # Levels, of all and of one.
    assert registry.get_compatibility() == "BACKWARD"
    registry.set_config("users-value", ServerConfig(compatibility=ConfigCompatibilityLevel.FULL_TRANSITIVE))
    assert registry.get_compatibility("users-value") == "FULL_TRANSITIVE"
    refused(404, 40408, registry.get_compatibility, "orders-value")
    registry.set_compatibility("users-value", "NONE")
    registry.register_schema("users-value", avro(USER_BAD))

    # Modes.
    assert registry.get_global_mode() == "READWRITE"
    registry.update_mode("users-value", "READONLY")
    refused(422, 42205, registry.delete_version, "users-value", 3)
    registry.delete_mode("users-value")

    # Deleted in two steps; ids still read after the first.
    assert registry.delete_version("users-value", 3) == 3
    refused(404, 40406, registry.delete_version, "users-value", 3)
    assert registry.get_versions("users-value") == [1, 2]
    assert registry.delete_subject("person") == [1]
    refused(404, 40404, registry.delete_subject, "person")
    assert registry.delete_subject("person", permanent=True) == [1]
    fresh = SchemaRegistryClient({"url": url})
    refused(404, 40403, fresh.get_schema, person_id)


def ids():
    fresh = SchemaRegistryClient({"url": url})
    found = {}
    for subject in fresh.get_subjects():
        for version in fresh.get_versions(subject):
            found[f"{subject} {version}"] = fresh.get_version(subject, version).schema_id
    return found


if step == "before":
    check_avro()
    check_protobuf()
    check_json()
    check_the_rest()
    check_sql_writes()
    print(json.dumps(ids(), sort_keys=True))
else:
    now = ids()
    assert registry.get_compatibility("users-value") == "NONE"
    # What is registered again has its id, and a new one has a new id.
    assert registry.register_schema("again", avro(USER)) == now["users-value 1"]
    assert registry.register_schema("again", avro(USER_2)) == now["users-value 2"]
    new = registry.register_schema("new", Schema('"double"', "AVRO"))
    assert new > max(now.values()), (new, now)
    registry.delete_subject("again")
    print(json.dumps(now, sort_keys=True))
print("ok")
