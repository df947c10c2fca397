import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.OffsetDateTime;
import java.util.Properties;

/** pgjdbc uses Weir: prepared statements up to the binary format, batches, fetch sizes, timeouts, transactions. */
public class PostgresClient {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", "somebody");
        String url = "jdbc:postgresql://" + arguments[0] + "/weir";
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            try (Statement statement = connection.createStatement()) {
                statement.execute("CREATE TABLE j (id BIGINT PRIMARY KEY, name TEXT, price NUMERIC(10, 2), at TIMESTAMP, is_new BOOLEAN)");
            }
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO j VALUES (?, ?, ?, ?, ?)")) {
                for (int i = 0; i < 100; i++) {
                    insert.setLong(1, i);
                    insert.setString(2, "name " + i);
                    insert.setBigDecimal(3, new BigDecimal(i).movePointLeft(1));
                    insert.setTimestamp(4, Timestamp.valueOf("2024-01-02 03:04:05.678"));
                    insert.setBoolean(5, i % 2 == 0);
                    insert.addBatch();
                }
                check(insert.executeBatch().length == 100, "a batch");
            }
            // After five times values come in binary.
            try (PreparedStatement select = connection.prepareStatement("SELECT * FROM j WHERE id = ? AND name = ?")) {
                for (int i = 0; i < 8; i++) {
                    select.setInt(1, i);
                    select.setString(2, "name " + i);
                    try (ResultSet rows = select.executeQuery()) {
                        check(rows.next(), "a row");
                        check(rows.getLong("id") == i, "an id");
                        check(rows.getBigDecimal("price").compareTo(new BigDecimal(i).movePointLeft(1)) == 0, "a price");
                        check(rows.getTimestamp("at").equals(Timestamp.valueOf("2024-01-02 03:04:05.678")), "a time");
                        check(rows.getBoolean("is_new") == (i % 2 == 0), "a flag");
                        check(!rows.next(), "one row");
                    }
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(1000);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT value FROM generate_series(1, 10000) AS g(value)")) {
                    while (rows.next()) {
                        sum += rows.getLong(1);
                    }
                }
                check(sum == 50005000L, "all rows");
                statement.executeUpdate("INSERT INTO j (id) VALUES (1000)");
                connection.rollback();
                try (ResultSet rows = statement.executeQuery("SELECT count(*) FROM j")) {
                    rows.next();
                    check(rows.getLong(1) == 100, "a rollback");
                }
                connection.commit();
            }
            connection.setAutoCommit(true);
            check(connection.getTransactionIsolation() == Connection.TRANSACTION_REPEATABLE_READ, "isolation");
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                statement.executeQuery(
                    "SELECT count(*) FROM generate_series(1, 1000000) AS a(x) CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * 7 + y) % 1000003 = 2");
                throw new AssertionError("it was not stopped");
            } catch (SQLException error) {
                check(error.getSQLState().equals("57014"), error.toString());
            }
            check(connection.isValid(5), "it goes on");
        }
        System.out.println("jdbc holds");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
