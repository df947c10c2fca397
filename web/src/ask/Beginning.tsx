import { qualified } from '../api/http';
import { relations } from '../catalog/catalog';
import { statements } from '../editor/statements';
import { Empty, Key } from '../ui/parts';
import { current, openTab, run } from './tabs';

/** What stands where answers will be. */
export function Beginning() {
  const all = relations.value;
  const stream = all?.find((one) => one.type === 'stream' && one.name === 'bids') ?? all?.find((one) => one.type === 'stream');
  if (!all) return <div class="loading" role="status">…</div>;
  if (all.length === 0) {
    return (
      <Empty title="Nothing is here yet">
        <p>
          <a href="#/load">Drop a file</a> and ask about it, or make a stream:
        </p>
        <button class="example" onClick={() => { openTab('CREATE STREAM events (\n  id BIGINT,\n  what TEXT,\n  at TIMESTAMP\n);\n\nINSERT INTO events VALUES (1, \'begun\', TIMESTAMP \'2026-01-01 00:00:00\');\n\nSELECT * FROM events', 'A first stream'); }}>
          CREATE STREAM events (id BIGINT, what TEXT, at TIMESTAMP)
        </button>
      </Empty>
    );
  }
  const name = stream ? qualified(stream.schema, stream.name) : qualified(all[0]?.schema ?? 'public', all[0]?.name ?? '');
  const examples: [string, string][] = [[`SELECT * FROM ${name} LIMIT 100`, 'A look at rows']];
  if (stream) {
    examples.push([`SELECT * FROM ${name} EMIT CHANGES`, 'History, then every row as it comes']);
    if (stream.name === 'bids') {
      examples.push(
        ['SELECT auction, count(*) AS bids, max(price) AS highest\nFROM bids GROUP BY auction EMIT CHANGES', 'An answer that keeps moving'],
        ["SELECT window_start, count(*) AS bids, avg(price) AS price\nFROM TUMBLE(bids, at, INTERVAL '10 seconds')\nGROUP BY window_start ORDER BY window_start", 'Windows of time; look at the chart'],
      );
    }
  }
  return (
    <Empty title="Ask something">
      <ul class="examples">
        {examples.map(([sql, what]) => (
          <li key={sql}>
            <button class="example" onClick={() => { openTab(sql, what); dispatchEvent(new Event('weir-focus-editor')); void run(current.value, statements(sql)); }}>
              <span>{what}</span>
              <code>{sql}</code>
            </button>
          </li>
        ))}
      </ul>
      <p class="note">
        <Key>Ctrl Enter</Key> runs the statement at the cursor, <Key>Ctrl Space</Key> completes, <Key>?</Key> lists all keys.
      </p>
    </Empty>
  );
}
