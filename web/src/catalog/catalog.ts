// What the server has: relations with their columns, and functions. It is read anew when a statement may have changed it.

import { computed, signal } from '@preact/signals';

import { ask } from '../api/http';
import { problemOf, type Problem } from '../api/problem';

export interface ColumnInfo {
  schema: string;
  relation: string;
  name: string;
  data_type: string;
  nullable: boolean;
  default: string | null;
  in_primary_key: boolean;
  comment: string | null;
}

export type RelationType = 'stream' | 'table' | 'external table' | 'view' | 'materialized view' | 'sink';

export interface Relation {
  schema: string;
  name: string;
  type: RelationType;
  comment: string | null;
  columns: ColumnInfo[];
}

export interface FunctionInfo {
  name: string;
  type: string;
  syntax: string | null;
  description: string | null;
}

/** The order in which kinds are shown, and what they are called. */
export const KINDS: readonly (readonly [RelationType, string])[] = [
  ['stream', 'Streams'],
  ['materialized view', 'Materialized views'],
  ['table', 'Tables'],
  ['view', 'Views'],
  ['external table', 'Files'],
  ['sink', 'Sinks'],
];

export const relations = signal<Relation[] | null>(null);
export const functions = signal<FunctionInfo[]>([]);
/** Why the catalog could not be read. */
export const catalogProblem = signal<Problem | null>(null);

const byName = computed(() => new Map((relations.value ?? []).map((relation) => [`${relation.schema}.${relation.name}`, relation])));

/** The relation of this name. */
export function relation(schema: string, name: string): Relation | undefined {
  return byName.value.get(`${schema}.${name}`);
}

// The names of all relations and of the columns that they have; system tables are told by information_schema.
const RELATIONS = `SELECT schema, name, 'stream' AS type, comment FROM weir.streams
  UNION ALL SELECT schema, name, 'table', comment FROM weir.tables
  UNION ALL SELECT schema, name, 'external table', comment FROM weir.external_tables
  UNION ALL SELECT schema, name, 'view', comment FROM weir.views
  UNION ALL SELECT schema, name, 'materialized view', comment FROM weir.materialized_views
  UNION ALL SELECT schema, name, 'sink', comment FROM weir.sinks
  ORDER BY 1, 2`;
const COLUMNS = `SELECT schema, relation, name, data_type, nullable, "default", in_primary_key, comment
  FROM weir.columns ORDER BY schema, relation, position`;

let reading: Promise<void> | null = null;

/** Reads the catalog. Two wishes at a time are one. */
export function readCatalog(): Promise<void> {
  reading ??= read().finally(() => {
    reading = null;
  });
  return reading;
}

async function read(): Promise<void> {
  try {
    const [found, columns, known] = await Promise.all([
      ask<Omit<Relation, 'columns'>>(RELATIONS),
      ask<ColumnInfo>(COLUMNS),
      functions.value.length > 0
        ? functions.value
        : ask<FunctionInfo>('SELECT name, type, syntax, description FROM weir.functions'),
    ]);
    const of = new Map<string, ColumnInfo[]>();
    for (const column of columns) {
      const key = `${column.schema}.${column.relation}`;
      const held = of.get(key);
      if (held) held.push(column);
      else of.set(key, [column]);
    }
    relations.value = found.map((one) => ({ ...one, columns: of.get(`${one.schema}.${one.name}`) ?? [] }));
    functions.value = known;
    catalogProblem.value = null;
  } catch (error) {
    catalogProblem.value = problemOf(error);
  }
}

/** Whether a command of this tag changes what the catalog says. */
export function changesCatalog(command: string | null): boolean {
  return command !== null && /^(CREATE|DROP|ALTER|COMMENT)/.test(command);
}
