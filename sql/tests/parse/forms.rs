//! Every form of every statement; those that make, change and drop things are in [`definitions`].

use weir_sql::statement::*;
use weir_sql::{ast, parse};

fn one(sql: &str) -> Statement {
    let mut parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}\n{error} {error:?}"));
    assert_eq!(parsed.len(), 1, "{sql}");
    let parsed = parsed.remove(0);
    assert_eq!(parsed.sql, sql.trim(), "the text is the user's own");
    parsed.statement
}

fn pairs(options: &[(String, String)]) -> Vec<(&str, &str)> {
    options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn names(idents: &[ast::Ident]) -> Vec<String> {
    idents.iter().map(fold).collect()
}

macro_rules! is {
    ($sql:expr, $pattern:pat $(if $guard:expr)?) => {
        match one($sql) {
            $pattern $(if $guard)? => {}
            other => panic!("{}\n{other:#?}", $sql),
        }
    };
}

// After the macro, which it uses.
mod definitions;

#[test]
fn queries() {
    for sql in [
        "SELECT 1",
        "SELECT * FROM bids WHERE price > 100",
        "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1, 'a'), (2, 'b')",
        "TABLE bids",
        "SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k",
        "SELECT * FROM b JOIN dim FOR SYSTEM_TIME AS OF b.ts AS d ON b.k = d.k",
        "SELECT * FROM bids AT",
        "SELECT changes, emit FROM bids AS version",
        "SELECT window_start, auction, count(*) AS n FROM TUMBLE(bids, at, INTERVAL '10 seconds') GROUP BY window_start, auction",
        "SELECT * FROM HOP(TABLE s.bids, DESCRIPTOR(at), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE) AS h",
        "SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' SECOND))",
        "SELECT * FROM TABLE(TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(at), SIZE => INTERVAL '10' SECOND))",
        "SELECT * FROM CUMULATE((SELECT * FROM bids), at, INTERVAL '1 minute', INTERVAL '1 hour')",
        "SELECT * FROM SESSION(bids PARTITION BY bidder, at, INTERVAL '10 seconds')",
        "SELECT * FROM SESSION(TABLE bids PARTITION BY (bidder, auction), DESCRIPTOR(at), INTERVAL '10' SECOND)",
        "SELECT * FROM read_csv('x.csv', header => true, delimiter => ';')",
        "SELECT a::INT[], b ->> 'c', d #> '{e}', f @> g, h ~* 'i', j ILIKE 'k%', l IS NOT DISTINCT FROM m FROM n",
        "SELECT DISTINCT ON (a) a, b FROM c ORDER BY a, b DESC NULLS LAST OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY",
        "SELECT string_agg(a, ',' ORDER BY b) FILTER (WHERE c), percentile_cont(0.5) WITHIN GROUP (ORDER BY d) FROM e",
        "SELECT row_number() OVER w FROM a WINDOW w AS (PARTITION BY b ORDER BY c) QUALIFY rank() OVER (ORDER BY d) = 1",
        "SELECT * EXCLUDE (a) FROM b",
        "SELECT * REPLACE (a + 1 AS a) FROM b",
        "SELECT {'a': 1}, MAP {'a': 1}, STRUCT(1, 'x'), ARRAY[1, 2][1], CAST(a AS STRUCT<x INT, y ARRAY<TEXT>>) FROM b",
        "SELECT $1, $2::TEXT",
        "SELECT E'a\\'b', U&'d\\0061t', $$it's$$, X'ff', 1_000, 'a' 'b'",
        "SELECT EXTRACT(EPOCH FROM a AT TIME ZONE 'UTC'), INTERVAL '1 day', DATE '2024-01-01' FROM b",
        "SELECT * FROM a, LATERAL (SELECT a.x) b LEFT JOIN LATERAL unnest(a.y) c ON true",
        "SELECT * FROM generate_series(1, 10) AS t(i)",
        "SELECT 1 = ANY(ARRAY[1]), 2 IN (SELECT 1), EXISTS (SELECT 1), NOT a BETWEEN 1 AND 2 FROM b",
        "SELECT FROM a",
        "SELECT t.order, t.end, t.from, floor, position, \"end\", path, interval FROM t AS end",
        "SELECT * FROM ((SELECT 1) UNION (SELECT 2)) x, ((a JOIN b ON true)) WHERE ((((1 = 1))))",
        "SELECT position('a' IN b), position('a', b), trim(LEADING 'x' FROM a), trim(a, 'x'), floor(a), overlay(a PLACING b FROM 1)",
    ] {
        is!(sql, Statement::Query(Query { emit: None, .. }));
    }
}

#[test]
fn fetch_is_a_limit() {
    let Statement::Query(query) = one("SELECT 1 OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY") else {
        panic!()
    };
    assert_eq!(query.query.to_string(), "SELECT 1 LIMIT 3 OFFSET 2 ROWS");
    let Statement::Query(query) = one("SELECT (SELECT 1 FETCH FIRST ROW ONLY)") else {
        panic!()
    };
    assert_eq!(query.query.to_string(), "SELECT (SELECT 1 LIMIT 1)");
}

#[test]
fn live_queries() {
    let live = |sql: &str, emit: Emit| {
        let Statement::Query(query) = one(sql) else {
            panic!("{sql}")
        };
        assert_eq!(query.emit, Some(emit), "{sql}");
        query.query.to_string()
    };
    let sql = "SELECT * FROM bids WHERE price > 100 EMIT CHANGES";
    assert_eq!(
        live(sql, Emit::Changes),
        "SELECT * FROM bids WHERE price > 100"
    );
    let sql = "select * from bids emit changes limit 5";
    assert_eq!(live(sql, Emit::Changes), "SELECT * FROM bids LIMIT 5");
    live(
        "SELECT a FROM b GROUP BY a EMIT ON WINDOW /* ; */ CLOSE",
        Emit::OnWindowClose,
    );
    live("SELECT a FROM b emit final", Emit::OnWindowClose);
    live(
        "(SELECT a FROM b) UNION ALL SELECT 1 EMIT CHANGES",
        Emit::Changes,
    );
    live("TABLE bids EMIT CHANGES", Emit::Changes);
    // A name, not a clause.
    is!(
        "SELECT emit changes FROM emit",
        Statement::Query(Query { emit: None, .. })
    );
}

#[test]
fn a_partition_by_in_a_table_function_is_an_operator() {
    let Statement::Query(query) = one("SELECT * FROM SESSION(s.bids PARTITION BY (a, b), at, 1)")
    else {
        panic!()
    };
    let ast::SetExpr::Select(select) = *query.query.body else {
        panic!()
    };
    let ast::TableFactor::Table {
        args: Some(args), ..
    } = &select.from[0].relation
    else {
        panic!()
    };
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::BinaryOp {
        left,
        op,
        right,
    })) = &args.args[0]
    else {
        panic!("{:?}", args.args[0])
    };
    assert_eq!(
        *op,
        ast::BinaryOperator::Custom(weir_sql::dialect::PARTITION_BY.to_owned())
    );
    assert_eq!(
        (left.to_string(), right.to_string()),
        ("s.bids".to_owned(), "(a, b)".to_owned())
    );
}

