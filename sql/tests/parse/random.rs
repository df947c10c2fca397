//! No text panics the parser: random text, random tokens, and good statements with something changed.

use proptest::prelude::*;
use weir_base::Classify;
use weir_sql::{Statement, hidden, parse, split, unsupported};

/// Parses, and does with the result what the engine does.
fn digest(sql: &str) -> Result<(), TestCaseError> {
    let pieces = split(sql);
    match parse(sql) {
        Err(error) => {
            let position = error.position();
            prop_assert!(position.is_some(), "{error}");
            let lines = sql.split('\n').collect::<Vec<_>>();
            let line = position.map_or(0, |position| position.line as usize);
            prop_assert!(
                (1..=lines.len()).contains(&line),
                "{error} at {position:?} of {sql:?}"
            );
            let column = position.map_or(0, |position| position.column as usize);
            let characters = lines[line - 1].chars().count();
            prop_assert!(
                (1..=characters + 1).contains(&column),
                "{error} at {position:?} of {sql:?}"
            );
            prop_assert!(!error.to_string().is_empty());
            let _ = error.hint();
        }
        Ok(parsed) => {
            prop_assert_eq!(parsed.len(), pieces.len());
            for parsed in parsed {
                prop_assert!(sql.contains(&parsed.sql));
                let _ = (parsed.statement.tag(), parsed.statement.reads_only());
                let _ = unsupported::first_ignored(&parsed.statement);
                let _ = weir_sql::calls::decorated_calls(&parsed.statement);
                let _ = hidden::references_hidden(&parsed.statement);
                if let Statement::CreateView(view) = &parsed.statement {
                    let again = weir_sql::parse_query(&view.query_sql);
                    prop_assert!(
                        again.is_ok_and(|again| again.to_string() == view.query.to_string())
                    );
                }
                // The text of one statement is that statement.
                let again = parse(&parsed.sql).map(|again| again.len());
                prop_assert_eq!(again, Ok(1));
            }
        }
    }
    Ok(())
}

/// Words and signs that are likely to lead somewhere.
const TOKENS: &str = "SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET FETCH FIRST ROWS ONLY WITH RECURSIVE AS UNION ALL \
    EXCEPT INTERSECT VALUES TABLE LATERAL JOIN LEFT FULL CROSS NATURAL ASOF MATCH_CONDITION ON USING CASE WHEN THEN ELSE END \
    CAST EXTRACT TRIM POSITION INTERVAL NOT IN EXISTS BETWEEN LIKE IS NULL DISTINCT ARRAY STRUCT MAP ANY FILTER OVER PARTITION \
    WITHIN WINDOW QUALIFY EMIT CHANGES FINAL CLOSE CREATE OR REPLACE TEMPORARY STREAM SOURCE EXTERNAL VIEW MATERIALIZED SINK \
    CONNECTION SCHEMA IF WATERMARK FOR SYSTEM_TIME OF PRIMARY KEY UNIQUE CHECK DEFAULT COMMENT CONSTRAINT STORED PARTITIONED \
    LOCATION OPTIONS INSERT INTO UPDATE SET DELETE CONFLICT DO NOTHING RETURNING COPY TO STDOUT STDIN DROP CASCADE ALTER RENAME \
    ADD COLUMN PAUSE RESUME SHOW TABLES COLUMNS LIKE DESCRIBE EXPLAIN ANALYZE VERBOSE FORMAT RESET KILL QUERY FLUSH SUBSCRIBE UP \
    DECLARE CURSOR MOVE PREPARE EXECUTE DEALLOCATE BEGIN COMMIT ROLLBACK SAVEPOINT TRANSACTION READ DISCARD LISTEN NOTIFY GRANT \
    REVOKE ROLE USER TUMBLE HOP SESSION DESCRIPTOR TABLESAMPLE PIVOT UNPIVOT UNNEST ORDINALITY SIMILAR ESCAPE AT TIME ZONE \
    GROUPING SETS ROLLUP CUBE EXCLUDE NULLS INT BIGINT TEXT DECIMAL TIMESTAMP a b c t _offset bids \"q\" 'text' E'\\n' $$d$$ 1 2.5 \
    1e9 X'ff' $1 ( ) ( ) [ ] { } < > , , . ; + - * / % || :: := => = <> -> ->> #> @> ~ ! & | ^ ? : @ # -- /* */ ' \" $ \\ é \u{0} \u{2028}";

