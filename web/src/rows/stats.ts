// What a column is like, over the rows that are held.

import type { Ordered, Rows } from './column';

export interface Stats {
  /** Rows that were looked at. */
  readonly rows: number;
  readonly nulls: number;
  readonly distinct: number;
  /** Whether there are more distinct values than were counted. */
  readonly distinctIsAtLeast: boolean;
  readonly least: string | null;
  readonly greatest: string | null;
  /** Of numbers. */
  readonly mean: number | null;
  /** Values that come more than once, the most common first, with their counts. */
  readonly common: readonly (readonly [string, number])[];
}

/** Rows that are looked at: about as many as the page can read without a pause that is felt. */
const LOOKED_MAX = 1_000_000;
const DISTINCT_MAX = 100_000;
const COMMON = 8;

export function stats(rows: Rows, column: number): Stats {
  const looked = Math.min(rows.count, LOOKED_MAX);
  const isNumber = rows.columns[column]?.kind === 'number';
  const counts = new Map<Ordered, number>();
  let nulls = 0;
  let sum = 0;
  let least = -1;
  let greatest = -1;
  let leastKey: Ordered = null;
  let greatestKey: Ordered = null;
  let isFull = false;
  const first = new Map<Ordered, number>();
  for (let row = 0; row < looked; row += 1) {
    const key = rows.order(row, column);
    if (key === null) {
      nulls += 1;
      continue;
    }
    if (isNumber) sum += rows.number(row, column);
    if (leastKey === null || key < leastKey) [leastKey, least] = [key, row];
    if (greatestKey === null || key > greatestKey) [greatestKey, greatest] = [key, row];
    const count = counts.get(key);
    if (count !== undefined) counts.set(key, count + 1);
    else if (counts.size < DISTINCT_MAX) {
      counts.set(key, 1);
      first.set(key, row);
    } else isFull = true;
  }
  const common = [...counts]
    .filter(([, count]) => count > 1)
    .sort((one, other) => other[1] - one[1])
    .slice(0, COMMON)
    .map(([key, count]) => [rows.text(first.get(key) ?? 0, column) ?? '', count] as const);
  return {
    rows: looked,
    nulls,
    distinct: counts.size,
    distinctIsAtLeast: isFull,
    least: least < 0 ? null : rows.text(least, column),
    greatest: greatest < 0 ? null : rows.text(greatest, column),
    mean: isNumber && looked > nulls ? sum / (looked - nulls) : null,
    common,
  };
}
