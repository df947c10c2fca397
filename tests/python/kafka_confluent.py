"""librdkafka (confluent-kafka) against the Kafka door: python kafka_confluent.py BOOTSTRAP REST_URL"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

bootstrap, url = sys.argv[1:]


def sql(text):
    request = urllib.request.Request(url + "/v1/sql", text.encode(), {"Accept": "application/json", "Content-Type": "text/plain"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["rows"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{text}: {error.read().decode()}") from None


def producer(**settings):
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 2, **{k.replace("_", "."): v for k, v in settings.items()}})


def consumer(group, **settings):
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            **{k.replace("_", "."): v for k, v in settings.items()},
        }
    )


def produce(topic, messages, **settings):
    """Sends (key, value) pairs; returns what was acknowledged, in order."""
    acknowledged = []

    def delivered(error, message):
        assert error is None, error
        acknowledged.append((message.partition(), message.offset(), message.key(), message.value()))

    sender = producer(**settings)
    for key, value in messages:
        sender.produce(topic, value, key, on_delivery=delivered)
        sender.poll(0)
    assert sender.flush(60) == 0
    assert len(acknowledged) == len(messages)
    return acknowledged


def read(reader, count, seconds=60):
    messages = []
    until = time.monotonic() + seconds
    while len(messages) < count:
        assert time.monotonic() < until, f"{len(messages)} of {count} messages came"
        message = reader.poll(0.5)
        if message is None:
            continue
        assert message.error() is None, message.error()
        messages.append(message)
    return messages


admin = AdminClient({"bootstrap.servers": bootstrap})


def create(name, partitions=1, **settings):
    admin.create_topics([NewTopic(name, partitions, 1, **settings)])[name].result(30)


def refused(future, code):
    try:
        future.result(30)
    except KafkaException as error:
        assert error.args[0].code() == code, error
        return error.args[0].str()
    raise AssertionError(f"{code} was expected")


def codecs():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = f"codec-{codec}"
        create(topic, 2)
        messages = [(f"key {n % 7}".encode(), f"value {n} ".encode() * 20) for n in range(1000)]
        sent = produce(topic, messages, compression_type=codec, acks="all")
        reader = consumer(f"readers of {codec}")
        reader.subscribe([topic])
        got = [(m.partition(), m.offset(), m.key(), m.value()) for m in read(reader, 1000)]
        assert sorted(got) == sorted(sent)
        for partition in (0, 1):
            offsets = [offset for number, offset, _, _ in got if number == partition]
            assert offsets == list(range(len(offsets))), "in order, without a gap"
        reader.close()
        size = "sum(length(encode(_value, 'hex')) / 2)"
        rows = sql(f'SELECT count(*) AS n, count(DISTINCT _key) AS k, {size} AS b FROM "{topic}"')
        assert rows == [{"n": 1000, "k": 7, "b": sum(len(value) for _, value in messages)}], rows


def idempotence():
    create("once")
    sent = produce("once", [(None, str(n).encode()) for n in range(5000)], enable_idempotence=True)
    assert [offset for _, offset, _, _ in sent] == list(range(5000))
    produce("once", [(None, b"unsure")], acks=0)
    produce("once", [(None, b"leader")], acks=1)
    sender = producer(transactional_id="t")
    try:
        sender.init_transactions(10)
        raise AssertionError("transactions are not there yet")
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, error


def groups():
    create("shared", 4)
    produce("shared", [(str(n).encode(), str(n).encode()) for n in range(400)])
    one, two = consumer("team"), consumer("team")
    one.subscribe(["shared"])
    read(one, 1)
    two.subscribe(["shared"])
    until = time.monotonic() + 60
    while not (len(one.assignment()) == len(two.assignment()) == 2):
        assert time.monotonic() < until, (one.assignment(), two.assignment())
        one.poll(0.1)
        two.poll(0.1)
    members = admin.describe_consumer_groups(["team"])["team"].result(30)
    assert len(members.members) == 2 and members.state.name == "STABLE", members.state
    two.close()
    while len(one.assignment()) != 4:
        assert time.monotonic() < until, one.assignment()
        one.poll(0.1)
    one.close()

    three = consumer("resuming")
    three.subscribe(["shared"])
    first = read(three, 100)
    three.commit(asynchronous=False)
    three.close()
    four = consumer("resuming")
    four.subscribe(["shared"])
    rest = read(four, 300)
    seen = {(m.partition(), m.offset()) for m in first} | {(m.partition(), m.offset()) for m in rest}
    assert len(seen) == 400, len(seen)
    four.commit(asynchronous=False)
    committed = four.committed([TopicPartition("shared", p) for p in range(4)], 30)
    assert sum(p.offset for p in committed) == 400, committed
    four.close()
    names = {group.group_id for group in admin.list_consumer_groups().result(30).valid}
    assert {"team", "resuming"} <= names, names
    admin.delete_consumer_groups(["resuming"])["resuming"].result(30)


def crashes():
    """A member that is killed is missed when its session is over; its partitions go to the other."""
    one = consumer("mortal")
    one.subscribe(["shared"])
    read(one, 1)
    code = (
        "import sys; from confluent_kafka import Consumer\n"
        "c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'mortal', 'session.timeout.ms': 2000})\n"
        "c.subscribe(['shared'])\n"
        "while not c.assignment(): c.poll(0.1)\n"
        "print('here', flush=True)\n"
        "while True: c.poll(0.1)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, bootstrap], stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(one.assignment()) != 2:
        assert time.monotonic() < until, one.assignment()
        one.poll(0.1)
    assert other.stdout.readline() == "here\n"
    other.kill()
    other.wait()
    while len(one.assignment()) != 4:
        assert time.monotonic() < until, one.assignment()
        one.poll(0.1)
    one.close()


def static_member():
    """A member with an instance id that comes back soon causes no rebalance."""
    one = consumer("static", group_instance_id="desk 1")
    one.subscribe(["shared"])
    read(one, 1)
    one.close()
    again = consumer("static", group_instance_id="desk 1")
    again.subscribe(["shared"])
    read(again, 1)
    again.close()


def times():
    create("clock")
    sender = producer()
    for n in range(100):
        sender.produce("clock", str(n), timestamp=1_700_000_000_000 + n * 1000)
    assert sender.flush(60) == 0
    reader = consumer("by time")
    at = reader.offsets_for_times([TopicPartition("clock", 0, 1_700_000_050_000)], 30)
    assert at[0].offset == 50, at
    past = reader.offsets_for_times([TopicPartition("clock", 0, 1_800_000_000_000)], 30)
    assert past[0].offset in (-1, 100), past
    assert reader.get_watermark_offsets(TopicPartition("clock", 0), 30) == (0, 100)
    reader.assign([TopicPartition("clock", 0, 97)])
    assert [m.value() for m in read(reader, 3)] == [b"97", b"98", b"99"]
    reader.assign([TopicPartition("clock", 0, 5000)])
    message = read(reader, 1)[0]
    assert message.offset() == 0, "out of range: from the beginning, as auto.offset.reset says"
    reader.close()


def administration():
    create("admin", 3)
    topics = admin.list_topics(timeout=30).topics
    assert len(topics["admin"].partitions) == 3
    refused(admin.create_topics([NewTopic("admin", 1, 1)])["admin"], KafkaError.TOPIC_ALREADY_EXISTS)
    refused(admin.create_topics([NewTopic("copies", 1, 3)])["copies"], KafkaError.INVALID_REPLICATION_FACTOR)
    said = refused(
        admin.create_topics([NewTopic("compacted", 1, 1, config={"cleanup.policy": "compact"})])["compacted"],
        KafkaError.INVALID_CONFIG,
    )
    assert "cleanup.policy" in said, said
    resource = ConfigResource(ConfigResource.Type.TOPIC, "admin")
    configs = admin.describe_configs([resource])[resource].result(30)
    assert configs["cleanup.policy"].value == "delete"
    cluster = admin.describe_cluster().result(30)
    assert len(cluster.nodes) == 1 and cluster.cluster_id == "weir"
    assert sql("SELECT count(*) AS n FROM admin") == [{"n": 0}]
    admin.delete_topics(["admin"])["admin"].result(30)
    refused(admin.delete_topics(["admin"])["admin"], KafkaError.UNKNOWN_TOPIC_OR_PART)


def streams():
    """A stream with columns and a topic are the same thing from two sides."""
    sql("CREATE STREAM bids (auction BIGINT NOT NULL, price BIGINT, CHECK (price > 0)) WITH (partitions = 2, on_error = 'fail')")
    sql("INSERT INTO bids VALUES (1, 10), (2, 20)")
    reader = consumer("bidders")
    reader.subscribe(["bids"])
    assert sorted(json.loads(m.value())["price"] for m in read(reader, 2)) == [10, 20]
    for codec in ["none", "zstd"]:
        produce("bids", [(None, json.dumps({"auction": 3, "price": 30}))], compression_type=codec)
    assert sql("SELECT auction, count(*) AS n FROM bids GROUP BY 1 ORDER BY 1") == [
        {"auction": 1, "n": 1},
        {"auction": 2, "n": 1},
        {"auction": 3, "n": 2},
    ]
    for wrong in ['{"price": 1}', '{"auction": "x"}', '{"auction": 1, "price": 0}', "no json", None]:
        errors = []
        sender = producer(compression_type="gzip")
        sender.produce("bids", wrong, on_delivery=lambda error, _: errors.append(error))
        assert sender.flush(60) == 0
        assert errors[0] is not None and errors[0].code() == KafkaError.INVALID_RECORD, (wrong, errors)
    sql("CREATE TABLE users (id BIGINT PRIMARY KEY)")
    errors = []
    sender = producer()
    sender.produce("users", '{"id": 1}', on_delivery=lambda error, _: errors.append(error))
    assert sender.flush(60) == 0
    assert errors[0].code() == KafkaError.POLICY_VIOLATION, errors
    assert sql("SELECT count(*) AS n FROM bids") == [{"n": 4}]
    reader.close()


def wrong_records():
    """What a client sends is taken as it comes; each stream over the topic makes of it what it says."""
    good = [json.dumps({"id": n, "name": "x" * n}) for n in range(50)]
    wrong = ["no json", '{"id": "x"}', "", b"\xff\xfe", None]
    produce("wire", [(None, value) for value in good[:25]], compression_type="zstd")
    produce("wire", [(b"k", value) for value in wrong])
    produce("wire", [(None, value) for value in good[25:]], compression_type="lz4")
    total = len(good) + len(wrong)
    assert sql("SELECT count(*) AS n FROM wire") == [{"n": total}]
    sql("CREATE STREAM wire (id INT NOT NULL, name TEXT) WITH (topic = 'wire')")
    sql("CREATE STREAM wire_good (id INT NOT NULL, name TEXT) WITH (topic = 'wire', on_error = 'skip')")
    sql("CREATE STREAM wire_dead (id INT NOT NULL, name TEXT) WITH (topic = 'wire', on_error = 'dead_letter')")
    sums = "SELECT count(*) AS n, sum(id) AS ids, sum(length(name)) AS bytes FROM "
    right = {"ids": sum(range(50)), "bytes": sum(range(50))}
    assert sql(sums + "wire") == [{"n": total, **right}]
    assert sql(sums + "wire_good") == [{"n": 50, **right}]
    assert sql(sums + "wire_dead") == [{"n": 50, **right}]
    assert sql("SELECT count(*) AS n FROM wire WHERE _error IS NOT NULL") == [{"n": len(wrong)}]
    # A consumer of the dead letters sees each once, with where it is from.
    reader = consumer("morgue")
    reader.subscribe(["wire.dead_letter"])
    letters = read(reader, len(wrong))
    assert [m.value() for m in letters] == [b"no json", b'{"id": "x"}', b"", b"\xff\xfe", None]
    assert {m.key() for m in letters} == {b"k"}
    headers = [dict(m.headers()) for m in letters]
    assert {h["weir.topic"] for h in headers} == {b"wire"} and all(h["weir.error"] for h in headers)
    places = {(h["weir.partition"], h["weir.offset"]) for h in headers}
    assert len(places) == len(wrong), headers
    # They go on being taken, whole batches with good records in them.
    produce("wire", [(b"k", "no json"), (b"k", good[7])])
    assert read(reader, 1)[0].value() == b"no json"
    assert sql("SELECT count(*) AS n FROM wire_dead") == [{"n": 51}]
    reader.close()


def raw():
    sender = producer()
    sender.produce("made-by-use", b"\x00\xff", b"k", headers=[("h", b"v")], timestamp=1_700_000_000_000)
    sender.produce("made-by-use", None, b"k")
    assert sender.flush(60) == 0
    assert sql('SELECT * FROM "made-by-use" ORDER BY _offset') == [{"_value": "\\x00ff"}, {"_value": None}]
    row = sql('SELECT _key, _offset, _headers[1][\'key\'] AS h, _timestamp FROM "made-by-use" LIMIT 1')[0]
    assert (row["_key"], row["_offset"], row["h"]) == ("\\x6b", 0, "h"), row
    assert row["_timestamp"].startswith("2023-11-14"), row
    sql("INSERT INTO \"made-by-use\" VALUES ('\\x6869')")
    reader = consumer("raw")
    reader.assign([TopicPartition("made-by-use", 0, OFFSET_BEGINNING)])
    assert [m.value() for m in read(reader, 3)] == [b"\x00\xff", None, b"hi"]
    reader.close()


for part in [codecs, idempotence, groups, crashes, static_member, times, administration, streams, wrong_records, raw]:
    part()
    print(part.__name__)
print("ok")