#[test]
fn inserts() {
    let insert = |sql: &str| match one(sql) {
        Statement::Insert(insert) => (insert.insert.to_string(), insert.emit, insert.upsert),
        other => panic!("{other:?}"),
    };
    let plain = "INSERT INTO t (a, b) VALUES (1, DEFAULT)";
    assert_eq!(insert(plain), (plain.to_owned(), None, false));
    assert!(!insert("INSERT INTO t DEFAULT VALUES").2);
    for sql in [
        "INSERT INTO t (a, b) WITH (upsert) VALUES (1, DEFAULT)",
        "INSERT INTO t (a, b) VALUES (1, DEFAULT) WITH (upsert)",
        "INSERT INTO t (a, b) VALUES (1, DEFAULT) WITH (upsert = true)",
    ] {
        assert_eq!(insert(sql), (plain.to_owned(), None, true), "{sql}");
    }
    let (sql, emit, upsert) =
        insert("INSERT INTO t WITH (upsert) WITH x AS (SELECT 1) SELECT * FROM x EMIT CHANGES");
    assert_eq!(sql, "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x");
    assert_eq!((emit, upsert), (Some(Emit::Changes), true));
    for sql in [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b WHERE x.c RETURNING a, b",
    ] {
        insert(sql);
    }
}

