// postgres.js uses Weir.
'use strict';
const assert = require('assert');
const postgres = require('postgres');

async function main() {
  const [host, port] = process.argv[2].split(':');
  const sql = postgres({ host, port: Number(port), user: 'somebody', database: 'weir', max: 3 });
  await sql`CREATE TABLE p (id BIGINT PRIMARY KEY, name TEXT, at TIMESTAMPTZ, ok BOOLEAN, tags TEXT[], j JSONB, n NUMERIC(10, 2), b BYTEA, nums INTEGER[])`;
  const at = new Date('2024-02-29T12:00:00.123Z');
  const row = { id: '1', name: 'eins', at, ok: true, tags: ['a', 'b,c'], n: '1.25', b: Buffer.from([0, 255]), nums: [1, 2] };
  await sql`INSERT INTO p ${sql(row)}`;
  await sql`INSERT INTO p (id, j) VALUES (2, ${sql.json({ a: [1, 2] })})`;
  const returned = await sql`INSERT INTO p ${sql([{ id: 3, name: 'x' }, { id: 4, name: 'y' }], 'id', 'name')} RETURNING id, name`;
  assert.deepStrictEqual([...returned], [{ id: '3', name: 'x' }, { id: '4', name: 'y' }]);
  const [first] = await sql`SELECT * FROM p WHERE id = ${1}`;
  assert.deepStrictEqual({ ...first }, { ...row, j: null });
  const [second] = await sql`SELECT j FROM p WHERE id = 2`;
  assert.deepStrictEqual(second.j, { a: [1, 2] });

  // Fragments and lists.
  const ids = async (condition) => (await sql`SELECT id FROM p WHERE ${condition} ORDER BY id`).map((found) => found.id);
  assert.deepStrictEqual(await ids(sql`id IN ${sql([1, 3])}`), ['1', '3']);
  assert.deepStrictEqual(await ids(sql`id = ANY(${[1, 4]})`), ['1', '4']);
  assert.deepStrictEqual(await ids(sql`name = ANY(${['x', 'y']})`), ['3', '4']);
  assert.deepStrictEqual(await ids(sql`${sql('id')} > ${2}`), ['3', '4']);
  const updated = await sql`UPDATE p SET ${sql({ name: 'neu', ok: false }, 'name', 'ok')} WHERE id = 1`;
  assert.strictEqual(updated.count, 1);

  // Transactions, one after the other on one of several connections.
  const count = await sql.begin(async (inner) => {
    await inner`INSERT INTO p (id) VALUES (50)`;
    await inner.savepoint(async (deeper) => {
      await deeper`INSERT INTO p (id) VALUES (51)`;
      throw new Error('not this one');
    }).catch((error) => assert.strictEqual(error.message, 'not this one'));
    const [{ n }] = await inner`SELECT count(*)::int AS n FROM p WHERE id >= 50`;
    return n;
  });
  assert.strictEqual(count, 1);
  await assert.rejects(
    sql.begin(async (inner) => {
      await inner`INSERT INTO p (id) VALUES (60)`;
      throw new Error('undo');
    }),
    /undo/,
  );
  assert.deepStrictEqual(await ids(sql`id >= 50`), ['50']);

  // Cursors, streams, copies.
  let seen = 0;
  await sql`SELECT v FROM generate_series(1, 1000) AS g(v) ORDER BY v`.cursor(100, (rows) => {
    assert.strictEqual(rows.length, 100);
    for (const { v } of rows) assert.strictEqual(v, String(++seen));
  });
  for await (const rows of sql`SELECT v FROM generate_series(1, 250) AS g(v)`.cursor(100)) seen += rows.length;
  await sql`SELECT v FROM generate_series(1, 250) AS g(v)`.forEach(() => seen++);
  assert.strictEqual(seen, 1500);
  const into = await sql`COPY p (id, name) FROM STDIN`.writable();
  await new Promise((resolve, reject) => {
    into.on('finish', resolve);
    into.on('error', reject);
    into.write('100\thundert\n');
    into.end('101\thunderteins\n');
  });
  let text = '';
  for await (const chunk of await sql`COPY (SELECT id, name FROM p WHERE id >= 100 ORDER BY id) TO STDOUT`.readable()) text += chunk;
  assert.strictEqual(text, '100\thundert\n101\thunderteins\n');

  const { types, columns } = await sql`SELECT id, tags FROM p WHERE id = ${1}`.describe();
  assert.deepStrictEqual([types, columns.map((column) => [column.name, column.type])], [[20], [['id', 20], ['tags', 1009]]]);
  const parallel = await Promise.all(Array.from({ length: 20 }, (_, i) => sql`SELECT ${i}::int AS i`));
  assert.deepStrictEqual(parallel.map(([{ i }]) => i), Array.from({ length: 20 }, (_, i) => i));
  const many = await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b').simple();
  assert.deepStrictEqual(many.map(([one]) => ({ ...one })), [{ a: '1' }, { b: '2' }]);
  await assert.rejects(sql`SELECT nothing FROM p`, (error) => error.code === '42703' && error.position === '8');

  // What is stopped is stopped on the server.
  const long = sql`SELECT count(*) FROM generate_series(1, 100000000) AS a(x) WHERE x % 7 = 3`.execute();
  const running = async () => (await sql`SELECT count(*)::int AS n FROM weir.queries WHERE state = 'running' AND sql LIKE '%100000000%' AND sql NOT LIKE '%weir.queries%'`)[0].n;
  while ((await running()) === 0);
  long.cancel();
  await assert.rejects(long, (error) => error.code === '57014');
  assert.strictEqual(await running(), 0);
  await sql.end();
  console.log('postgres.js holds');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
