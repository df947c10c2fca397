import { useSignal } from '@preact/signals';

import { ask, qualified, request } from '../api/http';
import { problemOf, type Problem } from '../api/problem';
import { ENDS } from '../catalog/Catalog';
import { rateText, Rates, type End } from '../catalog/rates';
import { bytesText, countText, spanText } from '../rows/numbers';
import { openInEditor } from '../ui/Inline';
import type { GraphProps } from '../ui/graph';
import { Choice, Empty, Failure, Later, say, useEvery } from '../ui/parts';
import { link, place } from '../ui/router';
import { lineage, type Dependency, type Lineage, type Node } from './lineage';

interface Job {
  schema: string;
  name: string;
  type: string;
  state: string;
  rows_behind: number;
  behind_since: string | null;
  rows_read: number;
  rows_skipped: number;
  step_us: number | null;
  state_rows: number;
  state_bytes: number;
  disk_bytes: number;
  checkpoint_at: string | null;
  checkpoint_error: string | null;
  watermark: string | null;
  late_rows: number | null;
  error: string | null;
}

interface Query {
  query_id: string;
  state: string;
  live: boolean;
  started_at: string;
  elapsed_ms: number;
  rows: number;
  bytes: number;
  memory_bytes: number;
  spilled_bytes: number;
  error: string | null;
  sql: string;
}

const EVERY_MS = 2_000;
/** How many looks at what moves there are to one at what does not. */
const SELDOM = 5;
// Looks of this page and its like at the system's tables would hide what people ask.
const QUERIES = "SELECT * FROM weir.queries WHERE sql NOT LIKE '%FROM weir.%' ORDER BY started_at DESC LIMIT 200";

/** What runs by itself, and what was asked. */
export default function Jobs() {
  const jobs = useSignal<readonly Job[] | null>(null);
  const queries = useSignal<readonly Query[]>([]);
  const flows = useSignal<Lineage>({ nodes: [], flows: [] });
  const topics = useSignal<ReadonlyMap<string, string>>(new Map());
  const rates = useSignal(new Rates());
  const problem = useSignal<Problem | null>(null);
  const shown = useSignal<'running' | 'all'>(place.value.query.get('queries') === 'all' ? 'all' : 'running');
  const turn = useSignal(0);
  const looks = useSignal(0);
  useEvery(
    EVERY_MS,
    async (signal) => {
      try {
        const [held, asked, ends] = await Promise.all([
          ask<Job>('SELECT * FROM weir.jobs ORDER BY schema, name', [], signal),
          ask<Query>(QUERIES, [], signal),
          ask<End>(ENDS, [], signal),
        ]);
        const isNew = held.length !== jobs.value?.length || held.some((job, at) => job.name !== jobs.value?.[at]?.name);
        if (isNew || looks.value % SELDOM === 0) {
          const [edges, sinks, names] = await Promise.all([
            ask<Dependency>('SELECT * FROM weir.dependencies', [], signal),
            ask<{ schema: string; name: string; target: string }>('SELECT schema, name, target FROM weir.sinks', [], signal),
            ask<{ schema: string; name: string; topic: string }>('SELECT DISTINCT schema, name, topic FROM weir.topics', [], signal),
          ]);
          flows.value = lineage(edges, new Map(sinks.map((sink) => [`${sink.schema}.${sink.name}`, sink.target])));
          topics.value = new Map(names.map((one) => [`${one.schema}.${one.name}`, one.topic]));
        }
        looks.value += 1;
        jobs.value = held;
        queries.value = asked;
        rates.value.add(ends, Date.now());
        problem.value = null;
      } catch (error) {
        if (!signal.aborted) problem.value = problemOf(error);
      }
    },
    [turn.value],
  );
  if (!jobs.value) return problem.value ? <Failure problem={problem.value} /> : <div class="loading" role="status">…</div>;
  const again = () => {
    turn.value += 1;
  };
  const running = queries.value.filter((query) => query.state === 'running' || query.state === 'queued');
  const listed = shown.value === 'running' ? running : queries.value;
  return (
    <div class="page">
      <header><h1>Jobs</h1></header>
      {problem.value && <Failure problem={problem.value} />}
      {jobs.value.length === 0 ? (
        <Empty title="No continuous queries">
          <p>A materialized view keeps the answer of a query while rows come; a sink passes it on. Make one:</p>
          <button class="example" onClick={() => { openInEditor('CREATE MATERIALIZED VIEW best AS\n  SELECT auction, count(*) AS bids, max(price) AS highest\n  FROM bids GROUP BY auction', 'A view'); }}>
            <code>CREATE MATERIALIZED VIEW best AS SELECT auction, max(price) AS highest FROM bids GROUP BY auction</code>
          </button>
        </Empty>
      ) : (
        <>
          <section>
            <h2>Lineage</h2>
            <div class="box">
              <Later load={async () => (await import('../ui/graph')).default} props={graphOf(flows.value, jobs.value, topics.value, rates.value)} />
            </div>
          </section>
          <JobTable jobs={jobs.value} changed={again} />
        </>
      )}
      <section>
        <header>
          <h2>Queries</h2>
          <Choice label="Which queries" of={[['running', `Running ${running.length}`], ['all', 'Recent']] as const} value={shown.value} set={(value) => (shown.value = value)} />
        </header>
        {listed.length === 0 ? <p class="note">None runs now.</p> : <QueryTable queries={listed} changed={again} />}
      </section>
    </div>
  );
}

