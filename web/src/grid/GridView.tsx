import { useSignal, type Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

import type { Column, Rows } from '../rows/column';
import { countText } from '../rows/numbers';
import { canSort, COMPARED_MAX, sorted, type Sort } from '../rows/order';
import { stats, type Stats } from '../rows/stats';
import { Dialog, say } from '../ui/parts';
import { Grid } from './grid';

export interface GridProps {
  rows: Rows;
  version: Signal<number>;
  label: string;
  /** Stays at the end as rows come. */
  follow?: boolean;
  /** Hears in which order the rows are shown. */
  onOrder?: (order: Uint32Array | null) => void;
}

/** How often rows that move are sorted anew. */
const RESORT_MS = 400;

/** Rows in a grid: sorted as the reader likes, with a look at one value or one column. */
export function GridView({ rows, version, label, follow = false, onOrder }: GridProps) {
  const host = useRef<HTMLDivElement>(null);
  const grid = useRef<Grid | null>(null);
  const sort = useSignal<Sort | null>(null);
  const opened = useSignal<{ column: Column; text: string | null } | null>(null);
  const about = useSignal<{ column: Column; of: Stats } | null>(null);
  const held = useRef(rows);
  held.current = rows;

  useEffect(() => {
    if (!host.current) return undefined;
    const made = new Grid(
      host.current,
      {
        sort(column) {
          const before = sort.value;
          if (before?.column !== column) {
            if (!canSort(held.current, column)) {
              say(`More than ${countText(COMPARED_MAX)} rows: sort them by ORDER BY`);
              return;
            }
            sort.value = { column, descending: held.current.columns[column]?.kind === 'number' };
          } else if (before.descending === (held.current.columns[column]?.kind === 'number')) {
            sort.value = { column, descending: !before.descending };
          } else sort.value = null;
        },
        open(row, at) {
          const column = held.current.columns[at];
          if (column) opened.value = { column, text: held.current.text(row, at) };
        },
        stats(at) {
          const column = held.current.columns[at];
          if (column) about.value = { column, of: stats(held.current, at) };
        },
        copied: say,
      },
      label,
    );
    grid.current = made;
    return () => {
      grid.current = null;
      made.destroy();
    };
  }, []);

  useEffect(() => {
    sort.value = null;
  }, [rows]);

  useEffect(() => {
    let timer = 0;
    const show = () => {
      timer = 0;
      const wish = sort.value;
      const order = wish ? sorted(rows, wish) : null;
      grid.current?.show(rows, order, wish);
      onOrder?.(order);
    };
    const ends = [
      sort.subscribe(show),
      version.subscribe(() => {
        if (!sort.value) grid.current?.changed();
        else if (!timer) timer = window.setTimeout(show, RESORT_MS);
      }),
    ];
    grid.current?.follow(follow);
    return () => {
      clearTimeout(timer);
      ends.forEach((end) => {
        end();
      });
    };
  }, [rows, version]);

  return (
    <>
      <div class="grid" ref={host} />
      {opened.value && (
        <Dialog title={opened.value.column.name} close={() => (opened.value = null)} wide>
          <p class="note">{opened.value.column.type}</p>
          <pre class="value" tabIndex={0}>{opened.value.text === null ? 'null' : pretty(opened.value.text, opened.value.column)}</pre>
        </Dialog>
      )}
      {about.value && (
        <Dialog title={about.value.column.name} close={() => (about.value = null)}>
          <StatsTable column={about.value.column} of={about.value.of} />
        </Dialog>
      )}
    </>
  );
}

function pretty(text: string, column: Column): string {
  if (column.kind !== 'nested') return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function StatsTable({ column, of }: { column: Column; of: Stats }) {
  const lines: [string, string][] = [
    ['type', column.type.toLowerCase()],
    ['rows', countText(of.rows)],
    ['nulls', `${countText(of.nulls)}${of.rows > 0 ? ` (${((of.nulls / of.rows) * 100).toFixed(1)} %)` : ''}`],
    ['distinct', `${of.distinctIsAtLeast ? 'at least ' : ''}${countText(of.distinct)}`],
  ];
  if (of.least !== null) lines.push(['least', of.least], ['greatest', of.greatest ?? '']);
  if (of.mean !== null) lines.push(['mean', of.mean.toLocaleString('en', { maximumFractionDigits: 4 })]);
  return (
    <>
      <dl class="facts">
        {lines.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {of.common.length > 0 && (
        <table class="common">
          <caption>Most common</caption>
          <tbody>
            {of.common.map(([value, count]) => (
              <tr key={value}>
                <th scope="row">{value}</th>
                <td class="number">{countText(count)}</td>
                <td>
                  <meter min={0} max={of.rows} value={count}>{count}</meter>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
