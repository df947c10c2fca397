/** What a column is to a reader: how it is aligned, sorted and drawn. */
export type Kind = 'number' | 'text' | 'time' | 'boolean' | 'nested' | 'bytes';

export interface Column {
  readonly name: string;
  /** The SQL type, as the server writes it. */
  readonly type: string;
  readonly kind: Kind;
  readonly nullable: boolean;
  /** Whether it is part of the key of a live answer. */
  readonly key: boolean;
}

/** What a value is ordered by: all values of one column have one of these types, or are null. */
export type Ordered = number | bigint | string | null;

/** Rows that are held: by the grid, a chart, a download. */
export interface Rows {
  readonly columns: readonly Column[];
  readonly count: number;
  /** The value as text; null for SQL's null. */
  text(row: number, column: number): string | null;
  /** The value as a piece of JSON. */
  json(row: number, column: number): string;
  /** What the value is ordered by. */
  order(row: number, column: number): Ordered;
  /** The value as a number, a moment in milliseconds since 1970; NaN for what is none. */
  number(row: number, column: number): number;
}

/** The kind of an SQL type. */
export function kindOf(type: string): Kind {
  const name = type.toUpperCase();
  if (name.endsWith('[]') || /^(STRUCT|MAP|JSON)/.test(name)) return 'nested';
  if (/^(TINYINT|SMALLINT|INTEGER|BIGINT|REAL|DOUBLE|DECIMAL|NUMERIC)/.test(name)) return 'number';
  if (/^(DATE|TIME)/.test(name)) return 'time';
  if (name === 'BOOLEAN') return 'boolean';
  if (name === 'BYTEA') return 'bytes';
  return 'text';
}