function graphOf(flows: Lineage, jobs: readonly Job[], topics: ReadonlyMap<string, string>, rates: Rates): GraphProps {
  const byId = new Map(jobs.map((job) => [`${job.schema}.${job.name}`, job]));
  return {
    direction: 'LR',
    label: 'Lineage: rows flow to the right',
    boxes: flows.nodes.map((node) => ({ id: node.id, width: 196, height: 74, content: <NodeBox node={node} job={byId.get(node.id)} rate={rates.of(topics.get(node.id) ?? '')} /> })),
    arrows: flows.flows,
  };
}

function NodeBox({ node, job, rate }: { node: Node; job: Job | undefined; rate: number | null }) {
  return (
    <a class="node" href={link('catalog', node.schema, node.name)} data-state={job?.state}>
      <span class="node-head">
        {job && <span class={`dot ${dotOf(job)}`} aria-hidden="true" />}
        <strong>{node.schema === 'public' ? node.name : `${node.schema}.${node.name}`}</strong>
      </span>
      <span class="node-line">
        <small>{node.type}</small>
        {node.type !== 'sink' && rate !== null && <small>{rateText(rate)}</small>}
      </span>
      {job && (
        <span class="node-line">
          <span class={job.rows_behind > 10_000 ? 'warn' : ''}>{job.state !== 'running' ? job.state : job.rows_behind === 0 ? 'up to date' : `${countText(job.rows_behind)} behind`}</span>
          <small>{job.step_us === null ? '' : spanText(job.step_us / 1000)}{job.state_bytes > 0 ? ` · ${bytesText(job.state_bytes)}` : ''}</small>
        </span>
      )}
    </a>
  );
}

function dotOf(job: Job): string {
  return job.state === 'running' ? 'done' : job.state;
}

