-- What the catalogs promise beside the tools: rows that are PostgreSQL's own.

-- rows: same
SELECT column_name, ordinal_position, is_nullable, data_type, udt_name, numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision
FROM information_schema.columns WHERE table_schema IN ('public', 'sales') AND table_name IN ('users', 'orders') ORDER BY table_name, 2;

-- rows: same
SELECT a.attname, a.attnum, a.atttypid, a.atttypmod, a.attlen, a.attbyval, a.attalign, a.attstorage, a.attnotnull, a.atthasdef, a.attndims, a.attcollation
FROM pg_attribute a WHERE a.attrelid = 'users'::regclass AND a.attnum > 0 ORDER BY a.attnum;

-- rows: same
SELECT c.relname, c.relkind, c.relnatts, c.relhasindex, c.relpersistence, c.relreplident FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'sales') AND c.relkind IN ('r', 'v', 'm') ORDER BY 1;

-- rows: same
SELECT conname, contype, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE contype = 'p' AND connamespace IN ('public'::regnamespace, 'sales'::regnamespace) ORDER BY 1;

-- rows: same
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'sales') ORDER BY 1;

-- rows: same
SELECT i.indkey::text AS keys, i.indnatts, i.indisprimary, i.indclass[0] AS class, i.indkey[0] AS first FROM pg_index i WHERE i.indrelid = 'sales.orders'::regclass;

-- rows: same
SELECT constraint_name, table_name, constraint_type, is_deferrable FROM information_schema.table_constraints
WHERE table_schema IN ('public', 'sales') AND constraint_type = 'PRIMARY KEY' ORDER BY 1;

-- rows: same
SELECT constraint_name, column_name, ordinal_position FROM information_schema.key_column_usage WHERE table_schema IN ('public', 'sales') ORDER BY 1, 3;

-- rows: same
SELECT oid, typname, typlen, typbyval, typtype, typcategory, typispreferred, typdelim, typelem, typarray, typalign, typstorage, typcollation
FROM pg_type WHERE oid IN (16, 17, 20, 21, 23, 25, 700, 701, 1043, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 114, 26, 2205, 1009, 1007, 22, 30) ORDER BY 1;

-- rows: same
SELECT typname, typinput::text AS i, typoutput::text AS o, typreceive::text AS r, typsend::text AS s FROM pg_type WHERE typname IN ('int4', '_int4', 'text', 'timestamptz', 'record') ORDER BY 1;

-- rows: same
SELECT format_type(1700, 786438) AS a, format_type(1184, 3) AS b, format_type(1043, 24) AS c, format_type(1009, NULL) AS d, format_type(0, NULL) AS e, format_type(99999, NULL) AS f, format_type(1042, -1) AS g, format_type(18, NULL) AS h;

-- rows: same
SELECT 'users'::regclass::text AS a, 'sales.orders'::regclass::text AS b, 'pg_class'::regclass::oid AS c, 1259::regclass::text AS d, 0::regclass::text AS e, 'integer'::regtype::text AS f, 'timestamp with time zone'::regtype::oid AS g, 'int4[]'::regtype::text AS h;

-- rows: same
SELECT to_regclass('nothing') IS NULL AS a, to_regtype('nothing') IS NULL AS b, to_regclass('public.users')::text AS c, to_regtype('numeric(10,2)')::text AS d, to_regnamespace('sales')::text AS e;

-- rows: same
SELECT col_description('users'::regclass, 3) AS a, obj_description('users'::regclass, 'pg_class') AS b, obj_description('rich'::regclass) AS c, col_description('users'::regclass, 1) IS NULL AS d;

-- rows: same
SELECT has_table_privilege('users', 'SELECT') AS a, has_schema_privilege('public', 'USAGE') AS b, has_database_privilege(current_database(), 'CONNECT') AS c, has_column_privilege('users', 'id', 'SELECT') AS d, pg_has_role(current_user, 'MEMBER') AS e;

-- rows: same
SELECT pg_table_is_visible('users'::regclass) AS a, pg_table_is_visible('sales.orders'::regclass) AS b, pg_type_is_visible(23) AS c, pg_function_is_visible(750) AS d;

-- rows: same
SELECT current_user AS a, session_user AS b, current_schema() AS c, current_catalog AS d, current_database() AS e, pg_is_in_recovery() AS f, pg_encoding_to_char(6) AS g, current_setting('server_encoding') AS h, current_setting('nothing.at.all', true) IS NULL AS i;

-- rows: same
SELECT pg_size_pretty(123456789::bigint) AS a, quote_ident('A b') AS b, quote_literal('it''s') AS c, array_to_string(parse_ident('A."b c".d'), '|') AS d;

-- rows: same
SELECT (SELECT count(*) FROM pg_class WHERE oid = 'pg_type'::regclass) AS a, (SELECT relname FROM pg_class c WHERE c.oid = a.attrelid) AS b FROM pg_attribute a WHERE a.attrelid = 'users'::regclass AND a.attnum = 1;

-- rows: same
SELECT proname, oid, prorettype, proargtypes::text AS args, provolatile, proisstrict FROM pg_proc WHERE proname IN ('format_type', 'pg_get_viewdef', 'array_in') ORDER BY 2;

-- rows: same
SELECT pg_get_function_arguments(1081) AS a, pg_get_function_result(1081) AS b, 'format_type'::regproc::text AS c, 'format_type(oid,int4)'::regprocedure::text AS d;

-- rows: same
SELECT a.attname FROM pg_attribute a, pg_constraint c WHERE c.conrelid = 'sales.orders'::regclass AND c.contype = 'p' AND a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) ORDER BY a.attnum;

-- rows: same
SELECT word, catcode, barelabel, catdesc, baredesc FROM pg_get_keywords() ORDER BY word;
