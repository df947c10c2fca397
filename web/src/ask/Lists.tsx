import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

import { deleteDocument, documents, documentsProblem, readDocuments } from '../dash/documents';
import { countText, spanText } from '../rows/numbers';
import { Dialog, Failure } from '../ui/parts';
import { past, search } from './history';
import { openTab } from './tabs';

/** Past statements, and a search in them. */
export function HistoryList({ close }: { close: () => void }) {
  const words = useSignal('');
  const found = search(words.value).slice(0, 100);
  return (
    <Dialog title="History" close={close} wide>
      <input type="search" placeholder="Words of the statement" aria-label="Words of the statement" autofocus onInput={(event) => (words.value = event.currentTarget.value)} />
      {found.length === 0 && <p class="note">{past.value.length === 0 ? 'What you run is listed here.' : 'No match.'}</p>}
      <ul class="pick">
        {found.map((one) => (
          <li key={`${one.at} ${one.sql}`}>
            <button onClick={() => { openTab(one.sql); close(); }}>
              <code>{one.sql}</code>
              <small>
                {new Date(one.at).toLocaleString()}
                {one.failed ? ' · failed' : one.rows === null ? ' · live' : ` · ${countText(one.rows)} rows`}
                {one.ms !== null && ` · ${spanText(one.ms)}`}
              </small>
            </button>
          </li>
        ))}
      </ul>
      {past.value.length > 0 && <button class="quiet" onClick={() => (past.value = [])}>Forget all</button>}
    </Dialog>
  );
}

/** Queries that are kept on the server. */
export function SavedList({ close }: { close: () => void }) {
  useEffect(() => void readDocuments(), []);
  const saved = documents.value.filter((one) => one.kind === 'query');
  return (
    <Dialog title="Saved queries" close={close} wide>
      {documentsProblem.value && <Failure problem={documentsProblem.value} />}
      {saved.length === 0 && !documentsProblem.value && <p class="note">None yet: Save keeps the text of a tab on the server, for all who use it.</p>}
      <ul class="pick">
        {saved.map((one) => {
          const { sql = '' } = (one.body ?? {}) as { sql?: string };
          return (
            <li key={one.name}>
              <button onClick={() => { openTab(sql, one.name); close(); }}>
                <b>{one.name}</b>
                <code>{sql}</code>
              </button>
              <button class="quiet" aria-label={`Delete ${one.name}`} title={`Delete ${one.name}`} onClick={() => void deleteDocument('query', one.name)}>✕</button>
            </li>
          );
        })}
      </ul>
    </Dialog>
  );
}
