// Values of every type as text, as the server writes them.

import {
  Binary, Bool, DateDay, DateMillisecond, Decimal, Dictionary, Duration, Field, FixedSizeBinary, FixedSizeList, Float16, Float32, Float64, Int16, Int32, Int64,
  Int8, Interval, IntervalUnit, LargeUtf8, List, makeData, Map_, Null, RecordBatch, Schema, Struct, Time, Timestamp, TimeUnit, Uint64, Uint8, Utf8,
  vectorFromArray, type Data, type DataType,
} from 'apache-arrow';
import { describe, expect, it } from 'vitest';

import { ArrowRows } from '../src/rows/arrow';
import { momentNumber, valueText } from '../src/rows/live';
import { dateText, intervalText, timestampText } from '../src/rows/moments';
import { bytesText, decimalText, singleText, spanText, wideInteger } from '../src/rows/numbers';
import { kindOf } from '../src/rows/column';

function rowsOf(type: DataType, data: Data, metadata?: Map<string, string>): ArrowRows {
  const schema = new Schema([new Field('c', type, true, metadata)]);
  const rows = new ArrowRows(schema);
  const struct = makeData({ type: new Struct(schema.fields), length: data.length, nullCount: 0, children: [data] });
  rows.add(new RecordBatch(schema, struct as never));
  return rows;
}

function shown(type: DataType, values: readonly unknown[], metadata?: Map<string, string>): (string | null)[] {
  const rows = rowsOf(type, vectorFromArray(values as never, type).data[0] as Data, metadata);
  return values.map((_, row) => rows.text(row, 0));
}

/** Fixed-width values by their buffer, so that no conversion of a library is between. */
function raw(type: DataType, values: ArrayLike<number> | ArrayLike<bigint>, length: number): ArrowRows {
  return rowsOf(type, makeData({ type, length, nullCount: 0, data: values } as never) as Data);
}

