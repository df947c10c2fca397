import { useSignal } from '@preact/signals';

import { request } from '../api/http';
import { problemOf, type Problem } from '../api/problem';
import { Dialog, Failure, say } from '../ui/parts';
import type { Relation } from './catalog';

/** A row of this stream, as an example to fill in. */
function example(relation: Relation): string {
  const value = (type: string): unknown => {
    if (/INT|REAL|DOUBLE|DECIMAL|NUMERIC/.test(type)) return 0;
    if (type === 'BOOLEAN') return false;
    if (/^TIMESTAMP/.test(type)) return new Date().toISOString().slice(0, 23) + (/ZONE|TZ/.test(type) ? 'Z' : '');
    if (type === 'DATE') return new Date().toISOString().slice(0, 10);
    return type.endsWith('[]') ? [] : '';
  };
  const fields = relation.columns.map((column) => `  ${JSON.stringify(column.name)}: ${JSON.stringify(value(column.data_type.toUpperCase()))}`);
  return `{\n${fields.join(',\n')}\n}`;
}

/** Puts one record, or a few, into a stream. */
export function Produce({ relation, name, close }: { relation: Relation; name: string; close: () => void }) {
  const text = useSignal(example(relation));
  const problem = useSignal<Problem | null>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    problem.value = null;
    try {
      // One object over several lines, or one or more objects a line each.
      let body = text.value;
      try {
        body = JSON.stringify(JSON.parse(text.value));
      } catch {
        // Not one value: the server says what is wrong with which line.
      }
      const path = `v1/topics/${encodeURIComponent(relation.schema === 'public' ? relation.name : `${relation.schema}.${relation.name}`)}/records`;
      const response = await request(path, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body });
      const { rows, partitions } = (await response.json()) as { rows: number; partitions: { partition: number; base_offset: number }[] };
      const [first] = partitions;
      say(rows === 1 && first ? `On disk: partition ${first.partition}, offset ${first.base_offset}` : `${rows} rows are on disk`);
      close();
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  return (
    <Dialog title={`Add a record to ${name}`} close={close}>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field">
          A JSON object; or several, a line each
          <textarea rows={Math.min(14, relation.columns.length + 3)} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} spellcheck={false} />
        </label>
        {problem.value && <Failure problem={problem.value} />}
        <div class="bar"><button class="strong" type="submit">Add</button><button type="button" onClick={close}>Close</button></div>
      </form>
    </Dialog>
  );
}
