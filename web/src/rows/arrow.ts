// Rows as Arrow brings them: the batches' own buffers are kept, and a value becomes text when it is looked at.

import { DataType, Field as ArrowField, TimeUnit, Vector as VectorOf, type Data, type Field, type RecordBatch, type Schema } from 'apache-arrow';

import { kindOf, type Column, type Ordered, type Rows } from './column';
import { dateText, intervalText, timeText, timestampText } from './moments';
import { decimalText, doubleText, singleText, wideInteger } from './numbers';

/** The values of one column of one batch. None of these is asked about a row that is null. */
interface Cell {
  text(row: number): string;
  json(row: number): string;
  order(row: number): Ordered;
  number(row: number): number;
}

const decoder = new TextDecoder();

/** The type as SQL writes it. */
export function sqlType(field: Field): string {
  switch (field.metadata.get('ARROW:extension:name')) {
    case 'arrow.json':
      return 'JSON';
    case 'weir.uuid':
    case 'arrow.uuid':
      return 'UUID';
    default:
      return sqlTypeOf(field.type);
  }
}

function sqlTypeOf(type: DataType): string {
  if (DataType.isNull(type)) return 'NULL';
  if (DataType.isBool(type)) return 'BOOLEAN';
  if (DataType.isInt(type)) {
    const name = { 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT' }[type.bitWidth];
    return type.isSigned ? name : `${name} UNSIGNED`;
  }
  if (DataType.isFloat(type)) return type.precision === 2 ? 'DOUBLE PRECISION' : 'REAL';
  if (DataType.isDecimal(type)) return `DECIMAL(${type.precision}, ${type.scale})`;
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type)) return 'TEXT';
  if (DataType.isBinary(type) || DataType.isLargeBinary(type) || DataType.isFixedSizeBinary(type)) return 'BYTEA';
  if (DataType.isDate(type)) return 'DATE';
  if (DataType.isTime(type)) return 'TIME';
  if (DataType.isTimestamp(type)) return type.timezone ? 'TIMESTAMP WITH TIME ZONE' : 'TIMESTAMP';
  if (DataType.isInterval(type) || DataType.isDuration(type)) return 'INTERVAL';
  if (DataType.isList(type) || DataType.isFixedSizeList(type)) return `${sqlType(type.valueField)}[]`;
  if (DataType.isStruct(type)) {
    return `STRUCT(${type.children.map((field) => `${field.name} ${sqlType(field)}`).join(', ')})`;
  }
  if (DataType.isMap(type)) {
    const [key, value] = (type.children[0]?.type.children ?? []) as Field[];
    return key && value ? `MAP(${sqlType(key)}, ${sqlType(value)})` : 'MAP';
  }
  if (DataType.isDictionary(type)) return sqlTypeOf(type.dictionary);
  return String(type).toUpperCase();
}

/** The columns of a schema. */
export function columnsOf(schema: Schema): Column[] {
  return schema.fields.map((field) => {
    const type = sqlType(field);
    return { name: field.name, type, kind: kindOf(type), nullable: field.nullable, key: false };
  });
}

const numeric = (order: (row: number) => number | bigint, text: (row: number) => string): Cell => ({
  text,
  json(row) {
    const shown = text(row);
    const value = order(row);
    const exact = typeof value === 'bigint' ? value === BigInt(Number(value)) && Number.isSafeInteger(Number(value)) : Number.isFinite(value);
    return exact ? shown : JSON.stringify(shown);
  },
  order,
  number: (row) => Number(order(row)),
});

const textual = (text: (row: number) => string): Cell => ({
  text,
  json: (row) => JSON.stringify(text(row)),
  order: text,
  number: () => Number.NaN,
});

/** A moment: ordered by `order`, a number of units of which a millisecond has so many. */
const moment = (order: (row: number) => bigint, text: (row: number) => string, ms: (value: bigint) => number): Cell => ({
  text,
  json: (row) => JSON.stringify(text(row).replace(' ', 'T')),
  order,
  number: (row) => ms(order(row)),
});

