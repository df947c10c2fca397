// Rows as places on earth.

import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { execFileSync } from 'node:child_process';

import { describe, expect, it } from 'vitest';

import { asMap, choose } from '../src/ask/chart';
import { LAND } from '../src/map/land';
import { boundsOf, placeColumns, placeText, ringsOf, spotsOf, WORLD } from '../src/map/places';
import { kindOf, type Column, type Rows } from '../src/rows/column';

const column = (name: string, type: string): Column => ({ name, type, kind: kindOf(type), nullable: true, key: false });

function rowsOf(columns: readonly Column[], values: readonly (readonly (number | null)[])[]): Rows {
  const value = (row: number, at: number) => values[row]?.[at] ?? null;
  return { columns, count: values.length, text: (row, at) => String(value(row, at)), json: (row, at) => String(value(row, at)), order: value, number: (row, at) => Number(value(row, at)) };
}

const COLUMNS = [column('city', 'TEXT'), column('lat', 'DOUBLE PRECISION'), column('start_lng', 'DOUBLE PRECISION'), column('fare', 'BIGINT')];

describe('a map', () => {
  it('is chosen where columns say places', () => {
    expect(placeColumns(COLUMNS)).toEqual({ longitude: 2, latitude: 1 });
    expect(choose(COLUMNS)).toEqual({ shape: 'map', x: 2, ys: [1] });
    expect(choose(COLUMNS, false)?.shape).toBe('bar');
    expect(placeColumns([column('lat', 'TEXT'), column('lon', 'DOUBLE PRECISION')])).toBeNull();
    expect(placeColumns([column('flat', 'REAL'), column('along', 'REAL')])).toBeNull();
    expect(asMap([column('a', 'TEXT'), column('x', 'REAL'), column('y', 'REAL')])).toEqual({ shape: 'map', x: 1, ys: [2] });
  });

  it('gathers rows that are near, and counts those without a place', () => {
    const rows = rowsOf(COLUMNS, [[null, 52.5, 13.4, 10], [null, 52.6, 13.5, 20], [null, -33.9, 151.2, 5], [null, null, 1, 1], [null, 91, 1, 1]]);
    const { spots, nowhere, left } = spotsOf(rows, 2, 1, null, 5);
    expect([nowhere, left]).toEqual([2, 0]);
    expect(spots.map(({ rows: count, value }) => [count, value])).toEqual([[2, 2], [1, 1]]);
    expect(spots[0]?.latitude).toBeCloseTo(52.55);
    expect(spotsOf(rows, 2, 1, 3, 5).spots.map((spot) => spot.value)).toEqual([30, 5]);
    const bounds = boundsOf(rows, 2, 1);
    expect(bounds.west).toBeLessThan(13.4);
    expect(bounds.north).toBeGreaterThan(52.6);
    expect(boundsOf(rowsOf(COLUMNS, []), 2, 1)).toEqual(WORLD);
    expect(placeText(-0.5, 12)).toBe('12.00° N, 0.50° W');
  });

  it('has the land that is made of its source', () => {
    const made = `${tmpdir()}/weir-land-${process.pid}.ts`;
    execFileSync(process.execPath, [new URL('../scripts/land.mjs', import.meta.url).pathname, made]);
    expect(readFileSync(made, 'utf8')).toBe(readFileSync(new URL('../src/map/land.ts', import.meta.url), 'utf8'));
    const rings = [...ringsOf(LAND)];
    expect(rings.length).toBeGreaterThan(20);
    for (const [x, y] of rings.flat()) expect(Math.abs(x) <= 180.5 && Math.abs(y) <= 90.5).toBe(true);
  });
});
