// An answer within a page: a few rows, or a tail.

import { useEffect, useMemo } from 'preact/hooks';

import { loadChart } from '../ask/Answer';
import { LiveRun, Run, type AnyRun } from '../ask/run';
import { openTab } from '../ask/tabs';
import { isLive, statements } from '../editor/statements';
import { GridView } from '../grid/GridView';
import { LiveRows } from '../rows/live';
import { countText } from '../rows/numbers';
import type { Choice } from '../ask/chart';
import { Failure, Later } from './parts';
import { go, link } from './router';

export interface InlineProps {
  sql: string;
  label: string;
  parameters?: readonly unknown[];
  /** What is drawn, instead of rows; null lets the types choose. */
  chart?: Choice | null;
  /** The first value alone, large. */
  figure?: boolean;
  /** Counts up to ask again. */
  turn?: number;
}

/** Runs a statement as long as it is shown. */
export function Inline({ sql, label, parameters, chart, figure, turn = 0 }: InlineProps) {
  const run = useMemo<AnyRun>(() => {
    const document = { query: sql, parameters: [...(parameters ?? [])] as never };
    const [one] = statements(sql);
    return one && isLive(one) ? new LiveRun(sql, 0, document) : new Run(sql, 0, document);
  }, [sql, JSON.stringify(parameters), turn]);
  useEffect(() => {
    if (run instanceof LiveRun) run.start();
    else void run.run();
    return () => {
      run.stop();
    };
  }, [run]);
  const rows = run.rows.value;
  const problem = run.problem.value;
  if (problem) return <Failure problem={problem} />;
  if (!rows) return <div class="loading" role="status">{run.state.value === 'broken' ? 'reconnecting' : '…'}</div>;
  if (figure) {
    void run.version.value;
    return <p class="large">{rows.count > 0 ? (rows.columns[0]?.kind === 'number' ? countText(rows.number(0, 0)) : rows.text(0, 0)) : '–'}</p>;
  }
  if (chart !== undefined) return <Later load={loadChart} props={{ rows, version: run.version, order: null, choice: chart }} />;
  return <GridView rows={rows} version={run.version} label={label} follow={rows instanceof LiveRows && rows.form === 'appended'} />;
}

/** Opens a text in the editor. */
export function openInEditor(sql: string, title: string): void {
  openTab(sql, title);
  go(link('ask'));
}
