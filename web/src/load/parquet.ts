// Parquet files: their columns, and their row groups as files of their own. Rows are packed as they were: the server unpacks them.

import { read, written, type Fields, type Items } from './thrift';

export interface ParquetColumn {
  readonly name: string;
  readonly type: string;
}

/** What a file says of itself. */
export interface ParquetFile {
  readonly columns: readonly ParquetColumn[];
  readonly rows: number;
  readonly groups: number;
  readonly footer: Fields;
}

const MAGIC = 'PAR1';
/** A footer that is longer is none that a page should read. */
const FOOTER_BYTES_MAX = 64 << 20;

/** Reads the footer of a file. @throws Error when it is no such file */
export async function footerOf(file: Blob): Promise<ParquetFile> {
  const wrong = (why: string) => new Error(`This is no Parquet file that can be loaded: ${why}`);
  const tail = new DataView(await file.slice(-8).arrayBuffer());
  const magic = tail.byteLength === 8 ? await file.slice(-4).text() : '';
  if (magic === 'PARE') throw wrong('it is encrypted');
  if (magic !== MAGIC) throw wrong('it does not end as one');
  const length = tail.getUint32(0, true);
  if (length + 12 > file.size || length > FOOTER_BYTES_MAX) throw wrong('its footer is too long');
  try {
    const footer = read(new Uint8Array(await file.slice(-8 - length, -8).arrayBuffer()));
    const [root, ...elements] = structs(list(footer, 2));
    const columns: ParquetColumn[] = [];
    for (let at = 0; at < elements.length; ) {
      const [type, next] = typeOf(elements, at, 0);
      columns.push({ name: text(elements[at]!, 4), type });
      at = next;
    }
    if (!root || columns.length === 0) throw new Error('it has no columns');
    return { columns, rows: Number(number(footer, 3) ?? 0n), groups: list(footer, 4).items.length, footer };
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error));
  }
}

/** A row group as a file of its own, whose columns have other names. */
export function groupOf(file: Blob, { footer }: ParquetFile, at: number, names: readonly string[]): { content: Blob; rows: number } {
  const group = structs(list(footer, 4))[at];
  if (!group) throw new Error(`The file has no row group ${at}`);
  const chunks = structs(list(group, 1));
  const spans = chunks.map((chunk) => {
    const meta = struct(chunk, 3);
    const places = [number(meta, 9), number(meta, 11)].filter((place) => place !== undefined && place > 0n) as bigint[];
    const from = places.reduce((least, place) => (place < least ? place : least));
    return [Number(from), Number(from + (number(meta, 7) ?? 0n))] as const;
  });
  const from = Math.min(...spans.map((span) => span[0]));
  const to = Math.max(...spans.map((span) => span[1]));
  const shift = BigInt(MAGIC.length - from);
  const moved = chunks.map((chunk) => {
    // Indexes and filters lie elsewhere in the file, and stay there.
    const meta = without(struct(chunk, 3), [10, 14, 15]);
    for (const id of [9, 11]) add(meta, id, shift);
    const whole = without(chunk, [4, 5, 6, 7]);
    whole.set(2, { kind: I64, value: 0n });
    whole.set(3, { kind: STRUCT, value: meta });
    return whole;
  });
  const rows = number(group, 3) ?? 0n;
  const only = without(group, [5]);
  only.set(1, { kind: LIST, value: { kind: STRUCT, items: moved } });
  const made = new Map(footer);
  made.set(2, { kind: LIST, value: { kind: STRUCT, items: renamed(structs(list(footer, 2)), names) } });
  made.set(3, { kind: I64, value: rows });
  made.set(4, { kind: LIST, value: { kind: STRUCT, items: [only] } });
  const end = written(made);
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, end.length, true);
  return { content: new Blob([MAGIC, file.slice(from, to), end, length.buffer, MAGIC]), rows: Number(rows) };
}

const I64 = 6;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;

function renamed(elements: readonly Fields[], names: readonly string[]): Fields[] {
  const made = [...elements];
  let column = 0;
  for (let at = 1; at < elements.length; at = end(elements, at)) {
    const name = names[column];
    if (name !== undefined) made[at] = new Map(elements[at]).set(4, { kind: BINARY, value: new TextEncoder().encode(name) });
    column += 1;
  }
  return made;
}

/** The place behind an element and all below it. */
function end(elements: readonly Fields[], at: number): number {
  let next = at + 1;
  for (let left = Number(number(elements[at]!, 5) ?? 0n); left > 0 && next < elements.length; left -= 1) next = end(elements, next);
  return next;
}

