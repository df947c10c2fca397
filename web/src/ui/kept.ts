// What the browser keeps for this page.

import { effect, signal, type Signal } from '@preact/signals';

/** A signal whose value outlives the page. What cannot be read (another version's, or damaged) is as if it were not there. */
export function kept<T>(name: string, otherwise: T, isValid: (value: unknown) => value is T): Signal<T> {
  const key = `weir.${name}`;
  let first = otherwise;
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
    if (isValid(stored)) first = stored;
  } catch {
    // A browser may forbid storage, or hold what is no JSON: then there is nothing to go on from.
  }
  const value = signal(first);
  let before: T = first;
  effect(() => {
    if (value.value === before) return;
    before = value.value;
    try {
      localStorage.setItem(key, JSON.stringify(before));
    } catch {
      // Full or forbidden: the page works on without.
    }
  });
  return value;
}
