// Parquet files: what they say of themselves, and their row groups as files of their own.

import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { footerOf, groupOf } from '../src/load/parquet';
import { read, written } from '../src/load/thrift';

const bytes = readFileSync(new URL('../../examples/data/cities.parquet', import.meta.url));
const cities = new Blob([bytes]);

describe('a Parquet file', () => {
  it('tells its columns and rows', async () => {
    const { columns, rows, groups } = await footerOf(cities);
    expect(groups).toBeGreaterThan(0);
    expect(rows).toBeGreaterThan(0);
    expect(columns).toMatchInlineSnapshot(`
      [
        {
          "name": "id",
          "type": "BIGINT",
        },
        {
          "name": "name",
          "type": "TEXT",
        },
        {
          "name": "country",
          "type": "TEXT",
        },
        {
          "name": "population",
          "type": "BIGINT",
        },
        {
          "name": "latitude",
          "type": "DOUBLE PRECISION",
        },
        {
          "name": "longitude",
          "type": "DOUBLE PRECISION",
        },
        {
          "name": "timezone",
          "type": "TEXT",
        },
      ]
    `);
  });

  it('has a footer that is written as it was read', async () => {
    const length = bytes.readUInt32LE(bytes.length - 8);
    const footer = new Uint8Array(bytes.subarray(bytes.length - 8 - length, bytes.length - 8));
    expect(written(read(footer))).toEqual(footer);
  });

  it('is cut at its row groups, with other names of columns', async () => {
    const whole = await footerOf(cities);
    const names = whole.columns.map((column) => `${column.name} x`);
    let rows = 0;
    for (let at = 0; at < whole.groups; at += 1) {
      const group = groupOf(cities, whole, at, names);
      const cut = await footerOf(group.content);
      expect([cut.groups, cut.rows]).toEqual([1, group.rows]);
      expect(cut.columns).toEqual(whole.columns.map((column) => ({ ...column, name: `${column.name} x` })));
      rows += group.rows;
    }
    expect(rows).toBe(whole.rows);
  });

  it('that is none is refused', async () => {
    await expect(footerOf(new Blob(['PAR1']))).rejects.toThrow('does not end as one');
    await expect(footerOf(new Blob(['PAR1', new Uint8Array([255, 255, 255, 127]), 'PAR1']))).rejects.toThrow('too long');
    await expect(footerOf(new Blob(['PAR1', new Uint8Array([0, 1, 0, 0, 0]), 'PAR1']))).rejects.toThrow('lacks');
    for (let at = 5; at < bytes.length; at += 97) {
      const broken = new Blob([bytes.subarray(0, at), 'PAR1']);
      await footerOf(broken).catch((error: unknown) => expect(String(error)).toContain('no Parquet file'));
    }
  });
});
