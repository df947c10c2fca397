// Apache Kafka's own client signs in by each mechanism: java -cp 'jars/*' KafkaSasl.java BOOTSTRAP PROTOCOL USER PASSWORD CA

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class KafkaSasl {
    static String[] given;

    static Map<String, Object> settings(String mechanism, String password) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", given[0]);
        settings.put("security.protocol", given[1]);
        settings.put("sasl.mechanism", mechanism);
        String module = mechanism.equals("PLAIN")
            ? "org.apache.kafka.common.security.plain.PlainLoginModule"
            : "org.apache.kafka.common.security.scram.ScramLoginModule";
        settings.put("sasl.jaas.config", module + " required username=\"" + given[2] + "\" password=\"" + password + "\";");
        if (!given[4].isEmpty()) {
            settings.put("ssl.truststore.type", "PEM");
            settings.put("ssl.truststore.location", given[4]);
        }
        return settings;
    }

    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(String.valueOf(what));
    }

    public static void main(String[] arguments) throws Exception {
        given = arguments;
        int number = 0;
        for (String mechanism : List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")) {
            String value = "java " + mechanism;
            try (var producer = new KafkaProducer<>(settings(mechanism, given[3]), new StringSerializer(), new StringSerializer())) {
                producer.send(new ProducerRecord<>("t", value)).get(60, TimeUnit.SECONDS);
            }
            Map<String, Object> settings = settings(mechanism, given[3]);
            settings.put("group.id", "java " + number++);
            settings.put("auto.offset.reset", "earliest");
            try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of("t"));
                boolean found = false;
                long until = System.nanoTime() + 60_000_000_000L;
                while (!found) {
                    check(System.nanoTime() < until, mechanism + ": the record did not come");
                    for (var record : consumer.poll(Duration.ofMillis(200))) found |= record.value().equals(value);
                }
                consumer.commitSync();
            }
            try (Admin admin = Admin.create(settings(mechanism, "not the password"))) {
                admin.listTopics().names().get(30, TimeUnit.SECONDS);
                throw new AssertionError(mechanism + ": a wrong password was taken");
            } catch (ExecutionException error) {
                check(error.getCause() instanceof SaslAuthenticationException, error.getCause());
            }
        }
        System.out.println("ok");
    }
}
