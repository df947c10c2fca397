-- What DataGrip asks when it introspects a database.

SELECT current_database() AS a, current_schema() AS b;

SELECT N.oid::bigint AS id, datname AS name, D.description, datistemplate AS is_template, datallowconn AS allow_connections, pg_catalog.pg_get_userbyid(N.datdba) AS "owner"
FROM pg_catalog.pg_database N
LEFT JOIN pg_catalog.pg_shdescription D ON N.oid = D.objoid
ORDER BY CASE WHEN datname = pg_catalog.current_database() THEN -1::bigint ELSE N.oid::bigint END;

SELECT N.oid::bigint AS id, N.nspname AS name, D.description, pg_catalog.pg_get_userbyid(N.nspowner) AS "owner"
FROM pg_catalog.pg_namespace N
LEFT JOIN pg_catalog.pg_description D ON N.oid = D.objoid
ORDER BY CASE WHEN N.nspname = pg_catalog.current_schema() THEN -1::bigint ELSE N.oid::bigint END;

SELECT L.transactionid::varchar::bigint AS transaction_id
FROM pg_catalog.pg_locks L
WHERE L.transactionid IS NOT NULL
ORDER BY 1 DESC LIMIT 1;

SELECT T.oid AS object_id, T.spcname AS name, pg_catalog.pg_get_userbyid(T.spcowner) AS "owner", pg_catalog.pg_tablespace_location(T.oid) AS location, T.spcoptions AS options, D.description AS comment
FROM pg_catalog.pg_tablespace T
LEFT JOIN pg_catalog.pg_shdescription D ON D.objoid = T.oid;

SELECT R.oid::bigint AS role_id, rolname AS role_name, rolsuper AS is_super, rolinherit AS is_inherit, rolcanlogin AS can_login, rolconnlimit AS conn_limit, rolvaliduntil AS valid_until, rolconfig AS config
FROM pg_catalog.pg_roles R
LEFT JOIN pg_catalog.pg_shdescription D ON D.objoid = R.oid;

SELECT T.relkind AS table_kind, T.relname AS table_name, T.oid AS table_id, T.relhasindex AS has_indexes, T.relispartition AS is_partition, pg_catalog.pg_get_userbyid(T.relowner) AS "owner"
FROM pg_catalog.pg_class T
WHERE relnamespace = 'public'::regnamespace::oid AND relkind IN ('r', 'm', 'v', 'f', 'p')
ORDER BY table_kind, table_id;

SELECT T.oid AS table_id, C.attnum AS column_position, C.attname AS column_name, C.atttypmod AS type_mod, C.attndims AS dimensions_number,
    pg_catalog.format_type(C.atttypid, C.atttypmod) AS type_spec, C.atttypid AS type_id, C.attnotnull AS mandatory,
    D.oid AS column_default_id, pg_catalog.pg_get_expr(D.adbin, T.oid) AS column_default_expression, C.attidentity AS attidentity, C.attgenerated AS attgenerated
FROM pg_catalog.pg_class T
JOIN pg_catalog.pg_attribute C ON T.oid = C.attrelid
LEFT JOIN pg_catalog.pg_attrdef D ON (C.attrelid, C.attnum) = (D.adrelid, D.adnum)
WHERE T.relnamespace = 'public'::regnamespace::oid AND attnum > 0
ORDER BY table_id, attnum;

SELECT tab.oid AS table_id, tab.relkind AS table_kind, ind_stor.relname AS index_name, ind_head.indexrelid AS index_id, ind_head.indisunique AS is_unique, ind_head.indisprimary AS is_primary,
    ind_head.indkey AS column_positions, ind_head.indnkeyatts AS key_count, opcmethod AS access_method_id
FROM pg_catalog.pg_class tab
JOIN pg_catalog.pg_index ind_head ON ind_head.indrelid = tab.oid
JOIN pg_catalog.pg_class ind_stor ON tab.relnamespace = ind_stor.relnamespace AND ind_stor.oid = ind_head.indexrelid
LEFT JOIN pg_catalog.pg_opclass ON pg_opclass.oid = ANY(indclass)
WHERE tab.relnamespace = 'public'::regnamespace::oid AND tab.relkind IN ('r', 'm', 'v', 'p') AND ind_stor.relkind IN ('i', 'I');

SELECT PROCNAME.oid AS id, proname AS name, prolang AS lang, proargnames AS arg_names, proargmodes AS arg_modes, proargtypes::int[] AS in_arg_types, proallargtypes::int[] AS all_arg_types,
    pg_catalog.pg_get_expr(proargdefaults, 0) AS arg_defaults, provariadic AS variadic, prorettype AS ret_type, prokind AS kind, provolatile AS volatile_kind
FROM pg_catalog.pg_proc PROCNAME
WHERE pronamespace = 'pg_catalog'::regnamespace::oid AND proname = 'format_type';

SELECT O.oid AS op_id, O.oprname AS op_name, oprkind AS op_kind, oprleft AS arg_left_type_id, oprright AS arg_right_type_id, oprresult AS arg_result_type_id, oprcode AS func_main
FROM pg_catalog.pg_operator O
WHERE oprnamespace = 'pg_catalog'::regnamespace::oid;

SELECT C.oid, C.castsource AS castsource_id, C.casttarget AS casttarget_id, C.castcontext, C.castmethod, C.castfunc AS castfunc_id FROM pg_catalog.pg_cast C;

SELECT name, is_dst FROM pg_catalog.pg_timezone_names WHERE name IN ('UTC', 'Europe/Zurich');
