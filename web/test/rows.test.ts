// Rows that are sorted, written and scrolled.

import { describe, expect, it } from 'vitest';

import { elementHeight, isScaled, scrollTopOf, seen, topMax, topOf } from '../src/grid/scroll';
import { shares } from '../src/jobs/operators';
import { kindOf, type Ordered, type Rows } from '../src/rows/column';
import { csvField, pieces, tabbed } from '../src/rows/export';
import { sorted } from '../src/rows/order';
import { stats } from '../src/rows/stats';

function rows(type: string, values: readonly Ordered[]): Rows {
  return {
    columns: [{ name: 'a|b', type, kind: kindOf(type), nullable: true, key: false }],
    count: values.length,
    text: (row) => (values[row] === null ? null : String(values[row])),
    json: (row) => JSON.stringify(values[row]),
    order: (row) => values[row] ?? null,
    number: (row) => (values[row] === null ? Number.NaN : Number(values[row])),
  };
}

describe('an order', () => {
  it('is that of numbers, with nulls last, and leaves equal rows as they were', () => {
    const values = [3, null, -1.5, 0, -0, 1e300, -1e300, 3, 2.5, Number.NEGATIVE_INFINITY];
    const up = [...sorted(rows('DOUBLE PRECISION', values), { column: 0, descending: false })];
    expect(up).toEqual([9, 6, 2, 3, 4, 8, 0, 7, 5, 1]);
    const down = [...sorted(rows('DOUBLE PRECISION', values), { column: 0, descending: true })];
    expect(down).toEqual([5, 0, 7, 8, 3, 4, 2, 6, 9, 1]);
  });

  it('is exact for integers of 64 bits', () => {
    const values = [9007199254740993n, 9007199254740992n, null, -5n, -9223372036854775808n, 9223372036854775807n, 0n];
    const held = { ...rows('BIGINT', values), batches: [] };
    expect([...sorted(held, { column: 0, descending: false })]).toEqual([4, 3, 6, 1, 0, 5, 2]);
    expect([...sorted(held, { column: 0, descending: true })]).toEqual([5, 0, 1, 6, 3, 4, 2]);
  });

  it('compares what doubles do not hold', () => {
    const values = [9007199254740993n, 9007199254740992n, null];
    expect([...sorted(rows('BIGINT', values), { column: 0, descending: false })]).toEqual([1, 0, 2]);
    expect([...sorted(rows('TEXT', ['b', 'a', null, 'a']), { column: 0, descending: true })]).toEqual([0, 1, 3, 2]);
  });
});

describe('rows as text', () => {
  it('are quoted where they must be', () => {
    expect([csvField(null), csvField(''), csvField('a,"b"'), csvField('x')]).toEqual(['', '""', '"a,""b"""', 'x']);
    const of = (format: 'csv' | 'json' | 'ndjson' | 'markdown') => [...pieces(rows('TEXT', ['x', null, 'y|z']), format, new Uint32Array([2, 0, 1]))].join('');
    expect(of('csv')).toBe('a|b\r\ny|z\r\nx\r\n\r\n');
    expect(JSON.parse(of('json'))).toEqual([{ 'a|b': 'y|z' }, { 'a|b': 'x' }, { 'a|b': null }]);
    expect(of('ndjson').trim().split('\n')).toHaveLength(3);
    expect(of('markdown').split('\n')[2]).toBe('| y\\|z |');
    expect(tabbed([['a\tb', null], ['c', 'd']])).toBe('"a\tb"\t\nc\td');
  });
});

describe('statistics', () => {
  it('tell what a column is like', () => {
    const of = stats(rows('BIGINT', [5, 1, 5, null, 9]), 0);
    expect(of).toMatchObject({ rows: 5, nulls: 1, distinct: 3, least: '1', greatest: '9', mean: 5 });
    expect(of.common).toEqual([['5', 2]]);
  });
});

describe('a high grid', () => {
  const few = { rows: 100, rowHeight: 24, viewport: 240 };
  const many = { rows: 5_000_000, rowHeight: 24, viewport: 600 };

  it('scrolls by pixels while a browser can', () => {
    expect([isScaled(few), elementHeight(few), topOf(few, 120), scrollTopOf(few, 120)]).toEqual([false, 2400, 120, 120]);
    expect(seen(few, 60)).toEqual([2, 13]);
    expect(seen({ ...few, rows: 0 }, 0)).toEqual([0, 0]);
  });

  it('reaches the first and the last of millions of rows', () => {
    expect(isScaled(many)).toBe(true);
    expect(topOf(many, 0)).toBe(0);
    expect(topOf(many, elementHeight(many) - many.viewport)).toBe(topMax(many));
    expect(seen(many, topMax(many))).toEqual([4_999_975, 5_000_000]);
    for (const top of [0, 1e6, 5e7, topMax(many)]) expect(topOf(many, scrollTopOf(many, top))).toBeCloseTo(top, 3);
  });
});

describe('operators of a job', () => {
  it('have their parts in the time of all', () => {
    const operator = (number: number, total_us: number) => ({ number, into_number: null, operator: '', detail: '', follows: '', steps: 1, rows: 1, total_us, step_us: 0, state_rows: 0, state_bytes: 0 });
    expect([...shares([operator(0, 30), operator(1, 10)])]).toEqual([[0, 0.75], [1, 0.25]]);
    expect([...shares([operator(0, 0)])]).toEqual([[0, 0]]);
  });
});
