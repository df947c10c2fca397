"""kafka-python against the Kafka door: python kafka_python.py BOOTSTRAP"""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

(bootstrap,) = sys.argv[1:]

admin = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic("py", 3, 1)])
assert "py" in admin.list_topics()

sent = []
for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=codec, acks="all", linger_ms=5)
    futures = [producer.send("py", f"{codec} {n}".encode(), str(n).encode()) for n in range(300)]
    producer.flush(60)
    for future in futures:
        meta = future.get(60)
        sent.append((meta.partition, meta.offset))
    producer.close()
assert len(set(sent)) == 1500

consumer = KafkaConsumer(
    "py",
    bootstrap_servers=bootstrap,
    group_id="py readers",
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    consumer_timeout_ms=60_000,
)
seen = []
for message in consumer:
    seen.append((message.partition, message.offset))
    if len(seen) == 1500:
        break
assert sorted(seen) == sorted(sent)
consumer.commit()
total = sum(consumer.committed(TopicPartition("py", p)) or 0 for p in range(3))
assert total == 1500, total
ends = consumer.end_offsets([TopicPartition("py", p) for p in range(3)])
assert sum(ends.values()) == 1500, ends
times = consumer.offsets_for_times({TopicPartition("py", 0): 0})
assert times[TopicPartition("py", 0)].offset == 0, times
consumer.close()
groups = admin.list_groups() if hasattr(admin, "list_groups") else admin.list_consumer_groups()
assert any("py readers" in str(group) for group in groups), groups
admin.delete_topics(["py"])
print("ok")