describe('values of Arrow', () => {
  it('shows numbers exactly', () => {
    expect(shown(new Int8(), [-128, null, 127])).toEqual(['-128', null, '127']);
    expect(shown(new Int16(), [-32768])).toEqual(['-32768']);
    expect(shown(new Int32(), [2147483647])).toEqual(['2147483647']);
    expect(shown(new Int64(), [9007199254740993n, -1n])).toEqual(['9007199254740993', '-1']);
    expect(shown(new Uint8(), [255])).toEqual(['255']);
    expect(shown(new Uint64(), [18446744073709551615n])).toEqual(['18446744073709551615']);
    expect(shown(new Float64(), [0.1, Number.NaN, -0.5, 1e21])).toEqual(['0.1', 'NaN', '-0.5', '1e+21']);
    expect(shown(new Float32(), [Math.fround(0.1), 16777216])).toEqual(['0.1', '16777216']);
    expect(shown(new Float16(), [1.5])).toEqual(['1.5']);
    expect(shown(new Bool(), [true, false, null])).toEqual(['true', 'false', null]);
  });

  it('keeps integers past 2^53 in JSON as text', () => {
    const rows = rowsOf(new Int64(), vectorFromArray([9007199254740993n, 5n], new Int64()).data[0] as Data);
    expect(rows.json(0, 0)).toBe('"9007199254740993"');
    expect(rows.json(1, 0)).toBe('5');
    expect(rows.order(0, 0)).toBe(9007199254740993n);
  });

  it('shows decimals of up to 76 digits', () => {
    const words = new Uint32Array(8);
    let value = BigInt.asUintN(128, -12345n);
    for (let at = 0; at < 4; at += 1, value >>= 32n) words[at] = Number(value & 0xffffffffn);
    words[4] = 5;
    const rows = raw(new Decimal(2, 20, 128), words, 2);
    expect([rows.text(0, 0), rows.text(1, 0)]).toEqual(['-123.45', '0.05']);
    expect(rows.columns[0]?.type).toBe('DECIMAL(20, 2)');
    expect(decimalText(-5n, 3)).toBe('-0.005');
    expect(decimalText(12n, -3)).toBe('12000');
    expect(decimalText(0n, 2)).toBe('0.00');
    expect(wideInteger(new Uint32Array([0xffffffff, 0xffffffff]), 0, 2)).toBe(-1n);
  });

  it('shows texts and bytes', () => {
    expect(shown(new Utf8(), ['grüß', '', null])).toEqual(['grüß', '', null]);
    expect(shown(new LargeUtf8(), ['a'])).toEqual(['a']);
    expect(shown(new Binary(), [new Uint8Array([0, 255])])).toEqual(['\\x00ff']);
    expect(shown(new FixedSizeBinary(2), [new Uint8Array([222, 173])])).toEqual(['\\xdead']);
    const json = new Map([['ARROW:extension:name', 'arrow.json']]);
    const rows = rowsOf(new Utf8(), vectorFromArray(['{"a":1}'], new Utf8()).data[0] as Data, json);
    expect([rows.columns[0]?.type, rows.json(0, 0)]).toEqual(['JSON', '{"a":1}']);
  });

  it('shows moments to the nanosecond', () => {
    expect(raw(new DateDay(), new Int32Array([19782]), 1).text(0, 0)).toBe('2024-02-29');
    expect(raw(new DateMillisecond(), new BigInt64Array([-1n]), 1).text(0, 0)).toBe('1969-12-31');
    const micro = new BigInt64Array([1_709_209_845_123_456n]);
    expect(raw(new Timestamp(TimeUnit.MICROSECOND, null), micro, 1).text(0, 0)).toBe('2024-02-29 12:30:45.123456');
    expect(raw(new Timestamp(TimeUnit.NANOSECOND, 'UTC'), new BigInt64Array([1n]), 1).text(0, 0)).toBe('1970-01-01 00:00:00.000000001Z');
    expect(raw(new Timestamp(TimeUnit.SECOND, '+05:30'), new BigInt64Array([0n]), 1).text(0, 0)).toBe('1970-01-01 05:30:00+05:30');
    expect(raw(new Timestamp(TimeUnit.SECOND, 'Europe/Berlin'), new BigInt64Array([1_709_209_845n]), 1).text(0, 0)).toBe('2024-02-29 13:30:45+01:00');
    expect(raw(new Time(TimeUnit.NANOSECOND, 64), new BigInt64Array([45_296_789_000_000n]), 1).text(0, 0)).toBe('12:34:56.789');
    expect(raw(new Duration(TimeUnit.MILLISECOND), new BigInt64Array([90_061_001n]), 1).text(0, 0)).toBe('25:01:01.001');
    expect(dateText(-719_529n)).toBe('-0001-12-31');
    expect(dateText(2_932_897n)).toBe('+10000-01-01');
    expect(timestampText(-1n, null)).toBe('1969-12-31 23:59:59.999999999');
  });

  it('shows intervals as PostgreSQL does', () => {
    const words = new Int32Array([13, -3, 0, 0]);
    expect(raw(new Interval(IntervalUnit.MONTH_DAY_NANO), words, 1).text(0, 0)).toBe('1 year 1 mon -3 days');
    expect(raw(new Interval(IntervalUnit.DAY_TIME), new Int32Array([1, 1500]), 1).text(0, 0)).toBe('1 day 00:00:01.5');
    expect(raw(new Interval(IntervalUnit.YEAR_MONTH), new Int32Array([26]), 1).text(0, 0)).toBe('2 years 2 mons');
    expect(intervalText(0, 0, 0n)).toBe('00:00:00');
    expect(intervalText(0, -1, 3_600_000_000_000n)).toBe('-1 days +01:00:00');
  });

  it('shows nested values as JSON', () => {
    const list = new List(new Field('item', new Int32(), true));
    expect(shown(list, [[1, null, 3], [], null])).toEqual(['[1,null,3]', '[]', null]);
    expect(shown(new FixedSizeList(2, new Field('item', new Int32(), true)), [[1, 2]])).toEqual(['[1,2]']);
    const struct = new Struct([new Field('x', new Int32()), new Field('y', new Utf8())]);
    expect(shown(struct as never, [{ x: 1, y: 'q' }])).toEqual(['{"x":1,"y":"q"}']);
    const entries = new Field('entries', new Struct([new Field('key', new Utf8()), new Field('value', new Int32(), true)]));
    expect(shown(new Map_(entries as never), [new Map([['k', 7]])])).toEqual(['{"k":7}']);
    expect(shown(new Dictionary(new Utf8(), new Int32()), ['a', 'b', 'a', null])).toEqual(['a', 'b', 'a', null]);
    expect(rowsOf(new Null(), makeData({ type: new Null(), length: 2 } as never) as Data).text(1, 0)).toBeNull();
  });

  it('finds rows in many batches', () => {
    const schema = new Schema([new Field('c', new Int32())]);
    const rows = new ArrowRows(schema);
    for (let batch = 0; batch < 5; batch += 1) {
      const data = vectorFromArray([batch * 3, batch * 3 + 1, batch * 3 + 2], new Int32()).data[0] as Data;
      rows.add(new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length: 3, nullCount: 0, children: [data] }) as never));
    }
    expect(rows.count).toBe(15);
    for (const row of [14, 0, 7, 6, 5, 3, 2, 13]) expect(rows.text(row, 0)).toBe(String(row));
  });
});

describe('values of live answers', () => {
  it('shows what JSON has as the grid shows Arrow', () => {
    const column = (type: string) => ({ name: 'c', type, kind: kindOf(type), nullable: true, key: false });
    expect(valueText('2026-01-02T03:04:05Z', column('TIMESTAMP WITH TIME ZONE'))).toBe('2026-01-02 03:04:05Z');
    expect(valueText('aTb', column('TEXT'))).toBe('aTb');
    expect(valueText({ a: [1] }, column('JSON'))).toBe('{"a":[1]}');
    expect(valueText(null, column('TEXT'))).toBeNull();
    expect(momentNumber('1970-01-01T00:00:01.500')).toBe(1500);
    expect(momentNumber('1970-01-01T01:00:00+01:00')).toBe(0);
    expect(momentNumber('00:00:02')).toBe(2000);
    expect(momentNumber('1970-01-02')).toBe(86_400_000);
  });
});

describe('measures', () => {
  it('are told in units that fit', () => {
    expect([bytesText(0), bytesText(1536), bytesText(5 << 20), bytesText(200 << 20)]).toEqual(['0 B', '1.5 kB', '5.0 MB', '200 MB']);
    expect([spanText(0.25), spanText(12.4), spanText(1234), spanText(65_000), spanText(3_900_000)]).toEqual(['250 µs', '12 ms', '1.23 s', '1 min 5 s', '1 h 5 min']);
    expect(singleText(Math.fround(3.1415927))).toBe('3.1415927');
  });
});
