// One statement that runs or has run, and what is known of its answer.

import { signal } from '@preact/signals';

import { live } from '../api/connection';
import { ask, request, type QueryDocument } from '../api/http';
import { tokenOffsets } from '../api/live';
import { problemOf, type Problem } from '../api/problem';
import type { components } from '../api/schema';
import { changesCatalog, readCatalog } from '../catalog/catalog';
import type { Rows } from '../rows/column';
import { LiveRows } from '../rows/live';

type QueryInfo = components['schemas']['QueryInfoDocument'];

export type State =
  | 'running'
  | 'done'
  /** More rows came than the page holds. */
  | 'held'
  | 'failed'
  | 'cancelled'
  | 'live'
  | 'paused'
  /** The connection of a live answer broke, and is tried again. */
  | 'broken';

const PROGRESS_MS = 700;
const BEHIND_MS = 2_000;
/** Rows that come with less than this between them are one history, at the beginning. */
const PAUSE_MS = 40;
const HISTORY_MS = 3_000;
/** The span that a live answer's rate is taken over. */
const RATE_MS = 4_000;

/** What all runs have in common. */
abstract class Answering {
  readonly state = signal<State>('running');
  readonly rows = signal<Rows | null>(null);
  /** Counts up whenever `rows` has changed. */
  readonly version = signal(0);
  readonly problem = signal<Problem | null>(null);
  readonly command = signal<string | null>(null);
  readonly startedAt = Date.now();
  readonly elapsedMs = signal(0);
  readonly begun = performance.now();
  queryId: string | null = null;

  constructor(
    readonly sql: string,
    /** Where the statement is in the text that it was run from. */
    readonly place: number,
    readonly document: QueryDocument,
  ) {}

  /** Ends it, if it has not. */
  abstract stop(): void;

  get isActive(): boolean {
    return this.state.value === 'running' || this.state.value === 'live' || this.state.value === 'broken';
  }

  protected fail(error: unknown): void {
    this.problem.value = problemOf(error);
    this.state.value = 'failed';
  }
}

/** A statement that is answered once. */
export class Run extends Answering {
  readonly kind = 'once';
  /** What the server says of it while it runs. */
  readonly progress = signal<QueryInfo | null>(null);
  private readonly aborter = new AbortController();

  /** Runs it to its end; a failure is in `problem`. */
  async run(): Promise<void> {
    const clock = setInterval(() => {
      this.elapsedMs.value = performance.now() - this.begun;
    }, 100);
    const watch = setInterval(() => void this.look(), PROGRESS_MS);
    try {
      // Arrow's code is large: it is loaded while the page is idle, or now.
      const { answer } = await import('../api/answer');
      const end = await answer(
        this.document,
        {
          begun: ({ queryId, command, rows }) => {
            this.queryId = queryId;
            this.command.value = command;
            this.rows.value = rows;
          },
          more: () => {
            this.version.value += 1;
          },
        },
        this.aborter,
      );
      this.state.value = end === 'held' ? 'held' : 'done';
      if (changesCatalog(this.command.value)) void readCatalog();
    } catch (error) {
      if (this.aborter.signal.aborted) this.state.value = 'cancelled';
      else this.fail(error);
    } finally {
      clearInterval(clock);
      clearInterval(watch);
      this.elapsedMs.value = performance.now() - this.begun;
      this.version.value += 1;
    }
  }

  stop(): void {
    // The server ends a query whose answer nobody takes.
    if (this.state.value === 'running') this.aborter.abort();
  }

  private async look(): Promise<void> {
    if (this.queryId === null) return;
    try {
      const response = await request(`v1/queries/${this.queryId}`);
      this.progress.value = (await response.json()) as QueryInfo;
    } catch {
      // It is a look at something that runs: the answer itself tells what is wrong.
    }
  }
}

