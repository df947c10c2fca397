'use strict';
const { Server, Reader, until, assert } = require('./harness');

module.exports = {
  async 'a live answer goes on over a killed server, without a gap'({ browser, binary }) {
    const server = await Server.start(binary);
    await server.run('CREATE STREAM s (id BIGINT, k TEXT) WITH (partitions = 2)');
    await server.put('s', Array.from({ length: 50 }, (_, id) => ({ id, k: `k${id % 3}` })));
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    // While the server is away the page asks in vain.
    reader.expect(/ERR_CONNECTION|WebSocket connection|Failed to fetch/);
    await reader.run('SELECT k, count(*) AS n FROM s GROUP BY k EMIT CHANGES');
    await reader.says('live');
    await page.locator('.answer .column .name').first().click();
    await reader.shows([['k0', '17'], ['k1', '17'], ['k2', '16']]);
    await server.put('s', [{ id: 50, k: 'k2' }]);
    await reader.shows([['k0', '17'], ['k1', '17'], ['k2', '17']]);
    await until(() => page.locator('.answer .cell[data-lit]:not([data-lit=""])').count(), () => 'no cell is lit');

    await page.getByRole('button', { name: 'New text' }).click();
    await reader.run('SELECT id FROM s EMIT CHANGES');
    await reader.says('51 rows');
    await server.kill();
    await reader.says('reconnecting');
    await server.start();
    await server.put('s', Array.from({ length: 30 }, (_, at) => ({ id: 51 + at, k: 'k0' })));
    await reader.says('81 rows');
    await reader.says('resumed');
    await page.locator('.answer .column .name').first().click();
    await page.locator('.answer .column .name').first().click();
    await page.locator('.answer .grid-scroll').focus();
    await page.keyboard.press('Control+Home');
    const ids = (await reader.cells()).map(([id]) => Number(id));
    assert.deepEqual(ids, ids.map((_, at) => at), 'rows are missing, or came twice');
    await page.getByRole('tab').first().click();
    await reader.shows([['k0', '47'], ['k1', '17'], ['k2', '17']]);
    await reader.says('resumed');
    await reader.close();
    await server.stop();
  },

  async 'a paused answer tells how far it is behind, and goes on'({ browser, binary }) {
    const server = await Server.start(binary);
    await server.run('CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)', 'INSERT INTO t VALUES (1, 1), (2, 2)');
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.run('SELECT id, n FROM t EMIT CHANGES');
    await reader.says('up to date');
    await page.getByRole('button', { name: 'Pause' }).click();
    await reader.says('paused');
    await server.run('UPDATE t SET n = 20 WHERE id = 2', 'DELETE FROM t WHERE id = 1', 'INSERT INTO t VALUES (3, 3)');
    await reader.says('behind');
    await reader.shows([['1', '1'], ['2', '2']]);
    await page.getByRole('button', { name: 'Go on' }).click();
    await reader.shows([['2', '20'], ['3', '3']]);
    await page.getByRole('button', { name: 'Stop' }).click();
    await reader.says('stopped');
    await until(
      async () => (await (await fetch(`${server.url}/v1/queries`)).json()).queries.every((query) => query.state !== 'running'),
      () => 'the server runs on',
    );
    await reader.close();
    await server.stop();
  },
};
