import { computed, effect, useComputed, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

import { qualified } from '../api/http';
import { functions, relations } from '../catalog/catalog';
import { Tree } from '../catalog/Tree';
import { Editor } from '../editor/editor';
import { language } from '../editor/language';
import { placeOf, statementAt, statements, type Statement } from '../editor/statements';
import { documentOf, saveDocument } from '../dash/documents';
import { kept } from '../ui/kept';
import { Dialog, Divider, Empty, Key, Menu, say } from '../ui/parts';
import { go, place } from '../ui/router';
import { Answer } from './Answer';
import { HistoryList, SavedList } from './Lists';
import { choose, close, current, edit, openTab, run, runsOf, shown, tabs, type Tab } from './tabs';

const height = kept('editor-height', 220, (value): value is number => typeof value === 'number' && value > 60);
/** Changes with the tab, and not with its text. */
const currentId = computed(() => current.value.id);
const treeShown = kept('tree', true, (value): value is boolean => typeof value === 'boolean');

/** Asking: a text of statements, what there is beside it, and the answers below. */
export function Ask() {
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
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

  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const made = new Editor(element, current.value.text, {
      change(next) {
        if (next !== current.value.text) edit(current.value.id, { text: next });
      },
      run: () => { act(chosen()); },
      runAll: () => { act(statements(text())); },
      explain: () => { explain('EXPLAIN'); },
    });
    editor.current = made;
    const ends = [
      effect(() => { made.speak(language(relations.value ?? [], functions.value)); }),
      // Another tab has another text; what is typed here is already that of its tab.
      effect(() => { made.replace(current.value.text); }),
      effect(() => {
        for (const one of runsOf(currentId.value).value) {
          const problem = one.problem.value;
          const position = problem?.position;
          if (!problem || !position) continue;
          made.mark({ place: one.place + placeOf(one.sql, position), message: problem.message, hint: problem.hint });
        }
      }),
      effect(() => {
        const sql = place.value.query.get('sql');
        if (sql === null) return;
        openTab(sql);
        go('#/ask', true);
      }),
    ];
    if (matchMedia('(min-width: 700px)').matches) made.focus();
    const focus = () => { made.focus(); };
    addEventListener('weir-focus-editor', focus);
    return () => {
      ends.forEach((end) => { end(); });
      removeEventListener('weir-focus-editor', focus);
      made.destroy();
      editor.current = null;
    };
  }, []);

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

function Save({ tab, close: shut }: { tab: Tab; close: () => void }) {
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

/** What stands where answers will be. */
function Beginning() {
  const all = relations.value;
  const stream = all?.find((one) => one.type === 'stream' && one.name === 'bids') ?? all?.find((one) => one.type === 'stream');
  if (!all) return <div class="loading" role="status">…</div>;
  if (all.length === 0) {
    return (
      <Empty title="Nothing is here yet">
        <p>
          <a href="#/load">Drop a file</a> and ask about it, or make a stream:
        </p>
        <button class="example" onClick={() => { openTab('CREATE STREAM events (\n  id BIGINT,\n  what TEXT,\n  at TIMESTAMP\n);\n\nINSERT INTO events VALUES (1, \'begun\', TIMESTAMP \'2026-01-01 00:00:00\');\n\nSELECT * FROM events', 'A first stream'); }}>
          CREATE STREAM events (id BIGINT, what TEXT, at TIMESTAMP)
        </button>
      </Empty>
    );
  }
  const name = stream ? qualified(stream.schema, stream.name) : qualified(all[0]?.schema ?? 'public', all[0]?.name ?? '');
  const examples: [string, string][] = [[`SELECT * FROM ${name} LIMIT 100`, 'A look at rows']];
  if (stream) {
    examples.push([`SELECT * FROM ${name} EMIT CHANGES`, 'History, then every row as it comes']);
    if (stream.name === 'bids') {
      examples.push(
        ['SELECT auction, count(*) AS bids, max(price) AS highest\nFROM bids GROUP BY auction EMIT CHANGES', 'An answer that keeps moving'],
        ["SELECT window_start, count(*) AS bids, avg(price) AS price\nFROM TUMBLE(bids, at, INTERVAL '10 seconds')\nGROUP BY window_start ORDER BY window_start", 'Windows of time; look at the chart'],
      );
    }
  }
  return (
    <Empty title="Ask something">
      <ul class="examples">
        {examples.map(([sql, what]) => (
          <li key={sql}>
            <button class="example" onClick={() => { openTab(sql, what); dispatchEvent(new Event('weir-focus-editor')); void run(current.value, statements(sql)); }}>
              <span>{what}</span>
              <code>{sql}</code>
            </button>
          </li>
        ))}
      </ul>
      <p class="note">
        <Key>Ctrl Enter</Key> runs the statement at the cursor, <Key>Ctrl Space</Key> completes, <Key>?</Key> lists all keys.
      </p>
    </Empty>
  );
}
