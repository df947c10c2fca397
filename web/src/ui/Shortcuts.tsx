import { signal } from '@preact/signals';

import { Dialog, Key } from './parts';
import { go, link } from './router';

export const shortcutsShown = signal(false);

const KEYS: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  ['Everywhere', [['g a', 'Ask'], ['g c', 'Catalog'], ['g j', 'Jobs'], ['g d', 'Dashboards'], ['g l', 'Load'], ['/', 'to the editor'], ['?', 'this list']]],
  ['Editor', [['Ctrl Enter', 'run the statement at the cursor, or the selection'], ['Ctrl Shift Enter', 'run all'], ['Ctrl E', 'explain'], ['Shift Alt F', 'format'], ['Ctrl Space', 'complete'], ['Ctrl /', 'comment'], ['Ctrl F', 'find and replace'], ['Esc, then Tab', 'leave the editor']]],
  ['Rows', [['arrows, Page Up, Page Down', 'move'], ['Ctrl Home, Ctrl End', 'first, last row'], ['Shift and these', 'select'], ['Ctrl A, Ctrl C', 'select all, copy'], ['Enter', 'show the whole value'], ['s', 'sort by the column']]],
];

/** The list of all keys. */
export function Shortcuts() {
  return (
    <Dialog title="Keys" close={() => (shortcutsShown.value = false)} wide>
      <div class="shortcuts">
        {KEYS.map(([title, keys]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {keys.map(([key, what]) => (
                <div key={key}>
                  <dt><Key>{key}</Key></dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}

const PLACES: Readonly<Record<string, string>> = { a: 'ask', c: 'catalog', j: 'jobs', d: 'dashboards', l: 'load', t: 'tour' };
let going = false;

/** Keys that hold everywhere but where something is typed. */
export function listen(): void {
  addEventListener('keydown', (event) => {
    const target = event.composedPath()[0] as HTMLElement;
    const types = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName ?? '');
    if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    const to = PLACES[event.key];
    if (going && to) {
      going = false;
      event.preventDefault();
      go(link(to));
    } else if (event.key === 'g') {
      going = true;
      setTimeout(() => {
        going = false;
      }, 1200);
    } else if (event.key === '?') {
      shortcutsShown.value = true;
    } else if (event.key === '/') {
      event.preventDefault();
      go(link('ask'));
      setTimeout(() => dispatchEvent(new Event('weir-focus-editor')));
    }
  });
}
