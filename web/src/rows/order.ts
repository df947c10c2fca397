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
  return isNumeric(rows, column) || rows.count <= COMPARED_MAX;
}

function isNumeric(rows: Rows, column: number): boolean {
  const type = rows.columns[column]?.type ?? '';
  // Doubles hold these exactly, or in the same order.
  return /^(TINYINT|SMALLINT|INTEGER|REAL|DOUBLE|BOOLEAN|DATE)/.test(type);
}

/** The rows' numbers in the order that is wished for; equal ones stay as they came, and nulls are last. */
export function sorted(rows: Rows, { column, descending }: Sort): Uint32Array {
  return isNumeric(rows, column) ? byRadix(rows, column, descending) : byComparison(rows, column, descending);
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

/** Least significant digit first, by 16 bits at a time of a double whose bits are ordered as the numbers are. */
function byRadix(rows: Rows, column: number, descending: boolean): Uint32Array {
  const count = rows.count;
  const doubles = new Float64Array(1);
  const words = new Uint32Array(doubles.buffer);
  const low = new Uint32Array(count);
  const high = new Uint32Array(count);
  for (let row = 0; row < count; row += 1) {
    const value = rows.number(row, column);
    // -0 and 0 are one number.
    doubles[0] = value + 0;
    let above = words[1] ?? 0;
    let below = words[0] ?? 0;
    if (above >>> 31) {
      above = ~above >>> 0;
      below = ~below >>> 0;
    } else {
      above = (above | 0x8000_0000) >>> 0;
    }
    if (descending) {
      above = ~above >>> 0;
      below = ~below >>> 0;
    }
    const none = Number.isNaN(value);
    high[row] = none ? 0xffff_ffff : above;
    low[row] = none ? 0xffff_ffff : below;
  }
  let from: Uint32Array<ArrayBuffer> = Uint32Array.from({ length: count }, (_, row) => row);
  let to: Uint32Array<ArrayBuffer> = new Uint32Array(count);
  const places = new Uint32Array(0x10000 + 1);
  for (const [digits, shift] of [
    [low, 0],
    [low, 16],
    [high, 0],
    [high, 16],
  ] as const) {
    places.fill(0);
    for (const digit of digits) places[((digit >>> shift) & 0xffff) + 1]! += 1;
    for (let at = 1; at < places.length; at += 1) places[at]! += places[at - 1]!;
    for (const row of from) {
      const digit = (digits[row]! >>> shift) & 0xffff;
      to[places[digit]!] = row;
      places[digit]! += 1;
    }
    [from, to] = [to, from];
  }
  return from;
}
