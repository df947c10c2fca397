// What the parts have in common: a server of their own, a page that may say no error, and a few words for what users do.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const axe = require('axe-core');
const { chromium } = require('playwright-core');

const START_MS = 60_000;
/** How long a condition may take to come: generous, since the build under test is not optimised and the machine busy. */
const WAIT_MS = Number(process.env.WAIT_MS ?? 45_000);

/** Processes that run, to be ended with the tests. */
const running = new Set();

/** A `weir serve` with a data folder of its own, which may be killed and started again in its place. */
class Server {
  constructor(binary, args) {
    this.binary = binary;
    this.args = args;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'weir-browser-'));
    this.address = '127.0.0.1:0';
  }

  static async start(binary, args = []) {
    const server = new Server(binary, args);
    await server.start();
    return server;
  }

  async start() {
    const all = ['serve', '--data-dir', path.join(this.folder, 'data'), '--http', this.address, '--kafka', '127.0.0.1:0', '--postgres', 'off', '--flight', 'off', ...this.args];
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(WEIR_|RUST_LOG)/.test(name)));
    this.child = spawn(this.binary, all, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const { child } = this;
    running.add(child);
    this.ended = new Promise((resolve) => child.once('close', resolve));
    child.once('close', () => running.delete(child));
    this.log = '';
    let said = '';
    this.child.stderr.on('data', (data) => (this.log += data));
    await new Promise((resolve, reject) => {
      // Where users must sign in, the first start says the administrator's token, once.
      const timer = setTimeout(() => reject(new Error(`the server did not start:\n${said}\n${this.log}`)), START_MS);
      this.child.once('exit', () => reject(new Error(`the server ended at its start:\n${said}\n${this.log}`)));
      this.child.stdout.on('data', (data) => {
        said += data;
        const http = /^http (http:\/\/(\S+))$/m.exec(said);
        const kafka = /^kafka (\S+)$/m.exec(said);
        this.token = /^token (\S+)/m.exec(said)?.[1] ?? this.token;
        if (!http || !kafka || (this.args.includes('--auth') && !this.token)) return;
        this.url = http[1];
        this.address = http[2];
        this.kafka = kafka[1];
        clearTimeout(timer);
        resolve();
      });
    });
    this.child.removeAllListeners('exit');
  }

  /** Ends the process without a word. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async stop() {
    this.child.kill('SIGTERM');
    const kill = setTimeout(() => this.child.kill('SIGKILL'), 40_000);
    await this.ended;
    clearTimeout(kill);
    fs.rmSync(this.folder, { recursive: true, force: true });
    const complaints = this.log.split('\n').filter((line) => / (WARN|ERROR) /.test(line));
    assert.deepEqual(complaints, [], 'the server complained');
  }

  /** Rows of a statement. */
  async ask(sql) {
    const signedIn = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const response = await fetch(`${this.url}/v1/sql?format=json`, { method: 'POST', headers: { 'Content-Type': 'text/plain', ...signedIn }, body: sql });
    const body = await response.json();
    assert.ok(response.ok, `${sql}: ${JSON.stringify(body)}`);
    return body.rows;
  }

  async run(...statements) {
    for (const sql of statements) await this.ask(sql);
  }

  /** Puts rows into a stream or table. */
  async put(name, rows) {
    const body = rows.map((row) => JSON.stringify(row)).join('\n');
    const response = await fetch(`${this.url}/v1/topics/${name}/records`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body });
    assert.ok(response.ok, await response.text());
  }
}

/** An S3 server on loopback that checks signatures, with a bucket `lake`; it ends with the tests. */
async function signedStore() {
  const python = path.join(process.env.WEIR_TEST_VENV ?? path.join(__dirname, '../../target/test-venv'), 'bin/python');
  const child = spawn(python, [path.join(__dirname, '../python/moto_signed.py')], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.once('close', () => running.delete(child));
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  let log = '';
  child.stderr.on('data', (data) => (log += data));
  return new Promise((resolve, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`the S3 server did not start:\n${said}\n${log}`)), START_MS);
    child.once('close', () => reject(new Error(`the S3 server ended:\n${said}\n${log}`)));
    child.stdout.on('data', (data) => {
      said += data;
      const url = /^s3 (\S+)$/m.exec(said);
      const key = /^key (\S+) (\S+)$/m.exec(said);
      if (!url || !key) return;
      clearTimeout(timer);
      resolve({ url: url[1], id: key[1], secret: key[2], stop });
    });
  });
}

/** A page of the console in a browser that knows nothing yet. */
class Reader {
  static async open(browser, server, options = {}) {
    const reader = new Reader();
    reader.server = server;
    reader.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
    reader.context.setDefaultTimeout(WAIT_MS);
    await reader.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url });
    reader.page = await reader.context.newPage();
    reader.expected = [];
    reader.errors = [];
    reader.page.on('console', (message) => {
      if (message.type() === 'error') reader.errors.push(`${message.text()} ${message.location().url}`);
    });
    reader.page.on('pageerror', (error) => reader.errors.push(error.stack));
    await reader.page.goto(`${server.url}/`);
    return reader;
  }

  /** A console error with this in it is part of the test. */
  expect(pattern) {
    this.expected.push(pattern);
  }

  async close() {
    await this.context.close();
    const unexpected = this.errors.filter((error) => !this.expected.some((pattern) => pattern.test(error)));
    assert.deepEqual(unexpected, [], 'the page said errors');
  }

  async go(place) {
    await this.page.evaluate((hash) => (location.hash = hash), place);
  }

  get editor() {
    return this.page.locator('.cm-content');
  }

  /** Writes a text into the editor in place of what is there. */
  async write(sql) {
    await this.editor.click();
    await this.page.keyboard.press('Control+A');
    await this.page.keyboard.insertText(sql);
    // A completion that is offered would take the next Enter or Escape.
    await this.page.keyboard.press('Escape');
  }

  async run(sql) {
    await this.write(sql);
    await this.page.keyboard.press('Control+Enter');
  }

  get status() {
    return this.page.locator('.answer .status');
  }

  /** Waits until the status says so. */
  async says(text) {
    await this.status.filter({ hasText: text }).waitFor();
  }

  /** The texts of the cells that are seen, row by row. */
  async cells(scope = '.answer') {
    return this.page.locator(`${scope} .line:not([hidden])`).evaluateAll((lines) =>
      lines.map((line) => [...line.querySelectorAll('.cell')].filter((cell) => !cell.hidden).map((cell) => cell.textContent)),
    );
  }

  /** Waits until the cells that are seen are so. */
  async shows(wanted, scope = '.answer') {
    let shown;
    await until(async () => {
      shown = await this.cells(scope);
      return JSON.stringify(shown) === JSON.stringify(wanted);
    }, () => `cells are ${JSON.stringify(shown)}, not ${JSON.stringify(wanted)}`);
  }

  /** What axe finds that keeps people out. */
  async accessible(what) {
    // The policy of the page lets no script in; the debugger is not bound by it.
    await this.page.evaluate(axe.source);
    const found = await this.page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
      return violations
        .filter((one) => one.impact === 'serious' || one.impact === 'critical')
        .map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`);
    });
    assert.deepEqual(found, [], `${what} keeps people out`);
  }
}

/** Waits until something holds. */
async function until(holds, otherwise) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    if (await holds()) return;
    if (Date.now() > end) assert.fail(otherwise());
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

module.exports = { running, signedStore, Server, Reader, launch, until, assert };
