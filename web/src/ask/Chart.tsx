import 'uplot/dist/uPlot.min.css';

import { effect, useSignal, type Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

import type { Rows } from '../rows/column';
import { countText } from '../rows/numbers';
import { resolved } from '../ui/colour';
import { Later } from '../ui/parts';
import { asMap, choose, drawing, type Choice, type Drawing, type Shape } from './chart';

export interface ChartProps {
  rows: Rows;
  version: Signal<number>;
  order: Uint32Array | null;
  /** What to draw; chosen by the types without. */
  choice?: Choice | null;
  /** Hears what the reader has chosen; without it there is nothing to choose. */
  onChoice?: (choice: Choice) => void;
}

const SHAPES: readonly (readonly [Shape, string])[] = [
  ['line', 'Line'],
  ['area', 'Area'],
  ['bar', 'Bars'],
  ['scatter', 'Points'],
  ['map', 'Map of counts'],
];
/** How often a chart of rows that move is drawn. */
const REDRAW_MS = 250;

/** The columns of an answer over one of them. */
export default function Chart({ rows, version, order, choice: given, onChoice }: ChartProps) {
  const picked = useSignal<Choice | null>(given ?? choose(rows.columns));
  const choice = picked.value;
  if (!choice) {
    return <p class="note">A chart needs a column of numbers, and one to draw it over.</p>;
  }
  const set = (change: Partial<Choice>) => {
    picked.value = { ...choice, ...change };
    onChoice?.(picked.value);
  };
  const setShape = (shape: Shape) => {
    // On a map the columns mean something else.
    const isOther = (shape === 'map') !== (choice.shape === 'map');
    const columns = !isOther ? choice : shape === 'map' ? asMap(rows.columns) : (choose(rows.columns, false) ?? choice);
    set({ ...columns, shape });
  };
  return (
    <div class="chart">
      {onChoice && (
        <div class="chart-choice">
          <label>
            as{' '}
            <select value={choice.shape} onChange={(event) => { setShape(event.currentTarget.value as Shape); }}>
              {SHAPES.map(([shape, name]) => <option key={shape} value={shape}>{name}</option>)}
            </select>
          </label>
          {choice.shape === 'map' ? <MapColumns rows={rows} choice={choice} set={set} /> : <PlotColumns rows={rows} choice={choice} set={set} />}
        </div>
      )}
      {choice.shape === 'map' ? (
        <Later load={async () => (await import('../map/Map')).default} props={{ rows, version, choice }} />
      ) : (
        <Plot rows={rows} version={version} order={order} choice={choice} />
      )}
    </div>
  );
}

interface ColumnsProps {
  rows: Rows;
  choice: Choice;
  set: (change: Partial<Choice>) => void;
}

/** What is drawn over what. */
function PlotColumns({ rows, choice, set }: ColumnsProps) {
  return (
    <>
      <label>
        over{' '}
        <select value={choice.x} onChange={(event) => { set({ x: Number(event.currentTarget.value) }); }}>
          {rows.columns.map((column, at) => <option key={at} value={at}>{column.name}</option>)}
        </select>
      </label>
      <fieldset>
        <legend class="unseen">Columns</legend>
        {rows.columns.map((column, at) =>
          column.kind === 'number' && at !== choice.x ? (
            <label key={at} class="check">
              <input
                type="checkbox"
                checked={choice.ys.includes(at)}
                onChange={(event) => {
                  const isOn = event.currentTarget.checked;
                  set({ ys: isOn ? [...choice.ys, at] : choice.ys.filter((one) => one !== at) });
                }}
              />
              {column.name}
            </label>
          ) : null,
        )}
      </fieldset>
    </>
  );
}

/** Which columns say where rows are, and what is summed there. */
function MapColumns({ rows, choice, set }: ColumnsProps) {
  const numbers = rows.columns.flatMap((column, at) => (column.kind === 'number' ? [[at, column.name] as const] : []));
  const [latitude, measure] = choice.ys;
  const options = numbers.map(([at, name]) => <option key={at} value={at}>{name}</option>);
  return (
    <>
      <label>longitude <select value={choice.x} onChange={(event) => { set({ x: Number(event.currentTarget.value) }); }}>{options}</select></label>
      <label>
        latitude{' '}
        <select value={latitude} onChange={(event) => { set({ ys: [Number(event.currentTarget.value), ...(measure === undefined ? [] : [measure])] }); }}>{options}</select>
      </label>
      <label>
        by{' '}
        <select
          value={measure ?? ''}
          onChange={(event) => {
            const { value } = event.currentTarget;
            set({ ys: [latitude ?? 0, ...(value === '' ? [] : [Number(value)])] });
          }}
        >
          <option value="">count of rows</option>
          {options}
        </select>
      </label>
    </>
  );
}

function Plot({ rows, version, order, choice }: { rows: Rows; version: Signal<number>; order: Uint32Array | null; choice: Choice }) {
  const host = useRef<HTMLDivElement>(null);
  const left = useSignal(0);
  useEffect(() => {
    const box = host.current;
    if (!box) return undefined;
    let plot: uPlot | null = null;
    let labels: string[] | null = null;
    let timer = 0;
    const size = () => ({ width: Math.max(120, box.clientWidth), height: Math.max(120, box.clientHeight - (box.querySelector('.u-legend')?.clientHeight ?? 28)) });
    const draw = () => {
      timer = 0;
      const drawn: Drawing = drawing(rows, choice, order);
      left.value = drawn.left;
      labels = drawn.labels;
      const data = [drawn.xs, ...drawn.series] as uPlot.AlignedData;
      if (plot) plot.setData(data);
      else {
        plot = new uPlot({ ...options(rows, choice, () => labels), ...size() }, data, box);
        plot.setSize(size());
      }
    };
    const end = effect(() => {
      void version.value;
      if (!plot) draw();
      else if (!timer) timer = window.setTimeout(draw, REDRAW_MS);
    });
    const observer = new ResizeObserver(() => plot?.setSize(size()));
    observer.observe(box);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const again = () => {
      plot?.destroy();
      plot = null;
      draw();
    };
    dark.addEventListener('change', again);
    addEventListener('weir-theme', again);
    return () => {
      end();
      clearTimeout(timer);
      observer.disconnect();
      dark.removeEventListener('change', again);
      removeEventListener('weir-theme', again);
      plot?.destroy();
    };
  }, [rows, order, choice, version]);
  const names = choice.ys.map((at) => rows.columns[at]?.name ?? '').join(', ');
  return (
    <>
      <div class="plot" ref={host} role="img" aria-label={`${names} over ${rows.columns[choice.x]?.name ?? ''}`} />
      {left.value > 0 && <p class="note">{countText(left.value)} rows more are not drawn</p>}
    </>
  );
}

function options(rows: Rows, choice: Choice, labels: () => string[] | null): Omit<uPlot.Options, 'width' | 'height'> {
  const color = resolved;
  const line = color('--line');
  const muted = color('--muted');
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const x = rows.columns[choice.x];
  const isNamed = choice.shape === 'bar' && x?.kind !== 'time';
  const axis = { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  const naming = (place: number) => labels()?.[place] ?? '';
  const count = choice.ys.length;
  return {
    // As in the grid, moments are those of UTC.
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC'),
    padding: [12, 16, 0, 4],
    cursor: { drag: { x: true, y: false }, points: { size: 6 } },
    legend: { live: true },
    scales: { x: { time: x?.kind === 'time', ...(isNamed ? { range: (_: uPlot, min: number, max: number) => [min - 0.6, max + 0.6] as [number, number] } : {}) }, y: choice.shape === 'bar' || choice.shape === 'area' ? { range: (_: uPlot, min: number, max: number) => [Math.min(0, min), max <= 0 ? 0 : max * 1.05] as [number, number] } : {} },
    axes: [
      isNamed
        ? {
            ...axis,
            grid: { show: false },
            splits: () => (labels() ?? []).map((_, at) => at),
            values: (self: uPlot, splits: number[]) => {
              const room = self.bbox.width / devicePixelRatio / Math.max(1, splits.length);
              const every = Math.max(1, Math.ceil(56 / Math.max(1, room)));
              return splits.map((place) => (place % every === 0 ? shortened(naming(place), room * every) : ''));
            },
          }
        : x?.kind === 'time'
          ? { ...axis, values: (_: uPlot, splits: number[], __: number, ___: number, step: number) => splits.map((at) => clockText(at, step)) }
          : axis,
      { ...axis, size: 64, values: (_: uPlot, splits: number[]) => splits.map((value) => compact.format(value)) },
    ],
    series: [
      { label: x?.name ?? '', ...(x?.kind === 'time' ? { value: (_: uPlot, at: number | null) => (at === null ? '–' : new Date(at * 1000).toISOString().replace('T', ' ').slice(0, 23)) } : {}), ...(isNamed ? { value: (_: uPlot, place: number | null) => (place === null ? '–' : naming(place)) } : {}) },
      ...choice.ys.map((at, number) => {
        const stroke = color(`--series-${(number % 5) + 1}`);
        const base: uPlot.Series = {
          label: rows.columns[at]?.name ?? '',
          stroke,
          width: 1.5,
          value: (_, value) => (value === null ? '–' : exact.format(value)),
          points: { show: false },
        };
        const bars = uPlot.paths.bars;
        switch (choice.shape) {
          case 'bar':
            return bars ? { ...base, fill: stroke, width: 0, paths: bars({ size: [0.7 / 1, 80], align: count > 1 ? (number % 2 === 0 ? -1 : 1) : 0 }) } : base;
          case 'area':
            return { ...base, fill: stroke.replace('rgb(', 'rgba(').replace(')', ', 0.18)') };
          case 'scatter':
            return { ...base, paths: () => null, points: { show: true, size: 5, stroke, fill: stroke } };
          default:
            return base;
        }
      }),
    ],
  };
}

/** A moment at an axis whose marks are `step` seconds apart. */
function clockText(at: number, step: number): string {
  const iso = new Date(at * 1000).toISOString();
  if (step >= 86_400) return iso.slice(0, 10);
  const isMidnight = at % 86_400 === 0;
  return isMidnight ? iso.slice(5, 10) : iso.slice(11, step < 60 ? 19 : 16);
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 });
const exact = new Intl.NumberFormat('en', { maximumFractionDigits: 6 });

function shortened(text: string, room: number): string {
  const chars = Math.max(3, Math.floor(room / 6.5));
  return text.length > chars ? `${text.slice(0, chars - 1)}…` : text;
}
