'use strict';
const { Server, Reader, until, assert } = require('./harness');

async function opened({ browser, binary }) {
  const server = await Server.start(binary);
  await server.run(
    'CREATE STREAM bids (auction BIGINT, price BIGINT, note TEXT, at TIMESTAMP)',
    "INSERT INTO bids VALUES (1, 10, 'a', TIMESTAMP '2026-01-01 00:00:00'), (2, 20, NULL, TIMESTAMP '2026-01-01 00:00:01.5')",
  );
  return { server, reader: await Reader.open(browser, server) };
}

module.exports = {
  async 'statements are completed, run and answered'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    await page.getByRole('button', { name: 'bids', exact: true }).waitFor();
    await reader.editor.click();
    await page.keyboard.type('select * from bi');
    const offered = page.locator('.cm-tooltip-autocomplete li').filter({ hasText: 'bids' }).first();
    await offered.waitFor();
    await offered.click();
    await page.keyboard.type(' b where b.no');
    await page.locator('.cm-tooltip-autocomplete li').filter({ hasText: 'note' }).first().waitFor();
    await page.keyboard.press('Escape');
    await reader.run('SELECT auction, price, note, at FROM bids ORDER BY auction');
    await reader.says('2 rows');
    await reader.shows([
      ['1', '10', 'a', '2026-01-01 00:00:00'],
      ['2', '20', 'null', '2026-01-01 00:00:01.500'],
    ]);
    const kinds = await page.locator('.answer .line').first().locator('.cell').evaluateAll((cells) => cells.map((cell) => cell.className.split(' ')[1]));
    assert.deepEqual(kinds, ['number', 'number', 'text', 'time']);
    await reader.close();
    await server.stop();
  },

  async 'a wrong statement is underlined where it is wrong, with the hint'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    reader.expect(/400 \(Bad Request\)/);
    await reader.run('SELECT 1;\n\nSELECT auction,\n  prise FROM bids');
    const wrong = page.locator('.wr-wrong');
    await wrong.waitFor();
    assert.equal(await wrong.textContent(), 'prise');
    assert.match(await page.locator('.wr-message').textContent(), /column "prise" not found.*did you mean "price"\?/);
    const alert = page.locator('.failure');
    assert.match(await alert.textContent(), /line 2, column 3/);
    assert.match(await alert.textContent(), /42703/);
    await page.keyboard.press('End');
    await page.keyboard.type(' ');
    await wrong.waitFor({ state: 'detached' });
    await reader.close();
    await server.stop();
  },

  async 'several statements run in order, and what is selected runs alone'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    await reader.write("SET timezone = 'Europe/Berlin';\nSHOW timezone;\nSELECT ';' AS semicolon");
    await page.keyboard.press('Control+Shift+Enter');
    await page.locator('.runs button').nth(2).waitFor();
    await reader.shows([[';']]);
    await page.locator('.runs button').nth(1).click();
    await until(async () => JSON.stringify(await reader.cells()).includes('Europe/Berlin'), () => 'the tab has no session of its own');
    await reader.write('SELECT 1 AS one; SELECT 2 AS two');
    await page.keyboard.press('Home');
    for (let at = 0; at < 16; at += 1) await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('Control+Enter');
    await reader.shows([['1']]);
    assert.equal(await page.locator('.runs button').count(), 0);
    await reader.close();
    await server.stop();
  },

  async 'statements are laid out, and mean the same'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    const text = () => reader.editor.evaluate((content) => [...content.querySelectorAll('.cm-line')].map((line) => line.textContent).join('\n'));
    const shows = async (wanted) => {
      let shown;
      await until(async () => (shown = await text()) === wanted, () => `the text is ${shown}`);
    };
    await reader.write("-- kept\nselect auction,count(*) as n from bids where note->>'a' is null group by 1 emit changes");
    await page.getByRole('button', { name: 'Format', exact: true }).click();
    const laid = "-- kept\nselect\n  auction,\n  count(*) as n\nfrom\n  bids\nwhere\n  note ->> 'a' is null\ngroup by\n  1\nemit changes";
    await shows(laid);
    await reader.editor.click();
    await page.keyboard.press('Control+End');
    await page.keyboard.press('Control+z');
    await shows("-- kept\nselect auction,count(*) as n from bids where note->>'a' is null group by 1 emit changes");
    await page.keyboard.press('Shift+Alt+F');
    await shows(laid);
    await page.keyboard.type(' -- here');
    await shows(`${laid} -- here`);
    await reader.write('select (1, 2');
    await page.keyboard.press('Shift+Alt+F');
    await page.locator('.said').filter({ hasText: 'Not formatted' }).waitFor();
    await shows('select (1, 2');
    await page.keyboard.press('Escape');
    await page.locator('header').getByRole('button', { name: 'Keys' }).click();
    await page.getByRole('dialog', { name: 'Keys' }).getByText('Shift Alt F').waitFor();
    await reader.close();
    await server.stop();
  },

  async 'parameters are asked for'(around) {
    const { server, reader } = await opened(around);
    await reader.write("SELECT $1 + 1 AS n, $2 AS t, '$3' AS three");
    const fields = reader.page.locator('.parameters input');
    await fields.nth(1).waitFor();
    assert.equal(await fields.count(), 2);
    await fields.nth(0).fill('41');
    await fields.nth(1).fill('x');
    await reader.page.getByRole('button', { name: 'Run', exact: true }).click();
    await reader.shows([['42', 'x', '$3']]);
    await reader.close();
    await server.stop();
  },

  async 'tabs, history and links outlive the page'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    await reader.run('SELECT 1 AS first_tab');
    await reader.shows([['1']]);
    await page.getByRole('button', { name: 'New text' }).click();
    await reader.run('SELECT 2 AS second_tab');
    await reader.shows([['2']]);
    await page.reload();
    await page.getByRole('tab', { name: 'Query 2' }).waitFor();
    await until(async () => (await reader.editor.textContent()).includes('second_tab'), () => 'the text is gone');
    await page.getByRole('tab', { name: 'Query 1' }).click();
    await until(async () => (await reader.editor.textContent()).includes('first_tab'), () => 'the other text is gone');
    await page.getByRole('button', { name: 'History', exact: true }).click();
    await page.getByRole('searchbox', { name: 'Words of the statement' }).fill('second');
    await until(async () => (await page.locator('.pick li').count()) === 1, () => 'the search found another number');
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await page.getByRole('button', { name: 'Link' }).click();
    const link = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(link, /#\/ask\?sql=SELECT%201/);
    await page.goto('about:blank');
    await page.goto(link.replace('first_tab', 'from_link'));
    await until(async () => (await reader.editor.textContent()).includes('from_link'), () => 'the link has no text');
    await reader.close();
    await server.stop();
  },

  async 'plans are graphs with rows and times'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    await reader.write('SELECT auction, count(*) FROM bids GROUP BY auction');
    await page.keyboard.press('Control+e');
    await page.locator('.operator').filter({ hasText: 'Aggregate' }).first().waitFor();
    await page.getByRole('button', { name: 'Text', exact: true }).click();
    assert.match(await page.locator('.plan-text').textContent(), /AggregateExec/);
    await page.getByRole('button', { name: 'Explain', exact: true }).click();
    await page.getByRole('button', { name: 'Run and measure' }).click();
    const scan = page.locator('.operator').filter({ hasText: 'TopicScan' });
    await scan.waitFor();
    assert.match(await scan.textContent(), /(µs|ms)/);
    await page.locator('.arrow-label').filter({ hasText: '2 rows' }).first().waitFor();
    await reader.close();
    await server.stop();
  },

  async 'places are shown on a map'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    await reader.run("SELECT * FROM (VALUES ('Berlin', 52.52, 13.4, 10), ('Berlin again', 52.52, 13.4, 5), ('Sydney', -33.87, 151.21, 20), ('nowhere', NULL, 0.0, 1)) AS t(city, latitude, longitude, rides)");
    await reader.says('4 rows');
    await page.getByRole('button', { name: 'Chart', exact: true }).click();
    const map = page.getByRole('img', { name: /Map of rows: 2 places/ });
    await map.waitFor();
    await page.locator('.map-note').filter({ hasText: /Most: 2 rows around 52\.52° N, 13\.40° E · 1 row without a place/ }).waitFor();
    const painted = () => map.evaluate((canvas) => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size);
    assert.ok((await painted()) > 8, 'nothing is drawn');
    await page.getByLabel('by', { exact: false }).selectOption('rides');
    await page.locator('.map-note').filter({ hasText: /Most: 20 rides in 1 row around 33\.87° S/ }).waitFor();
    await page.getByRole('button', { name: 'World', exact: true }).click();
    await page.getByRole('img', { name: /Map of rides/ }).waitFor();
    await reader.accessible('a map');
    await page.getByLabel('as', { exact: false }).selectOption('bar');
    await page.locator('.u-legend').waitFor();
    await page.getByLabel('as', { exact: false }).selectOption('map');
    await map.waitFor();
    await reader.close();
    await server.stop();
  },

  async 'a long query is cancelled'(around) {
    const { server, reader } = await opened(around);
    const { page } = reader;
    await reader.run('SELECT sum(a * b % 7) FROM generate_series(1, 300000) a, generate_series(1, 300000) b');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await reader.says('cancelled');
    await until(
      async () => (await (await fetch(`${server.url}/v1/queries`)).json()).queries.every((query) => query.state !== 'running'),
      () => 'the server runs on',
    );
    await reader.close();
    await server.stop();
  },
};
