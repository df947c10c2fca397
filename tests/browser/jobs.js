'use strict';
const { Server, Reader, until, assert } = require('./harness');

module.exports = {
  async 'lineage, pausing and killing'({ browser, binary }) {
    const server = await Server.start(binary);
    await server.run('CREATE STREAM bids (auction BIGINT, price BIGINT)');
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.go('#/jobs');
    await page.getByText('No continuous queries').waitFor();
    await server.run(
      'CREATE MATERIALIZED VIEW best AS SELECT auction, max(price) AS price FROM bids GROUP BY auction',
      "CREATE SINK best_out FROM best WITH (connector = 'topic', envelope = 'upsert', key = 'auction')",
    );
    await server.put('bids', [{ auction: 1, price: 5 }]);
    for (const name of ['bids', 'best', 'best_out', 'best_out_topic']) {
      await page.locator('.node strong').getByText(name, { exact: true }).waitFor();
    }
    assert.equal(await page.locator('.graph path.arrow').count(), 3);
    await page.locator('.node').filter({ hasText: 'materialized view' }).filter({ hasText: 'up to date' }).waitFor();
    await page.getByRole('button', { name: 'Pause best', exact: true }).click();
    await page.locator('.node[data-state=paused]').waitFor();
    assert.equal((await server.ask("SELECT state FROM weir.jobs WHERE name = 'best'"))[0].state, 'paused');
    await page.getByRole('button', { name: 'Resume best', exact: true }).click();
    await until(async () => (await server.ask("SELECT state FROM weir.jobs WHERE name = 'best'"))[0].state === 'running', () => 'the view does not run again');

    await page.locator('.node').filter({ hasText: 'materialized view' }).click();
    const operator = page.locator('.operator').filter({ hasText: 'Aggregate' }).filter({ hasText: /incremental|recomputed by key/ });
    await operator.filter({ hasText: /[\d.]+\s?(µs|ms|s) a step · \d+ %/ }).waitFor();
    await server.put('bids', [{ auction: 2, price: 7 }, { auction: 3, price: 1 }]);
    // Since the view went on, or since it began, if it had no checkpoint.
    await page.locator('.graph .arrow-label').filter({ hasText: /^[23] rows$/ }).first().waitFor();
    await reader.accessible('the operators of a view');
    await reader.go('#/jobs');
    const follower = fetch(`${server.url}/v1/sql?format=ndjson`, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: 'SELECT price FROM bids EMIT CHANGES' }).then(
      async (response) => response.text(),
      () => '',
    );
    const row = page.getByRole('row').filter({ hasText: 'SELECT price FROM bids EMIT CHANGES' });
    await row.filter({ hasText: 'live' }).getByRole('button', { name: /^Kill/ }).click();
    assert.match(await follower, /57014|cancel/i);
    await page.getByRole('button', { name: 'Recent' }).click();
    await row.filter({ hasText: 'cancelled' }).first().waitFor();
    await reader.close();
    await server.stop();
  },
};
