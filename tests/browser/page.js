'use strict';
const { Server, Reader, until, assert } = require('./harness');

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
    const server = await filled(binary);
    const reader = await Reader.open(browser, server);
    const { page } = reader;
    await reader.editor.waitFor();
    reader.expect(/401 \(Unauthorized\)/);
    // The server of this test has no users: what it would say is said for it.
    let token = 'secret';
    await page.route('**/v1/**', async (route) => {
      const given = route.request().headers()['authorization'];
      if (given === `Bearer ${token}`) return route.continue();
      const problem = { type: 'urn:weir:problem:denied', title: 'Who is this?', status: 401, detail: given ? 'the token is not valid' : 'sign in first', sqlstate: '28000' };
      return route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify(problem) });
    });
    await reader.run('SELECT 1 AS one');
    const form = page.getByRole('dialog', { name: 'Sign in' });
    await form.waitFor();
    await form.getByLabel('Token').fill('wrong');
    await form.getByRole('button', { name: 'Sign in' }).click();
    await form.getByText('the token is not valid').waitFor();
    await form.getByLabel('Token').fill('secret');
    await form.getByRole('button', { name: 'Sign in' }).click();
    await form.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await reader.shows([['1']]);
    token = 'another';
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await form.waitFor();
    await reader.close();
    await server.stop();
  },
};
