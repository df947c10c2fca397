"""What each user may do over the Kafka protocol: python kafka_rights.py BOOTSTRAP PASSWORD SPENT_TOKEN"""

import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

bootstrap, password, spent = sys.argv[1:]


def settings(user, secret=password, **more):
    return {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": secret,
        "allow.auto.create.topics": "false",
        "topic.metadata.propagation.max.ms": 1000,
        **{key.replace("_", "."): value for key, value in more.items()},
    }


def name(code):
    return {
        KafkaError.TOPIC_AUTHORIZATION_FAILED: "denied",
        KafkaError.GROUP_AUTHORIZATION_FAILED: "denied",
        KafkaError.CLUSTER_AUTHORIZATION_FAILED: "denied",
        KafkaError.UNKNOWN_TOPIC_OR_PART: "unknown",
        KafkaError._UNKNOWN_TOPIC: "unknown",
        KafkaError._UNKNOWN_PARTITION: "unknown",
        KafkaError._MSG_TIMED_OUT: "unknown",
        # By a client that did not find the leader of a topic.
        KafkaError._NOENT: "unknown",
    }.get(code, f"code {code}")


def produce(user, topic):
    outcome = []
    producer = Producer(settings(user, message_timeout_ms=10000))
    producer.produce(topic, b"x", on_delivery=lambda error, _: outcome.append(error))
    producer.flush(30)
    return "done" if outcome[0] is None else name(outcome[0].code())


def consume(user, topic, group, polls=8):
    consumer = Consumer(settings(user, group_id=group, auto_offset_reset="earliest"))
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        for _ in range(polls):
            message = consumer.poll(1)
            if message is None:
                continue
            return "done" if message.error() is None else name(message.error().code())
        return "silence"
    except KafkaException as error:
        return name(error.args[0].code())
    finally:
        consumer.close()


def commit(user, topic, group):
    consumer = Consumer(settings(user, group_id=group))
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        done = consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        return "done" if done[0].error is None else name(done[0].error.code())
    except KafkaException as error:
        return name(error.args[0].code())
    finally:
        consumer.close()


def ask(user, call):
    # Answers come only while there is a client.
    admin = AdminClient(settings(user))
    futures = call(admin)
    try:
        for future in futures.values():
            future.result(30)
        return "done"
    except KafkaException as error:
        return name(error.args[0].code())


def topics(user):
    return sorted(AdminClient(settings(user)).list_topics(timeout=30).topics)


def check(what, found, expected):
    assert found == expected, f"{what}: {found}, not {expected}"


check("topics of nobody", topics("nobody"), [])
check("topics of reads", topics("reads"), ["policed", "t"])
check("topics of writes", topics("writes"), ["t"])

check("produce as writes", produce("writes", "t"), "done")
check("produce as reads", produce("reads", "t"), "denied")
check("produce as nobody", produce("nobody", "t"), "unknown")
check("consume as reads", consume("reads", "t", "g"), "done")
check("consume as writes", consume("writes", "t", "g2"), "denied")
# librdkafka keeps asking for a topic that it does not find.
check("consume as nobody", consume("nobody", "t", "g3", polls=3), "silence")
check("consume under a policy", consume("reads", "policed", "g4"), "denied")
check("commit as reads", commit("reads", "t", "g"), "done")
check("commit as writes", commit("writes", "t", "g5"), "denied")

check("delete a group as writes", ask("writes", lambda admin: admin.delete_consumer_groups(["g"])), "denied")
check("create as nobody", ask("nobody", lambda admin: admin.create_topics([NewTopic("new", 1, 1)])), "denied")
check("create as own", ask("own", lambda admin: admin.create_topics([NewTopic("mine", 1, 1)])), "done")
check("produce as own", produce("own", "mine"), "done")
check("consume own as reads", consume("reads", "mine", "g6", polls=3), "silence")


# A group belongs to who reads what it has read: nobody else moves it, or has it read what its members may not.
check("commit into another's group", commit("own", "mine", "g"), "denied")
check("and its own", commit("own", "mine", "g7"), "done")


def grow(topic):
    return lambda admin: admin.create_partitions([NewPartitions(topic, 3)])


def configure(topic):
    entry = ConfigEntry("retention.ms", "100000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    return lambda admin: admin.incremental_alter_configs([resource])


def cut(topic):
    return lambda admin: admin.delete_records([TopicPartition(topic, 0, 1)])


def drop(topic):
    return lambda admin: admin.delete_topics([topic])


for change in [configure, cut, grow, drop]:
    check(f"{change.__name__} as reads", ask("reads", change("t")), "denied")
    check(f"{change.__name__} as nobody", ask("nobody", change("t")), "unknown")
    check(f"{change.__name__} as own", ask("own", change("mine")), "done")

for user, secret in [("reads", "wrong"), ("reads", spent), ("eve", password), ("reader", password)]:
    try:
        AdminClient(settings(user, secret)).list_topics(timeout=3)
        raise AssertionError(f"{user} was let in")
    except KafkaException:
        pass
print("ok")