/** A statement that is followed. */
export class LiveRun extends Answering {
  readonly kind = 'live';
  readonly token = signal<string | null>(null);
  /** Rows or changes a second. */
  readonly rate = signal(0);
  /** Records of its topics that it has not told yet; null when that is not known. */
  readonly behind = signal<number | null>(null);
  /** How often it went on from a token. */
  readonly resumed = signal(0);
  private end: (() => void) | null = null;
  private held: LiveRows | null = null;
  private readonly came: { at: number; count: number }[] = [];
  private clock = 0;
  private watch = 0;
  /** Whether what comes now was not there before the query began. */
  private settled = false;
  private cameAt = 0;
  private goneAt = 0;

  start(): void {
    this.clock = window.setInterval(() => {
      this.tick();
    }, 500);
    this.watch = window.setInterval(() => void this.look(), BEHIND_MS);
    this.go();
  }

  pause(): void {
    this.end?.();
    this.end = null;
    if (this.isActive) this.state.value = 'paused';
  }

  resume(): void {
    if (this.state.value === 'paused') this.go();
  }

  stop(): void {
    this.pause();
    if (this.state.value === 'paused') this.state.value = 'cancelled';
    this.rate.value = 0;
    clearInterval(this.clock);
    clearInterval(this.watch);
  }

  private go(): void {
    this.state.value = 'running';
    this.goneAt = Date.now();
    this.end = live().start(
      this.document,
      {
        begun: (columns, resumed, queryId) => {
          this.queryId = queryId;
          if (resumed && this.held) this.resumed.value += 1;
          else {
            this.held = new LiveRows(columns);
            this.rows.value = this.held;
            this.settled = false;
          }
          this.state.value = 'live';
        },
        rows: (rows, token) => {
          if (!this.held) return;
          // What was there before comes piece upon piece; the first pause ends it. The light is for people, and may err.
          const now = Date.now();
          if (this.token.value !== null && (now - this.cameAt > PAUSE_MS || now - this.goneAt > HISTORY_MS)) this.settled = true;
          this.cameAt = now;
          this.held.apply(rows, this.settled ? now : 0);
          if (token !== undefined) this.token.value = token;
          this.came.push({ at: Date.now(), count: rows.length });
          this.version.value += 1;
          if (this.held.full) {
            this.pause();
            this.problem.value = problemOf(new Error('the answer has more rows than the page can follow; filter it, or aggregate further'));
          }
        },
        broken: () => {
          this.state.value = 'broken';
          // A WebSocket does not say why it was refused. If it is because the sign-in has expired, this asks for another.
          ask('SELECT 1').catch(() => undefined);
        },
        ended: () => {
          this.state.value = 'done';
          this.stop();
        },
        failed: (problem) => {
          this.fail(problem);
          this.stop();
        },
      },
      this.held ? (this.token.value ?? undefined) : undefined,
    );
  }

  private tick(): void {
    const now = Date.now();
    while (this.came[0] && now - this.came[0].at > RATE_MS) this.came.shift();
    const count = this.came.reduce((sum, one) => sum + one.count, 0);
    const span = Math.min(RATE_MS, Math.max(500, now - this.startedAt));
    this.rate.value = (count * 1000) / span;
    this.elapsedMs.value = performance.now() - this.begun;
  }

  private async look(): Promise<void> {
    const token = this.token.value;
    if (token === null || document.hidden || this.state.value === 'broken') return;
    try {
      const ends = await ask<{ topic: string; partition: number; end_offset: number }>(
        'SELECT DISTINCT topic, partition, end_offset FROM weir.topics',
      );
      const offsets = tokenOffsets(token);
      const behind = ends.reduce(
        (sum, { topic, partition, end_offset }) => sum + Math.max(0, end_offset - (offsets.get(topic)?.[partition] ?? end_offset)),
        0,
      );
      this.behind.value = behind;
    } catch {
      this.behind.value = null;
    }
  }
}

export type AnyRun = Run | LiveRun;
