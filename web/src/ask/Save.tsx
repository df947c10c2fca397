import { useSignal } from '@preact/signals';

import { documentOf, saveDocument } from '../dash/documents';
import { Dialog, say } from '../ui/parts';
import { edit, type Tab } from './tabs';

/** Asks for a name, and keeps a tab's text on the server under it. */
export function Save({ tab, close: shut }: { tab: Tab; close: () => void }) {
  const name = useSignal(tab.title);
  const problem = useSignal('');
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      await saveDocument('query', name.value.trim(), { sql: tab.text });
      edit(tab.id, { title: name.value.trim() });
      say(`Saved ${name.value.trim()}`);
      shut();
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error);
    }
  };
  return (
    <Dialog title="Save the query on the server" close={shut}>
      <form onSubmit={(event) => void save(event)}>
        <label class="field">
          Name
          <input value={name.value} required maxLength={80} onInput={(event) => (name.value = event.currentTarget.value)} />
        </label>
        {documentOf('query', name.value.trim()) && <p class="note">Takes the place of the query that has this name.</p>}
        {problem.value && <p class="note bad" role="alert">{problem.value}</p>}
        <div class="bar">
          <button class="strong" type="submit">Save</button>
          <button type="button" onClick={shut}>Cancel</button>
        </div>
      </form>
    </Dialog>
  );
}
