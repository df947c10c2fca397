-- What dbt-postgres asks: relations, columns, and what depends on what.

-- rows: same
SELECT 'weir' AS database, tablename AS name, schemaname AS schema, 'table' AS type
FROM pg_tables WHERE schemaname ILIKE 'public'
UNION ALL
SELECT 'weir' AS database, viewname AS name, schemaname AS schema, 'view' AS type
FROM pg_views WHERE schemaname ILIKE 'public'
UNION ALL
SELECT 'weir' AS database, matviewname AS name, schemaname AS schema, 'materialized_view' AS type
FROM pg_matviews WHERE schemaname ILIKE 'public'
ORDER BY 2;

-- rows: same
SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale
FROM "weir".information_schema.columns
WHERE table_name = 'users' AND table_schema = 'public'
ORDER BY ordinal_position;

-- rows: same
SELECT count(*) AS n FROM pg_namespace WHERE nspname = 'sales';

-- rows: same
SELECT DISTINCT nspname FROM pg_namespace WHERE nspname IN ('public', 'sales') ORDER BY 1;

-- rows: same
WITH relation AS (
    SELECT pg_rewrite.ev_class AS class, pg_rewrite.oid AS id FROM pg_rewrite
),
class AS (
    SELECT oid AS id, relname AS name, relnamespace AS schema, relkind AS kind FROM pg_class
),
dependency AS (
    SELECT DISTINCT pg_depend.objid AS id, pg_depend.refobjid AS ref FROM pg_depend
),
schema AS (
    SELECT pg_namespace.oid AS id, pg_namespace.nspname AS name
    FROM pg_namespace
    WHERE nspname != 'information_schema' AND nspname NOT LIKE 'pg\_%'
),
referenced AS (
    SELECT relation.id AS id, referenced_class.name, referenced_class.schema, referenced_class.kind
    FROM relation
    JOIN class AS referenced_class ON relation.class = referenced_class.id
    WHERE referenced_class.kind IN ('r', 'v', 'm')
),
relationships AS (
    SELECT referenced.name AS referenced_name, referenced.schema AS referenced_schema_id,
        dependent_class.name AS dependent_name, dependent_class.schema AS dependent_schema_id, referenced.kind AS kind
    FROM referenced
    JOIN dependency ON referenced.id = dependency.id
    JOIN class AS dependent_class ON dependency.ref = dependent_class.id
    WHERE (referenced.name != dependent_class.name OR referenced.schema != dependent_class.schema)
)
SELECT referenced_schema.name AS referenced_schema, relationships.referenced_name AS referenced_name,
    dependent_schema.name AS dependent_schema, relationships.dependent_name AS dependent_name
FROM relationships
JOIN schema AS dependent_schema ON relationships.dependent_schema_id = dependent_schema.id
JOIN schema AS referenced_schema ON relationships.referenced_schema_id = referenced_schema.id
GROUP BY referenced_schema, referenced_name, dependent_schema, dependent_name
ORDER BY referenced_schema, referenced_name, dependent_schema, dependent_name;

-- rows: same
SELECT tbl.relname AS table_name, col.attname AS column_name, pg_catalog.format_type(col.atttypid, col.atttypmod) AS column_type,
    tbl_desc.description AS table_comment, col_desc.description AS column_comment
FROM pg_catalog.pg_namespace sch
JOIN pg_catalog.pg_class tbl ON tbl.relnamespace = sch.oid
JOIN pg_catalog.pg_attribute col ON col.attrelid = tbl.oid
LEFT OUTER JOIN pg_catalog.pg_description tbl_desc ON (tbl_desc.objoid = tbl.oid AND tbl_desc.objsubid = 0)
LEFT OUTER JOIN pg_catalog.pg_description col_desc ON (col_desc.objoid = tbl.oid AND col_desc.objsubid = col.attnum)
WHERE sch.nspname IN ('public', 'sales') AND NOT pg_is_other_temp_schema(sch.oid) AND tbl.relpersistence IN ('p', 'u')
    AND tbl.relkind IN ('r', 'f', 'p') AND col.attnum > 0 AND NOT col.attisdropped
ORDER BY sch.nspname, tbl.relname, col.attnum;
