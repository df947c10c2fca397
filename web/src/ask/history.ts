// What was run in this browser.

import { holdsSecret } from '../editor/statements';
import { kept } from '../ui/kept';

export interface Past {
  readonly sql: string;
  readonly at: number;
  readonly ms: number | null;
  readonly rows: number | null;
  readonly failed: boolean;
}

const KEPT_MAX = 500;

const isPast = (value: unknown): value is readonly Past[] =>
  Array.isArray(value) && value.every((one: Partial<Past>) => typeof one.sql === 'string' && typeof one.at === 'number');

/** The newest first. */
export const past = kept<readonly Past[]>('history', [], isPast);

/** Adds one; the same statement again takes the place of the earlier. One that may hold a secret is not kept. */
export function remember(one: Past): void {
  if (holdsSecret(one.sql)) return;
  past.value = [one, ...past.value.filter((other) => other.sql !== one.sql)].slice(0, KEPT_MAX);
}

/** Those that have all the words, in any order. */
export function search(words: string): readonly Past[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return past.value.filter((one) => wanted.every((word) => one.sql.toLowerCase().includes(word)));
}
