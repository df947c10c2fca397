// Formatting: what it makes, and what it leaves alone.

import { describe, expect, it } from 'vitest';

import { changed, format, meaning, moved } from '../src/editor/format';
import { laidOut } from '../src/editor/layout';

const formatted = (text: string, part = { from: 0, to: 0 }) => {
  const { changes, left } = format(text, part, laidOut);
  return { text: changed(text, changes), left: left.map((one) => one.text) };
};

/** Statements of Weir's own, and PostgreSQL's corners. */
const STATEMENTS = [
  'select a,b from t where x=1 and y in (1,2) order by a desc limit 10',
  "CREATE STREAM bids (auction BIGINT, price DECIMAL(38, 9), at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 seconds') WITH (partitions = 4, \"retention.ms\" = 1000)",
  "create materialized view hot as select window_start, auction, count(*) as n from TUMBLE(bids, at, INTERVAL '10 seconds') group by window_start, auction emit on window close",
  'SELECT * FROM bids -- all of them\nWHERE price > 100 /* not\n  cheap */ EMIT CHANGES',
  'select l.id, r.v from l asof left join r match_condition (l.t >= r.t) on l.k = r.k',
  'SELECT * FROM s JOIN r FOR SYSTEM_TIME AS OF s.t AS v ON s.k = v.k',
  'CREATE SINK out INTO t AS SELECT id, count(*) FROM s GROUP BY id',
  "CREATE SINK best_out FROM best WITH (connector = 'topic', envelope = 'upsert', key = 'auction')",
  "SUBSCRIBE TO best WITH (snapshot = false) AS OF 'abc'",
  'ALTER MATERIALIZED VIEW best PAUSE',
  "CREATE CONNECTION lake WITH (type = 's3', access_key_id = 'a', secret_access_key = 'b')",
  "CREATE EXTERNAL TABLE trips STORED AS PARQUET PARTITIONED BY (day) LOCATION 's3://b/trips/' WITH (connection = 'lake')",
  "INSERT INTO t (a, b) VALUES (1, 'x;y'), (2, $$it's$$) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a",
  "SELECT j->'a'->>'b', j #>> '{a,b}', x::numeric(10,2), E'\\n', X'00ff', a[1:2], -1.5e-3, $1, a||b, a<>b, t ~* 'x' FROM t",
  "SELECT CASE WHEN a THEN 1 ELSE 2 END, sum(x) FILTER (WHERE x > 0) OVER (PARTITION BY k ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
  "WITH RECURSIVE a AS (SELECT 1), b AS (SELECT * FROM a) SELECT \"Größe\", 'ä' FROM b UNION ALL SELECT 1, 2",
  'SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL \'10\' SECOND))',
  'EXPLAIN ANALYZE SELECT 1',
  'SHOW CREATE TABLE t',
  'SELECT /*+ kept /* nested */ */ 1',
];

describe('formatting', () => {
  it('changes nothing but space, of any statement', () => {
    for (const sql of STATEMENTS) {
      const once = formatted(sql);
      expect(once.left, sql).toEqual([]);
      expect(meaning(once.text), sql).toEqual(meaning(sql));
      expect(formatted(once.text).text, `again: ${sql}`).toBe(once.text);
    }
  });

  it('lays statements out', () => {
    expect(formatted(STATEMENTS[0] ?? '').text).toBe('select\n  a,\n  b\nfrom\n  t\nwhere\n  x = 1\n  and y in (1, 2)\norder by\n  a desc\nlimit\n  10');
    expect(formatted(STATEMENTS[1] ?? '').text).toMatchInlineSnapshot(`
      "CREATE STREAM bids (
        auction BIGINT,
        price DECIMAL(38, 9),
        at TIMESTAMP,
        WATERMARK FOR at AS at - INTERVAL '5 seconds'
      )
      WITH (partitions = 4, "retention.ms" = 1000)"
    `);
    expect(formatted(STATEMENTS[2] ?? '').text).toMatchInlineSnapshot(`
      "create materialized view hot as
      select
        window_start,
        auction,
        count(*) as n
      from
        TUMBLE(bids, at, INTERVAL '10 seconds')
      group by
        window_start,
        auction
      emit on window close"
    `);
    expect(formatted(STATEMENTS[3] ?? '').text).toMatchInlineSnapshot(`
      "SELECT
        *
      FROM
        bids -- all of them
      WHERE
        price > 100
        /* not
        cheap */
      EMIT CHANGES"
    `);
  });

  it('keeps what stands between statements, and takes those that are selected', () => {
    const text = '-- first\nselect 1,2;  -- behind\n\nselect 3,4';
    expect(formatted(text).text).toBe('-- first\nselect\n  1,\n  2;  -- behind\n\nselect\n  3,\n  4');
    expect(formatted(text, { from: text.length - 3, to: text.length }).text).toBe('-- first\nselect 1,2;  -- behind\n\nselect\n  3,\n  4');
  });

  it('leaves alone what would mean something else', () => {
    expect(formatted('select (1').left).toEqual(['select (1']);
    const change = (made: string) => format('select a->b, 1', { from: 0, to: 0 }, () => made);
    expect(change('select a - > b, 1').left).toHaveLength(1);
    expect(change('select a->b, 1 ').left).toHaveLength(0);
    expect(change('SELECT a->b, 1').left).toHaveLength(1);
    expect(change('select a->b').left).toHaveLength(1);
    expect(format("select x'00', 1e-3", { from: 0, to: 0 }, () => "select x '00', 1e-3").left).toHaveLength(1);
    expect(format("select x'00', 1e-3", { from: 0, to: 0 }, () => "select x'00', 1e - 3").left).toHaveLength(1);
  });

  it('leaves the cursor where it was among the characters', () => {
    const [before, after] = ['select a,b from t', 'select\n  a,\n  b\nfrom\n  t'];
    expect(after.slice(0, moved(before, after, before.indexOf(' from')))).toBe('select\n  a,\n  b');
    expect(moved(before, after, before.length)).toBe(after.length);
    expect(moved(before, after, 0)).toBe(0);
  });
});