const GOOD: &[&str] = &[
    "SELECT DISTINCT ON (a) a, sum(b) FILTER (WHERE c > 1) OVER (PARTITION BY d ORDER BY e ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t AS x LEFT JOIN u USING (k) WHERE a IN (1, 2) AND b LIKE 'x%' GROUP BY ROLLUP (a) HAVING count(*) > 1 ORDER BY a DESC NULLS LAST LIMIT 10 OFFSET 5",
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT CASE WHEN n > 5 THEN 'a' ELSE E'b\\n' END, CAST(n AS DECIMAL(10, 2)), n::TEXT, ARRAY[1, 2][1], {'a': 1} FROM r EMIT CHANGES",
    "SELECT * FROM SESSION(TABLE bids PARTITION BY (a, b), DESCRIPTOR(at), INTERVAL '10' SECOND) EMIT ON WINDOW CLOSE",
    "SELECT * FROM ((SELECT 1) x JOIN b FOR SYSTEM_TIME AS OF a.t AS c ON true), LATERAL unnest(x.y) z FETCH FIRST ROW ONLY",
    "CREATE OR REPLACE STREAM IF NOT EXISTS s.bids (id BIGINT NOT NULL DEFAULT 1 + 2 COMMENT 'x', m MAP<TEXT, ARRAY<STRUCT<a INT>>>, at TIMESTAMP(3), CHECK (id > 0), WATERMARK FOR at AS at - INTERVAL '5' SECOND) WITH (partitions = 4, \"a.b\" = 'c', d.e = -1.5, f)",
    "CREATE TABLE t (a INT PRIMARY KEY, b TEXT UNIQUE, CONSTRAINT c CHECK (a <> 1)) WITH (upsert)",
    "CREATE EXTERNAL TABLE t (a INT) STORED AS CSV PARTITIONED BY (y INT, m) LOCATION 's3://b/x' OPTIONS ('format.has_header' 'true')",
    "CREATE VIEW v (a, b) AS SELECT 1, 'it''s' -- comment\n FROM x",
    "CREATE SINK s INTO t AS SELECT a FROM b EMIT FINAL WITH (connector = 'kafka')",
    "INSERT INTO t AS x (a, b) WITH (upsert) VALUES (1, DEFAULT), (2, $$b$$) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b RETURNING *",
    "UPDATE t SET a = 1, b = (SELECT max(c) FROM d) WHERE e RETURNING a",
    "COPY (SELECT 1) TO 'x.parquet' STORED AS PARQUET PARTITIONED BY (a) OPTIONS (b 'c')",
    "ALTER TABLE t ADD COLUMN IF NOT EXISTS a DECIMAL(3, 1) NOT NULL DEFAULT 1 CHECK (a > 0)",
    "EXPLAIN (ANALYZE, FORMAT json) DECLARE c NO SCROLL CURSOR WITH HOLD FOR SUBSCRIBE TO v WITH (snapshot = false) AS OF 5 UP TO 6",
    "PREPARE p (INT, TEXT[]) AS SELECT $1; EXECUTE p (1, 'a'); SET LOCAL a.b = 'c', -1; SHOW TABLES FROM s LIKE 'a%'; KILL QUERY '1'; TEST CONNECTION WITH (type = 's3') AT 's3://b/'",
    "GRANT SELECT ON TABLE a TO b; BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY; FETCH BACKWARD 5 FROM c; COMMENT ON COLUMN a.b IS NULL",
];

/// `PROPTEST_CASES`, or what takes a second.
fn cases() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(1000),
    }
}

fn tokens() -> impl Strategy<Value = Vec<&'static str>> {
    let all: Vec<&'static str> = TOKENS
        .split(' ')
        .filter(|token| !token.is_empty())
        .collect();
    proptest::collection::vec(proptest::sample::select(all), 1..40)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_text(sql in "\\PC{0,60}") {
        digest(&sql)?;
    }

    #[test]
    fn random_characters_of_sql(sql in "[a-zSELCTFROM0-9 \n\t'\"$;:,.()\\[\\]{}<>=+*/|&!@#%^~?\\\\_-]{0,80}") {
        digest(&sql)?;
    }

    #[test]
    fn random_tokens(tokens in tokens(), space in prop_oneof![Just(" "), Just(" "), Just("\n"), Just("")]) {
        digest(&tokens.join(space))?;
    }

    #[test]
    fn a_statement_with_random_tokens_in_it(which in 0..GOOD.len(), at in any::<proptest::sample::Index>(), cut in 0..4_usize, tokens in tokens()) {
        let mut words: Vec<&str> = GOOD[which].split(' ').collect();
        let at = at.index(words.len());
        let end = (at + cut).min(words.len());
        words.splice(at..end, tokens.into_iter().take(2));
        digest(&words.join(" "))?;
    }

    #[test]
    fn a_statement_cut_short(which in 0..GOOD.len(), from in any::<proptest::sample::Index>(), to in any::<proptest::sample::Index>()) {
        let sql = GOOD[which];
        let (from, to) = (from.index(sql.len()), to.index(sql.len()));
        digest(&sql[from.min(to)..from.max(to)])?;
        digest(&sql[..to])?;
    }

    #[test]
    fn a_statement_with_a_part_of_another(a in 0..GOOD.len(), b in 0..GOOD.len(), at in any::<proptest::sample::Index>(), from in any::<proptest::sample::Index>(), length in 0..60_usize) {
        let (a, b) = (GOOD[a], GOOD[b]);
        let (at, from) = (at.index(a.len()), from.index(b.len()));
        let part = &b[from..(from + length).min(b.len())];
        digest(&format!("{}{part}{}", &a[..at], &a[at..]))?;
    }
}

#[test]
fn the_good_ones_are_good() {
    for sql in GOOD {
        parse(sql).unwrap_or_else(|error| panic!("{sql}\n{error} at {:?}", error.position()));
    }
}
