// Thrift's compact protocol, as far as Parquet's footers need it: a value as a tree that can be changed and written again.

/** The kinds of values, by their numbers in the protocol. */
const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const I16 = 4;
const I32 = 5;
const I64 = 6;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const SET = 10;
const STRUCT = 12;

export type Value = boolean | bigint | Uint8Array | Items | Fields;

/** A list, or a set. */
export interface Items {
  readonly kind: number;
  readonly items: readonly Value[];
}

/** A structure's values, with their kinds, by the numbers of its fields. */
export type Fields = Map<number, { readonly kind: number; readonly value: Value }>;

/** Reads the structure that the bytes begin with. @throws Error when they are none */
export function read(bytes: Uint8Array): Fields {
  const reader = new Reader(bytes);
  return reader.struct();
}

/** The bytes of a structure. */
export function written(fields: Fields): Uint8Array<ArrayBuffer> {
  const out: number[] = [];
  writeStruct(out, fields);
  return Uint8Array.from(out);
}

const DEPTH_MAX = 32;

class Reader {
  private at = 0;
  private depth = 0;

  constructor(private readonly bytes: Uint8Array) {}

  struct(): Fields {
    this.depth += 1;
    if (this.depth > DEPTH_MAX) throw new Error('it is nested too deeply');
    const fields: Fields = new Map();
    let last = 0;
    for (;;) {
      const head = this.byte();
      if (head === 0) break;
      const delta = head >> 4;
      const kind = head & 15;
      last = delta === 0 ? Number(this.zigzag()) : last + delta;
      const isBoolean = kind === TRUE || kind === FALSE;
      fields.set(last, { kind, value: isBoolean ? kind === TRUE : this.value(kind) });
    }
    this.depth -= 1;
    return fields;
  }

  private value(kind: number): Value {
    switch (kind) {
      case TRUE:
      case FALSE:
        return this.byte() === TRUE;
      case BYTE:
        return BigInt.asIntN(8, BigInt(this.byte()));
      case I16:
      case I32:
      case I64:
        return this.zigzag();
      case DOUBLE:
        return this.take(8);
      case BINARY:
        return this.take(Number(this.varint()));
      case LIST:
      case SET:
        return this.list();
      case STRUCT:
        return this.struct();
      default:
        throw new Error(`it has a value of unknown kind ${kind}`);
    }
  }

  private list(): Items {
    const head = this.byte();
    const kind = head & 15;
    const count = head >> 4 === 15 ? Number(this.varint()) : head >> 4;
    const items: Value[] = [];
    for (let at = 0; at < count; at += 1) items.push(this.value(kind));
    return { kind, items };
  }

  private byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw new Error('it ends too early');
    this.at += 1;
    return byte;
  }

  private take(length: number): Uint8Array {
    if (!(this.at + length <= this.bytes.length)) throw new Error('it ends too early');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  private varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new Error('a number in it does not end');
  }

  private zigzag(): bigint {
    const value = this.varint();
    return (value >> 1n) ^ -(value & 1n);
  }
}

function writeStruct(out: number[], fields: Fields): void {
  let last = 0;
  for (const [id, { kind, value }] of fields) {
    const known = typeof value === 'boolean' ? (value ? TRUE : FALSE) : kind;
    const delta = id - last;
    if (delta > 0 && delta < 16) out.push((delta << 4) | known);
    else {
      out.push(known);
      writeZigzag(out, BigInt(id));
    }
    last = id;
    if (typeof value !== 'boolean') writeValue(out, kind, value);
  }
  out.push(0);
}

function writeValue(out: number[], kind: number, value: Value): void {
  if (typeof value === 'boolean') out.push(value ? TRUE : FALSE);
  else if (typeof value === 'bigint') {
    if (kind === BYTE) out.push(Number(BigInt.asUintN(8, value)));
    else writeZigzag(out, value);
  } else if (value instanceof Uint8Array) {
    if (kind === BINARY) writeVarint(out, BigInt(value.length));
    for (const byte of value) out.push(byte);
  } else if (value instanceof Map) writeStruct(out, value);
  else {
    const count = value.items.length;
    out.push((Math.min(count, 15) << 4) | value.kind);
    if (count >= 15) writeVarint(out, BigInt(count));
    for (const item of value.items) writeValue(out, value.kind, item);
  }
}

function writeVarint(out: number[], value: bigint): void {
  let left = value;
  while (left >= 128n) {
    out.push(Number(left & 127n) | 128);
    left >>= 7n;
  }
  out.push(Number(left));
}

function writeZigzag(out: number[], value: bigint): void {
  writeVarint(out, BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
}
