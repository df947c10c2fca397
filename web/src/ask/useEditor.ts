// The editor of a page. Its code is large, and comes beside the page: what is shown first does not wait for it.

import { computed, effect } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

import { functions, relations } from '../catalog/catalog';
import type { Editor, EditorEvents } from '../editor/editor';
import { placeOf } from '../editor/statements';
import { current, edit, runsOf } from './tabs';

const coming = Promise.all([import('../editor/editor'), import('../editor/language')]);

/** Changes with the tab, and not with its text. */
const currentId = computed(() => current.value.id);

/** An editor in `host`, of the text of the tab that is shown; null until it is there. */
export function useEditor(host: RefObject<HTMLElement>, acts: Omit<EditorEvents, 'change'>): RefObject<Editor> {
  const editor = useRef<Editor>(null);
  useEffect(() => {
    let isGone = false;
    let end = () => {};
    void coming.then(([{ Editor }, { language }]) => {
      const element = host.current;
      if (isGone || !element) return;
      const made = new Editor(element, current.value.text, {
        ...acts,
        change(next) {
          if (next !== current.value.text) edit(current.value.id, { text: next });
        },
      });
      editor.current = made;
      const focus = () => { made.focus(); };
      addEventListener('weir-focus-editor', focus);
      const ends = [
        effect(() => { made.speak(language(relations.value ?? [], functions.value)); }),
        // Another tab has another text; what is typed here is already that of its tab.
        effect(() => { made.replace(current.value.text); }),
        effect(() => { showProblem(made); }),
      ];
      // Who is at something else already is left there.
      if (matchMedia('(min-width: 700px)').matches && document.activeElement === document.body) made.focus();
      end = () => {
        ends.forEach((stop) => { stop(); });
        removeEventListener('weir-focus-editor', focus);
        made.destroy();
        editor.current = null;
      };
    });
    return () => {
      isGone = true;
      end();
    };
  }, []);
  return editor;
}

/** Marks what was wrong in the text, where that is known. */
function showProblem(editor: Editor): void {
  for (const run of runsOf(currentId.value).value) {
    const problem = run.problem.value;
    const position = problem?.position;
    if (!problem || !position) continue;
    editor.mark({ place: run.place + placeOf(run.sql, position), message: problem.message, hint: problem.hint });
  }
}
