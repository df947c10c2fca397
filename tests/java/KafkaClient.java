// Apache Kafka's own client against the Kafka door: java -cp 'jars/*' KafkaClient.java BOOTSTRAP

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

public class KafkaClient {
    static String bootstrap;

    static Map<String, Object> settings(Object... pairs) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        for (int at = 0; at < pairs.length; at += 2) settings.put((String) pairs[at], pairs[at + 1]);
        return settings;
    }

    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(String.valueOf(what));
    }

    static KafkaConsumer<String, String> consumer(String group, Object... pairs) {
        Map<String, Object> settings = settings("group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", false);
        settings.putAll(settings(pairs));
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long until = System.nanoTime() + 60_000_000_000L;
        while (records.size() < count) {
            check(System.nanoTime() < until, records.size() + " of " + count + " records came");
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records;
    }

    static Throwable refusal(Future<?> future) throws Exception {
        try {
            future.get(30, TimeUnit.SECONDS);
        } catch (ExecutionException error) {
            return error.getCause();
        }
        throw new AssertionError("it was not refused");
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic("java", 3, (short) 1))).all().get();
            TopicDescription topic = admin.describeTopics(List.of("java")).allTopicNames().get().get("java");
            check(topic.partitions().size() == 3 && !topic.topicId().toString().isEmpty(), topic);
            check(refusal(admin.createTopics(List.of(new NewTopic("java", 1, (short) 1))).all()) instanceof TopicExistsException, "twice");
            check(admin.describeCluster().nodes().get().size() == 1, "one node");
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, "java");
            Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            check(config.get("cleanup.policy").value().equals("delete"), config);

            Set<String> sent = new TreeSet<>();
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                // Idempotent, with acks=all, as this client is by default.
                Map<String, Object> settings = settings("compression.type", codec, "linger.ms", 5);
                try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                    List<Future<RecordMetadata>> answers = new ArrayList<>();
                    for (int number = 0; number < 500; number++) {
                        ProducerRecord<String, String> record = new ProducerRecord<>("java", "key " + number % 11, codec + " " + number);
                        record.headers().add("codec", codec.getBytes());
                        answers.add(producer.send(record));
                    }
                    producer.flush();
                    for (Future<RecordMetadata> answer : answers) {
                        RecordMetadata metadata = answer.get();
                        sent.add(metadata.partition() + ":" + metadata.offset());
                    }
                }
            }
            check(sent.size() == 2500, sent.size());

            Set<String> seen = new TreeSet<>();
            try (KafkaConsumer<String, String> consumer = consumer("java readers")) {
                consumer.subscribe(List.of("java"));
                for (ConsumerRecord<String, String> record : read(consumer, 2500)) {
                    seen.add(record.partition() + ":" + record.offset());
                    Header header = record.headers().lastHeader("codec");
                    check(record.value().startsWith(new String(header.value())), record);
                }
                consumer.commitSync();
            }
            check(sent.equals(seen), "all, and each once");
            long committed = 0;
            for (OffsetAndMetadata offset : admin.listConsumerGroupOffsets("java readers").partitionsToOffsetAndMetadata().get().values()) {
                committed += offset.offset();
            }
            check(committed == 2500, committed);

            // Two members share three partitions; when one leaves, the other has all.
            try (KafkaConsumer<String, String> one = consumer("java team")) {
                one.subscribe(List.of("java"));
                read(one, 1);
                ExecutorService thread = Executors.newSingleThreadExecutor();
                CountDownLatch shared = new CountDownLatch(1);
                Future<?> other = thread.submit(() -> {
                    try (KafkaConsumer<String, String> two = consumer("java team")) {
                        two.subscribe(List.of("java"));
                        while (two.assignment().isEmpty() || shared.getCount() > 0) two.poll(Duration.ofMillis(50));
                    }
                });
                long until = System.nanoTime() + 60_000_000_000L;
                while (one.assignment().size() == 3 || one.assignment().isEmpty()) {
                    check(System.nanoTime() < until, one.assignment());
                    one.poll(Duration.ofMillis(50));
                }
                ConsumerGroupDescription group = admin.describeConsumerGroups(List.of("java team")).all().get().get("java team");
                check(group.members().size() == 2, group);
                shared.countDown();
                while (one.assignment().size() != 3) {
                    check(System.nanoTime() < until, one.assignment());
                    one.poll(Duration.ofMillis(50));
                }
                other.get();
                thread.shutdown();
            }

            try (KafkaConsumer<String, String> consumer = consumer("java times")) {
                TopicPartition first = new TopicPartition("java", 0);
                OffsetAndTimestamp at = consumer.offsetsForTimes(Map.of(first, 1L)).get(first);
                check(at.offset() == 0 && at.timestamp() > 0, at);
                check(consumer.offsetsForTimes(Map.of(first, Long.MAX_VALUE / 2)).get(first) == null, "the future");
                long end = consumer.endOffsets(List.of(first)).get(first);
                consumer.assign(List.of(first));
                consumer.seek(first, end - 1);
                check(read(consumer, 1).get(0).offset() == end - 1, end);
            }
            ListOffsetsResult latest = admin.listOffsets(Map.of(new TopicPartition("java", 0), OffsetSpec.maxTimestamp()));
            check(latest.all().get().values().iterator().next().offset() >= 0, "the latest record");

            // Exactly once: what is read, what is written of it and how far it was read are one.
            admin.createTopics(List.of(new NewTopic("moved", 2, (short) 1))).all().get();
            Map<String, Object> transactional = settings("transactional.id", "t", "max.block.ms", 20000);
            try (KafkaProducer<String, String> producer = new KafkaProducer<>(transactional, new StringSerializer(), new StringSerializer());
                 KafkaConsumer<String, String> careful = consumer("java careful", "isolation.level", "read_committed");
                 KafkaConsumer<String, String> mover = consumer("java mover", "isolation.level", "read_committed")) {
                producer.initTransactions();
                mover.subscribe(List.of("java"));
                int moved = 0;
                for (int round = 0; moved < 2500; round++) {
                    List<ConsumerRecord<String, String>> records = read(mover, 1);
                    producer.beginTransaction();
                    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                    for (ConsumerRecord<String, String> record : records) {
                        producer.send(new ProducerRecord<>("moved", record.key(), record.value()));
                        offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    }
                    producer.sendOffsetsToTransaction(offsets, mover.groupMetadata());
                    if (round % 3 == 1) {
                        producer.abortTransaction();
                        // Back to what is committed.
                        for (TopicPartition partition : offsets.keySet()) {
                            OffsetAndMetadata at = mover.committed(Set.of(partition)).get(partition);
                            if (at == null) mover.seekToBeginning(List.of(partition));
                            else mover.seek(partition, at);
                        }
                    } else {
                        producer.commitTransaction();
                        moved += records.size();
                    }
                }
                check(moved == 2500, moved);
                careful.subscribe(List.of("moved"));
                Set<String> values = new TreeSet<>();
                for (ConsumerRecord<String, String> record : read(careful, 2500)) values.add(record.value());
                check(values.size() == 2500, values.size());
                check(admin.listTransactions().all().get().stream().anyMatch(listed -> listed.transactionalId().equals("t")), "listed");
                check(admin.describeTransactions(List.of("t")).description("t").get().state() == TransactionState.COMPLETE_COMMIT, "described");
                try (KafkaProducer<String, String> heir = new KafkaProducer<>(transactional, new StringSerializer(), new StringSerializer())) {
                    heir.initTransactions();
                    producer.beginTransaction();
                    check(refusal(producer.send(new ProducerRecord<>("moved", "k", "never"))) instanceof ApiException, "fenced off");
                }
            }
            admin.deleteTopics(List.of("moved")).all().get();
            admin.deleteConsumerGroups(List.of("java readers")).all().get();
            admin.deleteTopics(List.of("java")).all().get();
            check(refusal(admin.deleteTopics(List.of("java")).all()) instanceof UnknownTopicOrPartitionException, "gone");
        }
        System.out.println("ok");
    }
}
