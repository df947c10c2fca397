// Rows as places on earth: which columns say where they are, and how many are where.

import type { Column, Rows } from '../rows/column';

/** A part of the earth, in degrees. */
export interface Bounds {
  readonly west: number;
  readonly east: number;
  readonly south: number;
  readonly north: number;
}

/** Rows near one another. */
export interface Spot {
  /** Their middle. */
  readonly longitude: number;
  readonly latitude: number;
  readonly rows: number;
  /** The sum of what is measured, or the number of rows where nothing is. */
  readonly value: number;
}

export interface Spots {
  readonly spots: readonly Spot[];
  /** Rows that say no place on earth. */
  readonly nowhere: number;
  /** Rows that were not looked at. */
  readonly left: number;
}

export const WORLD: Bounds = { west: -180, east: 180, south: -60, north: 85 };

/** Rows that are looked at; of more, an even share. */
const ROWS_MAX = 200_000;
/** The smallest part of the earth that is shown, in degrees. */
const SPAN_MIN = 0.02;

const LONGITUDE = /(^|_)(lon|lng|long|longitude)(_deg(rees)?)?$/i;
const LATITUDE = /(^|_)(lat|latitude)(_deg(rees)?)?$/i;

/** The columns that by name and type are a longitude and a latitude. */
export function placeColumns(columns: readonly Column[]): { longitude: number; latitude: number } | null {
  const named = (name: RegExp) => columns.findIndex((column) => column.kind === 'number' && name.test(column.name));
  const [longitude, latitude] = [named(LONGITUDE), named(LATITUDE)];
  return longitude < 0 || latitude < 0 ? null : { longitude, latitude };
}

/** The part of the earth that all rows with a place are in, with some room around; the world when there are none. */
export function boundsOf(rows: Rows, longitude: number, latitude: number): Bounds {
  let [west, east, south, north] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of places(rows, longitude, latitude)) {
    west = Math.min(west, x);
    east = Math.max(east, x);
    south = Math.min(south, y);
    north = Math.max(north, y);
  }
  if (west > east) return WORLD;
  const room = Math.max(SPAN_MIN, (east - west) * 0.08, (north - south) * 0.08);
  return { west: west - room, east: east + room, south: south - room, north: north + room };
}

/** The rows gathered in squares of so many degrees. @param measure the column whose sum counts; null counts rows */
export function spotsOf(rows: Rows, longitude: number, latitude: number, measure: number | null, degrees: number): Spots {
  const held = new Map<string, { x: number; y: number; rows: number; value: number }>();
  let found = 0;
  for (const [x, y, row] of places(rows, longitude, latitude)) {
    found += 1;
    const key = `${Math.floor(x / degrees)} ${Math.floor(y / degrees)}`;
    let spot = held.get(key);
    if (!spot) held.set(key, (spot = { x: 0, y: 0, rows: 0, value: 0 }));
    spot.x += x;
    spot.y += y;
    spot.rows += 1;
    const measured = measure === null ? 1 : rows.number(row, measure);
    if (Number.isFinite(measured)) spot.value += measured;
  }
  const looked = Math.ceil(rows.count / stepOf(rows));
  return {
    spots: [...held.values()].map(({ x, y, rows: count, value }) => ({ longitude: x / count, latitude: y / count, rows: count, value })),
    nowhere: looked - found,
    left: rows.count - looked,
  };
}

/** The rings of the land, as places in degrees. */
export function* ringsOf(text: string): Generator<[number, number][]> {
  for (const ring of text.split(',')) {
    const steps = ring.split(' ').map(Number);
    let [x, y] = [0, 0];
    const places: [number, number][] = [];
    for (let at = 0; at + 1 < steps.length; at += 2) {
      x += steps[at] ?? 0;
      y += steps[at + 1] ?? 0;
      places.push([x / 2, y / 2]);
    }
    yield places;
  }
}

/** `52.52° N, 13.40° E`. */
export function placeText(longitude: number, latitude: number): string {
  const part = (degrees: number, positive: string, negative: string) => `${Math.abs(degrees).toFixed(2)}° ${degrees < 0 ? negative : positive}`;
  return `${part(latitude, 'N', 'S')}, ${part(longitude, 'E', 'W')}`;
}

function stepOf(rows: Rows): number {
  return Math.max(1, Math.ceil(rows.count / ROWS_MAX));
}

function* places(rows: Rows, longitude: number, latitude: number): Generator<[number, number, number]> {
  const step = stepOf(rows);
  for (let row = 0; row < rows.count; row += step) {
    const [x, y] = [rows.number(row, longitude), rows.number(row, latitude)];
    // Null is no number, and no place either.
    if (x >= -180 && x <= 180 && y >= -90 && y <= 90 && rows.order(row, longitude) !== null && rows.order(row, latitude) !== null) yield [x, y, row];
  }
}
