// Which columns a file has, told from its first rows.

import { csvRecords } from './chunks';

export interface Guess {
  readonly name: string;
  readonly type: string;
  /** The first values, as a reader would recognise them. */
  readonly examples: readonly string[];
}

/** Types that can be chosen. */
export const TYPES = ['BIGINT', 'DOUBLE PRECISION', 'DECIMAL(38, 9)', 'BOOLEAN', 'TEXT', 'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMPTZ', 'UUID', 'JSON', 'BYTEA'] as const;

const FORMS: readonly (readonly [string, RegExp])[] = [
  ['BIGINT', /^[+-]?\d{1,18}$/],
  ['DOUBLE PRECISION', /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/],
  ['BOOLEAN', /^(true|false)$/i],
  ['DATE', /^\d{4}-\d\d-\d\d$/],
  ['TIMESTAMPTZ', /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$/],
  ['TIMESTAMP', /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/],
  ['TIME', /^\d\d:\d\d(:\d\d(\.\d+)?)?$/],
  ['UUID', /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i],
];

/** The narrowest type that all texts are of. No texts are text. */
export function typeOf(texts: readonly string[]): string {
  const given = texts.filter((text) => text !== '');
  if (given.length === 0) return 'TEXT';
  // A number that begins with zeros is a code, and would lose them.
  const isCode = given.some((text) => /^[+-]?0\d/.test(text));
  for (const [type, form] of FORMS) {
    if (isCode && (type === 'BIGINT' || type === 'DOUBLE PRECISION')) continue;
    if (given.every((text) => form.test(text))) return type;
  }
  return 'TEXT';
}

/** A name that needs no quotes where that is easy, and is not taken. */
export function columnName(text: string, taken: ReadonlySet<string>): string {
  const plain = text.trim().replace(/^\uFEFF/, '') || 'column';
  let name = plain;
  for (let number = 2; taken.has(name); number += 1) name = `${plain}_${number}`;
  return name;
}

/** The columns of a CSV text with a header line. */
export function csvColumns(text: string, delimiter: string): Guess[] {
  const [header = [], ...rows] = csvRecords(text, delimiter, 500);
  const taken = new Set<string>();
  return header.map((title, at) => {
    const name = columnName(title, taken);
    taken.add(name);
    const values = rows.map((row) => row[at] ?? '');
    return { name, type: typeOf(values), examples: values.filter((value) => value !== '').slice(0, 3) };
  });
}

/** The columns of lines of JSON objects. @throws SyntaxError */
export function jsonColumns(text: string): Guess[] {
  const lines = text.split('\n').slice(0, 500).map((line) => line.trim()).filter(Boolean);
  const values = new Map<string, unknown[]>();
  for (const line of lines) {
    const row: unknown = JSON.parse(line);
    if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new SyntaxError('each line must be a JSON object');
    for (const [name, value] of Object.entries(row)) {
      const held = values.get(name);
      if (held) held.push(value);
      else values.set(name, [value]);
    }
  }
  return [...values].map(([name, found]) => {
    const given = found.filter((value) => value !== null);
    return { name, type: jsonType(given), examples: given.slice(0, 3).map((value) => (typeof value === 'string' ? value : JSON.stringify(value))) };
  });
}

function jsonType(values: readonly unknown[]): string {
  const kinds = new Set(values.map((value) => typeof value));
  if (kinds.size !== 1) return kinds.size === 0 ? 'TEXT' : 'JSON';
  if (kinds.has('boolean')) return 'BOOLEAN';
  if (kinds.has('number')) return values.every((value) => Number.isSafeInteger(value)) ? 'BIGINT' : 'DOUBLE PRECISION';
  if (kinds.has('string')) {
    // A text that looks like a number was meant as text.
    const type = typeOf(values as string[]);
    return type === 'BIGINT' || type === 'DOUBLE PRECISION' || type === 'BOOLEAN' ? 'TEXT' : type;
  }
  return 'JSON';
}

/** The delimiter of a CSV text: the one that its first line has most of. */
export function delimiterOf(text: string): string {
  const line = text.split('\n', 1)[0] ?? '';
  const counts = [',', ';', '\t', '|'].map((one) => [one, line.split(one).length] as const);
  return counts.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}
