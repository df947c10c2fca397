// The tabs of the editor, which the browser keeps, and what was run from each.

import { computed, signal, type Signal } from '@preact/signals';

import { request, type QueryDocument } from '../api/http';
import { isLive, type Statement } from '../editor/statements';
import { kept } from '../ui/kept';
import { remember } from './history';
import { LiveRun, Run, type AnyRun } from './run';

export interface Tab {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** Values of `$1`, `$2`, … as typed. */
  readonly parameters: readonly string[];
}

interface Tabs {
  readonly current: string;
  readonly tabs: readonly Tab[];
}

function isTabs(value: unknown): value is Tabs {
  const { current, tabs } = (value ?? {}) as Partial<Tabs>;
  return (
    typeof current === 'string' &&
    Array.isArray(tabs) &&
    tabs.length > 0 &&
    tabs.every((tab: Partial<Tab>) => typeof tab.id === 'string' && typeof tab.title === 'string' && typeof tab.text === 'string' && Array.isArray(tab.parameters))
  );
}

const FIRST: Tab = { id: 't1', title: 'Query 1', text: '', parameters: [] };

const state = kept<Tabs>('tabs', { current: FIRST.id, tabs: [FIRST] }, isTabs);

export const tabs = computed(() => state.value.tabs);
export const current = computed(() => state.value.tabs.find((tab) => tab.id === state.value.current) ?? state.value.tabs[0] ?? FIRST);

export function choose(id: string): void {
  state.value = { ...state.value, current: id };
}

/** Opens a tab with this text; one that is empty is used. */
export function openTab(text: string, title?: string): void {
  const { tabs: open } = state.value;
  const same = open.find((tab) => tab.text === text && text !== '');
  if (same) {
    choose(same.id);
    return;
  }
  const here = current.value;
  if (here.text.trim() === '' && text !== '') {
    edit(here.id, { text, ...(title === undefined ? {} : { title }) });
    return;
  }
  const numbers = open.map((tab) => Number(/^t(\d+)$/.exec(tab.id)?.[1] ?? 0));
  const number = Math.max(0, ...numbers) + 1;
  const tab = { id: `t${number}`, title: title ?? `Query ${number}`, text, parameters: [] };
  state.value = { current: tab.id, tabs: [...open, tab] };
}

export function edit(id: string, change: Partial<Omit<Tab, 'id'>>): void {
  state.value = { ...state.value, tabs: state.value.tabs.map((tab) => (tab.id === id ? { ...tab, ...change } : tab)) };
}

/** Closes a tab and what runs in it. The last one becomes an empty one. */
export function close(id: string): void {
  runsOf(id).value.forEach((run) => {
    run.stop();
  });
  runs.delete(id);
  const { tabs: open, current: here } = state.value;
  const at = open.findIndex((tab) => tab.id === id);
  const rest = open.filter((tab) => tab.id !== id);
  if (rest.length === 0) {
    state.value = { current: FIRST.id, tabs: [FIRST] };
    return;
  }
  const next = rest[Math.min(at, rest.length - 1)];
  state.value = { current: here === id && next ? next.id : here, tabs: rest };
}

const runs = new Map<string, Signal<readonly AnyRun[]>>();

/** What was run last from a tab, a run for each statement. */
export function runsOf(id: string): Signal<readonly AnyRun[]> {
  let held = runs.get(id);
  if (!held) {
    held = signal<readonly AnyRun[]>([]);
    runs.set(id, held);
  }
  return held;
}

/** The run of each tab that is shown, by its number. */
export const shown = signal<Readonly<Record<string, number>>>({});

/** A typed value as a parameter: what is JSON is that, and everything else is text. */
export function parameterOf(typed: string): unknown {
  const text = typed.trim();
  if (text === '' || /^(null)$/i.test(text)) return null;
  if (/^(true|false|-?\d{1,15}|-?\d{1,12}\.\d{1,3})$/.test(text)) return JSON.parse(text) as unknown;
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }
  return typed;
}

// The session of each tab, for statements that set something for those after them.
const sessions = new Map<string, Promise<string>>();

async function sessionOf(tab: string, needed: boolean): Promise<string | undefined> {
  let session = sessions.get(tab);
  if (!session && needed) {
    session = (async () => {
      const response = await request('v1/sessions', { method: 'POST' });
      return ((await response.json()) as { session: string }).session;
    })();
    sessions.set(tab, session);
    session.catch(() => sessions.delete(tab));
  }
  return session;
}

const SETS = /^(SET|RESET|DISCARD|BEGIN|START|COMMIT|ROLLBACK|PREPARE|DECLARE)$/;

/** Runs statements one after another; the first that fails is the last. */
export async function run(tab: Tab, wanted: readonly Statement[]): Promise<void> {
  const held = runsOf(tab.id);
  held.value.forEach((before) => {
    before.stop();
  });
  held.value = [];
  for (const statement of wanted) {
    const needsSession = SETS.test(statement.words[0] ?? '');
    const document: QueryDocument = { query: statement.text };
    if (statement.parameters > 0) {
      document.parameters = Array.from({ length: statement.parameters }, (_, at) => parameterOf(tab.parameters[at] ?? '')) as never;
    }
    const isFollowed = isLive(statement);
    const next = isFollowed ? new LiveRun(statement.text, statement.from, document) : new Run(statement.text, statement.from, document);
    held.value = [...held.value, next];
    shown.value = { ...shown.value, [tab.id]: held.value.length - 1 };
    try {
      const session = await sessionOf(tab.id, needsSession);
      if (session !== undefined) document.session = session;
    } catch {
      // Without a session the statement still says by itself what is wrong.
    }
    if (next instanceof LiveRun) {
      next.start();
      remember({ sql: statement.text, at: next.startedAt, ms: null, rows: null, failed: false });
      // A live answer does not end; what stands behind it waits for nothing.
      continue;
    }
    await next.run();
    const failed = next.state.value === 'failed';
    // A session that was not used for long is gone; the next run opens another.
    if (failed && next.problem.value?.status === 404 && document.session !== undefined && /session/.test(next.problem.value.message)) {
      sessions.delete(tab.id);
    }
    remember({ sql: statement.text, at: next.startedAt, ms: next.elapsedMs.value, rows: next.rows.value?.count ?? null, failed });
    if (failed || next.state.value === 'cancelled') return;
  }
}