#[test]
fn updates_and_deletes() {
    is!(
        "UPDATE t SET a = 1, b = DEFAULT WHERE c = 2 RETURNING *",
        Statement::Update(_)
    );
    is!(
        "UPDATE t AS x SET a = u.a FROM u WHERE x.k = u.k",
        Statement::Update(_)
    );
    is!("DELETE FROM t WHERE a = 1", Statement::Delete(_));
    is!(
        "DELETE FROM t USING u WHERE t.a = u.a",
        Statement::Delete(_)
    );
    is!("TRUNCATE TABLE a, s.b", Statement::Truncate(names) if names.len() == 2);
}

#[test]
fn copies() {
    let Statement::Copy(copy) = one(
        "COPY (SELECT * FROM bids) TO 's3://b/x/' STORED AS PARQUET PARTITIONED BY (Day, \"H\") OPTIONS ('format.compression' 'zstd', max = 3)",
    ) else {
        panic!()
    };
    assert!(matches!(copy.source, CopySource::Query(_)));
    assert_eq!(copy.target.as_deref(), Some("s3://b/x/"));
    assert_eq!(copy.format.as_deref(), Some("parquet"));
    assert_eq!(copy.partitioned_by, ["day", "H"]);
    assert_eq!(
        pairs(&copy.options),
        [("format.compression", "zstd"), ("max", "3")]
    );
    let Statement::Copy(copy) =
        one("COPY t (a, b) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';')")
    else {
        panic!()
    };
    assert!(matches!(&copy.source, CopySource::Table(_, columns) if columns.len() == 2));
    assert_eq!((copy.target, copy.format.as_deref()), (None, Some("csv")));
    assert_eq!(
        pairs(&copy.options),
        [("header", "true"), ("delimiter", ";")]
    );
    let Statement::CopyFrom(copy) = one("COPY s.t FROM STDIN WITH CSV HEADER DELIMITER AS '|'")
    else {
        panic!()
    };
    assert_eq!((copy.source, copy.format.as_deref()), (None, Some("csv")));
    assert_eq!(
        pairs(&copy.options),
        [("header", "true"), ("delimiter", "|")]
    );
    is!(
        "COPY t FROM 'x.parquet'",
        Statement::CopyFrom(CopyFrom {
            source: Some(_),
            ..
        })
    );
}

#[test]
fn shows() {
    for (words, what) in [
        ("SCHEMAS", Listing::Schemas),
        ("STREAMS", Listing::Streams),
        ("SOURCES", Listing::Streams),
        ("TABLES", Listing::Tables),
        ("EXTERNAL TABLES", Listing::ExternalTables),
        ("VIEWS", Listing::Views),
        ("MATERIALIZED VIEWS", Listing::MaterializedViews),
        ("SINKS", Listing::Sinks),
        ("CONNECTIONS", Listing::Connections),
        ("JOBS", Listing::Jobs),
        ("QUERIES", Listing::Queries),
        ("FUNCTIONS", Listing::Functions),
    ] {
        is!(&format!("SHOW {words}"), Statement::Show(Show::List { what: found, schema: None, like: None }) if found == what);
        is!(
            &format!("SHOW {words} FROM s LIKE 'a%'"),
            Statement::Show(Show::List {
                schema: Some(_),
                like: Some(_),
                ..
            })
        );
    }
    is!(
        "SHOW COLUMNS FROM s.t LIKE 'a%'",
        Statement::Show(Show::Columns { like: Some(_), .. })
    );
    is!(
        "SHOW CREATE MATERIALIZED VIEW v",
        Statement::Show(Show::Create {
            kind: Some(ObjectKind::MaterializedView),
            ..
        })
    );
    is!(
        "SHOW CREATE v",
        Statement::Show(Show::Create { kind: None, .. })
    );
    is!(
        "SHOW CREATE stream",
        Statement::Show(Show::Create { kind: None, .. })
    );
    is!("SHOW ALL", Statement::Show(Show::All));
    is!("SHOW Search_Path", Statement::Show(Show::Variable(name)) if name == "search_path");
    is!("SHOW datafusion.execution.batch_size", Statement::Show(Show::Variable(name)) if name == "datafusion.execution.batch_size");
    is!("SHOW TIME ZONE", Statement::Show(Show::Variable(name)) if name == "timezone");
    is!("SHOW TRANSACTION ISOLATION LEVEL", Statement::Show(Show::Variable(name)) if name == "transaction_isolation");
}

