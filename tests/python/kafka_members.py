"""A group whose members come and go all the time, through crashes of the broker: python kafka_members.py BOOTSTRAP

Writes "ack PARTITION OFFSET NUMBER" for each record that was acknowledged, "joined" when a member got partitions, "resume
PARTITION OFFSET" for the first record that it reads of each, "read PARTITION OFFSET NUMBER", and "commit PARTITION OFFSET" for what
was committed, until a line comes in; then the last member reads the rest, and "end" is written.
"""

import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

(bootstrap,) = sys.argv[1:]
stop = threading.Event()
quiet = {"log_level": 0, "bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 200}
saying = threading.Lock()
failed = []
# The ends of what was acknowledged, by partition.
ends = {}


def wait():
    sys.stdin.readline()
    stop.set()


def say(*words):
    with saying:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()


def produce():
    def delivered(error, message):
        if error is not None:
            failed.append(error)
            return
        ends[message.partition()] = message.offset() + 1
        say("ack", message.partition(), message.offset(), message.value().decode())

    producer = Producer({**quiet, "enable.idempotence": True, "linger.ms": 1, "delivery.timeout.ms": 300_000})
    number = 0
    while not stop.is_set():
        producer.produce("shared", str(number), on_delivery=delivered)
        number += 1
        producer.poll(0.005)
    assert producer.flush(300) == 0


class Member:
    """One life of a member: from its coming to its going."""

    def __init__(self):
        self.fresh = set()
        self.consumer = Consumer({**quiet, "group.id": "members", "auto.offset.reset": "earliest", "enable.auto.commit": False, "session.timeout.ms": 6000})
        self.consumer.subscribe(["shared"], on_assign=self.assigned)

    def assigned(self, _, partitions):
        self.fresh = {partition.partition for partition in partitions}
        if partitions:
            say("joined")

    def work(self):
        messages = [message for message in self.consumer.consume(50, 0.05) if message.error() is None]
        if not messages:
            return
        starts = {}
        for message in messages:
            say("read", message.partition(), message.offset(), message.value().decode())
            starts.setdefault(message.partition(), message.offset())
        last = {message.partition(): message.offset() + 1 for message in messages}
        offsets = [TopicPartition("shared", partition, offset) for partition, offset in last.items()]
        # Where it went on is compared with commits of before, and its own with those of others: one at a time.
        with committing:
            try:
                committed = self.consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException:
                # The broker is away, or the group has given the partitions to others: what was read is read again.
                return
            if any(partition.error for partition in committed):
                return
            for partition, offset in starts.items():
                if partition in self.fresh:
                    say("resume", partition, offset)
                    self.fresh.discard(partition)
            for partition, offset in last.items():
                say("commit", partition, offset)


def lives(seed):
    chance = random.Random(seed)
    while not stop.is_set():
        member = Member()
        until = time.monotonic() + chance.uniform(0.3, 2)
        while time.monotonic() < until and not stop.is_set():
            member.work()
        member.consumer.close()


committing = threading.Lock()
admin = AdminClient(quiet)
admin.create_topics([NewTopic("shared", 4, 1)])["shared"].result(30)
threading.Thread(target=wait, daemon=True).start()
threads = [threading.Thread(target=produce), *(threading.Thread(target=lives, args=(seed,)) for seed in range(3))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
last = Member()
places = [TopicPartition("shared", partition) for partition in ends]
until = time.monotonic() + 120
while any(place.offset != ends[place.partition] for place in last.consumer.committed(places, 30)):
    assert time.monotonic() < until, last.consumer.committed(places, 30)
    last.work()
last.consumer.close()
say("end")
