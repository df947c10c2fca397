// Live queries over one WebSocket. A connection that breaks is made again, and each query goes on from its last token.

import type { ColumnDocument, RowDocument } from '../rows/live';
import type { QueryDocument } from './http';
import { Problem, type ProblemDocument } from './problem';

/** Who listens to a live query. */
export interface LiveListener {
  /** It runs, from its beginning or, when `resumed`, from where it was. */
  begun(columns: ColumnDocument[], resumed: boolean, queryId: string): void;
  rows(rows: RowDocument[], token: string | undefined): void;
  /** The connection broke; it is tried again in `waitMs`. */
  broken(waitMs: number): void;
  /** It has ended by itself. */
  ended(): void;
  failed(problem: Problem): void;
}

/** A message of the server. */
export type News = { id?: string } & (
  | { type: 'schema'; query_id: string; columns: ColumnDocument[]; live: boolean }
  | { type: 'rows'; rows: RowDocument[]; resume?: string }
  | { type: 'end'; row_count: number; reason?: 'cancelled' | 'shutdown' }
  | { type: 'error'; error: ProblemDocument }
);

/** The part of a WebSocket that is used, so that a test can be one. */
export interface Socket {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((message: { data: string }) => void) | null;
}

/** What a connection takes from its surroundings. */
export interface Surroundings {
  connect(): Socket;
  after(ms: number, act: () => void): void;
  /** The server no longer takes who this was. */
  refused(): void;
}

interface Running {
  document: QueryDocument;
  listener: LiveListener;
  token: string | undefined;
  /** Whether rows came before there was a token: then it cannot go on, and begins again. */
  resumed: boolean;
}

const WAIT_MIN_MS = 250;
const WAIT_MAX_MS = 5_000;

/** How long to wait before the connection is tried for the `attempt`th time after it broke. */
export function waitMs(attempt: number): number {
  return Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** attempt);
}

/** Whether a failure goes away by itself, so that the query is asked again. */
export function passes(problem: Problem): boolean {
  return problem.status === 503 || problem.status === 429;
}

/** The live queries of a page. */
export class LiveConnection {
  private socket: Socket | null = null;
  private open = false;
  private attempt = 0;
  private waiting = false;
  private next = 1;
  private readonly running = new Map<string, Running>();

  constructor(private readonly around: Surroundings) {}

  /** Starts a query, after `token` if there is one; what it gives ends it. */
  start(document: QueryDocument, listener: LiveListener, token?: string): () => void {
    const id = `q${this.next}`;
    this.next += 1;
    this.running.set(id, { document, listener, token, resumed: token !== undefined });
    if (this.open) this.send(id);
    else this.connect();
    return () => {
      if (!this.running.delete(id)) return;
      if (this.open) this.socket?.send(JSON.stringify({ type: 'cancel', id }));
      if (this.running.size === 0) this.hangUp();
    };
  }

  private hangUp(): void {
    const socket = this.socket;
    this.socket = null;
    this.open = false;
    this.attempt = 0;
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
  }

  private connect(): void {
    if (this.socket || this.waiting) return;
    const socket = this.around.connect();
    this.socket = socket;
    socket.onopen = () => {
      this.open = true;
      for (const id of this.running.keys()) this.send(id);
    };
    socket.onmessage = (message) => {
      this.heard(JSON.parse(message.data) as News);
    };
    socket.onclose = () => {
      this.socket = null;
      this.open = false;
      if (this.running.size > 0) this.again();
    };
  }

  private again(): void {
    const wait = waitMs(this.attempt);
    this.attempt += 1;
    this.waiting = true;
    for (const { listener } of this.running.values()) listener.broken(wait);
    this.around.after(wait, () => {
      this.waiting = false;
      if (this.running.size > 0) this.connect();
    });
  }

  private send(id: string): void {
    const query = this.running.get(id);
    if (!query) return;
    query.resumed = query.token !== undefined;
    const resume = query.token === undefined ? {} : { resume: query.token };
    this.socket?.send(JSON.stringify({ type: 'query', id, ...query.document, ...resume }));
  }

  /** Ends all, for the connection is that of somebody who is no longer taken; the next query makes another. */
  private refuse(problem: Problem): void {
    const refused = [...this.running.values()];
    this.running.clear();
    this.hangUp();
    this.around.refused();
    for (const { listener } of refused) listener.failed(problem);
  }

  private heard(news: News): void {
    const id = news.id ?? '';
    const query = this.running.get(id);
    // What still comes of a query that was ended here is nobody's.
    if (!query) return;
    switch (news.type) {
      case 'schema':
        this.attempt = 0;
        query.listener.begun(news.columns, query.resumed, news.query_id);
        return;
      case 'rows':
        query.token = news.resume ?? query.token;
        query.listener.rows(news.rows, news.resume);
        return;
      case 'end':
        // A server that shuts down closes the connection next, and the query goes on with the next one.
        if (news.reason === 'shutdown') return;
        this.running.delete(id);
        query.listener.ended();
        return;
      case 'error': {
        const problem = new Problem(news.error);
        if (passes(problem)) {
          const wait = waitMs(this.attempt);
          this.attempt += 1;
          query.listener.broken(wait);
          this.around.after(wait, () => {
            if (this.open) this.send(id);
          });
          return;
        }
        if (problem.status === 401) {
          this.refuse(problem);
          return;
        }
        this.running.delete(id);
        query.listener.failed(problem);
      }
    }
  }
}

/** The offsets of a resume token, by topic: what comes next of each partition. */
export function tokenOffsets(token: string): Map<string, number[]> {
  const offsets = new Map<string, number[]>();
  for (const part of (token.split('~')[0] ?? '').split(';')) {
    const colon = part.lastIndexOf(':');
    if (colon > 0) offsets.set(part.slice(0, colon), part.slice(colon + 1).split(',').map(Number));
  }
  return offsets;
}