#[test]
fn describe_and_explain() {
    is!("DESCRIBE s.t", Statement::Describe(Describe::Object(_)));
    is!("DESC TABLE t", Statement::Describe(Describe::Object(name)) if name.to_string() == "t");
    is!("DESCRIBE SELECT 1", Statement::Describe(Describe::Query(_)));
    let explain = |sql: &str| match one(sql) {
        Statement::Explain(explain) => (
            explain.analyze,
            explain.verbose,
            explain.format,
            explain.statement.tag(),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        explain("EXPLAIN SELECT 1 EMIT CHANGES"),
        (false, false, None, "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN ANALYZE VERBOSE INSERT INTO t SELECT 1"),
        (true, true, None, "INSERT")
    );
    assert_eq!(
        explain("EXPLAIN FORMAT TREE SELECT 1"),
        (false, false, Some("tree".to_owned()), "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN (ANALYZE, VERBOSE false, FORMAT JSON) SELECT 1"),
        (true, false, Some("json".to_owned()), "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN (SELECT 1) UNION (SELECT 2)"),
        (false, false, None, "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT 1").3,
        "CREATE MATERIALIZED VIEW"
    );
}

#[test]
fn settings() {
    let set = |sql: &str| match one(sql) {
        Statement::Set(set) => (set.name, set.value, set.local),
        other => panic!("{other:?}"),
    };
    let is = |name: &str, value: &str, local: bool| (name.to_owned(), value.to_owned(), local);
    assert_eq!(
        set("SET Search_Path = a, \"B\""),
        is("search_path", "a, B", false)
    );
    assert_eq!(
        set("SET LOCAL statement_timeout TO '5s'"),
        is("statement_timeout", "5s", true)
    );
    assert_eq!(set("SET SESSION a.b = -1.5"), is("a.b", "-1.5", false));
    assert_eq!(
        set("SET TIME ZONE 'Europe/Zurich'"),
        is("timezone", "Europe/Zurich", false)
    );
    assert_eq!(
        set("SET NAMES 'UTF8'"),
        is("client_encoding", "UTF8", false)
    );
    assert_eq!(
        set("SET read_your_writes = on"),
        is("read_your_writes", "on", false)
    );
    is!("SET a TO DEFAULT", Statement::Reset(Reset::Name(name)) if name == "a");
    is!("RESET ALL", Statement::Reset(Reset::All));
    is!("RESET a.b", Statement::Reset(Reset::Name(name)) if name == "a.b");
}

#[test]
fn operation() {
    let id = "0190163d-8694-739b-aea5-966c26f8ad91";
    is!(&format!("KILL QUERY '{id}'"), Statement::KillQuery(found) if found == id);
    is!(&format!("KILL {id}"), Statement::KillQuery(found) if found == id);
    is!("FLUSH", Statement::Flush);
    is!(
        "TEST CONNECTION lake AT 's3://b/'",
        Statement::TestConnection(TestConnection { connection: TestedConnection::Named(_), at: Some(at) }) if at == "s3://b/"
    );
    is!(
        "TEST CONNECTION WITH (type = 's3', region = 'x')",
        Statement::TestConnection(TestConnection { connection: TestedConnection::New(options), at: None }) if options.len() == 2
    );
    is!(
        "SUBSCRIBE v",
        Statement::Subscribe(Subscribe {
            source: SubscribeSource::Object(_),
            ..
        })
    );
    let Statement::Subscribe(subscribe) =
        one("SUBSCRIBE TO s.v WITH (snapshot = false) AS OF 5 + 1 UP TO 10")
    else {
        panic!()
    };
    assert_eq!(pairs(&subscribe.options), [("snapshot", "false")]);
    assert_eq!(subscribe.as_of.unwrap().sql, "5 + 1");
    assert_eq!(subscribe.up_to.unwrap().sql, "10");
    is!(
        "SUBSCRIBE (SELECT * FROM v) AS OF 3",
        Statement::Subscribe(Subscribe {
            source: SubscribeSource::Query(_),
            as_of: Some(_),
            ..
        })
    );
}

#[test]
fn cursors() {
    is!("DECLARE c CURSOR FOR SUBSCRIBE v", Statement::Cursor(Cursor::Declare { statement, hold: false, .. }) if matches!(statement.statement, Statement::Subscribe(_)) && statement.sql == "SUBSCRIBE v");
    is!("DECLARE c BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT 1 EMIT CHANGES", Statement::Cursor(Cursor::Declare { binary: true, scroll: Some(false), hold: true, statement, .. }) if matches!(statement.statement, Statement::Query(_)));
    for (sql, direction) in [
        ("", FetchDirection::Relative(1)),
        ("NEXT FROM ", FetchDirection::Relative(1)),
        ("PRIOR IN ", FetchDirection::Relative(-1)),
        ("10 ", FetchDirection::Relative(10)),
        ("-3 FROM ", FetchDirection::Relative(-3)),
        ("ALL ", FetchDirection::All),
        ("FORWARD ", FetchDirection::Relative(1)),
        ("FORWARD 5 IN ", FetchDirection::Relative(5)),
        ("FORWARD ALL ", FetchDirection::All),
        ("BACKWARD 5 ", FetchDirection::Relative(-5)),
        ("BACKWARD ALL ", FetchDirection::BackwardAll),
        ("FIRST ", FetchDirection::Absolute(1)),
        ("LAST FROM ", FetchDirection::Absolute(-1)),
        ("ABSOLUTE 4 ", FetchDirection::Absolute(4)),
        ("RELATIVE -4 ", FetchDirection::Step(-4)),
    ] {
        is!(&format!("FETCH {sql}c"), Statement::Cursor(Cursor::Fetch { direction: found, name }) if found == direction && name.value == "c");
        is!(&format!("MOVE {sql}c"), Statement::Cursor(Cursor::Move { direction: found, .. }) if found == direction);
    }
    is!("FETCH next", Statement::Cursor(Cursor::Fetch { name, .. }) if name.value == "next");
    is!("CLOSE c", Statement::Cursor(Cursor::Close(Some(_))));
    is!("CLOSE ALL", Statement::Cursor(Cursor::Close(None)));
}

#[test]
fn prepared_statements() {
    let Statement::Prepared(Prepared::Prepare {
        types, statement, ..
    }) = one("PREPARE p (INT, DECIMAL(3, 1)) AS SELECT  $1, $2")
    else {
        panic!()
    };
    assert_eq!(
        (
            types.len(),
            statement.sql.as_str(),
            statement.position.column
        ),
        (2, "SELECT  $1, $2", 35)
    );
    is!("EXECUTE p (1, 'a')", Statement::Prepared(Prepared::Execute { parameters, .. }) if parameters.len() == 2);
    is!("EXECUTE p", Statement::Prepared(Prepared::Execute { parameters, .. }) if parameters.is_empty());
    is!(
        "DEALLOCATE PREPARE p",
        Statement::Prepared(Prepared::Deallocate(Some(_)))
    );
    is!(
        "DEALLOCATE ALL",
        Statement::Prepared(Prepared::Deallocate(None))
    );
}

#[test]
fn transactions() {
    is!(
        "BEGIN",
        Statement::Transaction(Transaction::Begin {
            read_only: None,
            isolation: None
        })
    );
    is!("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", Statement::Transaction(Transaction::Begin { read_only: Some(true), isolation: Some(level) }) if level == "repeatable read");
    is!(
        "START TRANSACTION READ WRITE",
        Statement::Transaction(Transaction::Begin {
            read_only: Some(false),
            ..
        })
    );
    is!("COMMIT WORK", Statement::Transaction(Transaction::Commit));
    is!("END", Statement::Transaction(Transaction::Commit));
    is!(
        "ROLLBACK AND NO CHAIN",
        Statement::Transaction(Transaction::Rollback)
    );
    is!("ABORT", Statement::Transaction(Transaction::Rollback));
    is!("SAVEPOINT A", Statement::Transaction(Transaction::Savepoint(name)) if name == "a");
    is!("RELEASE a", Statement::Transaction(Transaction::Release(_)));
    is!(
        "ROLLBACK TO SAVEPOINT a",
        Statement::Transaction(Transaction::RollbackTo(_))
    );
    is!(
        "SET TRANSACTION READ ONLY",
        Statement::Transaction(Transaction::Set {
            read_only: Some(true),
            session: false,
            ..
        })
    );
    is!(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        Statement::Transaction(Transaction::Set { session: true, .. })
    );
    is!("DISCARD ALL", Statement::Discard(what) if what == "ALL");
    is!("LISTEN a", Statement::Notification(word) if word == "LISTEN");
    is!("UNLISTEN *", Statement::Notification(_));
    is!("NOTIFY a, 'b'", Statement::Notification(_));
}

#[test]
fn users_and_rights() {
    is!("CREATE USER ann WITH PASSWORD 'x' IN ROLE reader, ops VALID UNTIL '2030-01-01'", Statement::Access(Access::CreateAccount(create)) if create.is_user && create.in_roles.len() == 2 && create.options.password == Some(Some(Password("x".to_owned()))));
    is!("CREATE ROLE r", Statement::Access(Access::CreateAccount(create)) if !create.is_user);
    is!("CREATE ROLE IF NOT EXISTS r LOGIN", Statement::Access(Access::CreateAccount(create)) if create.is_user && create.if_not_exists);
    is!("ALTER USER ann WITH PASSWORD 'y' NOLOGIN", Statement::Access(Access::AlterAccount { options, .. }) if options.login == Some(false));
    is!("ALTER ROLE ann PASSWORD NULL", Statement::Access(Access::AlterAccount { options, .. }) if options.password == Some(None));
    is!(
        "ALTER ROLE ann RENAME TO bob",
        Statement::Access(Access::AlterAccount {
            rename_to: Some(_),
            ..
        })
    );
    is!("DROP USER IF EXISTS ann, bob", Statement::Access(Access::DropAccounts { names, if_exists: true }) if names.len() == 2);
    is!("GRANT SELECT, INSERT ON TABLE a, b TO ann", Statement::Access(Access::Grant(rights)) if matches!(&rights.on, RightsOn::Relations(None, names) if names.len() == 2));
    is!("GRANT ALL PRIVILEGES ON a TO GROUP ann, PUBLIC", Statement::Access(Access::Grant(rights)) if rights.privileges.is_none() && rights.whom.len() == 2);
    is!("GRANT SELECT ON MATERIALIZED VIEW a TO ann", Statement::Access(Access::Grant(rights)) if matches!(rights.on, RightsOn::Relations(Some(ObjectKind::MaterializedView), _)));
    is!("GRANT CREATE ON SCHEMA a TO ann", Statement::Access(Access::Grant(rights)) if matches!(rights.on, RightsOn::Schemas(_)));
    is!("GRANT SELECT ON ALL STREAMS IN SCHEMA a, b TO ann", Statement::Access(Access::Grant(rights)) if matches!(&rights.on, RightsOn::AllIn(Some(ObjectKind::Stream), schemas) if schemas.len() == 2));
    is!("GRANT USAGE ON CONNECTION c TO ann", Statement::Access(Access::Grant(rights)) if matches!(rights.on, RightsOn::Connections(_)));
    is!("GRANT FILES ON SERVER TO ann", Statement::Access(Access::Grant(rights)) if rights.on == RightsOn::Server);
    is!(
        "REVOKE SELECT ON a FROM ann CASCADE",
        Statement::Access(Access::Revoke(_))
    );
    is!("CREATE TOKEN t FOR ann SCOPE SELECT, INSERT EXPIRES INTERVAL '30 days'", Statement::Access(Access::CreateToken { user: Some(_), scope: Some(scope), expires: Some(_), .. }) if scope.len() == 2);
    is!(
        "CREATE TOKEN t",
        Statement::Access(Access::CreateToken {
            user: None,
            scope: None,
            expires: None,
            ..
        })
    );
    is!(
        "DROP TOKEN IF EXISTS t FOR ann",
        Statement::Access(Access::DropToken {
            user: Some(_),
            if_exists: true,
            ..
        })
    );
    is!(
        "REVOKE TOKEN t",
        Statement::Access(Access::DropToken { user: None, .. })
    );
    is!("CREATE POLICY p ON s.t FOR SELECT TO ann, ops USING (region = 'eu' AND f(1, 2) > 0) MASK (email AS left(email, 1) || '…', card AS NULL)", Statement::Access(Access::CreatePolicy(policy)) if policy.to.len() == 2 && policy.masks.len() == 2 && policy.rows.is_some());
    is!(
        "DROP POLICY IF EXISTS p ON t",
        Statement::Access(Access::DropPolicy {
            if_exists: true,
            ..
        })
    );
    is!("GRANT reader, writer TO ann", Statement::Access(Access::GrantRoles { roles, to }) if (roles.len(), to.len()) == (2, 1));
    is!("REVOKE reader FROM ann, bob", Statement::Access(Access::RevokeRoles { from, .. }) if from.len() == 2);
    for (sql, what) in [
        ("GRANT SELECT (a) ON t TO ann", "a privilege on columns"),
        (
            "GRANT SELECT ON t TO ann WITH GRANT OPTION",
            "WITH GRANT OPTION",
        ),
        ("CREATE USER ann SUPERUSER", "SUPERUSER"),
        (
            "CREATE POLICY p ON t FOR INSERT TO ann USING (true)",
            "a policy FOR anything but SELECT",
        ),
        (
            "CREATE POLICY p ON t AS PERMISSIVE TO ann USING (true)",
            "AS PERMISSIVE or RESTRICTIVE",
        ),
        ("GRANT INSERT ON TOPIC c TO ann", "GRANT ON TOPIC"),
        ("ALTER TOKEN t", "ALTER TOKEN"),
    ] {
        let error = parse(sql).unwrap_err().to_string();
        assert!(error.contains(what), "{sql}: {error}");
    }
}

/// What is wrong with a statement is said without what stands in it.
#[test]
fn passwords_are_not_repeated() {
    for sql in [
        "CREATE USER ann PASSWORD 's3cret' 's3cret'",
        "ALTER USER ann 's3cret'",
        "ALTER USER ann PASSWORD 'a' PASSWORD 's3cret'",
    ] {
        let error = parse(sql).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }
    let parsed = parse("CREATE USER ann PASSWORD 's3cret'").unwrap();
    assert!(!format!("{:?}", parsed[0].statement).contains("s3cret"));
}

#[test]
fn scripts() {
    let parsed = parse(";; SELECT 1 ; -- one\n\n  FLUSH;/* end */").unwrap();
    let texts: Vec<_> = parsed
        .iter()
        .map(|parsed| {
            (
                parsed.sql.as_str(),
                parsed.position.line,
                parsed.position.column,
            )
        })
        .collect();
    assert_eq!(texts, [("SELECT 1", 1, 4), ("FLUSH", 3, 3)]);
    assert_eq!(parse(" -- nothing\n;").unwrap(), []);
}

#[test]
fn reading_is_told_from_writing() {
    for sql in [
        "SELECT 1",
        "SHOW ALL",
        "EXPLAIN DELETE FROM t",
        "COPY t TO STDOUT",
        "SUBSCRIBE v",
        "DESCRIBE t",
        "BEGIN",
        "PREPARE a AS SELECT 1",
    ] {
        assert!(one(sql).reads_only(), "{sql}");
    }
    for sql in [
        "INSERT INTO t SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM t",
        "COPY t TO 'x'",
        "DROP TABLE t",
        "KILL '1'",
        "TEST CONNECTION lake",
        "EXECUTE p",
    ] {
        assert!(!one(sql).reads_only(), "{sql}");
    }
}
