import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import { useRef } from 'preact/hooks';

import { qualified } from '../api/http';
import { Tree } from '../catalog/Tree';
import { format } from '../editor/format';
import { statementAt, statements, type Statement } from '../editor/statements';
import { kept } from '../ui/kept';
import { Divider, Key, Menu, say } from '../ui/parts';
import { go, place } from '../ui/router';
import { Answer } from './Answer';
import { Beginning } from './Beginning';
import { HistoryList, SavedList } from './Lists';
import { Save } from './Save';
import { choose, close, current, edit, openTab, run, runsOf, shown, tabs, type Tab } from './tabs';
import { useEditor } from './useEditor';

const height = kept('editor-height', 220, (value): value is number => typeof value === 'number' && value > 60);
const treeShown = kept('tree', true, (value): value is boolean => typeof value === 'boolean');

/** Asking: a text of statements, what there is beside it, and the answers below. */
export function Ask() {
  const host = useRef<HTMLDivElement>(null);
  const listed = useSignal<'history' | 'saved' | null>(null);
  const saving = useSignal(false);
  const tab = current.value;
  const runs = runsOf(tab.id).value;
  const run_ = runs[Math.min(shown.value[tab.id] ?? 0, runs.length - 1)];
  const parameters = useComputed(() => Math.max(0, ...statements(current.value.text).map((one) => one.parameters)));

  const text = () => editor.current?.text ?? current.value.text;
  const act = (wanted: readonly Statement[]) => {
    editor.current?.mark(null);
    if (wanted.length > 0) void run({ ...current.value, text: text() }, wanted);
  };
  const chosen = (): readonly Statement[] => {
    const { from, to } = editor.current?.selection ?? { from: 0, to: 0 };
    if (from !== to) {
      return statements(text().slice(from, to)).map((one) => ({ ...one, from: one.from + from, to: one.to + from }));
    }
    const here = statementAt(text(), to);
    return here ? [here] : [];
  };
  const explain = (word: string) => {
    const [one] = chosen();
    if (!one) return;
    const bare = one.text.replace(/^\s*EXPLAIN(\s+ANALYZE)?(\s+VERBOSE)?\s+/i, '');
    const shift = word.length + 1 - (one.text.length - bare.length);
    act([{ ...one, text: `${word} ${bare}`, from: one.from - shift, words: ['EXPLAIN'] }]);
  };

  const tidy = async () => {
    const held = editor.current;
    if (!held) return;
    const { laidOut } = await import('../editor/layout');
    const { changes, left } = format(held.text, held.selection, laidOut);
    held.change(changes);
    const [first] = left;
    if (first) say(`Not formatted, as it might come to mean something else: ${first.text.replace(/\s+/g, ' ').slice(0, 60)}`);
  };

  const editor = useEditor(host, {
    run: () => { act(chosen()); },
    runAll: () => { act(statements(text())); },
    explain: () => { explain('EXPLAIN'); },
    format: () => void tidy(),
  });
  useSignalEffect(() => {
    const sql = place.value.query.get('sql');
    if (sql === null) return;
    openTab(sql);
    go('#/ask', true);
  });

  const share = async () => {
    const url = new URL(location.href);
    url.hash = `/ask?sql=${encodeURIComponent(text())}`;
    try {
      await navigator.clipboard.writeText(url.href);
      say('Link copied');
    } catch {
      go(url.hash, true);
      say('The link is in the address bar');
    }
  };

  return (
    <div class={`ask ${treeShown.value ? '' : 'alone'}`}>
      <aside>
        <Tree
          insert={(name) => editor.current?.insert(name)}
          look={(relation) => { openTab(`SELECT * FROM ${qualified(relation.schema, relation.name)} LIMIT 100`, relation.name); act(statements(current.value.text)); }}
        />
      </aside>
      <div class="work">
        <TabBar />
        <div class="editor" ref={host} style={{ height: `${height.value}px` }} />
        <Divider label="Height of the editor" value={height.value} set={(value) => (height.value = value)} min={80} max={() => Math.max(120, innerHeight - 260)} />
        {parameters.value > 0 && <Parameters tab={tab} count={parameters.value} />}
        <div class="bar actions">
          <button class="strong" title="Run the statement at the cursor, or the selection (Ctrl+Enter)" onClick={() => { act(chosen()); }}>
            Run
          </button>
          <button title="Run all statements (Ctrl+Shift+Enter)" onClick={() => { act(statements(text())); }}>Run all</button>
          <Menu label="Explain" title="How the statement is answered">
            <button onClick={() => { explain('EXPLAIN'); }}>Plan <Key>Ctrl E</Key></button>
            <button onClick={() => { explain('EXPLAIN ANALYZE'); }}>Run and measure</button>
          </Menu>
          <button title="Lay out the statements, or those that are selected (Shift+Alt+F)" onClick={() => void tidy()} disabled={tab.text.trim() === ''}>Format</button>
          <span class="gap" />
          <button class="quiet wide-only" aria-pressed={treeShown.value} onClick={() => (treeShown.value = !treeShown.value)}>Tables</button>
          <button class="quiet" onClick={() => (listed.value = 'history')}>History</button>
          <button class="quiet" onClick={() => (listed.value = 'saved')}>Saved</button>
          <button class="quiet" onClick={() => (saving.value = true)} disabled={tab.text.trim() === ''}>Save</button>
          <button class="quiet wide-only" onClick={() => void share()} disabled={tab.text.trim() === ''}>Link</button>
        </div>
        {runs.length > 1 && (
          <div class="runs" role="group" aria-label="Answers">
            {runs.map((one, at) => (
              <button key={at} aria-pressed={one === run_} onClick={() => (shown.value = { ...shown.value, [tab.id]: at })} title={one.sql}>
                <span class={`dot ${one.state.value}`} aria-hidden="true" />
                {at + 1} <code>{one.sql.replace(/\s+/g, ' ').slice(0, 28)}</code>
              </button>
            ))}
          </div>
        )}
        {run_ ? <Answer run={run_} key={`${tab.id} ${run_.startedAt} ${run_.sql}`} /> : <Beginning />}
      </div>
      {listed.value === 'history' && <HistoryList close={() => (listed.value = null)} />}
      {listed.value === 'saved' && <SavedList close={() => (listed.value = null)} />}
      {saving.value && <Save tab={tab} close={() => (saving.value = false)} />}
    </div>
  );
}

