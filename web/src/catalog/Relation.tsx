import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

import { ask, literal, qualified } from '../api/http';
import { problemOf, type Problem } from '../api/problem';
import { Operators } from '../jobs/Operators';
import { bytesText, countText } from '../rows/numbers';
import { Inline, openInEditor } from '../ui/Inline';
import { Choice, Dialog, Failure, say, useEvery } from '../ui/parts';
import { go, link } from '../ui/router';
import { ENDS } from './Catalog';
import { readCatalog, relations, type Relation } from './catalog';
import { Produce } from './Produce';
import { rateText, Rates, type End } from './rates';

interface Edge {
  schema: string;
  name: string;
  type: string;
}

interface Group {
  group: string;
  state: string;
  members: number;
  partition: number;
  committed_offset: number;
  lag: number | null;
}

interface HistoryFacts {
  files: number;
  rows: number;
  bytes: number;
}

const EVERY_MS = 2_500;

/** One relation: what it is made of, what is in its topic, who reads it, and what it rests on. */
export function RelationPage({ relation }: { relation: Relation }) {
  const name = qualified(relation.schema, relation.name);
  const ddl = useSignal('');
  const above = useSignal<readonly Edge[]>([]);
  const below = useSignal<readonly Edge[]>([]);
  const topic = useSignal<string | null>(null);
  const problem = useSignal<Problem | null>(null);
  const dropping = useSignal(false);
  const isReadable = relation.type !== 'sink';
  const keyword = relation.type.toUpperCase();

  useEffect(() => {
    const where = [relation.schema, relation.name];
    void Promise.all([
      ask<{ create_statement: string }>(`SHOW CREATE ${keyword} ${name}`),
      ask<Edge>('SELECT schema, name, type FROM weir.dependencies WHERE depends_on_schema = $1 AND depends_on_name = $2', where),
      ask<Edge>('SELECT depends_on_schema AS schema, depends_on_name AS name, depends_on_type AS type FROM weir.dependencies WHERE schema = $1 AND name = $2', where),
      ask<{ topic: string }>('SELECT DISTINCT topic FROM weir.topics WHERE schema = $1 AND name = $2', where),
    ]).then(
      ([created, dependants, sources, topics]) => {
        ddl.value = created[0]?.create_statement ?? '';
        above.value = dependants;
        below.value = sources;
        topic.value = topics[0]?.topic ?? null;
      },
      (error: unknown) => {
        problem.value = problemOf(error);
      },
    );
  }, [relation]);

  return (
    <div class="page">
      <header>
        <h1>
          {relation.schema === 'public' ? relation.name : `${relation.schema}.${relation.name}`} <small>{relation.type}</small>
        </h1>
        <span class="gap" />
        {isReadable && <button onClick={() => { openInEditor(`SELECT * FROM ${name} LIMIT 100`, relation.name); }}>Ask</button>}
        {isReadable && relation.type !== 'external table' && <button onClick={() => { openInEditor(`SELECT * FROM ${name} EMIT CHANGES`, `${relation.name} live`); }}>Follow</button>}
        <button class="danger" onClick={() => (dropping.value = true)}>Drop…</button>
      </header>
      {relation.comment && <p>{relation.comment}</p>}
      {problem.value && <Failure problem={problem.value} />}
      {topic.value !== null && <Topic topic={topic.value} relation={relation} name={name} />}
      {isReadable && <Sample relation={relation} name={name} isTopic={relation.type !== 'view' && relation.type !== 'external table'} />}
      {relation.columns.length > 0 && (
        <section>
          <h2>Columns</h2>
          <div class="scroll">
            <table class="list">
              <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Null</th><th scope="col">Default</th><th scope="col">Comment</th></tr></thead>
              <tbody>
                {relation.columns.map((column) => (
                  <tr key={column.name}>
                    <th scope="row"><span class={column.in_primary_key ? 'key' : ''}>{column.name}</span></th>
                    <td>{column.data_type}</td>
                    <td>{column.nullable ? 'yes' : 'no'}</td>
                    <td><code>{column.default}</code></td>
                    <td class="wrap">{column.comment}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
      {(above.value.length > 0 || below.value.length > 0) && (
        <section>
          <h2>Rests on, and is used by</h2>
          <dl class="facts start">
            {below.value.length > 0 && <div><dt>rests on</dt><dd><Edges of={below.value} /></dd></div>}
            {above.value.length > 0 && <div><dt>used by</dt><dd><Edges of={above.value} /></dd></div>}
          </dl>
        </section>
      )}
      {/^(materialized view|sink)$/.test(relation.type) && <Operators schema={relation.schema} name={relation.name} />}
      {ddl.value && (
        <section>
          <header><h2>Definition</h2><button class="quiet" onClick={() => { openInEditor(ddl.value, relation.name); }}>Open in the editor</button></header>
          <pre class="ddl" tabIndex={0}>{ddl.value}</pre>
        </section>
      )}
      {dropping.value && <Drop relation={relation} statement={`DROP ${keyword} ${name}`} dependants={above.value.length} close={() => (dropping.value = false)} />}
    </div>
  );
}

function Edges({ of }: { of: readonly Edge[] }) {
  return (
    <>
      {of.map((edge, at) => (
        <span key={`${edge.schema}.${edge.name}`}>
          {at > 0 && ', '}
          <a href={link('catalog', edge.schema, edge.name)}>{edge.schema === 'public' ? edge.name : `${edge.schema}.${edge.name}`}</a> <small>{edge.type}</small>
        </span>
      ))}
    </>
  );
}

function Topic({ topic, relation, name }: { topic: string; relation: Relation; name: string }) {
  const ends = useSignal<readonly End[]>([]);
  const rates = useSignal(new Rates());
  const groups = useSignal<readonly Group[]>([]);
  const history = useSignal<HistoryFacts | null>(null);
  const about = useSignal<Record<string, unknown> | null>(null);
  const producing = useSignal(false);
  const isStream = relation.type === 'stream';
  useEvery(EVERY_MS, async (signal) => {
    try {
      const [parts, readers, files, stream] = await Promise.all([
        ask<End>(`${ENDS} WHERE topic = $1 ORDER BY partition`, [topic], signal),
        ask<Group>('SELECT "group", state, members, partition, committed_offset, lag FROM weir.consumer_groups WHERE topic = $1 ORDER BY 1, 4', [topic], signal),
        isStream ? ask<HistoryFacts>('SELECT count(*) AS files, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes FROM weir.history WHERE schema = $1 AND stream = $2', [relation.schema, relation.name], signal) : [],
        isStream ? ask('SELECT format, "key", watermark, history, history_error FROM weir.streams WHERE schema = $1 AND name = $2', [relation.schema, relation.name], signal) : [],
      ]);
      ends.value = parts;
      groups.value = readers;
      history.value = files[0] ?? null;
      about.value = stream[0] ?? null;
      rates.value.add(parts, Date.now());
    } catch {
      // The top of the page says when the server is away; the next look comes soon.
    }
  });
  const records = ends.value.reduce((sum, one) => sum + one.end_offset - one.start_offset, 0);
  const bytes = ends.value.reduce((sum, one) => sum + one.bytes, 0);
  const settings = about.value;
  return (
    <>
      <dl class="figures">
        <div><dt>records</dt><dd>{countText(records)}</dd></div>
        <div><dt>in the log</dt><dd>{bytesText(bytes)}</dd></div>
        <div><dt>rate</dt><dd>{rateText(rates.value.of(topic))}</dd></div>
        <div><dt>partitions</dt><dd>{ends.value.length}</dd></div>
        {history.value && history.value.files > 0 && <div><dt>in {countText(history.value.files)} Parquet files</dt><dd>{countText(history.value.rows)}</dd></div>}
      </dl>
      {settings && (
        <p class="note">
          topic <code>{topic}</code> · format {String(settings['format'])}
          {settings['key'] ? <> · key <code>{String(settings['key'])}</code></> : null}
          {settings['watermark'] ? <> · watermark <code>{String(settings['watermark'])}</code></> : null}
          {settings['history'] ? <> · history {String(settings['history'])}</> : null}
          {settings['history_error'] ? <span class="bad"> · {String(settings['history_error'])}</span> : null}
        </p>
      )}
      <section>
        <header>
          <h2>Partitions</h2>
          <span class="gap" />
          {isStream && <button onClick={() => (producing.value = true)}>Add a record…</button>}
        </header>
        <div class="scroll">
          <table class="list">
            <thead><tr><th scope="col" class="number">Partition</th><th scope="col" class="number">First offset</th><th scope="col" class="number">Next offset</th><th scope="col" class="number">Size</th><th scope="col" class="number">Rate</th></tr></thead>
            <tbody>
              {ends.value.map((one) => (
                <tr key={one.partition}>
                  <th scope="row" class="number">{one.partition}</th>
                  <td class="number">{countText(one.start_offset)}</td>
                  <td class="number">{countText(one.end_offset)}</td>
                  <td class="number">{bytesText(one.bytes)}</td>
                  <td class="number">{rateText(rates.value.of(topic, one.partition))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      {groups.value.length > 0 && (
        <section>
          <h2>Consumer groups</h2>
          <div class="scroll">
            <table class="list">
              <thead><tr><th scope="col">Group</th><th scope="col">State</th><th scope="col" class="number">Members</th><th scope="col" class="number">Partition</th><th scope="col" class="number">Next offset</th><th scope="col" class="number">Lag</th></tr></thead>
              <tbody>
                {groups.value.map((one) => (
                  <tr key={`${one.group} ${one.partition}`}>
                    <th scope="row">{one.group}</th>
                    <td>{one.state.toLowerCase()}</td>
                    <td class="number">{one.members}</td>
                    <td class="number">{one.partition}</td>
                    <td class="number">{countText(one.committed_offset)}</td>
                    <td class={`number ${(one.lag ?? 0) > 1000 ? 'warn' : ''}`}>{one.lag === null ? '' : countText(one.lag)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
      {producing.value && <Produce relation={relation} name={name} close={() => (producing.value = false)} />}
    </>
  );
}

type Look = 'tail' | 'first' | 'offset' | 'time' | 'errors' | 'rows';

/** Some of the rows: the newest as they come, or from an offset or a time on. */
function Sample({ relation, name, isTopic }: { relation: Relation; name: string; isTopic: boolean }) {
  const isStream = relation.type === 'stream';
  const look = useSignal<Look>(isStream ? 'tail' : 'rows');
  const partition = useSignal(0);
  const offset = useSignal(0);
  const time = useSignal(new Date(Date.now() - 300_000).toISOString().slice(0, 19));
  const hidden = '_partition, _offset, _timestamp, ';
  const columns = isStream ? `${hidden}*` : '*';
  const sql = (() => {
    switch (look.value) {
      case 'tail':
        return `SUBSCRIBE (SELECT ${columns} FROM ${name}) WITH (snapshot = false)`;
      case 'offset':
        return `SELECT ${columns} FROM ${name} WHERE _partition = ${partition.value} AND _offset >= ${offset.value} ORDER BY _offset LIMIT 200`;
      case 'time':
        return `SELECT ${columns} FROM ${name} WHERE _timestamp >= TIMESTAMPTZ ${literal(`${time.value}Z`)} ORDER BY _timestamp LIMIT 200`;
      case 'errors':
        return `SELECT _partition, _offset, _timestamp, _error, _key FROM ${name} WHERE _error IS NOT NULL LIMIT 200`;
      default:
        return `SELECT ${columns} FROM ${name} LIMIT 200`;
    }
  })();
  const looks: readonly (readonly [Look, string])[] = isStream
    ? [['tail', 'Tail'], ['first', 'First'], ['offset', 'From offset'], ['time', 'From time'], ['errors', 'Not decoded']]
    : isTopic
      ? [['rows', 'Rows'], ['tail', 'Changes']]
      : [['rows', 'Rows']];
  return (
    <section>
      <header>
        <h2>Rows</h2>
        {looks.length > 1 && <Choice label="Which rows" of={looks} value={look.value} set={(value) => (look.value = value)} />}
        {look.value === 'offset' && (
          <>
            <label class="bar">partition <input type="number" min={0} value={partition.value} style={{ width: '70px' }} onChange={(event) => (partition.value = Math.max(0, Math.trunc(Number(event.currentTarget.value))))} /></label>
            <label class="bar">offset <input type="number" min={0} value={offset.value} style={{ width: '110px' }} onChange={(event) => (offset.value = Math.max(0, Math.trunc(Number(event.currentTarget.value))))} /></label>
          </>
        )}
        {look.value === 'time' && (
          <label class="bar">since <input type="datetime-local" step={1} value={time.value} style={{ width: '190px' }} onChange={(event) => { if (event.currentTarget.value) time.value = event.currentTarget.value; }} /> UTC</label>
        )}
      </header>
      <div class="box rows" key={sql}>
        <Inline sql={sql} label={`Rows of ${relation.name}`} />
      </div>
    </section>
  );
}

function Drop({ relation, statement, dependants, close }: { relation: Relation; statement: string; dependants: number; close: () => void }) {
  const typed = useSignal('');
  const problem = useSignal<Problem | null>(null);
  const drop = async (event: Event) => {
    event.preventDefault();
    try {
      await ask(statement);
      relations.value = (relations.value ?? []).filter((one) => one !== relation);
      go(link('catalog'));
      say(`Dropped ${relation.name}`);
      void readCatalog();
      close();
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  return (
    <Dialog title={`Drop ${relation.name}`} close={close}>
      <form onSubmit={(event) => void drop(event)}>
        <p>All that is in it will be gone.{dependants > 0 && ` ${dependants} more rest on it: they have to go first.`}</p>
        <pre class="value">{statement}</pre>
        <label class="field">Type its name: {relation.name}<input value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)} /></label>
        {problem.value && <Failure problem={problem.value} />}
        <div class="bar">
          <button class="danger" type="submit" disabled={typed.value !== relation.name}>Drop</button>
          <button type="button" onClick={close}>Keep</button>
        </div>
      </form>
    </Dialog>
  );
}
