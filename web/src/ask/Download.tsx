import { request, statement } from '../api/http';
import { problemOf } from '../api/problem';
import type { ArrowRows } from '../rows/arrow';
import type { Rows } from '../rows/column';
import { pieces, type TextFormat } from '../rows/export';
import { Menu, say } from '../ui/parts';
import type { AnyRun } from './run';

const TYPES: Record<TextFormat, string> = {
  csv: 'text/csv',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  markdown: 'text/markdown',
};

/** Ways to take the rows along. What the page holds is written by the page; only Parquet asks the server again. */
export function DownloadMenu({ run, rows, order }: { run: AnyRun; rows: Rows; order: Uint32Array | null }) {
  const text = (format: TextFormat, extension: string) => async () => {
    save(new Blob(await gathered(rows, format, order), { type: TYPES[format] }), extension);
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText((await gathered(rows, 'markdown', order)).join(''));
      say('Copied as Markdown');
    } catch {
      say('The browser does not let this page copy');
    }
  };
  return (
    <Menu label="Download" title="Download or copy the rows">
      <button onClick={() => void text('csv', 'csv')()}>CSV</button>
      <button onClick={() => void text('json', 'json')()}>JSON</button>
      <button onClick={() => void text('ndjson', 'ndjson')()}>NDJSON</button>
      {isArrow(rows) && <button onClick={() => void arrow(rows)}>Arrow stream</button>}
      {isArrow(rows) && <button onClick={() => void parquet(run)}>Parquet <small>runs again</small></button>}
      <hr />
      <button onClick={() => void copy()}>Copy as Markdown</button>
    </Menu>
  );
}

/** All pieces; between two of them the page may do other things. */
async function gathered(rows: Rows, format: TextFormat, order: Uint32Array | null): Promise<string[]> {
  const all: string[] = [];
  for (const piece of pieces(rows, format, order)) {
    all.push(piece);
    if (all.length % 5 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  return all;
}

function isArrow(rows: Rows): rows is ArrowRows {
  return 'batches' in rows;
}

async function arrow(rows: ArrowRows): Promise<void> {
  const { RecordBatchStreamWriter } = await import('apache-arrow');
  const writer = RecordBatchStreamWriter.writeAll(rows.batches);
  save(new Blob([await writer.toUint8Array() as Uint8Array<ArrayBuffer>], { type: 'application/vnd.apache.arrow.stream' }), 'arrows');
}

async function parquet(run: AnyRun): Promise<void> {
  try {
    const response = await request('v1/sql', statement(run.document, 'application/vnd.apache.parquet'));
    save(await response.blob(), 'parquet');
  } catch (error) {
    say(problemOf(error).message);
  }
}

function save(blob: Blob, extension: string): void {
  const url = URL.createObjectURL(blob);
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = `weir-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.${extension}`;
  anchor.click();
  setTimeout(() => {
    URL.revokeObjectURL(url);
  }, 60_000);
}