const NANOS_OF = {
  [TimeUnit.SECOND]: 1_000_000_000n,
  [TimeUnit.MILLISECOND]: 1_000_000n,
  [TimeUnit.MICROSECOND]: 1000n,
  [TimeUnit.NANOSECOND]: 1n,
};

function cellOf(data: Data, field: Field): Cell {
  const type = field.type as DataType;
  // The typed array's kind follows from the type.
  const values = data.values as never as { readonly [row: number]: number | bigint };
  const whole = (row: number): bigint => BigInt(values[row] ?? 0);
  if (DataType.isBool(type)) {
    const bits = data.values as Uint8Array;
    const bit = (row: number) => ((bits[(data.offset + row) >> 3] ?? 0) >> ((data.offset + row) & 7)) & 1;
    const text = (row: number) => (bit(row) ? 'true' : 'false');
    return { text, json: text, order: bit, number: bit };
  }
  if (DataType.isInt(type)) {
    return numeric((row) => values[row] ?? 0, (row) => String(values[row] ?? 0));
  }
  if (DataType.isFloat(type)) {
    if (type.precision === 0) return fromVector(data, (value) => singleText(Number(value)));
    const show = type.precision === 1 ? singleText : doubleText;
    return numeric((row) => values[row] ?? 0, (row) => show(Number(values[row] ?? 0)));
  }
  if (DataType.isDecimal(type)) {
    const words = data.values as Uint32Array;
    const width = type.bitWidth / 32;
    const unscaled = (row: number) => wideInteger(words, row * width, width);
    const text = (row: number) => decimalText(unscaled(row), type.scale);
    return {
      text,
      json(row) {
        const digits = text(row);
        return digits.replace(/\D/g, '').length < 16 ? digits : JSON.stringify(digits);
      },
      order: unscaled,
      number: (row) => Number(text(row)),
    };
  }
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type)) {
    const bytes = data.values as Uint8Array;
    const offsets = data.valueOffsets as ArrayLike<number | bigint>;
    const text = (row: number) =>
      decoder.decode(bytes.subarray(Number(offsets[row] ?? 0), Number(offsets[row + 1] ?? 0)));
    const cell = textual(text);
    return field.metadata.get('ARROW:extension:name') === 'arrow.json' ? { ...cell, json: text } : cell;
  }
  if (DataType.isBinary(type) || DataType.isLargeBinary(type)) {
    const bytes = data.values as Uint8Array;
    const offsets = data.valueOffsets as ArrayLike<number | bigint>;
    return textual((row) => hex(bytes.subarray(Number(offsets[row] ?? 0), Number(offsets[row + 1] ?? 0))));
  }
  if (DataType.isFixedSizeBinary(type)) {
    const bytes = data.values as Uint8Array;
    return textual((row) => hex(bytes.subarray(row * type.byteWidth, (row + 1) * type.byteWidth)));
  }
  if (DataType.isDate(type)) {
    const days = type.unit === 0 ? whole : (row: number) => floorDays(whole(row));
    return moment(days, (row) => dateText(days(row)), (value) => Number(value) * 86_400_000);
  }
  if (DataType.isTime(type)) {
    const scale = NANOS_OF[type.unit];
    const nanos = (row: number) => whole(row) * scale;
    return moment(nanos, (row) => timeText(nanos(row)), (value) => Number(value / 1_000_000n));
  }
  if (DataType.isTimestamp(type)) {
    const scale = NANOS_OF[type.unit];
    const zone = type.timezone ?? null;
    const nanos = (row: number) => whole(row) * scale;
    return moment(nanos, (row) => timestampText(nanos(row), zone), (value) => Number(value / 1000n) / 1000);
  }
  if (DataType.isDuration(type)) {
    const scale = NANOS_OF[type.unit];
    const nanos = (row: number) => whole(row) * scale;
    return { ...moment(nanos, (row) => intervalText(0, 0, nanos(row)), (value) => Number(value / 1_000_000n)), json: (row) => JSON.stringify(intervalText(0, 0, nanos(row))) };
  }
  if (DataType.isInterval(type)) return intervals(data, type.unit);
  if (DataType.isList(type) || DataType.isFixedSizeList(type)) {
    const items = nullable(data.children[0] as Data, type.valueField);
    const offsets = data.valueOffsets as Int32Array | undefined;
    const size = DataType.isFixedSizeList(type) ? type.listSize : 0;
    const start = (row: number) => (size ? row * size : (offsets?.[row] ?? 0));
    const json = (row: number) => {
      const parts: string[] = [];
      for (let at = start(row); at < start(row + 1); at += 1) parts.push(items.json(at));
      return `[${parts.join(',')}]`;
    };
    return { ...textual(json), json };
  }
  if (DataType.isStruct(type)) {
    const cells = type.children.map((child, at) => nullable(data.children[at] as Data, child));
    const json = (row: number) =>
      `{${type.children.map((child, at) => `${JSON.stringify(child.name)}:${cells[at]?.json(row) ?? 'null'}`).join(',')}}`;
    return { ...textual(json), json };
  }
  if (DataType.isMap(type)) {
    const entries = data.children[0] as Data;
    const [keyField, valueField] = (type.children[0]?.type.children ?? []) as [Field, Field];
    const keys = nullable(entries.children[0] as Data, keyField);
    const held = nullable(entries.children[1] as Data, valueField);
    const offsets = data.valueOffsets as Int32Array;
    const json = (row: number) => {
      const parts: string[] = [];
      for (let at = offsets[row] ?? 0; at < (offsets[row + 1] ?? 0); at += 1) {
        parts.push(`${JSON.stringify(keys.text(at))}:${held.json(at)}`);
      }
      return `{${parts.join(',')}}`;
    };
    return { ...textual(json), json };
  }
  return fromVector(data, String);
}

