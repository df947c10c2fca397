// The order in which rows are shown.

import type { Ordered, Rows } from './column';

/** A wish for an order. */
export interface Sort {
  readonly column: number;
  readonly descending: boolean;
}

/** Rows that a comparison sort is asked for; more would keep the page from answering. */
export const COMPARED_MAX = 500_000;

/** Whether the page can sort so many rows of such a column by itself. */
export function canSort(rows: Rows, column: number): boolean {
  return digitsOf(rows, column) !== null || rows.count <= COMPARED_MAX;
}

/** As what the values of a column are sorted by their digits: doubles, or integers of 64 bits. */
function digitsOf(rows: Rows, column: number): 'double' | 'integer' | null {
  const type = rows.columns[column]?.type ?? '';
  if (/^(TINYINT|SMALLINT|INTEGER|REAL|DOUBLE|BOOLEAN)/.test(type)) return 'double';
  // What JSON brought is text here and a number there, and is never so much that it must be sorted by digits.
  return 'batches' in rows && /^(BIGINT$|TIMESTAMP|DATE|TIME)/.test(type) ? 'integer' : null;
}

/** The rows' numbers in the order that is wished for; equal ones stay as they came, and nulls are last. */
export function sorted(rows: Rows, { column, descending }: Sort): Uint32Array {
  const digits = digitsOf(rows, column);
  return digits === null ? byComparison(rows, column, descending) : byDigits(rows, column, descending, digits);
}

function byComparison(rows: Rows, column: number, descending: boolean): Uint32Array {
  const order = Uint32Array.from({ length: rows.count }, (_, row) => row);
  const keys: Ordered[] = [];
  for (let row = 0; row < rows.count; row += 1) keys.push(rows.order(row, column));
  const sign = descending ? -1 : 1;
  return order.sort((one, other) => {
    const a = keys[one] ?? null;
    const b = keys[other] ?? null;
    if (a === null || b === null) return a === b ? one - other : a === null ? 1 : -1;
    return a < b ? -sign : a > b ? sign : one - other;
  });
}

/** Least significant digit first, by 16 bits at a time of a number whose bits are ordered as the values are. */
function byDigits(rows: Rows, column: number, descending: boolean, as: 'double' | 'integer'): Uint32Array {
  const count = rows.count;
  const doubles = new Float64Array(1);
  const integers = new BigInt64Array(doubles.buffer);
  const words = new Uint32Array(doubles.buffer);
  const low = new Uint32Array(count);
  const high = new Uint32Array(count);
  let from: Uint32Array<ArrayBuffer> = new Uint32Array(count);
  const none: number[] = [];
  let some = 0;
  for (let row = 0; row < count; row += 1) {
    let isNone = false;
    if (as === 'double') {
      const value = rows.number(row, column);
      isNone = Number.isNaN(value);
      // -0 and 0 are one number.
      doubles[0] = value + 0;
    } else {
      const value = rows.order(row, column);
      isNone = value === null;
      integers[0] = BigInt(value ?? 0);
    }
    let above = words[1] ?? 0;
    let below = words[0] ?? 0;
    if (as === 'double' && above >>> 31) {
      above = ~above >>> 0;
      below = ~below >>> 0;
    } else {
      above = (above ^ 0x8000_0000) >>> 0;
    }
    if (descending) {
      above = ~above >>> 0;
      below = ~below >>> 0;
    }
    if (isNone) {
      none.push(row);
      continue;
    }
    high[row] = above;
    low[row] = below;
    from[some] = row;
    some += 1;
  }
  // A null has no digits: it stays out of the sort, and stands behind it.
  from = from.subarray(0, some);
  let to: Uint32Array<ArrayBuffer> = new Uint32Array(some);
  const places = new Uint32Array(0x10000 + 1);
  for (const [digits, shift] of [
    [low, 0],
    [low, 16],
    [high, 0],
    [high, 16],
  ] as const) {
    places.fill(0);
    for (const row of from) places[((digits[row]! >>> shift) & 0xffff) + 1]! += 1;
    for (let at = 1; at < places.length; at += 1) places[at]! += places[at - 1]!;
    for (const row of from) {
      const digit = (digits[row]! >>> shift) & 0xffff;
      to[places[digit]!] = row;
      places[digit]! += 1;
    }
    [from, to] = [to, from];
  }
  if (none.length === 0) return from;
  const whole = new Uint32Array(count);
  whole.set(from);
  whole.set(none, some);
  return whole;
}
