"""librdkafka signs in by each mechanism: python kafka_sasl_confluent.py BOOTSTRAP PROTOCOL USER PASSWORD CA"""

import sys

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

bootstrap, protocol, user, password, ca = sys.argv[1:]


def settings(mechanism, secret=password, **more):
    named = {
        "bootstrap.servers": bootstrap,
        "security.protocol": protocol,
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": secret,
        **more,
    }
    if ca:
        named["ssl.ca.location"] = ca
    return named


for number, mechanism in enumerate(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]):
    producer = Producer(settings(mechanism))
    failures = []
    producer.produce("t", f"by {mechanism}", on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(60) == 0 and failures == [None], (mechanism, failures)
    consumer = Consumer(settings(mechanism, **{"group.id": f"readers {number}", "auto.offset.reset": "earliest"}))
    consumer.subscribe(["t"])
    seen = []
    while len(seen) <= number:
        message = consumer.poll(60)
        assert message is not None and message.error() is None, (mechanism, message and message.error())
        seen.append(message.value())
    assert seen[-1] == f"by {mechanism}".encode(), seen
    consumer.commit(asynchronous=False)
    consumer.close()

    errors = []
    wrong = AdminClient(settings(mechanism, secret="not the password", error_cb=errors.append))
    try:
        wrong.list_topics(timeout=3)
        raise AssertionError(f"{mechanism}: a wrong password was taken")
    except KafkaException:
        pass
    while not errors:
        assert wrong.poll(10) > 0, mechanism
    assert any("uthentication" in str(error) for error in errors), (mechanism, errors)
print("ok")
