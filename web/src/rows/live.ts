// Rows that move: what a live answer has told so far.

import { kindOf, type Column, type Ordered, type Rows } from './column';

/** A column as the server describes it in a live answer. */
export interface ColumnDocument {
  name: string;
  type: string;
  nullable: boolean;
  key?: boolean;
}

/** A row as it comes: an object by the columns' names. */
export type RowDocument = Readonly<Record<string, unknown>>;

/** A row that is shown. */
interface Row {
  values: unknown[];
  /** When it last changed, in milliseconds; 0 when it was there from the start. */
  changedAt: number;
  /** The columns that changed then; null for all. */
  changed: Set<number> | null;
  gone: boolean;
}

/** Rows that only come are kept up to so many; the oldest go first. */
export const APPENDED_MAX = 100_000;
/** A changelog over more keys than this is not kept. */
export const KEYED_MAX = 200_000;

/** How the rows of a live answer are told. */
export type Form = 'appended' | 'keyed' | 'counted';

/** The answer so far, under the changes that come. */
export class LiveRows implements Rows {
  readonly columns: readonly Column[];
  readonly form: Form;
  /** Changes that were applied. */
  changes = 0;
  /** Appended rows that are no longer kept. */
  dropped = 0;
  private readonly names: readonly string[];
  private readonly key: readonly number[];
  private rows: Row[] = [];
  private readonly byKey = new Map<string, Row[]>();
  private goneCount = 0;

  constructor(documents: readonly ColumnDocument[]) {
    const shown = documents.filter((document) => document.name !== '_op');
    this.columns = shown.map((document) => ({
      name: document.name,
      type: document.type,
      kind: kindOf(document.type),
      nullable: document.nullable,
      key: document.key ?? false,
    }));
    this.names = shown.map((document) => document.name);
    this.key = this.columns.flatMap((column, at) => (column.key ? [at] : []));
    // A change without a key names the whole row, of which there may be several alike.
    if (shown.length === documents.length) this.form = 'appended';
    else this.form = this.key.length > 0 ? 'keyed' : 'counted';
  }

  get count(): number {
    return this.rows.length;
  }

  /** Whether no more keys can be kept. */
  get full(): boolean {
    return this.form !== 'appended' && this.rows.length > KEYED_MAX;
  }

  /**
   * Applies what came, all of which happened at one moment.
   * @param at the moment to light changes at; 0 for what was there from the start
   */
  apply(documents: readonly RowDocument[], at: number): void {
    this.changes += documents.length;
    if (this.form === 'appended') {
      for (const document of documents) {
        // Each of them is new: light would tell nothing.
        this.rows.push({ values: this.valuesOf(document), changedAt: 0, changed: null, gone: false });
      }
      const over = this.rows.length - APPENDED_MAX;
      // Cut in larger pieces than one row, so that a full list is not moved with every row.
      if (over > APPENDED_MAX / 10) {
        this.rows.splice(0, over);
        this.dropped += over;
      }
      return;
    }
    for (const document of documents) this.change(document, at);
    if (this.goneCount > 0) {
      this.rows = this.rows.filter((row) => !row.gone);
      this.goneCount = 0;
    }
  }

  /** When the value last changed, in milliseconds; 0 for never. */
  changedAt(row: number, column: number): number {
    const held = this.rows[row];
    if (!held || held.changedAt === 0) return 0;
    return held.changed === null || held.changed.has(column) ? held.changedAt : 0;
  }

  private change(document: RowDocument, at: number): void {
    const values = this.valuesOf(document);
    const key = this.keyOf(values);
    const held = this.byKey.get(key);
    switch (document['_op']) {
      case 'update_before':
        // The row after it has the same key, and takes its place.
        if (this.form === 'counted') this.remove(key);
        return;
      case 'delete':
        this.remove(key);
        return;
      case 'update_after': {
        const row = held?.[0];
        if (row && this.form === 'keyed') {
          const changed = new Set<number>();
          values.forEach((value, column) => {
            if (!same(value, row.values[column])) changed.add(column);
          });
          row.values = values;
          row.changed = changed;
          row.changedAt = at;
          return;
        }
        this.insert(key, values, at);
        return;
      }
      default:
        // A key that went and came back in one step is the same row to who looks at it.
        this.insert(key, values, at);
    }
  }

  private insert(key: string, values: unknown[], at: number): void {
    const row: Row = { values, changedAt: at, changed: null, gone: false };
    const held = this.byKey.get(key);
    if (held) held.push(row);
    else this.byKey.set(key, [row]);
    this.rows.push(row);
  }

  private remove(key: string): void {
    const held = this.byKey.get(key);
    const row = held?.pop();
    if (!row) return;
    row.gone = true;
    this.goneCount += 1;
    if (held?.length === 0) this.byKey.delete(key);
  }

  private valuesOf(document: RowDocument): unknown[] {
    return this.names.map((name) => document[name] ?? null);
  }

  private keyOf(values: readonly unknown[]): string {
    if (this.form === 'keyed') return JSON.stringify(this.key.map((column) => values[column]));
    return JSON.stringify(values);
  }

  text(row: number, column: number): string | null {
    return valueText(this.rows[row]?.values[column], this.columns[column]);
  }

  json(row: number, column: number): string {
    return JSON.stringify(this.rows[row]?.values[column] ?? null);
  }

  order(row: number, column: number): Ordered {
    const value = this.rows[row]?.values[column] ?? null;
    if (value === null) return null;
    if (this.columns[column]?.kind === 'number') {
      if (typeof value === 'string' && /^-?\d+$/.test(value)) return BigInt(value);
      return Number(value);
    }
    if (typeof value === 'number') return value;
    return typeof value === 'string' ? value : JSON.stringify(value);
  }

  number(row: number, column: number): number {
    const value = this.rows[row]?.values[column];
    if (value === null || value === undefined) return Number.NaN;
    if (typeof value === 'boolean') return value ? 1 : 0;
    if (this.columns[column]?.kind === 'time') return momentNumber(String(value));
    return Number(value);
  }
}

function same(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/** A moment of an answer in JSON, in milliseconds; a time of day is one of 1970-01-01. */
export function momentNumber(text: string): number {
  if (/^\d\d:/.test(text)) return Date.parse(`1970-01-01T${text}Z`);
  return Date.parse(/Z$|[+-]\d\d:\d\d$/.test(text) || !text.includes('T') ? text : `${text}Z`);
}

/** A value of an answer in JSON as text; null for SQL's null. */
export function valueText(value: unknown, column: Column | undefined): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return column?.kind === 'time' ? value.replace('T', ' ') : value;
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}
