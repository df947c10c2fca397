import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableDescriptor;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Runs queries in Flink within this process, as streams over bounded input: Nexmark.java DATA NONE SCHEMA PARALLELISM QUERY...
 *
 * <p>DATA is put into the place of {data} in SCHEMA, a file of DDL whose statements end with a semicolon at the end of a line; so is
 * NONE, a folder with the same files without a line. Each QUERY is a file with one SELECT, whose rows go into a black hole. For each
 * a line says its name, the seconds that the job took, and the seconds that this process spent on processors meanwhile; or its name,
 * a dash and why it did not run.
 *
 * <p>The first query is run once before, unmeasured, so that what is measured is warm; and each query is run over NONE before it is
 * run over DATA, and what that took is taken off: planning it and starting a cluster are not told. State is on the heap, there are
 * no checkpoints, objects are used again, and aggregations are in mini-batches, as the Nexmark suite for Flink sets it.
 */
class Nexmark {
    private static final Map<String, String> SETTINGS = Map.ofEntries(
        Map.entry("execution.runtime-mode", "STREAMING"),
        Map.entry("state.backend.type", "hashmap"),
        Map.entry("pipeline.object-reuse", "true"),
        Map.entry("table.exec.mini-batch.enabled", "true"),
        Map.entry("table.exec.mini-batch.allow-latency", "2s"),
        Map.entry("table.exec.mini-batch.size", "50000"),
        Map.entry("table.optimizer.distinct-agg.split.enabled", "true"),
        Map.entry("table.local-time-zone", "UTC"),
        Map.entry("taskmanager.memory.managed.size", "512m"),
        Map.entry("taskmanager.memory.network.min", "128m"),
        Map.entry("taskmanager.memory.network.max", "128m"),
        Map.entry("rest.bind-port", "0"),
        Map.entry("rest.address", "127.0.0.1"));

    /** Seconds: on the clock, and on processors. */
    private record Times(double wall, double processor) {}

    public static void main(String[] args) throws Exception {
        String schema = Files.readString(Path.of(args[2]));
        String data = schema.replace("{data}", Path.of(args[0]).toUri().toString());
        String none = schema.replace("{data}", Path.of(args[1]).toUri().toString());
        int parallelism = Integer.parseInt(args[3]);
        run(data, parallelism, Path.of(args[4]));
        for (int at = 4; at < args.length; at++) {
            Path query = Path.of(args[at]);
            String name = query.getFileName().toString().replace(".sql", "");
            try {
                Times start = run(none, parallelism, query);
                Times times = run(data, parallelism, query);
                double wall = times.wall() - start.wall();
                double processor = times.processor() - start.processor();
                if (wall < start.wall() / 2 || processor < start.processor() / 2) {
                    throw new IllegalStateException("so few events that the start of the job is most of it");
                }
                System.out.printf(Locale.ROOT, "%s %.3f %.3f%n", name, wall, processor);
            } catch (Exception error) {
                Throwable cause = error;
                while (cause.getCause() != null) {
                    cause = cause.getCause();
                }
                System.out.println(name + " - " + String.valueOf(cause.getMessage()).lines().findFirst().orElse(""));
            }
            System.out.flush();
        }
    }

    private static Times run(String schema, int parallelism, Path query) throws Exception {
        Configuration settings = Configuration.fromMap(SETTINGS);
        var environment = StreamExecutionEnvironment.createLocalEnvironment(parallelism, settings);
        var tables = StreamTableEnvironment.create(environment);
        for (String statement : schema.split(";\\R")) {
            if (!statement.isBlank()) {
                tables.executeSql(statement);
            }
        }
        var answer = tables.sqlQuery(Files.readString(query));
        var hole = TableDescriptor.forConnector("blackhole").build();
        var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        System.gc();
        long before = system.getProcessCpuTime();
        long started = System.nanoTime();
        answer.executeInsert(hole).await();
        double wall = (System.nanoTime() - started) / 1e9;
        return new Times(wall, (system.getProcessCpuTime() - before) / 1e9);
    }
}