/** What is rare is read by Arrow's own accessors. */
function fromVector(data: Data, show: (value: unknown) => string): Cell {
  const vector = new VectorOf([data]);
  return textual((row) => show(vector.get(row)));
}

function intervals(data: Data, unit: number): Cell {
  const words = data.values as Int32Array;
  const parts = (row: number): [number, number, bigint] => {
    if (unit === 0) return [words[row] ?? 0, 0, 0n];
    if (unit === 1) return [0, words[row * 2] ?? 0, BigInt(words[row * 2 + 1] ?? 0) * 1_000_000n];
    const low = BigInt((words[row * 4 + 2] ?? 0) >>> 0);
    const high = BigInt(words[row * 4 + 3] ?? 0);
    return [words[row * 4] ?? 0, words[row * 4 + 1] ?? 0, (high << 32n) | low];
  };
  const text = (row: number) => intervalText(...parts(row));
  return {
    text,
    json: (row) => JSON.stringify(text(row)),
    // PostgreSQL orders intervals by months of 30 days.
    order(row) {
      const [months, days, nanos] = parts(row);
      return (BigInt(months) * 30n + BigInt(days)) * 86_400_000_000_000n + nanos;
    },
    number: () => Number.NaN,
  };
}

function floorDays(ms: bigint): bigint {
  return BigInt(Math.floor(Number(ms) / 86_400_000));
}

