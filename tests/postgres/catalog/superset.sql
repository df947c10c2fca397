-- What Apache Superset asks beside SQLAlchemy.

SELECT datname FROM pg_database WHERE datistemplate = false;

-- rows: same
SELECT c.relname, pg_catalog.obj_description(c.oid, 'pg_class') AS comment
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v', 'm') ORDER BY 1;

SELECT pg_backend_pid();

SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = 0;
