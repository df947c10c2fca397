// Texts that are taken apart: statements, plans, files.

import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { choose } from '../src/ask/chart';
import { each, metricMs, operators } from '../src/ask/plan';
import { holdsSecret, isLive, placeOf, statementAt, statements } from '../src/editor/statements';
import { csvRecords, pieces, RecordEnds } from '../src/load/chunks';
import { csvColumns, delimiterOf, jsonColumns, typeOf } from '../src/load/infer';
import { boardIn, moved, resized } from '../src/dash/board';
import { lineage } from '../src/jobs/lineage';
import { Rates } from '../src/catalog/rates';
import { kindOf } from '../src/rows/column';
import { PAGES } from '../src/ui/pages';

const texts = (text: string) => statements(text).map((one) => one.text);

describe('statements', () => {
  it('end at semicolons that are none of a quote or comment', () => {
    expect(texts("SELECT ';' AS \"a;b\"; -- c;\n SELECT 2 /* ; /* ; */ ; */;\n;")).toEqual(["SELECT ';' AS \"a;b\"", 'SELECT 2']);
    expect(texts("SELECT E'it\\'s;' ; SELECT $tag$ ; $x$ $tag$; SELECT $1")).toEqual(["SELECT E'it\\'s;'", 'SELECT $tag$ ; $x$ $tag$', 'SELECT $1']);
    expect(texts('')).toEqual([]);
    expect(texts("SELECT 'open ; ")).toEqual(["SELECT 'open ; "]);
  });

  it('know their parameters, words and places', () => {
    const [one, two] = statements("  SELECT $2, '$9' ;\nshow jobs");
    expect([one?.parameters, one?.from, one?.words]).toEqual([2, 2, ['SELECT']]);
    expect([two?.words, two?.from]).toEqual([['SHOW', 'JOBS'], 20]);
    expect(statementAt('SELECT 1; SELECT 2', 9)?.text).toBe('SELECT 1');
    expect(statementAt('SELECT 1; SELECT 2', 12)?.text).toBe('SELECT 2');
    expect(statementAt('  SELECT 1', 0)?.text).toBe('SELECT 1');
    expect(placeOf('ab\n𝒳yz', { line: 2, column: 2 })).toBe(5);
    expect(placeOf('ab', { line: 3, column: 9 })).toBe(2);
  });

  it('may hold secrets', () => {
    expect(holdsSecret("create user ada password 'x'")).toBe(true);
    expect(holdsSecret('-- so\nCREATE OR REPLACE CONNECTION c WITH (type = \'s3\')')).toBe(true);
    expect(holdsSecret('CREATE TABLE users (password TEXT)')).toBe(false);
  });

  it('are live by their end', () => {
    const live = (text: string) => isLive(statements(text)[0]!);
    expect(live('SELECT * FROM bids EMIT CHANGES')).toBe(true);
    expect(live('WITH a AS (SELECT 1) SELECT * FROM a emit\n on window close -- so')).toBe(true);
    expect(live('SUBSCRIBE bids')).toBe(true);
    expect(live("SELECT 'EMIT CHANGES'")).toBe(false);
    expect(live('INSERT INTO t SELECT 1 EMIT CHANGES')).toBe(false);
    expect(live('EXPLAIN SELECT 1 EMIT CHANGES')).toBe(false);
  });
});

describe('plans', () => {
  it('are trees by their indents', () => {
    const plan = operators(
      'ProjectionExec: expr=[a@0 as a], metrics=[output_rows=1.41 K, elapsed_compute=8.87µs]\n  HashJoinExec: on=[(x, y)]\n    A: t=1\n    B\n',
    );
    expect(plan).toHaveLength(1);
    expect(plan[0]?.metrics.get('output_rows')).toBe('1.41 K');
    expect(plan[0]?.inputs[0]?.inputs.map((one) => one.name)).toEqual(['A', 'B']);
    expect([...each(plan)]).toHaveLength(4);
    const [view] = operators('Aggregate: groupBy=[[k]] [recomputed by key]\n');
    expect([view?.detail, view?.follows]).toEqual(['groupBy=[[k]]', 'recomputed by key']);
    expect([metricMs('8.87µs'), metricMs('2ms'), metricMs('1.5s'), metricMs('12 K')]).toEqual([0.008_87, 2, 1500, 0]);
  });
});

