'use strict';
const { Kafka, logLevel } = require('kafkajs');
const { Server, Reader, until, assert } = require('./harness');

/** A consumer group that has read a topic, and is gone. */
async function readOnce(server, topic, groupId, records) {
  const kafka = new Kafka({ brokers: [server.kafka], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let read = 0;
  await new Promise((resolve) => {
    void consumer.run({
      eachMessage: async () => {
        read += 1;
        if (read === records) resolve();
      },
    });
  });
  await consumer.disconnect();
}

module.exports = {
  async 'a topic shows its partitions, records, readers and tail'({ browser, binary }) {
    const server = await Server.start(binary);
    await server.run(
      'CREATE STREAM clicks (id BIGINT NOT NULL, page TEXT)',
      "COMMENT ON STREAM clicks IS 'what was clicked'",
      'CREATE VIEW pages AS SELECT DISTINCT page FROM clicks',
    );
    await server.put('clicks', Array.from({ length: 10 }, (_, id) => ({ id, page: `/p${id}` })));
    await readOnce(server, 'clicks', 'billing', 10);
    await server.put('clicks', [{ id: 10, page: '/late' }]);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.go('#/catalog');
    const row = page.getByRole('row').filter({ hasText: 'what was clicked' });
    await row.filter({ hasText: '11' }).waitFor();
    await row.getByRole('link').click();
    await page.locator('.figures').filter({ hasText: 'records11' }).waitFor();
    await page.getByRole('row').filter({ hasText: 'billing' }).first().waitFor();
    const lags = await page.getByRole('row').filter({ hasText: 'billing' }).locator('td:last-child').allTextContents();
    assert.equal(lags.reduce((sum, lag) => sum + Number(lag), 0), 1, 'the group lags by the one record after it');
    await page.getByText('used by', { exact: true }).waitFor();
    await page.locator('.ddl').filter({ hasText: 'CREATE STREAM public.clicks' }).waitFor();

    await page.getByRole('button', { name: 'Add a record…' }).click();
    const dialog = page.getByRole('dialog');
    reader.expect(/400 \(Bad Request\)/);
    await dialog.getByRole('textbox').fill('{"id": "x"}');
    await dialog.getByRole('button', { name: 'Add' }).click();
    await dialog.getByRole('alert').filter({ hasText: 'column "id"' }).waitFor();
    await dialog.getByRole('textbox').fill('{\n  "id": 77,\n  "page": "/by-hand"\n}');
    await dialog.getByRole('button', { name: 'Add' }).click();
    await dialog.waitFor({ state: 'detached' });
    await until(async () => JSON.stringify(await reader.cells('.box.rows')).includes('/by-hand'), () => 'the tail does not show the record');
    await page.getByRole('button', { name: 'From offset' }).click();
    await page.getByLabel('offset', { exact: false }).last().fill('2');
    await page.keyboard.press('Enter');
    await until(async () => (await reader.cells('.box.rows'))[0]?.[1] === '2', () => 'rows do not begin at the offset');
    await page.getByRole('button', { name: 'Not decoded' }).click();
    await page.locator('.box.rows .column').filter({ hasText: '_error' }).waitFor();

    await reader.go('#/catalog/public/pages');
    await page.getByRole('button', { name: 'Drop…' }).click();
    await page.getByRole('dialog').getByRole('textbox').fill('pages');
    await page.getByRole('dialog').getByRole('button', { name: 'Drop', exact: true }).click();
    await until(async () => (await server.ask('SHOW VIEWS')).length === 0, () => 'the view is still there');
    await reader.close();
    await server.stop();
  },
};
