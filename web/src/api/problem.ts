import type { components } from './schema';

/** A failure as the server tells it (RFC 9457). */
export type ProblemDocument = components['schemas']['Problem'];

/** A failure of a request. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly document: ProblemDocument;

  constructor(document: ProblemDocument) {
    super(document.detail);
    this.document = document;
  }

  get status(): number {
    return this.document.status;
  }

  get sqlstate(): string {
    return this.document.sqlstate;
  }

  get hint(): string | undefined {
    return this.document.hint ?? undefined;
  }

  get position(): { line: number; column: number } | undefined {
    return this.document.position ?? undefined;
  }
}

/** What the failure of anything says, as a problem: also that the server cannot be reached. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const unreachable = error instanceof TypeError;
  return new Problem({
    type: 'about:blank',
    title: unreachable ? 'The server cannot be reached' : 'The answer broke off',
    status: unreachable ? 0 : 500,
    detail: unreachable ? 'the server cannot be reached' : error instanceof Error ? error.message : String(error),
    sqlstate: unreachable ? '08006' : 'XX000',
    ...(unreachable ? { hint: 'is it running? The page goes on when it answers again' } : {}),
  } as ProblemDocument);
}
