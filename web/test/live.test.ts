// Answers that move: changes applied to rows, and connections that break.

import { describe, expect, it } from 'vitest';

import { LiveConnection, tokenOffsets, waitMs, type LiveListener, type News, type Socket } from '../src/api/live';
import { APPENDED_MAX, LiveRows, type ColumnDocument, type RowDocument } from '../src/rows/live';

const COLUMNS: ColumnDocument[] = [
  { name: '_op', type: 'TEXT', nullable: false },
  { name: 'auction', type: 'BIGINT', nullable: false, key: true },
  { name: 'n', type: 'BIGINT', nullable: false },
];

const table = (rows: LiveRows) =>
  Array.from({ length: rows.count }, (_, row) => rows.columns.map((_, column) => rows.text(row, column)).join('|')).sort();

describe('a changelog', () => {
  it('is applied by key, and tells which cells changed', () => {
    const rows = new LiveRows(COLUMNS);
    expect(rows.form).toBe('keyed');
    expect(rows.columns.map((column) => column.name)).toEqual(['auction', 'n']);
    rows.apply([{ _op: 'insert', auction: 1, n: 1 }, { _op: 'insert', auction: 2, n: 5 }], 0);
    rows.apply([{ _op: 'update_before', auction: 1, n: 1 }, { _op: 'update_after', auction: 1, n: 2 }], 1000);
    expect(table(rows)).toEqual(['1|2', '2|5']);
    expect([rows.changedAt(0, 0), rows.changedAt(0, 1), rows.changedAt(1, 1)]).toEqual([0, 1000, 0]);
    rows.apply([{ _op: 'delete', auction: 2, n: 5 }, { _op: 'insert', auction: 3, n: 0 }], 2000);
    expect(table(rows)).toEqual(['1|2', '3|0']);
    expect(rows.changedAt(1, 0)).toBe(2000);
  });

  it('is the batch answer after any changes', () => {
    const rows = new LiveRows(COLUMNS);
    const truth = new Map<number, number>();
    let seed = 7;
    const chance = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    for (let step = 0; step < 500; step += 1) {
      const deletes: RowDocument[] = [];
      const others: RowDocument[] = [];
      const touched = new Set<number>();
      for (let change = 0; change < 5; change += 1) {
        const auction = chance(20);
        if (touched.has(auction)) continue;
        touched.add(auction);
        const before = truth.get(auction);
        if (before === undefined) {
          truth.set(auction, step);
          others.push({ _op: 'insert', auction, n: step });
        } else if (chance(3) === 0) {
          truth.delete(auction);
          deletes.push({ _op: 'delete', auction, n: before });
        } else {
          truth.set(auction, step);
          others.push({ _op: 'update_before', auction, n: before }, { _op: 'update_after', auction, n: step });
        }
      }
      rows.apply([...deletes, ...others], step);
    }
    expect(table(rows)).toEqual([...truth].map(([auction, n]) => `${auction}|${n}`).sort());
  });

  it('without a key counts rows that are alike', () => {
    const rows = new LiveRows([{ name: '_op', type: 'TEXT', nullable: false }, { name: 'x', type: 'BIGINT', nullable: true }]);
    expect(rows.form).toBe('counted');
    rows.apply([{ _op: 'insert', x: 1 }, { _op: 'insert', x: 1 }, { _op: 'insert', x: null }], 0);
    rows.apply([{ _op: 'delete', x: 1 }], 0);
    expect(table(rows)).toEqual(['1', ''].sort());
    rows.apply([{ _op: 'delete', x: 9 }], 0);
    expect(rows.count).toBe(2);
  });

  it('of rows that only come keeps the newest', () => {
    const rows = new LiveRows([{ name: 'x', type: 'BIGINT', nullable: false }]);
    expect(rows.form).toBe('appended');
    const piece = Array.from({ length: 10_000 }, (_, x) => ({ x }));
    for (let at = 0; at < 12; at += 1) rows.apply(piece, 0);
    expect(rows.count).toBeLessThanOrEqual(APPENDED_MAX * 1.1);
    expect(rows.count + rows.dropped).toBe(120_000);
    expect(rows.text(rows.count - 1, 0)).toBe('9999');
  });
});

class FakeSocket implements Socket {
  readonly sent: Record<string, unknown>[] = [];
  isClosed = false;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.isClosed = true;
  }
  says(news: News): void {
    this.onmessage?.({ data: JSON.stringify(news) });
  }
}

