// A file of the reader's into a new stream or table, by POST /v1/topics/{name}/records.

import { RecordBatchReader, RecordBatchStreamWriter, type RecordBatch } from 'apache-arrow';

import { ask, qualified, quoted, request } from '../api/http';
import { columnsOf } from '../rows/arrow';
import { csvField } from '../rows/export';
import { csvRecords, pieces } from './chunks';
import { csvColumns, delimiterOf, jsonColumns, type Guess } from './infer';
import { footerOf, groupOf, type ParquetFile } from './parquet';

export type FileKind = 'csv' | 'ndjson' | 'json' | 'arrow' | 'parquet';

/** What a file is, and what it seems to have. */
export interface Found {
  readonly kind: FileKind;
  readonly delimiter: string;
  readonly columns: readonly Guess[];
  /** Of a Parquet file, what its footer says. */
  readonly parquet?: ParquetFile;
}

export interface Column {
  readonly name: string;
  readonly type: string;
}

export interface Target {
  readonly name: string;
  readonly as: 'stream' | 'table';
  /** The primary key of a table; empty for none. */
  readonly key: string;
  readonly columns: readonly Column[];
}

const SAMPLE_BYTES = 1 << 19;
const PIECE_BYTES = 4 << 20;
/** An array of JSON is read as a whole. */
const ARRAY_BYTES_MAX = 128 << 20;

const KINDS: Readonly<Record<string, FileKind>> = {
  csv: 'csv', tsv: 'csv', txt: 'csv', ndjson: 'ndjson', jsonl: 'ndjson', json: 'json', arrow: 'arrow', arrows: 'arrow', feather: 'arrow', ipc: 'arrow',
  parquet: 'parquet', parq: 'parquet', pq: 'parquet',
};

/** Looks at the beginning of a file. @throws Error when it cannot be loaded */
export async function look(file: File): Promise<Found> {
  const extension = /\.([a-z0-9]+)$/i.exec(file.name)?.[1]?.toLowerCase() ?? '';
  if (/^(avro|gz|zst|bz2|xz)$/.test(extension)) {
    throw new Error(
      `A browser cannot read .${extension} files. Where the server may read it: CREATE TABLE t AS SELECT * FROM '/path/${file.name}'`,
    );
  }
  const kind = KINDS[extension];
  if (!kind) throw new Error(`Files are told by their names: .csv, .tsv, .ndjson, .json, .arrow, .parquet; this is ${file.name}`);
  if (kind === 'parquet') {
    const parquet = await footerOf(file);
    return { kind, delimiter: '', columns: parquet.columns.map((column) => ({ ...column, examples: [] })), parquet };
  }
  if (kind === 'arrow') {
    const reader = await RecordBatchReader.from(file.stream());
    await reader.open();
    const columns = columnsOf(reader.schema).map((column) => ({ name: column.name, type: column.type, examples: [] }));
    await reader.cancel();
    return { kind, delimiter: '', columns };
  }
  const text = await file.slice(0, SAMPLE_BYTES).text();
  // The last line of the sample may be cut.
  const whole = file.size > SAMPLE_BYTES ? text.slice(0, text.lastIndexOf('\n') + 1) : `${text}\n`;
  if (kind === 'csv') {
    const delimiter = delimiterOf(whole);
    return { kind, delimiter, columns: csvColumns(whole, delimiter) };
  }
  if (text.trimStart().startsWith('[')) {
    if (file.size > ARRAY_BYTES_MAX) throw new Error('A JSON array of this size is too large for the page: write one object a line (.ndjson)');
    const rows = JSON.parse(await file.text()) as unknown[];
    return { kind: 'json', delimiter: '', columns: jsonColumns(rows.slice(0, 500).map((row) => JSON.stringify(row)).join('\n')) };
  }
  return { kind: 'ndjson', delimiter: '', columns: jsonColumns(whole) };
}

/** The statement that makes the target. */
export function creation(target: Target): string {
  const columns = target.columns.map((column) => {
    const isKey = target.as === 'table' && column.name === target.key;
    return `  ${quoted(column.name)} ${column.type}${isKey ? ' PRIMARY KEY' : ''}`;
  });
  return `CREATE ${target.as.toUpperCase()} ${qualified('public', target.name)} (\n${columns.join(',\n')}\n)`;
}

/** Told as rows are on disk. */
export type Progress = (rows: number, share: number) => void;

/** Makes the target and loads the file into it. What was loaded before a failure stays, and is told. @throws Problem */
export async function load(file: File, found: Found, target: Target, progress: Progress, stop: AbortSignal): Promise<number> {
  await ask(creation(target), [], stop);
  const path = `v1/topics/${encodeURIComponent(target.name)}/records`;
  const run = crypto.randomUUID();
  let rows = 0;
  let sent = 0;
  const send = async (body: BodyInit, type: string, share: number) => {
    const headers: Record<string, string> = { 'Content-Type': type };
    // A stream remembers what it has taken, so that a piece whose answer was lost may be sent again.
    if (target.as === 'stream') headers['Idempotency-Key'] = `${run}-${sent}`;
    sent += 1;
    const response = await request(path, { method: 'POST', headers, body, signal: stop });
    rows += ((await response.json()) as { rows: number }).rows;
    progress(rows, share);
  };
  if (found.kind === 'arrow') {
    const reader = await RecordBatchReader.from(file.stream());
    let at = 0;
    for await (const batch of reader) {
      at += 1;
      // How far it is shows only roughly: batches of one file are mostly alike.
      await send(arrowStream(batch), 'application/vnd.apache.arrow.stream', 1 - 1 / (at + 1));
    }
  } else if (found.kind === 'parquet') {
    const parquet = found.parquet ?? (await footerOf(file));
    const names = target.columns.map((column) => column.name);
    for (let at = 0; at < parquet.groups; at += 1) {
      const group = groupOf(file, parquet, at, names);
      if (group.rows > 0) await send(group.content, 'application/vnd.apache.parquet', (at + 1) / parquet.groups);
    }
  } else if (found.kind === 'json') {
    const all = JSON.parse(await file.text()) as unknown[];
    for (let from = 0; from < all.length; from += 20_000) {
      const part = all.slice(from, from + 20_000);
      await send(part.map((row) => JSON.stringify(row)).join('\n'), 'application/x-ndjson', (from + part.length) / all.length);
    }
  } else {
    for await (const piece of pieces(file, found.kind, PIECE_BYTES)) {
      const isCsv = found.kind === 'csv';
      await send(isCsv ? asColumns(piece.text, found, target) : piece.text, isCsv ? 'text/csv' : 'application/x-ndjson', piece.readBytes / file.size);
    }
  }
  progress(rows, 1);
  return rows;
}

/** A piece of CSV with the columns' new names, and commas. */
function asColumns(text: string, found: Found, target: Target): string {
  const header = target.columns.map((column) => csvField(column.name)).join(',');
  if (found.delimiter === ',') {
    const [first] = csvRecords(text, ',', 1);
    const same = first?.every((name, at) => name.trim() === target.columns[at]?.name);
    if (same) return text;
  }
  const records = csvRecords(text.endsWith('\n') ? text : `${text}\n`, found.delimiter, Number.POSITIVE_INFINITY).slice(1);
  return `${header}\n${records.map((fields) => fields.map((field) => (field === '' ? '' : csvField(field))).join(',')).join('\n')}\n`;
}

function arrowStream(batch: RecordBatch): Uint8Array<ArrayBuffer> {
  return RecordBatchStreamWriter.writeAll([batch]).toUint8Array(true) as Uint8Array<ArrayBuffer>;
}
