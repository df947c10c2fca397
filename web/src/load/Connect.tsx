import { useSignal } from '@preact/signals';

import { ask } from '../api/http';
import { problemOf, type Problem } from '../api/problem';
import { readCatalog } from '../catalog/catalog';
import { bytesText } from '../rows/numbers';
import { openInEditor } from '../ui/Inline';
import { Choice, Failure } from '../ui/parts';
import { asking, fieldsOf, making, missing, STORES, testing, type Access, type Draft, type StoreKind } from './connection';

interface Seen {
  location: string;
  bytes: number;
  modified_at: string;
}

type Stage = 'filled' | 'testing' | 'tested' | 'made';

const KINDS = (Object.keys(STORES) as StoreKind[]).map((kind) => [kind, STORES[kind].name] as const);
const ACCESS: readonly (readonly [Access, string])[] = [['keys', 'keys'], ['anonymous', 'nobody, the data is public'], ['environment', "the server's own credentials"]];

/** A connection to a store: filled in, tested by the server, and then made. */
export default function Connect() {
  const draft = useSignal<Draft>({ name: 'lake', kind: 's3', access: 'keys', values: {}, at: '' });
  const stage = useSignal<Stage>('filled');
  const seen = useSignal<readonly Seen[]>([]);
  const problem = useSignal<Problem | null>(null);
  const change = (to: Partial<Draft>) => {
    draft.value = { ...draft.value, ...to };
    // What was tested was another one.
    stage.value = 'filled';
    problem.value = null;
  };
  const attempt = async (act: () => Promise<Stage>) => {
    const before = draft.value;
    problem.value = null;
    try {
      const next = await act();
      if (draft.value === before) stage.value = next;
    } catch (error) {
      if (draft.value !== before) return;
      problem.value = problemOf(error);
      stage.value = 'filled';
    }
  };
  const test = async () => {
    stage.value = 'testing';
    await attempt(async () => {
      seen.value = await ask<Seen>(testing(draft.value));
      return 'tested';
    });
  };
  const make = async () => {
    await attempt(async () => {
      await ask(making(draft.value));
      await readCatalog();
      return 'made';
    });
  };
  const now = draft.value;
  const lacks = missing(now);
  const submit = (event: Event) => {
    event.preventDefault();
    if (lacks.length === 0) void test();
  };
  return (
    <>
      <form class="connect" onSubmit={submit}>
        <Choice label="Kind of store" of={KINDS} value={now.kind} set={(kind) => { change({ kind, values: {}, at: '', access: 'keys' }); }} />
        <label class="field">Name of the connection <input value={now.name} required maxLength={60} onInput={(event) => { change({ name: event.currentTarget.value }); }} /></label>
        {now.kind !== 'http' && (
          <label class="field">
            Who asks is shown by{' '}
            <select value={now.access} onChange={(event) => { change({ access: event.currentTarget.value as Access }); }}>
              {ACCESS.map(([access, name]) => <option key={access} value={access}>{name}</option>)}
            </select>
          </label>
        )}
        {fieldsOf(now).map((field) => (
          <label class="field" key={field.option}>
            {field.label}
            <input
              type={field.isSecret ? 'password' : 'text'}
              autocomplete="off"
              value={now.values[field.option] ?? ''}
              placeholder={field.example ?? ''}
              onInput={(event) => { change({ values: { ...now.values, [field.option]: event.currentTarget.value } }); }}
            />
          </label>
        ))}
        <label class="field">
          Location to look at
          <input value={now.at} placeholder={STORES[now.kind].scheme} onInput={(event) => { change({ at: event.currentTarget.value }); }} />
        </label>
        <div class="bar">
          <button class={stage.value === 'tested' ? '' : 'strong'} type="submit" disabled={lacks.length > 0 || stage.value === 'testing'}>Test</button>
          <button class={stage.value === 'tested' ? 'strong' : ''} type="button" disabled={stage.value !== 'tested' || now.name.trim() === ''} onClick={() => void make()}>Make the connection</button>
          {lacks.length > 0 && <span class="note">still to fill in: {lacks.join(', ')}</span>}
          {stage.value === 'testing' && <span class="note" role="status">The server knocks …</span>}
        </div>
      </form>
      {problem.value && <Failure problem={problem.value} />}
      {(stage.value === 'tested' || stage.value === 'made') && (
        <section role="status">
          <h2>
            <span class="good" aria-hidden="true">✓</span> {stage.value === 'made' ? `Connection ${now.name} is there` : 'It leads there'}
          </h2>
          {seen.value.length === 0 ? (
            <p class="note">The place is empty.</p>
          ) : (
            <div class="scroll">
              <table class="list">
                <thead><tr><th scope="col">First files</th><th scope="col" class="number">Size</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
                <tbody>
                  {seen.value.map((file) => (
                    <tr key={file.location}>
                      <td><code>{file.location}</code></td>
                      <td class="number">{bytesText(file.bytes)}</td>
                      <td>{stage.value === 'made' && <button onClick={() => { openInEditor(asking(now, file.location), now.name); }}>Ask about it</button>}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </section>
      )}
      <p class="note">
        Kafka needs no connection: Weir speaks its protocol itself, and producers and consumers reach it at the server's Kafka address (port 9092
        unless it was started otherwise). Other brokers are not read yet.
      </p>
    </>
  );
}
