// A dashboard: tiles in order, each an answer in some form.

import type { Choice } from '../ask/chart';

export type Form = 'rows' | 'chart' | 'figure';

export interface Tile {
  readonly title: string;
  readonly sql: string;
  readonly form: Form;
  /** Of six columns. */
  readonly width: number;
  /** What is drawn; null lets the types choose. */
  readonly chart: Choice | null;
}

export interface Board {
  readonly tiles: readonly Tile[];
}

export const WIDTHS = [2, 3, 4, 6] as const;

/** A board as it was saved; what is none has no tiles. */
export function boardIn(body: unknown): Board {
  const { tiles } = (body ?? {}) as { tiles?: unknown };
  if (!Array.isArray(tiles)) return { tiles: [] };
  return {
    tiles: tiles.flatMap((one: Partial<Tile>) =>
      typeof one.sql === 'string' && typeof one.title === 'string'
        ? [{ title: one.title, sql: one.sql, form: one.form ?? 'rows', width: one.width ?? 3, chart: one.chart ?? null }]
        : [],
    ),
  };
}

/** The board with the tile moved by so many places. */
export function moved(board: Board, at: number, by: number): Board {
  const to = at + by;
  const tile = board.tiles[at];
  if (!tile || to < 0 || to >= board.tiles.length) return board;
  const tiles = board.tiles.filter((_, other) => other !== at);
  tiles.splice(to, 0, tile);
  return { tiles };
}

/** The next width of a tile, wider or narrower. */
export function resized(width: number, by: 1 | -1): number {
  const at = WIDTHS.findIndex((one) => one >= width);
  return WIDTHS[Math.max(0, Math.min(WIDTHS.length - 1, at + by))] ?? width;
}
