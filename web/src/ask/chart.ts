// What an answer looks like as a chart: chosen from its types, changed by the reader.

import { placeColumns } from '../map/places';
import type { Column, Rows } from '../rows/column';

export type Shape = 'line' | 'area' | 'bar' | 'scatter' | 'map';

export interface Choice {
  readonly shape: Shape;
  /** What it is drawn over; of a map, the longitude. */
  readonly x: number;
  /** What is drawn; of a map, the latitude, and behind it what is summed, if anything is. */
  readonly ys: readonly number[];
}

/** Series that are drawn unless the reader wants others. */
const SERIES_MAX = 4;
/** Bars that can be told apart. */
export const BARS_MAX = 60;
/** Points of a line that are drawn; of more, an even share. */
export const POINTS_MAX = 50_000;

/** The chart that suits the columns, or nothing when there is nothing to measure. A map only where one may be. */
export function choose(columns: readonly Column[], maps = true): Choice | null {
  if (maps && placeColumns(columns)) return asMap(columns);
  const numbers = columns.flatMap((column, at) => (column.kind === 'number' ? [at] : []));
  const time = columns.findIndex((column) => column.kind === 'time' && column.type !== 'TIME');
  const name = columns.findIndex((column) => column.kind === 'text' || column.kind === 'boolean');
  if (time >= 0 && numbers.length > 0) return { shape: 'line', x: time, ys: measures(columns, numbers, -1) };
  if (name >= 0 && numbers.length > 0) return { shape: 'bar', x: name, ys: measures(columns, numbers, -1).slice(0, 1) };
  const [first, ...rest] = numbers;
  if (first === undefined || rest.length === 0) return null;
  const isName = isIdentity(columns[first]);
  return { shape: isName ? 'bar' : 'scatter', x: first, ys: isName ? measures(columns, rest, first).slice(0, 1) : rest.slice(0, 1) };
}

/** A map of the columns: of those that say where rows are, else of the first two numbers. */
export function asMap(columns: readonly Column[]): Choice {
  const numbers = columns.flatMap((column, at) => (column.kind === 'number' ? [at] : []));
  const { longitude, latitude } = placeColumns(columns) ?? { longitude: numbers[0] ?? 0, latitude: numbers[1] ?? numbers[0] ?? 0 };
  return { shape: 'map', x: longitude, ys: [latitude] };
}

/** What identifies rather than measures is drawn only if there is nothing else. */
function measures(columns: readonly Column[], numbers: readonly number[], x: number): number[] {
  const free = numbers.filter((at) => at !== x);
  const measured = free.filter((at) => !isIdentity(columns[at]));
  return (measured.length > 0 ? measured : free).slice(0, SERIES_MAX);
}

function isIdentity(column: Column | undefined): boolean {
  return column !== undefined && (column.key || /(^|_)(id|key|auction|bidder|seller|code)$/i.test(column.name));
}

/** What is drawn: the places, and for each series its values; names where places stand for them. */
export interface Drawing {
  readonly xs: number[];
  readonly series: (number | null)[][];
  readonly labels: string[] | null;
  /** Rows that are not drawn. */
  readonly left: number;
}

/** The values of a choice. Lines go from left to right, and bars stand in the rows' order. */
export function drawing(rows: Rows, choice: Choice, order: Uint32Array | null): Drawing {
  const x = rows.columns[choice.x];
  const isNamed = choice.shape === 'bar' && x?.kind !== 'time';
  const limit = choice.shape === 'bar' ? (isNamed ? BARS_MAX : 2000) : POINTS_MAX;
  const step = choice.shape === 'bar' ? 1 : Math.max(1, Math.ceil(rows.count / limit));
  const picked: number[] = [];
  for (let at = 0; at < rows.count && picked.length < limit; at += step) picked.push(order?.[at] ?? at);
  const left = rows.count - picked.length;
  const value = (row: number, column: number) => {
    const number = rows.number(row, column);
    return Number.isFinite(number) ? number : null;
  };
  if (isNamed) {
    return {
      xs: picked.map((_, at) => at),
      series: choice.ys.map((column) => picked.map((row) => value(row, column))),
      labels: picked.map((row) => rows.text(row, choice.x) ?? 'null'),
      left,
    };
  }
  const placed = picked
    .map((row) => [rows.number(row, choice.x), row] as const)
    .filter(([place]) => Number.isFinite(place))
    .sort((one, other) => one[0] - other[0]);
  const scale = x?.kind === 'time' ? 1 / 1000 : 1;
  return {
    xs: placed.map(([place]) => place * scale),
    series: choice.ys.map((column) => placed.map(([, row]) => value(row, column))),
    labels: null,
    left,
  };
}
