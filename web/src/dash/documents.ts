// What the console keeps on the server: saved queries and dashboards. They are rows of a table like any other, which is
// made when the first is saved; so they are as durable, can be read by SQL, and obey the same rights.

import { signal } from '@preact/signals';

import { ask } from '../api/http';
import { problemOf, type Problem } from '../api/problem';
import { readCatalog, relation, relations } from '../catalog/catalog';

export type DocumentKind = 'query' | 'dashboard';

export interface Kept {
  readonly kind: DocumentKind;
  readonly name: string;
  readonly body: unknown;
  readonly saved_at: string;
}

export const documents = signal<readonly Kept[]>([]);
export const documentsProblem = signal<Problem | null>(null);

const TABLE = `CREATE TABLE IF NOT EXISTS console.documents (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  body JSON NOT NULL,
  saved_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (kind, name))`;

/** Reads all of them; a table that is not there has none. */
export async function readDocuments(): Promise<void> {
  if (relations.value === null) await readCatalog();
  if (!relation('console', 'documents')) {
    documents.value = [];
    return;
  }
  try {
    documents.value = await ask<Kept>('SELECT kind, name, body, saved_at FROM console.documents ORDER BY kind, name');
    documentsProblem.value = null;
  } catch (error) {
    documents.value = [];
    documentsProblem.value = problemOf(error);
  }
}

export function documentOf(kind: DocumentKind, name: string): Kept | undefined {
  return documents.value.find((one) => one.kind === kind && one.name === name);
}

/** Saves one under a name, in place of the one that has it. @throws Problem */
export async function saveDocument(kind: DocumentKind, name: string, body: object): Promise<void> {
  if (!relation('console', 'documents')) {
    await ask('CREATE SCHEMA IF NOT EXISTS console');
    await ask(TABLE);
    await readCatalog();
  }
  await ask('INSERT INTO console.documents (kind, name, body, saved_at) WITH (upsert) VALUES ($1, $2, $3, now())', [
    kind,
    name,
    { type: 'json', value: JSON.stringify(body) },
  ]);
  await readDocuments();
}

/** Deletes one. @throws Problem */
export async function deleteDocument(kind: DocumentKind, name: string): Promise<void> {
  await ask('DELETE FROM console.documents WHERE kind = $1 AND name = $2', [kind, name]);
  await readDocuments();
}
