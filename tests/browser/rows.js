'use strict';
const fs = require('node:fs');
const { execFileSync } = require('node:child_process');
const { Server, Reader, until, assert } = require('./harness');

/** What the largest process of pages takes, in megabytes. */
function largestPageMb() {
  const lines = execFileSync('ps', ['-eo', 'rss,args']).toString().split('\n');
  const sizes = lines.filter((line) => line.includes('--type=renderer')).map((line) => Number(line.trim().split(' ')[0]) / 1024);
  return Math.max(0, ...sizes);
}

module.exports = {
  async 'five million rows are held, scrolled and sorted within a bound'({ browser, binary }) {
    const server = await Server.start(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.run('SELECT value AS id, value * 7919 % 5000011 AS mixed, value / 3.0e0 AS third FROM generate_series(1, 5000000) AS g(value) ORDER BY id');
    await reader.says('5,000,000 rows');
    await page.locator('.answer .dot.done').waitFor();
    await page.locator('.answer .grid-scroll').focus();
    await page.keyboard.press('Control+End');
    let seen;
    await until(async () => (seen = (await reader.cells()).at(-1))?.[0] === '5000000', () => `the last row is not reached: ${JSON.stringify(seen)}`);
    assert.equal(await page.locator('.answer .line').count() < 100, true, 'rows that are not seen have elements');
    await page.keyboard.press('Control+Home');
    await page.mouse.move(640, 600);
    await page.mouse.wheel(0, 2400);
    await until(async () => (seen = (await reader.cells())[0])?.[0] === '101', () => `a turn of the wheel moved to ${JSON.stringify(seen)}`);
    await page.locator('.answer .column .name').nth(1).click();
    await page.locator('.answer [aria-sort=descending]').waitFor();
    await page.keyboard.press('Control+Home');
    const [[, first], [, second]] = await reader.cells();
    assert.ok(Number(first) >= Number(second) && Number(first) > 4_999_000, `${first}, ${second}`);
    const mb = largestPageMb();
    console.log(`  the page takes ${Math.round(mb)} MB`);
    assert.ok(mb < 900, `the page takes ${mb} MB`);
    await reader.close();
    await server.stop();
  },

  async 'rows are copied, downloaded, drawn and told about'({ browser, binary }) {
    const server = await Server.start(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    const sql = "SELECT * FROM (VALUES ('b', 2, 1.50), ('a', 1, NULL), ('c, \"d\"', 3, 2.25)) AS t (name, n, amount)";
    await reader.run(sql);
    await reader.says('3 rows');
    await page.locator('.answer .column .name').first().click();
    await reader.shows([['a', '1', 'null'], ['b', '2', '1.50'], ['c, "d"', '3', '2.25']]);
    await page.locator('.answer .cell').first().click();
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('Shift+ArrowDown');
    await page.keyboard.press('Control+c');
    await until(async () => (await page.evaluate(() => navigator.clipboard.readText())) === 'name\tn\na\t1\nb\t2', () => 'something else was copied');

    const download = async (name) => {
      await page.getByRole('button', { name: 'Download', exact: true }).click();
      const coming = page.waitForEvent('download');
      await page.locator('.menu:popover-open').getByRole('button', { name }).click();
      return fs.readFileSync(await (await coming).path());
    };
    assert.equal((await download('CSV')).toString(), 'name,n,amount\r\na,1,\r\nb,2,1.50\r\n"c, ""d""",3,2.25\r\n');
    assert.deepEqual(JSON.parse((await download(/^JSON/)).toString())[1], { name: 'b', n: 2, amount: 1.5 });
    assert.equal((await download('Parquet')).subarray(0, 4).toString(), 'PAR1');
    assert.ok((await download('Arrow stream')).length > 100);

    await page.getByRole('button', { name: 'Both' }).click();
    await page.locator('.u-legend').filter({ hasText: 'n' }).waitFor();
    const drawn = await page.locator('.plot canvas').evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200 && data[at + 2] > data[at] + 60) return true;
      return false;
    });
    assert.ok(drawn, 'the chart has none of its colour');
    await page.getByRole('button', { name: 'Rows', exact: true }).click();
    await page.getByRole('columnheader', { name: /amount/ }).hover();
    await page.getByRole('button', { name: 'About amount' }).click();
    const facts = page.getByRole('dialog', { name: 'amount' });
    assert.match(await facts.textContent(), /nulls1 \(33\.3 %\)/);
    await page.keyboard.press('Escape');
    await page.locator('.answer .cell').nth(6).dblclick();
    await page.getByRole('dialog', { name: 'name' }).getByText('c, "d"').waitFor();
    await reader.close();
    await server.stop();
  },
};
