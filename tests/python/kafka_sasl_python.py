"""kafka-python signs in by each mechanism: python kafka_sasl_python.py BOOTSTRAP USER PASSWORD"""

import sys

from kafka import KafkaConsumer, KafkaProducer

bootstrap, user, password = sys.argv[1:]

for number, mechanism in enumerate(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]):
    settings = dict(
        bootstrap_servers=bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_plain_username=user,
        sasl_plain_password=password,
    )
    producer = KafkaProducer(**settings)
    producer.send("t", mechanism.encode()).get(60)
    producer.close()
    consumer = KafkaConsumer("t", auto_offset_reset="earliest", consumer_timeout_ms=60_000, **settings)
    seen = []
    for message in consumer:
        seen.append(message.value)
        if len(seen) > number:
            break
    assert seen[-1] == mechanism.encode(), seen
    consumer.close()
print("ok")
