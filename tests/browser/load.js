'use strict';
const { signedStore, Server, Reader, assert } = require('./harness');

const file = (name, content) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(content) });

module.exports = {
  async 'files become tables and streams'({ browser, binary }) {
    const server = await Server.start(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.go('#/load');
    const input = page.locator('input[type=file]');
    const lines = Array.from({ length: 200_000 }, (_, id) => `${id},"name, ${id}",${id / 4},2026-01-02\n`);
    await input.setInputFiles(file('Sales 2026.csv', `id,name,price,day\n${lines.join('')}`));
    await page.getByLabel('Type of id').waitFor();
    assert.equal(await page.getByLabel('Type of id').inputValue(), 'BIGINT');
    assert.equal(await page.getByLabel('Type of price').inputValue(), 'DOUBLE PRECISION');
    assert.equal(await page.getByLabel('Type of day').inputValue(), 'DATE');
    await page.getByLabel('Type of price').selectOption('DECIMAL(38, 9)');
    await page.getByLabel('Name of column 2').fill('title');
    await page.getByLabel('key', { exact: false }).and(page.locator('select')).selectOption('id');
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    await page.getByText('200,000 rows are in sales_2026').waitFor();
    assert.deepEqual(await server.ask("SELECT count(*) AS n, sum(price) AS price, max(title) AS title FROM sales_2026 WHERE day = DATE '2026-01-02'"), [
      { n: 200000, price: '4999975000.000000000', title: 'name, 99999' },
    ]);

    await input.setInputFiles(file('events.ndjson', '{"id": 1, "tags": ["a"], "at": "2026-01-01T00:00:00Z"}\n{"id": 2, "tags": null, "at": null}\n'));
    await page.getByRole('button', { name: 'a new stream' }).click();
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    await page.getByText('2 rows are in events').waitFor();
    assert.deepEqual(await server.ask('SELECT id, tags FROM events ORDER BY id'), [{ id: 1, tags: ['a'] }, { id: 2, tags: null }]);

    const arrow = await fetch(`${server.url}/v1/sql?format=arrow`, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: "SELECT value AS id, arrow_cast(value, 'Decimal128(10, 2)') AS d FROM generate_series(1, 1000) AS g(value)" });
    await input.setInputFiles(file('numbers.arrows', Buffer.from(await arrow.arrayBuffer())));
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    await page.getByText('1,000 rows are in numbers').waitFor();
    assert.deepEqual(await server.ask('SELECT sum(id) AS s FROM numbers'), [{ s: 500500 }]);

    const parquet = await fetch(`${server.url}/v1/sql?format=parquet`, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: "SELECT value AS id, 'n' || value AS name, arrow_cast(value, 'Decimal128(10, 2)') AS d, CASE WHEN value % 2 = 0 THEN TIMESTAMP '2026-01-01 00:00:00' END AS at FROM generate_series(1, 1000) AS g(value)" });
    await input.setInputFiles(file('Packed.parquet', Buffer.from(await parquet.arrayBuffer())));
    await page.getByText('1,000 rows', { exact: false }).first().waitFor();
    assert.equal(await page.getByLabel('Type of d', { exact: true }).inputValue(), 'DECIMAL(10, 2)');
    assert.equal(await page.getByLabel('Type of at').inputValue(), 'TIMESTAMP');
    await page.getByLabel('Name of column 2').fill('title');
    await page.getByLabel('Type of id').selectOption('DECIMAL(38, 9)');
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    await page.getByText('1,000 rows are in packed').waitFor();
    assert.deepEqual(await server.ask('SELECT sum(id) AS s, sum(d) AS d, max(title) AS title, count(at) AS at FROM packed'), [
      { s: 500500, d: 500500, title: 'n999', at: 500 },
    ]);
    await reader.close();
    await server.stop();
  },

  async 'a connection is tested by the server, and then made'({ browser, binary }) {
    const store = await signedStore();
    const server = await Server.start(binary, ['--set', 'allow_private_network=true']);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    reader.expect(/40[0-9] \(|50[0-9] \(/);
    await reader.go('#/load');
    await page.getByRole('button', { name: 'A store', exact: true }).click();
    await page.getByLabel('Name of the connection').fill('s3_lake');
    await page.getByLabel('Endpoint').fill(store.url);
    await page.getByLabel('Region').fill('us-east-1');
    await page.getByLabel('Access key id').fill(store.id);
    await page.getByLabel('Secret access key').fill('wrong');
    await page.getByLabel('Location to look at').fill('s3://lake/');
    const test = page.getByRole('button', { name: 'Test', exact: true });
    const make = page.getByRole('button', { name: 'Make the connection' });
    const says = (text) => page.getByRole('alert').filter({ hasText: text }).waitFor();
    await test.click();
    await says('SignatureDoesNotMatch');
    assert.ok(await make.isDisabled());
    await page.getByLabel('Secret access key').fill(store.secret);
    await page.getByLabel('Location to look at').fill('s3://pond/');
    await test.click();
    await says('the bucket does not exist');
    await page.getByLabel('Endpoint').fill('http://127.0.0.1:1');
    await test.click();
    await says('s3://pond/');
    await page.getByLabel('Endpoint').fill(store.url);
    await page.getByLabel('Location to look at').fill('s3://lake/');
    await test.click();
    await page.getByText('It leads there').waitFor();
    await page.getByText('s3://lake/days/one.csv').waitFor();
    await reader.accessible('a connection');
    await make.click();
    await page.getByText('Connection s3_lake is there').waitFor();
    await page.getByRole('button', { name: 'Ask about it' }).click();
    await reader.editor.waitFor();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await reader.shows([['1', 'ada'], ['2', 'grace']]);
    assert.deepEqual(await server.ask('SELECT name, type FROM weir.connections'), [{ name: 's3_lake', type: 's3' }]);
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!kept.includes(store.secret), 'the browser keeps a secret');
    const asked = await server.ask("SELECT sql FROM weir.queries WHERE sql LIKE '%CONNECTION%'");
    assert.ok(asked.length > 0 && !JSON.stringify(asked).includes(store.secret), JSON.stringify(asked));
    await reader.close();
    await server.stop();
    await store.stop();
  },

  async 'what cannot be loaded is said'({ browser, binary }) {
    const server = await Server.start(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    reader.expect(/400 \(Bad Request\)/);
    await reader.go('#/load');
    const input = page.locator('input[type=file]');
    await input.setInputFiles(file('x.parquet', 'PAR1'));
    await page.getByRole('alert').filter({ hasText: 'no Parquet file' }).waitFor();
    await input.setInputFiles(file('x.avro', 'Obj'));
    await page.getByRole('alert').filter({ hasText: 'CREATE TABLE' }).waitFor();
    const lines = Array.from({ length: 600 }, (_, id) => `${id === 599 ? 'x' : id}\n`);
    await input.setInputFiles(file('bad.csv', `id\n${lines.join('')}`));
    await page.getByLabel('Type of id').selectOption('BIGINT');
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: 'row 600' }).waitFor();
    await reader.close();
    await server.stop();
  },
};