function JobTable({ jobs, changed }: { jobs: readonly Job[]; changed: () => void }) {
  const alter = async (job: Job, action: 'PAUSE' | 'RESUME') => {
    try {
      await ask(`ALTER ${job.type === 'sink' ? 'SINK' : 'MATERIALIZED VIEW'} ${qualified(job.schema, job.name)} ${action}`);
    } catch (error) {
      say(problemOf(error).message);
    }
    changed();
  };
  const hasWatermarks = jobs.some((job) => job.watermark !== null);
  return (
    <section>
      <h2>Continuous queries</h2>
      <div class="scroll">
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">State</th>
              <th scope="col" class="number">Behind</th>
              <th scope="col" class="number">Lag</th>
              <th scope="col" class="number">Step</th>
              <th scope="col" class="number">State rows</th>
              <th scope="col" class="number">Memory</th>
              <th scope="col" class="number">Disk</th>
              {hasWatermarks && <th scope="col">Watermark</th>}
              {hasWatermarks && <th scope="col" class="number">Late</th>}
              <th scope="col">Checkpoint</th>
              <th scope="col"><span class="unseen">Actions</span></th>
            </tr>
          </thead>
          <tbody>
            {jobs.map((job) => (
              <tr key={`${job.schema}.${job.name}`}>
                <th scope="row"><a href={link('catalog', job.schema, job.name)}>{job.schema === 'public' ? job.name : `${job.schema}.${job.name}`}</a> <small>{job.type === 'sink' ? 'sink' : 'view'}</small></th>
                <td>
                  <span class="state"><span class={`dot ${dotOf(job)}`} aria-hidden="true" />{job.state}</span>
                  {job.error && <div class="bad">{job.error}</div>}
                  {job.rows_skipped > 0 && <div class="warn">{countText(job.rows_skipped)} rows left out</div>}
                </td>
                <td class="number">{countText(job.rows_behind)}</td>
                <td class="number">{job.behind_since ? spanText(Math.max(0, Date.now() - Date.parse(job.behind_since))) : '–'}</td>
                <td class="number">{job.step_us === null ? '–' : spanText(job.step_us / 1000)}</td>
                <td class="number">{countText(job.state_rows)}</td>
                <td class="number">{bytesText(job.state_bytes)}</td>
                <td class="number">{job.disk_bytes === 0 ? '–' : bytesText(job.disk_bytes)}</td>
                {hasWatermarks && <td>{job.watermark?.replace('T', ' ').replace(/\.\d+Z$/, 'Z') ?? '–'}</td>}
                {hasWatermarks && <td class="number">{job.late_rows === null ? '–' : countText(job.late_rows)}</td>}
                <td>
                  {job.checkpoint_at ? `${spanText(Math.max(0, Date.now() - Date.parse(job.checkpoint_at)))} ago` : '–'}
                  {job.checkpoint_error && <div class="bad">{job.checkpoint_error}</div>}
                </td>
                <td>
                  {job.state === 'paused' || job.state === 'failed' ? (
                    <button onClick={() => void alter(job, 'RESUME')} aria-label={`Resume ${job.name}`}>Resume</button>
                  ) : (
                    <button onClick={() => void alter(job, 'PAUSE')} aria-label={`Pause ${job.name}`}>Pause</button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function QueryTable({ queries, changed }: { queries: readonly Query[]; changed: () => void }) {
  const kill = async (id: string) => {
    try {
      await request(`v1/queries/${id}`, { method: 'DELETE' });
    } catch (error) {
      say(problemOf(error).message);
    }
    changed();
  };
  return (
    <div class="scroll">
      <table class="list">
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Statement</th>
            <th scope="col" class="number">Time</th>
            <th scope="col" class="number">Rows</th>
            <th scope="col" class="number">Memory</th>
            <th scope="col" class="number">Spilled</th>
            <th scope="col">Since</th>
            <th scope="col"><span class="unseen">Actions</span></th>
          </tr>
        </thead>
        <tbody>
          {queries.map((query) => {
            const isRunning = query.state === 'running' || query.state === 'queued';
            return (
              <tr key={query.query_id}>
                <td><span class="state"><span class={`dot ${query.state === 'finished' ? 'done' : query.state}`} aria-hidden="true" />{query.live && isRunning ? 'live' : query.state}</span></td>
                <td class="statement">
                  <button class="quiet" title="Open in the editor" onClick={() => { openInEditor(query.sql, 'From the list'); }}><code>{query.sql.replace(/\s+/g, ' ').slice(0, 160)}</code></button>
                  {query.error && <div class="bad">{query.error}</div>}
                </td>
                <td class="number">{spanText(query.elapsed_ms)}</td>
                <td class="number">{countText(query.rows)}</td>
                <td class="number">{query.memory_bytes === 0 ? '–' : bytesText(query.memory_bytes)}</td>
                <td class="number">{query.spilled_bytes === 0 ? '–' : bytesText(query.spilled_bytes)}</td>
                <td>{new Date(query.started_at).toLocaleTimeString()}</td>
                <td>{isRunning && <button class="danger" onClick={() => void kill(query.query_id)} aria-label={`Kill ${query.query_id}`}>Kill</button>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
