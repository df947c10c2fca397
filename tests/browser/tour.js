'use strict';
const path = require('node:path');
const { Server, Reader, until, assert } = require('./harness');

module.exports = {
  async 'the demo is toured in two minutes'({ browser, binary, pictures }) {
    const server = await Server.start(binary, ['--demo']);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    const picture = async (name) => {
      if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`) });
    };
    await reader.go('#/tour');
    await page.getByRole('heading', { name: /Rows are coming in/ }).waitFor();
    await until(async () => (await reader.cells('.box.tour')).length > 3, () => 'no rows come');
    const next = page.getByRole('button', { name: 'Next' });
    await next.click();
    await page.locator('.box.tour .u-legend').waitFor();
    await next.click();
    await until(() => page.locator('.box.tour .cell[data-lit]:not([data-lit=""])').count(), () => 'nothing moves');
    await picture('tour');
    await next.click();
    await page.getByRole('button', { name: 'Make the view' }).click();
    await page.locator('.box.tour .u-legend').waitFor();
    await page.getByRole('button', { name: 'Finish' }).click();
    await page.getByRole('link', { name: 'See what runs' }).click();
    await page.locator('.node').filter({ hasText: 'tour_categories' }).waitFor();
    assert.equal((await server.ask("SELECT count(*) AS n FROM weir.jobs WHERE name = 'tour_categories'"))[0].n, 1);

    if (pictures) await takePictures(server, reader, picture);
    await reader.close();
    await server.stop();
  },
};

/** The pictures of the guide. */
async function takePictures(server, reader, picture) {
  const { page } = reader;
  await server.run(
    "CREATE MATERIALIZED VIEW by_minute AS SELECT window_start, window_end, count(*) AS bids, avg(price) AS price FROM TUMBLE(bids, at, INTERVAL '10 seconds') GROUP BY window_start, window_end EMIT ON WINDOW CLOSE",
    'CREATE MATERIALIZED VIEW by_country AS SELECT p.country, count(*) AS bids FROM bids b JOIN people p ON b.bidder = p.id GROUP BY p.country',
    "CREATE SINK countries_out FROM by_country WITH (connector = 'topic', envelope = 'upsert', key = 'country')",
  );
  await reader.go('#/ask');
  await reader.run("SELECT window_start, count(*) AS bids, max(price) AS highest\nFROM TUMBLE(bids, at, INTERVAL '10 seconds')\nGROUP BY window_start ORDER BY window_start");
  await page.locator('.answer .dot.done').waitFor();
  await page.getByRole('button', { name: 'Both' }).click();
  await page.locator('.u-legend').waitFor();
  await page.waitForTimeout(300);
  await picture('ask');
  await reader.run('SELECT p.country, count(*) AS bids, max(b.price) AS highest\nFROM bids b JOIN people p ON b.bidder = p.id\nGROUP BY p.country EMIT CHANGES');
  await until(() => page.locator('.answer .cell[data-lit]:not([data-lit=""])').count(), () => 'nothing moves');
  await reader.says(/up to date|behind/);
  await picture('live');
  await reader.go('#/catalog/public/bids');
  await page.locator('.figures').filter({ hasText: '/s' }).waitFor();
  await until(async () => (await reader.cells('.box.rows')).length > 5, () => 'the tail is empty');
  await picture('topic');
  await reader.go('#/jobs');
  await page.locator('.node').filter({ hasText: 'countries_out_topic' }).waitFor();
  await page.locator('.node').filter({ hasText: '/s' }).first().waitFor();
  await picture('jobs');
  const tiles = [
    { title: 'Bids', sql: 'SELECT count(*) AS n FROM bids EMIT CHANGES', form: 'figure', width: 2 },
    { title: 'Bids every 10 seconds', sql: 'SELECT window_start, bids FROM by_minute EMIT CHANGES', form: 'chart', width: 4 },
    { title: 'By category', sql: 'SELECT category, bids FROM tour_categories EMIT CHANGES', form: 'chart', width: 3 },
    { title: 'High bids', sql: 'SELECT at, auction, price FROM bids WHERE price > 5000 EMIT CHANGES', form: 'rows', width: 3 },
  ];
  await server.run(
    'CREATE SCHEMA IF NOT EXISTS console',
    'CREATE TABLE IF NOT EXISTS console.documents (kind TEXT NOT NULL, name TEXT NOT NULL, body JSON NOT NULL, saved_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (kind, name))',
    `INSERT INTO console.documents VALUES ('dashboard', 'Auctions', '${JSON.stringify({ tiles })}', now())`,
  );
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.reload();
  await reader.go('#/dashboards/Auctions');
  await page.locator('.tile.chart .u-legend').nth(1).waitFor();
  await until(async () => (await reader.cells('.tile.rows')).length > 5, () => 'the tile is empty');
  await page.waitForTimeout(1500);
  await picture('dashboard');
}
