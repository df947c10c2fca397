import { useComputed, useSignal } from '@preact/signals';
import type { ComponentType } from 'preact';

import { GridView } from '../grid/GridView';
import { LiveRows } from '../rows/live';
import { bytesText, countText, spanText } from '../rows/numbers';
import { Choice, Failure, Later } from '../ui/parts';
import type { ChartProps } from './Chart';
import { DownloadMenu } from './Download';
import PlanView, { plansIn } from './Plan';
import { LiveRun, type AnyRun } from './run';

type View = 'rows' | 'both' | 'chart';

export const loadChart = async (): Promise<ComponentType<ChartProps>> => (await import('./Chart')).default;

/** The answer of one run: its rows, a chart beside them, its plan, or why there are none. */
export function Answer({ run }: { run: AnyRun }) {
  const view = useSignal<View>('rows');
  const order = useSignal<Uint32Array | null>(null);
  const rows = run.rows.value;
  const isWhole = useComputed(() => run.state.value === 'done' || run.state.value === 'held');
  const plans = rows && isWhole.value ? plansIn(rows) : [];
  const problem = run.problem.value;
  const hasRows = rows !== null && rows.columns.length > 0;
  const setOrder = (next: Uint32Array | null) => {
    order.value = next;
  };
  return (
    <section class="answer" aria-label="Answer">
      <div class="bar answer-bar">
        <Status run={run} />
        <span class="gap" />
        {hasRows && plans.length === 0 && (
          <>
            <Choice label="View" of={[['rows', 'Rows'], ['both', 'Both'], ['chart', 'Chart']] as const} value={view.value} set={(value) => (view.value = value)} />
            <DownloadMenu run={run} rows={rows} order={order.value} />
          </>
        )}
        <Controls run={run} />
      </div>
      {problem && <Failure problem={problem} />}
      {run.state.value === 'held' && (
        <p class="note held">
          The page holds {countText(rows?.count ?? 0)} rows, as much as it can, and has stopped the query. A filter or an aggregate makes the
          answer smaller.
        </p>
      )}
      {plans.length > 0 ? (
        <PlanView plans={plans} />
      ) : (
        hasRows && (
          <div class={`views ${view.value}`}>
            {view.value !== 'chart' && (
              <GridView rows={rows} version={run.version} label="Rows" onOrder={setOrder} follow={rows instanceof LiveRows && rows.form === 'appended'} />
            )}
            {view.value !== 'rows' && (
              <Later load={loadChart} props={{ rows, version: run.version, order: order.value, onChoice: () => undefined }} key={rowsKey(rows)} />
            )}
          </div>
        )
      )}
      {!hasRows && !problem && run.state.value === 'done' && (
        <p class="command-done">
          <span aria-hidden="true">✓</span> {run.command.value ?? 'Done'}
        </p>
      )}
    </section>
  );
}

const keys = new WeakMap<object, number>();
let nextKey = 0;

/** A chart is made anew for other rows. */
function rowsKey(rows: object): number {
  let key = keys.get(rows);
  if (key === undefined) {
    key = nextKey += 1;
    keys.set(rows, key);
  }
  return key;
}

function Status({ run }: { run: AnyRun }) {
  const state = run.state.value;
  // Told at each change of the rows.
  void run.version.value;
  const rows = run.rows.value;
  const count = rows && rows.columns.length > 0 ? `${countText(rows.count)} row${rows.count === 1 ? '' : 's'}` : '';
  if (run instanceof LiveRun) {
    const behind = run.behind.value;
    const words = {
      running: 'starting', live: 'live', paused: 'paused', broken: 'reconnecting', done: 'ended', failed: 'failed', cancelled: 'stopped', held: '',
    }[state];
    const dropped = rows instanceof LiveRows ? rows.dropped : 0;
    return (
      <p class="status" role="status">
        <span class={`dot ${state}`} aria-hidden="true" />
        <b>{words}</b>
        <span>{count}</span>
        {dropped > 0 && <span>{countText(dropped)} older ones let go</span>}
        {(state === 'live' || state === 'paused') && <span>{run.rate.value >= 100 ? countText(Math.round(run.rate.value)) : run.rate.value.toFixed(1)}/s</span>}
        {behind !== null && (state === 'live' || state === 'paused') && <span class={behind > 10_000 ? 'warn' : ''}>{behind === 0 ? 'up to date' : `${countText(behind)} behind`}</span>}
        {run.resumed.value > 0 && <span>resumed {run.resumed.value === 1 ? 'once' : `${run.resumed.value} times`}</span>}
      </p>
    );
  }
  const progress = run.progress.value;
  const bytes = rows && 'bytes' in rows ? Number(rows.bytes) : 0;
  return (
    <p class="status" role="status">
      <span class={`dot ${state}`} aria-hidden="true" />
      {state === 'running' && <b>running</b>}
      {state === 'cancelled' && <b>cancelled</b>}
      {state === 'failed' && <b>failed</b>}
      {count && <span>{count}</span>}
      {bytes > 100_000 && <span>{bytesText(bytes)}</span>}
      <span>{spanText(run.elapsedMs.value)}</span>
      {state === 'running' && progress && progress.memory_bytes > 0 && <span>memory {bytesText(progress.memory_bytes)}</span>}
      {progress && progress.spilled_bytes > 0 && <span class="warn">spilled {bytesText(progress.spilled_bytes)}</span>}
    </p>
  );
}

function Controls({ run }: { run: AnyRun }) {
  const state = run.state.value;
  if (run instanceof LiveRun) {
    return (
      <>
        {(state === 'live' || state === 'broken' || state === 'running') && <button onClick={() => { run.pause(); }}>Pause</button>}
        {state === 'paused' && <button class="strong" onClick={() => { run.resume(); }}>Go on</button>}
        {state !== 'done' && state !== 'failed' && state !== 'cancelled' && <button onClick={() => { run.stop(); }}>Stop</button>}
      </>
    );
  }
  return state === 'running' ? <button onClick={() => { run.stop(); }}>Cancel</button> : null;
}