/** The SQL type of a column or field, and the place behind it. */
function typeOf(elements: readonly Fields[], at: number, depth: number): [string, number] {
  const element = elements[at];
  if (!element || depth > 32) throw new Error('its schema does not hold together');
  const children = Number(number(element, 5) ?? 0n);
  if (children === 0) {
    const type = leafOf(element);
    return [number(element, 3) === 2n ? `${type}[]` : type, at + 1];
  }
  const logical = struct(element, 10);
  const converted = number(element, 6);
  const fields: [string, string][] = [];
  let next = at + 1;
  for (let left = children; left > 0; left -= 1) {
    const name = elements[next] ? text(elements[next]!, 4) : '';
    const [type, behind] = typeOf(elements, next, depth + 1);
    fields.push([name, type]);
    next = behind;
  }
  const [first] = fields;
  if ((logical.has(3) || converted === 3n) && first) {
    // The list is a repeated group of one element, or the repeated element itself.
    const inner = /^STRUCT\(\S+ (.*)\)\[\]$/.exec(first[1]);
    return [inner && Number(number(elements[at + 1]!, 5) ?? 0n) === 1 ? `${inner[1]}[]` : first[1], next];
  }
  if ((logical.has(2) || converted === 1n || converted === 2n) && first) {
    const inner = /^STRUCT\(key (.*?), value (.*)\)\[\]$/.exec(first[1]);
    if (inner) return [`MAP(${inner[1]}, ${inner[2]})`, next];
  }
  const type = `STRUCT(${fields.map(([name, of]) => `${name} ${of}`).join(', ')})`;
  return [number(element, 3) === 2n ? `${type}[]` : type, next];
}

const PHYSICAL = ['BOOLEAN', 'INTEGER', 'BIGINT', 'TIMESTAMP', 'REAL', 'DOUBLE PRECISION', 'BYTEA', 'BYTEA'];
const CONVERTED: Readonly<Record<number, string>> = {
  0: 'TEXT', 4: 'TEXT', 6: 'DATE', 7: 'TIME', 8: 'TIME', 9: 'TIMESTAMPTZ', 10: 'TIMESTAMPTZ', 11: 'SMALLINT', 12: 'INTEGER', 13: 'BIGINT', 14: 'DECIMAL(20, 0)', 15: 'SMALLINT', 16: 'SMALLINT',
  17: 'INTEGER', 18: 'BIGINT', 19: 'JSON', 20: 'BYTEA',
};

function leafOf(element: Fields): string {
  const logical = struct(element, 10);
  const isAdjusted = (id: number) => struct(logical, id).get(1)?.value === true;
  if (number(element, 6) === 5n || logical.has(5)) return `DECIMAL(${number(element, 8) ?? 38n}, ${number(element, 7) ?? 0n})`;
  if (logical.has(1) || logical.has(4)) return 'TEXT';
  if (logical.has(6)) return 'DATE';
  if (logical.has(7)) return 'TIME';
  if (logical.has(8)) return isAdjusted(8) ? 'TIMESTAMPTZ' : 'TIMESTAMP';
  if (logical.has(12)) return 'JSON';
  if (logical.has(14)) return 'UUID';
  if (logical.has(15)) return 'REAL';
  const converted = number(element, 6);
  const known = converted === undefined ? undefined : CONVERTED[Number(converted)];
  return known ?? PHYSICAL[Number(number(element, 1) ?? 6n)] ?? 'BYTEA';
}

function number(fields: Fields, id: number): bigint | undefined {
  const value = fields.get(id)?.value;
  return typeof value === 'bigint' ? value : undefined;
}

function text(fields: Fields, id: number): string {
  const value = fields.get(id)?.value;
  if (!(value instanceof Uint8Array)) throw new Error('a column has no name');
  return new TextDecoder().decode(value);
}

function struct(fields: Fields, id: number): Fields {
  const value = fields.get(id)?.value;
  return value instanceof Map ? value : new Map();
}

function list(fields: Fields, id: number): Items {
  const value = fields.get(id)?.value;
  if (typeof value !== 'object' || value instanceof Map || value instanceof Uint8Array) throw new Error('its footer lacks what one has');
  return value;
}

function structs(items: Items): Fields[] {
  return items.items.filter((item): item is Fields => item instanceof Map);
}

function without(fields: Fields, ids: readonly number[]): Fields {
  return new Map([...fields].filter(([id]) => !ids.includes(id)));
}

function add(fields: Fields, id: number, shift: bigint): void {
  const place = number(fields, id);
  if (place !== undefined) fields.set(id, { kind: I64, value: place > 0n ? place + shift : place });
}
