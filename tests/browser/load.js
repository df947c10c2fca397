'use strict';
const { Server, Reader, assert } = require('./harness');

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
    await reader.close();
    await server.stop();
  },

  async 'what cannot be loaded is said'({ browser, binary }) {
    const server = await Server.start(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    reader.expect(/400 \(Bad Request\)/);
    await reader.go('#/load');
    const input = page.locator('input[type=file]');
    await input.setInputFiles(file('x.parquet', 'PAR1'));
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
