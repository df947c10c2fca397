// Apache Superset asks Weir: node superset.js SUPERSET WEIR [PICTURE]. A database, a dataset of a view that a stream keeps, a chart of it
// by Superset's interface; the chart drawn in a real browser.
'use strict';

const { launch, assert } = require('./harness');

const [superset, weir, picture] = process.argv.slice(2);
let token;

async function api(method, path, body) {
  const response = await fetch(`${superset}/api/v1/${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** What SQL Lab gives for a statement. */
async function ask(database, sql, schema = 'public') {
  const answer = await api('POST', 'sqllab/execute/', { database_id: database, sql, schema, runAsync: false });
  assert.equal(answer.status, 'success', JSON.stringify(answer));
  return answer.data;
}

async function prepare() {
  ({ access_token: token } = await api('POST', 'security/login', { username: 'admin', password: 'admin', provider: 'db' }));
  const uri = `postgresql+psycopg2://somebody@${weir}/weir`;
  await api('POST', 'database/test_connection/', { sqlalchemy_uri: uri });
  const { id: database } = await api('POST', 'database/', { database_name: 'Weir', sqlalchemy_uri: uri, expose_in_sqllab: true, allow_dml: true });
  const { result: schemas } = await api('GET', `database/${database}/schemas/`);
  assert.ok(schemas.includes('public'), schemas);
  const { result: tables } = await api('GET', `database/${database}/tables/?q=(schema_name:public)`);
  assert.deepEqual(tables.map(({ value, type }) => [value, type]).sort(), [['bids', 'table'], ['by_auction', 'view']], JSON.stringify(tables));
  const columns = (await api('GET', `database/${database}/table_metadata/?name=by_auction&schema=public`)).columns;
  assert.deepEqual(columns.map(({ name, type }) => [name, type]), [['auction', 'TEXT'], ['minute', 'TIMESTAMP'], ['bids', 'BIGINT'], ['highest', 'BIGINT']]);

  // SQL Lab: what was asked, in full, and what is wrong, where.
  assert.deepEqual(await ask(database, 'SELECT auction, sum(bids) AS bids FROM by_auction GROUP BY auction ORDER BY auction'), [
    { auction: 'chair', bids: 3 },
    { auction: 'lamp', bids: 4 },
    { auction: 'vase', bids: 5 },
  ]);
  assert.deepEqual(await ask(database, 'CREATE TABLE notes (id BIGINT PRIMARY KEY)'), []);
  const wrong = await fetch(`${superset}/api/v1/sqllab/execute/`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({ database_id: database, sql: 'SELECT prise FROM bids', runAsync: false }),
  });
  const said = await wrong.text();
  assert.ok(!wrong.ok && said.includes('did you mean'), said);
  const { id: dataset } = await api('POST', 'dataset/', { database, schema: 'public', table_name: 'by_auction' });
  const { result: made } = await api('GET', `dataset/${dataset}`);
  assert.deepEqual(made.columns.map(({ column_name, is_dttm }) => [column_name, is_dttm]).sort(), [['auction', false], ['bids', false], ['highest', false], ['minute', true]]);
  const metric = { expressionType: 'SIMPLE', column: { column_name: 'bids' }, aggregate: 'SUM', label: 'Bids' };
  const query = {
    datasource: { id: dataset, type: 'table' },
    force: true,
    queries: [
      {
        columns: [{ columnType: 'BASE_AXIS', sqlExpression: 'minute', label: 'minute', expressionType: 'SQL', timeGrain: 'PT1M' }, 'auction'],
        metrics: [metric],
        filters: [{ col: 'minute', op: 'TEMPORAL_RANGE', val: '2024-01-01 : 2024-02-01' }],
        orderby: [['auction', true]],
        row_limit: 100,
      },
    ],
    result_format: 'json',
    result_type: 'full',
  };
  const { result } = await api('POST', 'chart/data', query);
  const shown = result[0].data.map((row) => [row.auction, row.Bids]).sort();
  assert.deepEqual(shown, [['chair', 1], ['chair', 2], ['lamp', 2], ['lamp', 2], ['vase', 5]], JSON.stringify(result[0]));
  const parameters = {
    datasource: `${dataset}__table`,
    viz_type: 'echarts_timeseries_bar',
    x_axis: 'minute',
    time_grain_sqla: 'PT1M',
    metrics: [metric],
    groupby: ['auction'],
    adhoc_filters: [],
    row_limit: 1000,
    stack: 'Stack',
    show_legend: true,
    show_value: true,
    rich_tooltip: true,
    color_scheme: 'supersetColors',
  };
  const { id: chart } = await api('POST', 'chart/', {
    slice_name: 'Bids by minute and auction',
    viz_type: parameters.viz_type,
    datasource_id: dataset,
    datasource_type: 'table',
    params: JSON.stringify(parameters),
  });
  return { chart };
}

async function draw({ chart }) {
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width: 1400, height: 850 } });
    page.setDefaultTimeout(Number(process.env.WAIT_MS ?? 90_000));
    await page.goto(`${superset}/login/`);
    await page.locator('input[type=text]').first().fill('admin');
    await page.locator('input[type=password]').fill('admin');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => !url.pathname.includes('login'));
    const drawn = page.waitForResponse((response) => response.url().includes('/api/v1/chart/data') && response.request().method() === 'POST');
    await page.goto(`${superset}/explore/?slice_id=${chart}`);
    const { result } = await (await drawn).json();
    assert.equal(result[0].rowcount > 0 && !result[0].error, true, JSON.stringify(result[0]));
    await page.locator('.chart-container canvas, .slice_container canvas').first().waitFor();
    assert.equal(await page.locator('.ant-alert-error').count(), 0);
    // Something is drawn: not all of the canvas has one colour.
    await page.waitForFunction(() => {
      const canvas = document.querySelector('.slice_container canvas, .chart-container canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const colours = new Set();
      for (let at = 0; at < data.length; at += 4) colours.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
      return colours.size > 3;
    });
    if (picture) await page.screenshot({ path: picture, animations: 'disabled' });
  } finally {
    await browser.close();
  }
}

async function main() {
  await draw(await prepare());
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
