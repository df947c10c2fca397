// Requests to the server that this page came from.

import { signal } from '@preact/signals';

import { Problem, problemOf, type ProblemDocument } from './problem';
import type { components } from './schema';

export type QueryDocument = Partial<components['schemas']['QueryDocument']> & { query: string };
type AnswerDocument = components['schemas']['Document'];

const STORED = 'weir.authorization';

/** The `Authorization` of this browser tab; it is forgotten with the tab. */
const authorization = signal<string | null>(sessionStorage.getItem(STORED));

/** Whether the server has asked who this is. */
export const signInWanted = signal(false);

/** The token that requests are made with, if they are made with one. */
export const bearer = (): string | null => /^Bearer (.*)$/.exec(authorization.value ?? '')?.[1] ?? null;

/** Whether somebody has signed in. */
export const signedIn = () => authorization.value !== null;

/**
 * Takes a token, or a name and password, for all further requests. A WebSocket of a page takes no password, and the browser should
 * keep none: so the password makes a token, which is good for half a day, and that is kept.
 * @throws Problem when the server does not take them
 */
export async function signIn(credentials: { token: string } | { user: string; password: string }): Promise<void> {
  take(credentials);
  try {
    if ('token' in credentials) await ask('SELECT 1');
    else {
      const name = `console_${crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36) ?? ''}`;
      const [made] = await ask<{ token: string }>(`CREATE TOKEN ${name} EXPIRES INTERVAL '12 hours'`);
      if (made) take({ token: made.token });
    }
    sessionStorage.setItem(STORED, authorization.value ?? '');
  } catch (error) {
    signOut();
    throw error;
  }
}

function take(credentials: { token: string } | { user: string; password: string }): void {
  const basic = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const value =
    'token' in credentials
      ? `Bearer ${credentials.token}`
      : `Basic ${basic(`${credentials.user}:${credentials.password}`)}`;
  authorization.value = value;
}

/** Forgets who this is. */
export function signOut(): void {
  authorization.value = null;
  sessionStorage.removeItem(STORED);
}

/** A request whose answer is a success. @throws Problem */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (authorization.value !== null) headers.set('Authorization', authorization.value);
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  if (response.status === 401) signInWanted.value = true;
  throw await problemIn(response);
}

async function problemIn(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    return new Problem(JSON.parse(text) as ProblemDocument);
  } catch {
    return problemOf(new Error(`the server answered ${response.status} ${response.statusText}: ${text.slice(0, 200)}`));
  }
}

/** The body of a statement. */
export function statement(document: QueryDocument, accept: string, signal?: AbortSignal): RequestInit {
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: accept },
    body: JSON.stringify(document),
    ...(signal ? { signal } : {}),
  };
}

/** Rows of a small answer, as objects. @throws Problem */
export async function ask<Row = Record<string, unknown>>(
  query: string,
  parameters: unknown[] = [],
  signal?: AbortSignal,
): Promise<Row[]> {
  const document = { query, parameters: parameters as never };
  const response = await request('v1/sql', statement(document, 'application/json', signal));
  return ((await response.json()) as AnswerDocument).rows as Row[];
}

/** An identifier as SQL writes it. */
export function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** A name that may have a schema. */
export function qualified(schema: string, name: string): string {
  return schema === 'public' ? quoted(name) : `${quoted(schema)}.${quoted(name)}`;
}

/** A text as SQL writes it. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

// The words that are no names without quotes, of those that people take for names.
const RESERVED = new Set(
  `all and any array as asc at between by case cast check column constraint create cross current_date default delete desc
  distinct drop else end except exists false fetch for from full grant group having in index inner insert intersect into
  interval is join left like limit natural not null offset on or order outer partition primary references right select set
  similar some start table then time timestamp to trigger true union unique update user using values when where window with`.split(
    /\s+/,
  ),
);