function TabBar() {
  const renaming = useSignal<string | null>(null);
  return (
    <div class="tabs">
      <div role="tablist" aria-label="Texts">
        {tabs.value.map((tab) => (
          <div class="tab" key={tab.id} data-current={tab.id === current.value.id}>
            {renaming.value === tab.id ? (
              <input
                aria-label="Name of the text"
                value={tab.title}
                ref={(input) => input?.focus()}
                onBlur={() => (renaming.value = null)}
                onKeyDown={(event) => {
                  if (event.key === 'Enter' || event.key === 'Escape') renaming.value = null;
                }}
                onInput={(event) => { edit(tab.id, { title: event.currentTarget.value }); }}
              />
            ) : (
              <button role="tab" aria-selected={tab.id === current.value.id} onClick={() => { choose(tab.id); }} onDblClick={() => (renaming.value = tab.id)} title="Double-click to rename">
                {tab.title}
              </button>
            )}
          </div>
        ))}
      </div>
      <button class="quiet" title={`Close ${current.value.title}`} aria-label={`Close ${current.value.title}`} onClick={() => { close(current.value.id); }}>✕</button>
      <button class="quiet" title="New text" aria-label="New text" onClick={() => { openTab(''); }}>+</button>
    </div>
  );
}

function Parameters({ tab, count }: { tab: Tab; count: number }) {
  return (
    <div class="bar parameters" role="group" aria-label="Parameters">
      {Array.from({ length: count }, (_, at) => (
        <label key={at}>
          <code>${at + 1}</code>
          <input
            value={tab.parameters[at] ?? ''}
            placeholder="null"
            onInput={(event) => {
              const next = Array.from({ length: count }, (_, other) => tab.parameters[other] ?? '');
              next[at] = event.currentTarget.value;
              edit(tab.id, { parameters: next });
            }}
          />
        </label>
      ))}
      <span class="note">numbers, true, false and JSON are that; anything else is text</span>
    </div>
  );
}