function hex(bytes: Uint8Array): string {
  let text = '\\x';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** A cell that may be asked about any row. */
interface NullableCell {
  isNull(row: number): boolean;
  text(row: number): string | null;
  json(row: number): string;
  order(row: number): Ordered;
  number(row: number): number;
}

function nullable(data: Data, field: Field): NullableCell {
  if (DataType.isNull(field.type)) return NOTHING;
  if (DataType.isDictionary(field.type)) return dictionary(data, field);
  const cell = cellOf(data, field);
  const isNull = data.nullCount === 0 ? () => false : (row: number) => !data.getValid(row);
  return {
    isNull,
    text: (row) => (isNull(row) ? null : cell.text(row)),
    json: (row) => (isNull(row) ? 'null' : cell.json(row)),
    order: (row) => (isNull(row) ? null : cell.order(row)),
    number: (row) => (isNull(row) ? Number.NaN : cell.number(row)),
  };
}

const NOTHING: NullableCell = {
  isNull: () => true,
  text: () => null,
  json: () => 'null',
  order: () => null,
  number: () => Number.NaN,
};

function dictionary(data: Data, field: Field): NullableCell {
  const type = field.type as { dictionary: DataType };
  const chunks = data.dictionary?.data ?? [];
  const inner = new ArrowField(field.name, type.dictionary, true, field.metadata);
  const cells = chunks.map((chunk) => nullable(chunk as Data, inner));
  const find = (row: number): [NullableCell, number] => {
    let key = Number((data.values as ArrayLike<number | bigint>)[row] ?? 0);
    for (const [at, chunk] of chunks.entries()) {
      if (key < chunk.length) return [cells[at] ?? NOTHING, key];
      key -= chunk.length;
    }
    return [NOTHING, 0];
  };
  const of = <T>(row: number, none: T, read: (cell: NullableCell, key: number) => T): T =>
    data.getValid(row) ? read(...find(row)) : none;
  return {
    isNull: (row) => of<boolean>(row, true, (cell, key) => cell.isNull(key)),
    text: (row) => of<string | null>(row, null, (cell, key) => cell.text(key)),
    json: (row) => of<string>(row, 'null', (cell, key) => cell.json(key)),
    order: (row) => of<Ordered>(row, null, (cell, key) => cell.order(key)),
    number: (row) => of<number>(row, Number.NaN, (cell, key) => cell.number(key)),
  };
}

/** The rows of an answer as far as it has come. Batches are added; nothing is copied. */
export class ArrowRows implements Rows {
  readonly columns: readonly Column[];
  readonly batches: RecordBatch[] = [];
  count = 0;
  /** Bytes of the buffers that are held. */
  bytes = 0;
  /** The first row of each batch. */
  private readonly starts: number[] = [];
  private readonly cells: (NullableCell | undefined)[][] = [];
  private last = 0;

  constructor(readonly schema: Schema) {
    this.columns = columnsOf(schema);
  }

  add(batch: RecordBatch): void {
    if (batch.numRows === 0) return;
    this.starts.push(this.count);
    this.batches.push(batch);
    this.cells.push([]);
    this.count += batch.numRows;
    this.bytes += batch.data.byteLength;
  }

  text(row: number, column: number): string | null {
    const [cell, at] = this.find(row, column);
    return cell.text(at);
  }

  json(row: number, column: number): string {
    const [cell, at] = this.find(row, column);
    return cell.json(at);
  }

  order(row: number, column: number): Ordered {
    const [cell, at] = this.find(row, column);
    return cell.order(at);
  }

  number(row: number, column: number): number {
    const [cell, at] = this.find(row, column);
    return cell.number(at);
  }

  private find(row: number, column: number): [NullableCell, number] {
    // Rows are mostly asked for one after another, in one batch.
    let batch = this.last;
    const start = this.starts[batch] ?? 0;
    if (row < start || row >= (this.starts[batch + 1] ?? this.count)) {
      batch = this.batchOf(row);
      this.last = batch;
    }
    const cells = this.cells[batch];
    let cell = cells?.[column];
    if (!cell && cells) {
      const data = this.batches[batch]?.data.children[column];
      const field = this.schema.fields[column];
      cell = data && field ? nullable(data, field) : NOTHING;
      cells[column] = cell;
    }
    return [cell ?? NOTHING, row - (this.starts[batch] ?? 0)];
  }

  private batchOf(row: number): number {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.starts[middle] ?? 0) <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
