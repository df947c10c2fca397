'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { Server, Reader, until, assert } = require('./harness');

const ASSETS = path.join(__dirname, '../../web/dist/assets');
const PAGES = ['ask', 'catalog', 'jobs', 'dashboards', 'load', 'tour'];

async function filled(binary) {
  const server = await Server.start(binary);
  await server.run(
    'CREATE STREAM bids (auction BIGINT, price BIGINT)',
    'CREATE MATERIALIZED VIEW best AS SELECT auction, max(price) AS price FROM bids GROUP BY auction',
  );
  await server.put('bids', [{ auction: 1, price: 5 }]);
  return server;
}

module.exports = {
  async 'the page keeps to its policy, and is small and quick'({ browser, binary }) {
    const server = await filled(binary);
    const head = await fetch(`${server.url}/`);
    const policy = head.headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /script-src 'self'; style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe-eval|\*|http/);
    const again = await fetch(`${server.url}/`, { headers: { 'If-None-Match': head.headers.get('etag') } });
    assert.equal(again.status, 304);
    const assets = fs.readdirSync(ASSETS);
    for (const file of assets.filter((name) => assets.includes(`${name}.br`) && assets.includes(`${name}.gz`))) {
      const plain = fs.readFileSync(path.join(ASSETS, file), 'utf8');
      for (const coding of ['br', 'gzip']) {
        const taken = await fetch(`${server.url}/assets/${file}`, { headers: { 'Accept-Encoding': coding } });
        assert.equal(taken.headers.get('content-encoding'), coding, file);
        assert.ok((await taken.text()) === plain, `${file} is another in ${coding}`);
      }
    }
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.editor.waitFor();
    const { paint, bytes, foreign } = await page.evaluate(() => {
      const loaded = performance.getEntriesByType('resource');
      return {
        paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
        bytes: loaded.filter((one) => one.name.includes('/assets/')).reduce((sum, one) => sum + one.encodedBodySize, 0),
        foreign: loaded.map((one) => one.name).filter((name) => !name.startsWith(location.origin)),
      };
    });
    console.log(`  first paint after ${Math.round(paint)} ms, ${Math.round(bytes / 1024)} kB`);
    assert.deepEqual(foreign, []);
    assert.ok(bytes > 0 && bytes < 300 * 1024, `${bytes} bytes`);
    await reader.close();
    await server.stop();
  },

  async 'nobody is kept out, in light and dark'({ browser, binary }) {
    const server = await filled(binary);
    for (const colorScheme of ['light', 'dark']) {
      const reader = await Reader.open(browser, server, { colorScheme, reducedMotion: 'reduce' });
      const { page } = reader;
      for (const name of PAGES) {
        await reader.go(`#/${name}`);
        await page.locator('.loading').waitFor({ state: 'detached' });
        await reader.accessible(`${name} (${colorScheme})`);
      }
      await reader.go('#/catalog/public/bids');
      await page.locator('.ddl').waitFor();
      await reader.accessible(`a topic (${colorScheme})`);
      await reader.go('#/ask');
      await reader.run('SELECT auction, price, null AS nothing FROM best EMIT CHANGES');
      await reader.says('live');
      await page.locator('.answer .cell').first().click();
      await page.getByRole('button', { name: 'Both' }).click();
      await page.locator('.u-legend').waitFor();
      await reader.accessible(`an answer (${colorScheme})`);
      reader.expect(/400 \(Bad Request\)|404 \(Not Found\)/);
      await reader.run('SELECT prise FROM bids');
      await page.locator('.failure').waitFor();
      await reader.accessible(`a failure (${colorScheme})`);
      await reader.close();
    }
    await server.stop();
  },

  async 'the keyboard is enough'({ browser, binary }) {
    const server = await filled(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.editor.waitFor();
    await page.keyboard.insertText('SELECT auction FROM bids');
    await page.keyboard.press('Control+Enter');
    await reader.says('1 row');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Tab');
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent);
    assert.equal(await focused(), 'Height of the editor', 'the keyboard is caught in the editor');
    await until(
      async () => {
        await page.keyboard.press('Tab');
        return (await focused()) === 'Rows' && (await page.evaluate(() => document.activeElement?.getAttribute('role'))) === 'grid';
      },
      () => 'the rows are not reached by Tab',
    );
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'auction' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('g');
    await page.keyboard.press('j');
    await page.getByRole('heading', { name: 'Jobs', exact: true }).waitFor();
    await reader.close();
    await server.stop();
  },

  async 'a narrow screen holds every page'({ browser, binary }) {
    const server = await filled(binary);
    const reader = await Reader.open(browser, server, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    const { page } = reader;
    for (const name of [...PAGES, 'catalog/public/bids']) {
      await reader.go(`#/${name}`);
      await page.locator('.loading').waitFor({ state: 'detached' });
      const wide = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
    }
    await page.getByRole('link', { name: 'Ask', exact: true }).click();
    await reader.editor.tap();
    await page.keyboard.insertText('SELECT auction, price FROM bids');
    await page.getByRole('button', { name: 'Run', exact: true }).tap();
    await reader.shows([['1', '5']]);
    await page.getByRole('button', { name: 'Chart' }).tap();
    await page.locator('.u-legend').waitFor();
    await reader.close();
    await server.stop();
  },

  async 'who must sign in is asked to, and again when that has expired'({ browser, binary }) {
    const server = await Server.start(binary, ['--auth']);
    await server.run(
      'CREATE STREAM s (id BIGINT)',
      'INSERT INTO s VALUES (1)',
      "CREATE USER ada PASSWORD 'correct horse' IN ROLE reader",
    );
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    reader.expect(/401 \(Unauthorized\)|403 \(Forbidden\)|WebSocket connection/);
    const form = page.getByRole('dialog', { name: 'Sign in' });
    await form.waitFor();
    await reader.accessible('the form');
    await form.getByLabel('Name').fill('ada');
    await form.getByLabel('Password').fill('wrong horse');
    await form.getByRole('button', { name: 'Sign in' }).click();
    await form.getByRole('alert').waitFor();
    await form.getByLabel('Password').fill('correct horse');
    await form.getByRole('button', { name: 'Sign in' }).click();
    await form.waitFor({ state: 'detached' });
    const kept = await page.evaluate(() => Object.values(sessionStorage).join() + Object.values(localStorage).join());
    assert.match(kept, /Bearer weir_/);
    assert.doesNotMatch(kept, /Basic|horse/);
    await reader.run('SELECT id FROM s EMIT CHANGES');
    await reader.says('1 row');
    await reader.says('live');
    await page.reload();
    await reader.run('SELECT count(*) AS n FROM s');
    await reader.shows([['1']]);
    await reader.run('DROP STREAM s');
    await page.locator('.failure').filter({ hasText: '42501' }).waitFor();

    await reader.run('SELECT id FROM s EMIT CHANGES');
    await reader.says('live');
    const [{ name }] = await server.ask("SELECT name FROM weir.tokens WHERE name LIKE 'console_%'");
    await server.run(`REVOKE TOKEN ${name} FOR ada`);
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await form.waitFor();
    await form.getByLabel('Token').fill(server.token);
    await form.getByRole('button', { name: 'Sign in' }).click();
    await form.waitFor({ state: 'detached' });
    await reader.run('SELECT 2 AS two');
    await reader.shows([['2']]);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await form.waitFor();
    await reader.close();
    await server.stop();
  },
};
