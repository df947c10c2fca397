"""An idempotent producer and a consumer that live through crashes of the broker: python kafka_survivor.py BOOTSTRAP

Writes "ack PARTITION OFFSET NUMBER" for each record that was acknowledged, and "read PARTITION OFFSET NUMBER" for each that
was read and committed, until a line comes in; then it ends what is under way, and writes "end".
"""

import sys
import threading

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

(bootstrap,) = sys.argv[1:]
stop = threading.Event()
quiet = {"log_level": 0, "bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 200}


def wait():
    sys.stdin.readline()
    stop.set()


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")


admin = AdminClient(quiet)
admin.create_topics([NewTopic("kept", 3, 1)])["kept"].result(30)
threading.Thread(target=wait, daemon=True).start()
failed = []


def delivered(error, message):
    if error is not None:
        failed.append(error)
        return
    say("ack", message.partition(), message.offset(), message.value().decode())


producer = Producer({**quiet, "enable.idempotence": True, "linger.ms": 1, "delivery.timeout.ms": 300_000, "compression.type": "lz4"})
consumer = Consumer({**quiet, "group.id": "keepers", "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe(["kept"])
number = 0
while not stop.is_set():
    for _ in range(20):
        producer.produce("kept", str(number), on_delivery=delivered)
        number += 1
    producer.poll(0)
    messages = [message for message in consumer.consume(100, 0.01) if message.error() is None]
    if messages:
        try:
            consumer.commit(asynchronous=False)
        except KafkaException:
            # The broker is away, or the group is new to it: what was not committed may come again.
            continue
        for message in messages:
            say("read", message.partition(), message.offset(), message.value().decode())
    sys.stdout.flush()
assert producer.flush(300) == 0
assert not failed, failed
say("sent", number)
say("end")
sys.stdout.flush()
