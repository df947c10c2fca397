import { effect, useSignal, type Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

import type { Choice } from '../ask/chart';
import type { Rows } from '../rows/column';
import { countText } from '../rows/numbers';
import { resolved } from '../ui/colour';
import { Choice as ChoiceOf } from '../ui/parts';
import { LAND } from './land';
import { boundsOf, placeText, ringsOf, spotsOf, WORLD, type Bounds, type Spot } from './places';

export interface MapProps {
  rows: Rows;
  version: Signal<number>;
  choice: Choice;
}

/** Pixels of the squares that rows are gathered in, and of the largest circle. */
const SQUARE = 14;
const RADIUS_MAX = 22;
const RADIUS_MIN = 2.5;
const REDRAW_MS = 250;

const measured = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });
const land = [...ringsOf(LAND)];
const rowsText = (count: number) => `${countText(count)} ${count === 1 ? 'row' : 'rows'}`;

/** Where on earth rows are: circles, whose areas are as the numbers of rows, or the sums of a column, around them. */
export default function EarthMap({ rows, version, choice }: MapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const part = useSignal<'rows' | 'world'>('rows');
  const drawn = useSignal<Drawn | null>(null);
  const near = useSignal<Spot | null>(null);
  const [latitude = 0, measure = null] = choice.ys;
  const name = measure === null ? 'rows' : (rows.columns[measure]?.name ?? '');
  const said = (spot: Spot) => `${measure === null ? '' : `${measured.format(spot.value)} ${name} in `}${rowsText(spot.rows)} around ${placeText(spot.longitude, spot.latitude)}`;
  useEffect(() => {
    const host = canvas.current;
    if (!host) return undefined;
    let timer = 0;
    const draw = () => {
      timer = 0;
      drawn.value = drawOn(host, rows, choice.x, latitude, measure, part.value === 'world' ? WORLD : boundsOf(rows, choice.x, latitude));
      near.value = null;
    };
    const end = effect(() => {
      void version.value;
      void part.value;
      if (!timer) timer = window.setTimeout(draw, drawn.peek() === null ? 0 : REDRAW_MS);
    });
    const observer = new ResizeObserver(draw);
    observer.observe(host);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', draw);
    addEventListener('weir-theme', draw);
    return () => {
      end();
      clearTimeout(timer);
      observer.disconnect();
      dark.removeEventListener('change', draw);
      removeEventListener('weir-theme', draw);
    };
  }, [rows, version, choice]);
  const shown = drawn.value;
  const largest = shown?.spots.reduce<Spot | null>((most, spot) => (!most || spot.value > most.value ? spot : most), null);
  const told = near.value ?? largest;
  return (
    <>
      <div class="map">
        <canvas
          ref={canvas}
          role="img"
          aria-label={`Map of ${name}: ${shown?.spots.length ?? 0} places${largest ? `, most of them ${said(largest)}` : ''}`}
          onPointerMove={(event) => (near.value = shown?.nearest(event.offsetX, event.offsetY) ?? null)}
          onPointerLeave={() => (near.value = null)}
        />
        <ChoiceOf label="Part of the earth" of={[['rows', 'Around the rows'], ['world', 'World']] as const} value={part.value} set={(value) => (part.value = value)} />
      </div>
      <p class="note map-note">
        {told ? `${near.value ? '' : 'Most: '}${said(told)}` : 'No row says a place on earth'}
        {shown && shown.nowhere > 0 ? ` · ${rowsText(shown.nowhere)} without a place` : ''}
        {shown && shown.left > 0 ? ` · ${rowsText(shown.left)} more not drawn` : ''}
      </p>
    </>
  );
}

interface Drawn {
  readonly spots: readonly Spot[];
  readonly nowhere: number;
  readonly left: number;
  /** The spot at a place of the canvas. */
  nearest(x: number, y: number): Spot | null;
}

function drawOn(canvas: HTMLCanvasElement, rows: Rows, longitude: number, latitude: number, measure: number | null, bounds: Bounds): Drawn {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  // A degree is as wide as it is high, and all of the part is seen.
  const scale = Math.max(1e-9, Math.min(width / (bounds.east - bounds.west), height / (bounds.north - bounds.south)));
  const [middleX, middleY] = [(bounds.west + bounds.east) / 2, (bounds.south + bounds.north) / 2];
  const at = (x: number, y: number): [number, number] => [width / 2 + (x - middleX) * scale, height / 2 - (y - middleY) * scale];
  const { spots, nowhere, left } = spotsOf(rows, longitude, latitude, measure, SQUARE / scale);
  const most = Math.max(...spots.map((spot) => spot.value), 0);
  const radius = (spot: Spot) => (most > 0 ? Math.max(RADIUS_MIN, RADIUS_MAX * Math.sqrt(Math.max(0, spot.value) / most)) : RADIUS_MIN);
  const pen = canvas.getContext('2d');
  if (pen) {
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.fillStyle = resolved('--hover');
    pen.strokeStyle = resolved('--edge');
    pen.beginPath();
    for (const ring of land) {
      ring.forEach(([x, y], place) => {
        if (place === 0) pen.moveTo(...at(x, y));
        else pen.lineTo(...at(x, y));
      });
      pen.closePath();
    }
    pen.fill();
    pen.stroke();
    pen.fillStyle = resolved('--series-1');
    pen.strokeStyle = resolved('--ground');
    // The large ones first, so that none hides another.
    for (const spot of [...spots].sort((one, other) => other.value - one.value)) {
      pen.beginPath();
      pen.arc(...at(spot.longitude, spot.latitude), radius(spot), 0, 2 * Math.PI);
      pen.globalAlpha = 0.7;
      pen.fill();
      pen.globalAlpha = 1;
      pen.stroke();
    }
  }
  return {
    spots,
    nowhere,
    left,
    nearest(x, y) {
      let found: Spot | null = null;
      for (const spot of spots) {
        const [left_, top] = at(spot.longitude, spot.latitude);
        const isIn = Math.hypot(left_ - x, top - y) <= radius(spot) + 3;
        if (isIn && (!found || spot.value < found.value)) found = spot;
      }
      return found;
    },
  };
}
