import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;

/** pgjdbc's DatabaseMetaData on Weir: what tools in Java list and draw. */
public class PostgresMetadata {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", "somebody");
        String url = "jdbc:postgresql://" + arguments[0] + "/weir";
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            try (Statement statement = connection.createStatement()) {
                for (String sql : List.of(
                        "CREATE SCHEMA sales",
                        "CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL DEFAULT 'nobody', credit NUMERIC(12, 2), tags TEXT[])",
                        "CREATE TABLE sales.orders (region INTEGER NOT NULL, number INTEGER NOT NULL, total NUMERIC(10, 2), PRIMARY KEY (region, number))",
                        "CREATE STREAM clicks (page TEXT NOT NULL, at TIMESTAMP)",
                        "CREATE VIEW rich AS SELECT id, name FROM users WHERE credit > 100",
                        "CREATE MATERIALIZED VIEW pages AS SELECT page, count(*) AS hits FROM clicks GROUP BY page",
                        "COMMENT ON TABLE users IS 'who buys'")) {
                    statement.execute(sql);
                }
            }
            DatabaseMetaData data = connection.getMetaData();
            equal(data.getDatabaseProductName(), "PostgreSQL");
            equal(data.getDatabaseMajorVersion(), 15);
            equal(column(data.getCatalogs(), "TABLE_CAT"), List.of("weir"));
            check(column(data.getSchemas(), "TABLE_SCHEM").containsAll(List.of("public", "sales", "weir", "pg_catalog")), "schemas");
            equal(column(data.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("clicks", "users"));
            equal(column(data.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME"), List.of("rich"));
            equal(column(data.getTables(null, "public", "%", new String[] {"MATERIALIZED VIEW"}), "TABLE_NAME"), List.of("pages"));
            equal(column(data.getTables(null, "public", "users", null), "REMARKS"), List.of("who buys"));
            check(column(data.getTables(null, null, "%", null), "TABLE_NAME").contains("pg_class"), "all tables");
            check(column(data.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "kinds of tables");
            try (ResultSet columns = data.getColumns(null, "public", "users", "%")) {
                List<String> seen = new ArrayList<>();
                while (columns.next()) {
                    seen.add(columns.getInt("ORDINAL_POSITION") + " " + columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " "
                            + columns.getInt("DATA_TYPE") + " " + columns.getString("IS_NULLABLE") + " " + columns.getString("COLUMN_DEF"));
                }
                equal(seen, List.of(
                        "1 id int8 " + Types.BIGINT + " NO null",
                        "2 name text " + Types.VARCHAR + " NO 'nobody'",
                        "3 credit numeric " + Types.NUMERIC + " YES null",
                        "4 tags _text " + Types.ARRAY + " YES null"));
            }
            try (ResultSet columns = data.getColumns(null, "public", "users", "credit")) {
                check(columns.next(), "a column");
                equal(columns.getInt("COLUMN_SIZE"), 12);
                equal(columns.getInt("DECIMAL_DIGITS"), 2);
            }
            equal(column(data.getPrimaryKeys(null, "sales", "orders"), "COLUMN_NAME"), List.of("region", "number"));
            try (ResultSet keys = data.getPrimaryKeys(null, "public", "users")) {
                check(keys.next(), "a key");
                equal(keys.getString("PK_NAME"), "users_pkey");
                equal(keys.getInt("KEY_SEQ"), 1);
            }
            equal(column(data.getIndexInfo(null, "sales", "orders", true, false), "COLUMN_NAME"), List.of("region", "number"));
            equal(column(data.getBestRowIdentifier(null, "public", "users", DatabaseMetaData.bestRowSession, false), "COLUMN_NAME"), List.of("id"));
            equal(column(data.getImportedKeys(null, "public", "users"), "FK_NAME"), List.of());
            equal(column(data.getExportedKeys(null, "public", "users"), "FK_NAME"), List.of());
            equal(column(data.getCrossReference(null, "public", "users", null, "sales", "orders"), "FK_NAME"), List.of());
            check(column(data.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int8", "text", "timestamptz")), "types");
            equal(column(data.getFunctions(null, null, "format_type"), "FUNCTION_NAME"), List.of("format_type"));
            equal(column(data.getFunctionColumns(null, null, "format_type", "%"), "COLUMN_NAME").size(), 3);
            equal(column(data.getProcedures(null, null, "%"), "PROCEDURE_NAME"), List.of());
            check(!column(data.getTablePrivileges(null, "public", "users"), "PRIVILEGE").contains("EXECUTE"), "privileges");
            column(data.getColumnPrivileges(null, "public", "users", "%"), "PRIVILEGE");
            column(data.getUDTs(null, null, "%", null), "TYPE_NAME");
            column(data.getVersionColumns(null, "public", "users"), "COLUMN_NAME");
            column(data.getClientInfoProperties(), "NAME");
            check(data.getSQLKeywords().length() > 100, "keywords");
            equal(data.getMaxColumnNameLength(), 63);
            try (Statement statement = connection.createStatement()) {
                statement.execute("INSERT INTO users (id, tags) VALUES (1, ARRAY['a', 'b'])");
                try (ResultSet rows = statement.executeQuery("SELECT tags FROM users")) {
                    check(rows.next(), "a row");
                    Array tags = rows.getArray(1);
                    equal(Arrays.asList((Object[]) tags.getArray()), List.of("a", "b"));
                }
            }
        }
        System.out.println("metadata holds");
    }

    private static List<String> column(ResultSet rows, String name) throws Exception {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }

    private static void equal(Object is, Object wanted) {
        check(is.equals(wanted), is + " is not " + wanted);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
