// A plan's text, line by line, as a tree: each operator is indented under the one that takes its rows.

export interface Operator {
  readonly name: string;
  /** What the operator says of itself. */
  readonly detail: string;
  /** How it follows changes: stateless, incremental, recomputed; of a continuous query. */
  readonly follows: string | null;
  /** What was measured, by name. */
  readonly metrics: ReadonlyMap<string, string>;
  readonly inputs: Operator[];
}

/** A plan as it came: its kind and its text. */
export interface Plan {
  readonly kind: string;
  readonly text: string;
  readonly roots: readonly Operator[];
}

/** The operators of an indented text. */
export function operators(text: string): Operator[] {
  const roots: Operator[] = [];
  const above: { depth: number; operator: Operator }[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const depth = line.length - line.trimStart().length;
    const operator = operatorOf(line.trim());
    while (above.length > 0 && (above.at(-1)?.depth ?? 0) >= depth) above.pop();
    (above.at(-1)?.operator.inputs ?? roots).push(operator);
    above.push({ depth, operator });
  }
  return roots;
}

function operatorOf(line: string): Operator {
  const measured = /,?\s*metrics=\[(.*)\]\s*$/.exec(line);
  const head = measured ? line.slice(0, measured.index) : line;
  const followed = /\s*\[((?:stateless|incremental|recomputed)[^\]]*)\]\s*$/.exec(head);
  const bare = followed ? head.slice(0, followed.index) : head;
  const colon = bare.indexOf(':');
  const metrics = new Map<string, string>();
  for (const part of (measured?.[1] ?? '').split(/,\s*(?=[a-z_0-9]+=)/)) {
    const equals = part.indexOf('=');
    if (equals > 0) metrics.set(part.slice(0, equals), part.slice(equals + 1));
  }
  return {
    name: (colon < 0 ? bare : bare.slice(0, colon)).trim(),
    detail: colon < 0 ? '' : bare.slice(colon + 1).trim(),
    follows: followed?.[1] ?? null,
    metrics,
    inputs: [],
  };
}

/** `12.5ms` in milliseconds; 0 for what is no time. */
export function metricMs(text: string | undefined): number {
  const found = /^([\d.]+)(ns|µs|us|ms|s|m)$/.exec((text ?? '').trim());
  if (!found) return 0;
  const unit = { ns: 1e-6, 'µs': 1e-3, us: 1e-3, ms: 1, s: 1000, m: 60_000 }[found[2] ?? 'ms'] ?? 0;
  return Number(found[1]) * unit;
}

/** All operators below these, and these. */
export function* each(roots: readonly Operator[]): Generator<Operator> {
  for (const root of roots) {
    yield root;
    yield* each(root.inputs);
  }
}