function surroundings() {
  const sockets: FakeSocket[] = [];
  const timers: { ms: number; act: () => void }[] = [];
  const refused: boolean[] = [];
  const connection = new LiveConnection({
    connect() {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    after: (ms, act) => void timers.push({ ms, act }),
    refused: () => void refused.push(true),
  });
  return { connection, sockets, timers, refused };
}

function listening() {
  const heard: string[] = [];
  const listener: LiveListener = {
    begun: (_, resumed) => heard.push(resumed ? 'resumed' : 'begun'),
    rows: (rows, token) => heard.push(`${rows.length} rows ${token ?? ''}`.trim()),
    broken: (wait) => heard.push(`broken ${wait}`),
    ended: () => heard.push('ended'),
    failed: (problem) => heard.push(`failed ${problem.message}`),
  };
  return { heard, listener };
}

const error = (detail: string, status: number) => ({ type: 'about:blank', title: '', status, detail, sqlstate: 'XX000' });

describe('a connection', () => {
  it('goes on from the last token when it broke', () => {
    const { connection, sockets, timers } = surroundings();
    const { heard, listener } = listening();
    connection.start({ query: 'SELECT 1 EMIT CHANGES' }, listener);
    const first = sockets[0]!;
    expect(first.sent).toEqual([]);
    first.onopen?.();
    expect(first.sent).toEqual([{ type: 'query', id: 'q1', query: 'SELECT 1 EMIT CHANGES' }]);
    first.says({ type: 'schema', id: 'q1', query_id: 'x', columns: [], live: true });
    first.says({ type: 'rows', id: 'q1', rows: [{}, {}], resume: 'bids:2' });
    first.onclose?.();
    expect(timers.map((timer) => timer.ms)).toEqual([250]);
    timers[0]?.act();
    sockets[1]!.onclose?.();
    expect(timers.at(-1)?.ms).toBe(500);
    timers.at(-1)?.act();
    const third = sockets[2]!;
    third.onopen?.();
    expect(third.sent).toEqual([{ type: 'query', id: 'q1', query: 'SELECT 1 EMIT CHANGES', resume: 'bids:2' }]);
    third.says({ type: 'schema', id: 'q1', query_id: 'y', columns: [], live: true });
    third.says({ type: 'rows', id: 'q1', rows: [{}], resume: 'bids:3' });
    expect(heard).toEqual(['begun', '2 rows bids:2', 'broken 250', 'broken 500', 'resumed', '1 rows bids:3']);
  });

  it('begins again where there was no token yet', () => {
    const { connection, sockets, timers } = surroundings();
    const { heard, listener } = listening();
    connection.start({ query: 'q' }, listener);
    sockets[0]!.onopen?.();
    sockets[0]!.says({ type: 'schema', id: 'q1', query_id: 'x', columns: [], live: true });
    sockets[0]!.onclose?.();
    timers[0]?.act();
    sockets[1]!.onopen?.();
    expect(sockets[1]!.sent[0]).not.toHaveProperty('resume');
    sockets[1]!.says({ type: 'schema', id: 'q1', query_id: 'y', columns: [], live: true });
    expect(heard).toEqual(['begun', 'broken 250', 'begun']);
  });

  it('takes a shutdown for a break, and a failure for an end', () => {
    const { connection, sockets, timers } = surroundings();
    const { heard, listener } = listening();
    connection.start({ query: 'q' }, listener, 'bids:7');
    sockets[0]!.onopen?.();
    expect(sockets[0]!.sent[0]).toMatchObject({ resume: 'bids:7' });
    sockets[0]!.says({ type: 'end', id: 'q1', row_count: 0, reason: 'shutdown' });
    sockets[0]!.onclose?.();
    timers[0]?.act();
    sockets[1]!.onopen?.();
    sockets[1]!.says({ type: 'error', id: 'q1', error: error('busy', 503) });
    expect(timers).toHaveLength(2);
    timers[1]?.act();
    expect(sockets[1]!.sent).toHaveLength(2);
    sockets[1]!.says({ type: 'error', id: 'q1', error: error('gone by retention', 404) });
    sockets[1]!.onclose?.();
    expect(heard).toEqual(['broken 250', 'broken 500', 'failed gone by retention']);
  });

  it('ends with all its queries when it is nobody\'s any more', () => {
    const { connection, sockets, refused } = surroundings();
    const [one, other] = [listening(), listening()];
    connection.start({ query: 'a' }, one.listener);
    connection.start({ query: 'b' }, other.listener);
    sockets[0]!.onopen?.();
    sockets[0]!.says({ type: 'error', id: 'q2', error: error('the token was revoked', 401) });
    expect([one.heard, other.heard]).toEqual([['failed the token was revoked'], ['failed the token was revoked']]);
    expect([sockets[0]!.isClosed, refused]).toEqual([true, [true]]);
    connection.start({ query: 'c' }, listening().listener);
    sockets[1]!.onopen?.();
    expect(sockets[1]!.sent).toMatchObject([{ query: 'c' }]);
  });

  it('hangs up with its last query', () => {
    const { connection, sockets } = surroundings();
    const one = connection.start({ query: 'a' }, listening().listener);
    const other = connection.start({ query: 'b' }, listening().listener);
    sockets[0]!.onopen?.();
    expect(sockets).toHaveLength(1);
    one();
    expect(sockets[0]!.isClosed).toBe(false);
    other();
    other();
    expect(sockets[0]!.sent.filter((message) => message['type'] === 'cancel')).toHaveLength(2);
    expect(sockets[0]!.isClosed).toBe(true);
  });

  it('waits longer each time, up to a bound', () => {
    expect([0, 1, 2, 9].map(waitMs)).toEqual([250, 500, 1000, 5000]);
    expect(tokenOffsets('bids:7,9;odd:name:3~abc')).toEqual(new Map([['bids', [7, 9]], ['odd:name', [3]]]));
  });
});
