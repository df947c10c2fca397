// node-postgres and pg-cursor use Weir.
'use strict';
const assert = require('assert');
const { Client } = require('pg');
const Cursor = require('pg-cursor');

async function main() {
  const [host, port] = process.argv[2].split(':');
  const client = new Client({ host, port: Number(port), user: 'somebody', database: 'weir' });
  await client.connect();
  await client.query('CREATE TABLE n (id BIGINT PRIMARY KEY, name TEXT, at TIMESTAMPTZ, is_new BOOLEAN, tags TEXT[])');
  const at = new Date('2024-02-29T12:00:00.123Z');
  const inserted = await client.query('INSERT INTO n VALUES ($1, $2, $3, $4, $5)', [1, 'eins', at, true, ['a', 'b,c']]);
  assert.strictEqual(inserted.rowCount, 1);
  const found = await client.query({ name: 'by-id', text: 'SELECT * FROM n WHERE id = $1', values: [1] });
  assert.deepStrictEqual(found.rows, [{ id: '1', name: 'eins', at, is_new: true, tags: ['a', 'b,c'] }]);
  await client.query('BEGIN');
  const cursor = client.query(new Cursor('SELECT value FROM generate_series(1, 250) AS g(value) ORDER BY value'));
  let seen = 0;
  for (;;) {
    const rows = await cursor.read(100);
    if (rows.length === 0) break;
    for (const row of rows) assert.strictEqual(row.value, String(++seen));
  }
  assert.strictEqual(seen, 250);
  await cursor.close();
  await client.query('COMMIT');
  await assert.rejects(client.query('SELECT nothing FROM n'), (error) => error.code === '42703' && error.position === '8');
  await client.end();
  console.log('node holds');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
