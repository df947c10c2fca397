// Arrow's JDBC driver for Flight SQL against the Flight door: java -cp 'jars/*' FlightSqlJdbc.java HOST:PORT

import java.sql.*;
import java.util.*;

public class FlightSqlJdbc {
    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(String.valueOf(what));
    }

    static void equal(Object expected, Object actual) {
        check(Objects.equals(expected, actual), "expected " + expected + ", got " + actual);
    }

    interface Act {
        void run() throws SQLException;
    }

    static void refused(Act act, String piece) {
        try {
            act.run();
        } catch (SQLException error) {
            check(String.valueOf(error.getMessage()).contains(piece), error.getMessage());
            return;
        }
        throw new AssertionError("not refused: " + piece);
    }

    static List<List<String>> rows(ResultSet set, String... columns) throws SQLException {
        List<List<String>> rows = new ArrayList<>();
        while (set.next()) {
            List<String> row = new ArrayList<>();
            for (String column : columns) row.add(set.getString(column));
            rows.add(row);
        }
        set.close();
        return rows;
    }

    static void statements(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT, score DOUBLE, at TIMESTAMP)");
            equal(2, statement.executeUpdate("INSERT INTO people VALUES (1, 'ada', 1.5, '2024-02-29 12:00:00'), (2, 'alan', NULL, NULL)"));
            statement.execute("CREATE VIEW named AS SELECT id, name FROM people");
            statement.execute("CREATE STREAM bids (auction BIGINT, price DECIMAL(10, 2))");
            ResultSet set = statement.executeQuery("SELECT * FROM people ORDER BY id");
            equal(4, set.getMetaData().getColumnCount());
            equal("name", set.getMetaData().getColumnName(2));
            check(set.next(), "a row");
            equal(1L, set.getLong("id"));
            equal("ada", set.getString("name"));
            equal(1.5, set.getDouble("score"));
            check(set.getTimestamp("at") != null, "a timestamp");
            check(set.next(), "a second row");
            set.getDouble("score");
            check(set.wasNull(), "null");
            check(!set.next(), "no third row");
            ResultSet types = statement.executeQuery(
                "SELECT true AS b, CAST(1.25 AS DECIMAL(10,2)) AS d, DATE '2024-02-29' AS day, decode('dead', 'hex') AS bytes, "
                + "[1, 2] AS list, CAST(NULL AS TEXT) AS nothing, TIME '12:34:56' AS clock");
            check(types.next(), "a row of types");
            equal(true, types.getBoolean("b"));
            equal(new java.math.BigDecimal("1.25"), types.getBigDecimal("d"));
            equal("2024-02-29", types.getDate("day").toString());
            equal(2, types.getBytes("bytes").length);
            check(types.getArray("list") != null, "an array");
            equal(null, types.getString("nothing"));
            check(types.getTime("clock") != null, "a time");
            refused(() -> statement.executeQuery("SELECT nmae FROM people"), "42703");
            int count = 0;
            ResultSet many = statement.executeQuery("SELECT value, repeat('x', 500) AS text FROM generate_series(1, 30000) AS g(value)");
            while (many.next()) count++;
            equal(30000, count);
            equal(2, statement.executeUpdate("UPDATE people SET score = 2"));
            equal(0, statement.executeUpdate("CREATE TABLE other (n BIGINT)"));
        }
    }

    static void prepared(Connection connection) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement("SELECT name FROM people WHERE id = 2")) {
            for (int time = 0; time < 3; time++) equal(List.of(List.of("alan")), rows(select.executeQuery(), "name"));
        }
        try (PreparedStatement select = connection.prepareStatement("SELECT name FROM people WHERE id = $1 AND name <> $2")) {
            equal(2, select.getParameterMetaData().getParameterCount());
            for (int id = 1; id <= 2; id++) {
                select.setLong(1, id);
                select.setString(2, "nobody");
                equal(List.of(List.of(id == 1 ? "ada" : "alan")), rows(select.executeQuery(), "name"));
            }
        }
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO people (id, name) VALUES ($1, $2)")) {
            insert.setLong(1, 10);
            insert.setString(2, "grace");
            equal(1, insert.executeUpdate());
            for (long id = 11; id < 14; id++) {
                insert.setLong(1, id);
                insert.setString(2, "batch");
                insert.addBatch();
            }
            insert.executeBatch();
        }
        try (Statement statement = connection.createStatement()) {
            equal(List.of(List.of("3")), rows(statement.executeQuery("SELECT count(*) AS n FROM people WHERE name = 'batch'"), "n"));
        }
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData data = connection.getMetaData();
        equal("Weir", data.getDatabaseProductName());
        check(!data.getDatabaseProductVersion().isEmpty(), "a version");
        equal(List.of(List.of("weir")), rows(data.getCatalogs(), "TABLE_CAT"));
        check(rows(data.getSchemas(), "TABLE_SCHEM").contains(List.of("public")), "the schema public");
        equal(List.of(List.of("public")), rows(data.getSchemas("weir", "pub%"), "TABLE_SCHEM"));
        equal(List.of(List.of("SYSTEM TABLE"), List.of("TABLE"), List.of("VIEW")), rows(data.getTableTypes(), "TABLE_TYPE"));
        List<List<String>> tables = rows(data.getTables("weir", "public", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME", "TABLE_TYPE");
        check(tables.contains(List.of("people", "TABLE")) && tables.contains(List.of("named", "VIEW")) && tables.contains(List.of("bids", "TABLE")), tables);
        List<List<String>> columns = rows(data.getColumns("weir", "public", "people", "%"), "COLUMN_NAME", "TYPE_NAME", "IS_NULLABLE");
        equal(4, columns.size());
        equal("id", columns.get(0).get(0));
        check(columns.get(1).get(1) != null, columns);
        equal(List.of(List.of("price")), rows(data.getColumns(null, "public", "bids", "pr%"), "COLUMN_NAME"));
        equal(List.of(List.of("id", "1")), rows(data.getPrimaryKeys("weir", "public", "people"), "COLUMN_NAME", "KEY_SEQ"));
        equal(List.of(), rows(data.getImportedKeys("weir", "public", "people"), "FKTABLE_NAME"));
        equal(List.of(), rows(data.getExportedKeys("weir", "public", "people"), "FKTABLE_NAME"));
        equal(List.of(), rows(data.getCrossReference("weir", "public", "people", "weir", "public", "bids"), "FKTABLE_NAME"));
    }

    /** Calls every method of DatabaseMetaData that takes nothing: none may fail. */
    static void everything(Connection connection) throws Exception {
        DatabaseMetaData data = connection.getMetaData();
        List<String> failed = new ArrayList<>();
        for (java.lang.reflect.Method method : DatabaseMetaData.class.getMethods()) {
            if (method.getParameterCount() != 0 || method.isDefault()) continue;
            try {
                Object answer = method.invoke(data);
                if (answer instanceof ResultSet) ((ResultSet) answer).close();
            } catch (java.lang.reflect.InvocationTargetException error) {
                Throwable cause = error.getCause();
                // What the driver itself does not have is not the server's to answer.
                if (!(cause instanceof SQLFeatureNotSupportedException) && !(cause instanceof UnsupportedOperationException)) {
                    failed.add(method.getName() + ": " + cause);
                }
            }
        }
        check(failed.isEmpty(), String.join("\n", failed));
        check(data.getSQLKeywords().contains("EMIT"), data.getSQLKeywords());
        check(data.getNumericFunctions().contains("ABS"), data.getNumericFunctions());
        equal("\"", data.getIdentifierQuoteString());
        check(data.supportsUnionAll() && data.supportsFullOuterJoins() && data.supportsCorrelatedSubqueries(), "joins, unions, subqueries");
    }

    /** Each function that is named in the metadata can be called by that name. */
    static void functions(Connection connection) throws SQLException {
        DatabaseMetaData data = connection.getMetaData();
        Map<String, String> calls = new HashMap<>(Map.of(
            "ATAN2", "ATAN2(1, 2)", "MOD", "MOD(5, 3)", "PI", "PI()", "POWER", "POWER(2, 3)", "CONCAT", "CONCAT('a', 'b')",
            "LEFT", "LEFT('abc', 1)", "RIGHT", "RIGHT('abc', 1)", "POSITION", "POSITION('b' IN 'abc')", "REPEAT", "REPEAT('a', 2)",
            "REPLACE", "REPLACE('abc', 'b', 'x')"));
        calls.putAll(Map.of("SUBSTRING", "SUBSTRING('abc', 2)", "COALESCE", "COALESCE(NULL, 1)", "NULLIF", "NULLIF(1, 2)",
            "CEILING", "CEILING(1.5)", "CURRENT_DATE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP",
            "EXTRACT", "EXTRACT(YEAR FROM DATE '2024-02-29')", "NOW", "NOW()"));
        try (Statement statement = connection.createStatement()) {
            for (String name : data.getNumericFunctions().split(", ?")) statement.executeQuery("SELECT " + calls.getOrDefault(name, name + "(0.5)")).close();
            for (String name : data.getStringFunctions().split(", ?")) statement.executeQuery("SELECT " + calls.getOrDefault(name, name + "('abc')")).close();
            for (String name : (data.getSystemFunctions() + "," + data.getTimeDateFunctions()).split(", ?")) statement.executeQuery("SELECT " + calls.get(name)).close();
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        try (Connection connection = DriverManager.getConnection(url)) {
            statements(connection);
            prepared(connection);
            metadata(connection);
            everything(connection);
            functions(connection);
        }
        try (Connection connection = DriverManager.getConnection(url + "&user=ada&password=secret"); Statement statement = connection.createStatement()) {
            // A connection is a session.
            statement.execute("SET search_path = information_schema");
            check(statement.executeQuery("SELECT * FROM tables").next(), "a table");
        }
        System.out.println("ok");
    }
}
