// One bounded answer, as it comes: Arrow batches into rows that are held up to a bound.

import { RecordBatchReader } from 'apache-arrow';

import { ArrowRows } from '../rows/arrow';
import { request, statement, type QueryDocument } from './http';

/** What the page holds of one answer. What is beyond it can be downloaded, or asked for with a filter. */
export const HELD_BYTES_MAX = 768 << 20;

/** Who listens to an answer. */
export interface Listener {
  /** The head is there: the query runs, and this is what is known of it. */
  begun(head: { queryId: string | null; command: string | null; rows: ArrowRows }): void;
  /** More rows are in `rows`. */
  more(): void;
}

/** How an answer ended, when it did not fail. */
export type End = 'whole' | 'held';

/** Runs a statement and gathers its rows. Ends early, with `held`, when no more can be held. @throws Problem */
export async function answer(document: QueryDocument, listener: Listener, stop: AbortController): Promise<End> {
  const response = await request('v1/sql', statement(document, 'application/vnd.apache.arrow.stream', stop.signal));
  const reader = await RecordBatchReader.from(response);
  await reader.open();
  const rows = new ArrowRows(reader.schema);
  listener.begun({
    queryId: response.headers.get('weir-query-id'),
    command: response.headers.get('weir-command'),
    rows,
  });
  for await (const batch of reader) {
    rows.add(batch);
    listener.more();
    if (rows.bytes > HELD_BYTES_MAX) {
      stop.abort();
      return 'held';
    }
  }
  return 'whole';
}
