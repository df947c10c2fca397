// The page's place is behind the `#`: the server has one page, and a link to any place of it can be sent to others.

import { computed, signal } from '@preact/signals';

export interface Place {
  /** The parts of the path: `#/catalog/public/bids` is `['catalog', 'public', 'bids']`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/** Reads a place from a hash. */
export function placeIn(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  return { path: path.split('/').filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

const hash = signal(location.hash);
addEventListener('hashchange', () => {
  hash.value = location.hash;
});

export const place = computed(() => placeIn(hash.value));

/** The hash of a place. */
export function link(...path: string[]): string {
  return `#/${path.map(encodeURIComponent).join('/')}`;
}

/** Goes to a place. */
export function go(to: string, replace = false): void {
  if (replace) history.replaceState(null, '', to);
  else location.hash = to;
  hash.value = to;
}