describe('files', () => {
  const read = async (text: string, kind: 'csv' | 'ndjson', bytes: number) => {
    const all: string[] = [];
    for await (const piece of pieces(new Blob([text]), kind, bytes)) all.push(piece.text);
    return all;
  };

  it('are cut at the ends of records', async () => {
    const text = 'a,b\n1,"x\ny"\n2,"q"",\n"\n3,ü\n';
    for (let bytes = 1; bytes < 30; bytes += 1) {
      const records = (await read(text, 'csv', bytes)).flatMap((piece) => csvRecords(piece, ',', 99).slice(1));
      expect(records).toEqual([['1', 'x\ny'], ['2', 'q",\n'], ['3', 'ü']]);
      const lines = (await read('{"a":1}\n{"a":"ü"}\n{"a":3}', 'ndjson', bytes)).join('').trim().split('\n');
      expect(lines).toEqual(['{"a":1}', '{"a":"ü"}', '{"a":3}']);
    }
    const ends = new RecordEnds('csv');
    expect([ends.last('"a\n'), ends.last('b"\nc')]).toEqual([-1, 3]);
  });

  it('have columns of the narrowest type', () => {
    expect(typeOf(['1', '-20', ''])).toBe('BIGINT');
    expect(typeOf(['1', '2.5'])).toBe('DOUBLE PRECISION');
    expect(typeOf(['007', '1'])).toBe('TEXT');
    expect(typeOf(['2024-02-29', '2024-01-01'])).toBe('DATE');
    expect(typeOf(['2024-02-29T10:00:00Z'])).toBe('TIMESTAMPTZ');
    expect(typeOf(['2024-02-29 10:00:00.5', '2024-01-01'])).toBe('TIMESTAMP');
    expect(typeOf(['true', 'FALSE'])).toBe('BOOLEAN');
    expect(typeOf([])).toBe('TEXT');
    expect(csvColumns('id,id,note\n1,2,x\n', ',').map((one) => `${one.name} ${one.type}`)).toEqual(['id BIGINT', 'id_2 BIGINT', 'note TEXT']);
    expect(jsonColumns('{"a":1,"b":"5","c":[1]}\n{"a":2.5,"d":null}').map((one) => `${one.name} ${one.type}`)).toEqual(['a DOUBLE PRECISION', 'b TEXT', 'c JSON', 'd TEXT']);
    expect(() => jsonColumns('[1]')).toThrow('JSON object');
    expect(delimiterOf('a;b;c\n')).toBe(';');
  });
});

describe('charts', () => {
  it('are chosen by types', () => {
    const columns = (...types: [string, string][]) => types.map(([name, type]) => ({ name, type, kind: kindOf(type), nullable: true, key: false }));
    expect(choose(columns(['at', 'TIMESTAMP'], ['id', 'BIGINT'], ['n', 'BIGINT']))).toEqual({ shape: 'line', x: 0, ys: [2] });
    expect(choose(columns(['country', 'TEXT'], ['n', 'BIGINT'], ['m', 'BIGINT']))).toEqual({ shape: 'bar', x: 0, ys: [1] });
    expect(choose(columns(['x', 'DOUBLE PRECISION'], ['y', 'REAL']))).toEqual({ shape: 'scatter', x: 0, ys: [1] });
    expect(choose(columns(['auction', 'BIGINT'], ['n', 'BIGINT']))).toEqual({ shape: 'bar', x: 0, ys: [1] });
    expect(choose(columns(['a', 'TEXT']))).toBeNull();
  });
});

describe('dashboards', () => {
  it('are read with care, and arranged', () => {
    expect(boardIn(null)).toEqual({ tiles: [] });
    const board = boardIn({ tiles: [{ title: 'a', sql: 'x' }, { title: 'b' }, { title: 'c', sql: 'y', form: 'figure', width: 2 }] });
    expect(board.tiles.map((tile) => `${tile.title} ${tile.form} ${tile.width}`)).toEqual(['a rows 3', 'c figure 2']);
    expect(moved(board, 0, 1).tiles.map((tile) => tile.title)).toEqual(['c', 'a']);
    expect(moved(board, 0, -1)).toBe(board);
    expect([resized(3, 1), resized(6, 1), resized(2, -1)]).toEqual([4, 6, 2]);
  });
});

describe('lineage', () => {
  it('goes from streams through views into what sinks write', () => {
    const edge = (name: string, type: string, on: string, onType: string) => ({
      schema: 'public', name, type, depends_on_schema: 'public', depends_on_name: on, depends_on_type: onType,
    });
    const { nodes, flows } = lineage(
      [
        edge('best', 'materialized view', 'plain', 'view'),
        edge('plain', 'view', 'bids', 'stream'),
        edge('other', 'view', 'people', 'stream'),
        edge('out', 'sink', 'best', 'materialized view'),
        edge('out', 'sink', 'out_topic', 'stream'),
      ],
      new Map([['public.out', 'out_topic']]),
    );
    expect(nodes.map((node) => node.name).sort()).toEqual(['best', 'bids', 'out', 'out_topic', 'plain']);
    expect(flows.map(({ from, to }) => `${from}>${to}`.replaceAll('public.', '')).sort()).toEqual(['best>out', 'bids>plain', 'out>out_topic', 'plain>best']);
  });

  it('has rates of the last seconds', () => {
    const rates = new Rates();
    const end = (partition: number, end_offset: number) => ({ topic: 'a b', partition, start_offset: 0, end_offset, bytes: 0 });
    rates.add([end(0, 10), end(1, 0)], 0);
    expect(rates.of('a b')).toBeNull();
    rates.add([end(0, 30), end(1, 10)], 2000);
    expect([rates.of('a b'), rates.of('a b', 1), rates.of('a')]).toEqual([15, 5, 0]);
  });
});

describe('what is seen before scripts run', () => {
  it('lists the pages as the scripts do', () => {
    const html = readFileSync(new URL('../index.html', import.meta.url), 'utf8');
    const listed = [...html.matchAll(/<a href="#\/(\w+)">(\w+)<\/a>/g)].map(([, path, name]) => ({ path, name }));
    expect(listed).toEqual(PAGES);
  });
});
