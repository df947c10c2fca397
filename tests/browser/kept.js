'use strict';
const { Server, Reader, until, assert } = require('./harness');

module.exports = {
  async 'queries and dashboards are kept on the server'({ browser, binary }) {
    const server = await Server.start(binary);
    await server.run('CREATE STREAM s (k TEXT, n BIGINT)');
    await server.put('s', [{ k: 'a', n: 1 }, { k: 'b', n: 2 }]);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.write('SELECT k, sum(n) AS total FROM s GROUP BY k EMIT CHANGES');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByRole('dialog').getByRole('textbox').fill('Totals');
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.deepEqual(await server.ask('SELECT kind, name FROM console.documents'), [{ kind: 'query', name: 'Totals' }]);

    await reader.go('#/dashboards');
    await page.getByRole('textbox', { name: 'Name of a new dashboard' }).fill('Shop / today');
    await page.getByRole('button', { name: 'Make it' }).click();
    const add = async (title, sql, form) => {
      await page.getByRole('button', { name: 'Add a tile…' }).click();
      const dialog = page.getByRole('dialog');
      if (sql === null) await dialog.getByLabel('From a saved query').selectOption(title);
      else {
        await dialog.getByLabel('Title').fill(title);
        await dialog.getByLabel(/^Query/).fill(sql);
      }
      await dialog.getByRole('button', { name: form }).click();
      await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    };
    await add('Totals', null, 'Rows');
    await add('Chart of totals', 'SELECT k, sum(n) AS total FROM s GROUP BY k EMIT CHANGES', 'Chart');
    await add('Rows in all', 'SELECT count(*) AS n FROM s EMIT CHANGES', 'One figure');
    await page.getByRole('button', { name: 'Move Rows in all back' }).click();
    await page.getByRole('button', { name: 'Totals wider', exact: true }).click();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'Save' }).waitFor({ state: 'detached' });
    await page.reload();
    await page.locator('.tile h2').nth(2).waitFor();
    assert.deepEqual(await page.locator('.tile h2').allTextContents(), ['Totals', 'Rows in all', 'Chart of totals']);
    await page.locator('.large').getByText('2', { exact: true }).waitFor();
    await server.put('s', [{ k: 'a', n: 5 }]);
    await page.locator('.large').getByText('3', { exact: true }).waitFor();
    await reader.shows([['a', '6'], ['b', '2']], '.tile.rows');
    await page.locator('.tile.chart .u-legend').filter({ hasText: 'total' }).waitFor();
    await page.getByRole('button', { name: 'Arrange' }).click();
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await until(async () => (await server.ask("SELECT name FROM console.documents WHERE kind = 'dashboard'")).length === 0, () => 'the dashboard is still there');
    await reader.close();
    await server.stop();
  },
};
