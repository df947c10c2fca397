import { useSignal } from '@preact/signals';

import { problemOf, type Problem } from '../api/problem';
import { readCatalog, relation } from '../catalog/catalog';
import { bytesText, countText } from '../rows/numbers';
import { openInEditor } from '../ui/Inline';
import { Choice, Failure, Later } from '../ui/parts';
import { go, link, place } from '../ui/router';
import { TYPES } from './infer';
import { creation, load, look, type Column, type Found } from './load';

interface Chosen {
  readonly file: File;
  readonly found: Found;
}

type Stage = 'none' | 'shown' | 'loading' | 'loaded';

/** How data is brought: a file of the reader's, or a connection to where it is. */
export default function Load() {
  const isStore = place.value.path[1] === 'connection';
  return (
    <div class="page narrow">
      <header>
        <h1>Bring data</h1>
        <Choice label="From where" of={[['file', 'A file'], ['connection', 'A store']] as const} value={isStore ? 'connection' : 'file'} set={(to) => { go(to === 'file' ? link('load') : link('load', 'connection')); }} />
      </header>
      {isStore ? <Later load={async () => (await import('./Connect')).default} props={{}} /> : <LoadFile />}
    </div>
  );
}

/** A file, its columns as they seem to be, and its way into a stream or table. */
function LoadFile() {
  const stage = useSignal<Stage>('none');
  const chosen = useSignal<Chosen | null>(null);
  const columns = useSignal<readonly Column[]>([]);
  const name = useSignal('');
  const as = useSignal<'stream' | 'table'>('table');
  const key = useSignal('');
  const problem = useSignal<Problem | null>(null);
  const progress = useSignal({ rows: 0, share: 0 });
  const over = useSignal(false);
  const stop = useSignal<AbortController | null>(null);

  const take = async (file: File | undefined) => {
    if (!file) return;
    problem.value = null;
    try {
      const found = await look(file);
      if (found.columns.length === 0) throw new Error('The file has no rows that columns could be told from');
      chosen.value = { file, found };
      columns.value = found.columns.map(({ name: column, type }) => ({ name: column, type }));
      name.value = file.name.replace(/\.[^.]+$/, '').toLowerCase().replace(/[^a-z0-9_]+/g, '_').replace(/^(\d)/, '_$1') || 'data';
      key.value = '';
      stage.value = 'shown';
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  const target = { name: name.value, as: as.value, key: key.value, columns: columns.value };
  const begin = async () => {
    if (!chosen.value) return;
    problem.value = null;
    progress.value = { rows: 0, share: 0 };
    stage.value = 'loading';
    const stopper = new AbortController();
    stop.value = stopper;
    try {
      await load(chosen.value.file, chosen.value.found, target, (rows, share) => (progress.value = { rows, share }), stopper.signal);
      stage.value = 'loaded';
    } catch (error) {
      if (!stopper.signal.aborted) problem.value = problemOf(error);
      stage.value = 'shown';
    }
    void readCatalog();
  };
  const change = (at: number, to: Partial<Column>) => {
    columns.value = columns.value.map((column, other) => (other === at ? { ...column, ...to } : column));
  };
  const file = chosen.value?.file;
  const isTaken = relation('public', name.value) !== undefined;

  return (
    <>
      <label
        class={`drop ${over.value ? 'over' : ''}`}
        onDragOver={(event) => { event.preventDefault(); over.value = true; }}
        onDragLeave={() => (over.value = false)}
        onDrop={(event) => { event.preventDefault(); over.value = false; void take(event.dataTransfer?.files[0]); }}
      >
        <b>Drop a file here, or choose one</b>
        <span class="note">CSV, TSV, NDJSON, JSON, Arrow or Parquet; it is read by this page and sent to this server, nowhere else</span>
        <input type="file" accept=".csv,.tsv,.txt,.ndjson,.jsonl,.json,.arrow,.arrows,.feather,.ipc,.parquet,.parq,.pq" onChange={(event) => void take(event.currentTarget.files?.[0])} />
      </label>
      {problem.value && (
        <>
          <Failure problem={problem.value} />
          {progress.value.rows > 0 && <p class="note">{countText(progress.value.rows)} rows before it are on disk in <a href={link('catalog', 'public', name.value)}>{name.value}</a>.</p>}
        </>
      )}
      {file && chosen.value && stage.value === 'shown' && (
        <>
          <section>
            <h2>{file.name} <small>{bytesText(file.size)}{chosen.value.found.parquet ? ` · ${countText(chosen.value.found.parquet.rows)} rows` : ''}</small></h2>
            <div class="bar">
              <label class="bar">into <input aria-label="Name" value={name.value} style={{ width: '180px' }} onInput={(event) => (name.value = event.currentTarget.value)} /></label>
              <Choice label="Kind" of={[['table', 'a new table'], ['stream', 'a new stream']] as const} value={as.value} set={(value) => (as.value = value)} />
              {as.value === 'table' && (
                <label class="bar">
                  key{' '}
                  <select value={key.value} onChange={(event) => (key.value = event.currentTarget.value)}>
                    <option value="">none</option>
                    {columns.value.map((column) => <option key={column.name} value={column.name}>{column.name}</option>)}
                  </select>
                </label>
              )}
            </div>
            {isTaken && <p class="note bad">There is a {relation('public', name.value)?.type} of this name.</p>}
          </section>
          <div class="scroll">
            <table class="list">
              <thead><tr><th scope="col">Column</th><th scope="col">Type</th><th scope="col">First values</th></tr></thead>
              <tbody>
                {columns.value.map((column, at) => (
                  <tr key={at}>
                    <td><input aria-label={`Name of column ${at + 1}`} value={column.name} disabled={!/^(csv|parquet)$/.test(chosen.value?.found.kind ?? '')} onInput={(event) => { change(at, { name: event.currentTarget.value }); }} /></td>
                    <td>
                      <select aria-label={`Type of ${column.name}`} value={column.type} disabled={chosen.value?.found.kind === 'arrow'} onChange={(event) => { change(at, { type: event.currentTarget.value }); }}>
                        {!TYPES.includes(column.type as never) && <option value={column.type}>{column.type}</option>}
                        {TYPES.map((type) => <option key={type} value={type}>{type}</option>)}
                      </select>
                    </td>
                    <td class="wrap">{chosen.value?.found.columns[at]?.examples.join(' · ').slice(0, 120)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <pre class="ddl" tabIndex={0}>{creation(target)}</pre>
          <div class="bar"><button class="strong" disabled={isTaken || name.value === ''} onClick={() => void begin()}>Load</button></div>
        </>
      )}
      {stage.value === 'loading' && (
        <section>
          <h2>Loading {file?.name}</h2>
          <progress value={progress.value.share} max={1} aria-label="Loaded" />
          <div class="bar"><span class="note">{countText(progress.value.rows)} rows on disk</span><span class="gap" /><button onClick={() => stop.value?.abort()}>Stop</button></div>
        </section>
      )}
      {stage.value === 'loaded' && (
        <section role="status">
          <h2><span class="good" aria-hidden="true">✓</span> {countText(progress.value.rows)} rows are in {name.value}</h2>
          <div class="bar">
            <button class="strong" onClick={() => { openInEditor(`SELECT * FROM ${target.name} LIMIT 100`, target.name); }}>Ask about it</button>
            <a class="button" href={link('catalog', 'public', name.value)}>Look at it</a>
          </div>
        </section>
      )}
    </>
  );
}
