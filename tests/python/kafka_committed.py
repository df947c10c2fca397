"""What a topic holds for librdkafka's committed readers, a value a line: python kafka_committed.py BOOTSTRAP TOPIC"""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

bootstrap, topic = sys.argv[1:]
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "committed",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
)
partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
left = set(partitions)
while left:
    message = consumer.poll(30)
    assert message is not None, f"partitions {left} have not ended"
    if message.error() is None:
        print(message.value().decode())
    elif message.error().code() == KafkaError._PARTITION_EOF:
        left.discard(message.partition())
    else:
        raise KafkaException(message.error())
consumer.close()
