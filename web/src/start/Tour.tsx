import { useSignal } from '@preact/signals';

import { ask } from '../api/http';
import { problemOf, type Problem } from '../api/problem';
import { readCatalog, relation, relations } from '../catalog/catalog';
import { Inline, openInEditor } from '../ui/Inline';
import { Empty, Failure, useEvery } from '../ui/parts';
import { link } from '../ui/router';

const EVERY_MS = 1000;

interface Step {
  readonly title: string;
  readonly text: string;
  readonly sql: string;
  readonly form: 'rows' | 'chart';
  /** A statement that is run once before the step's own, and what it makes. */
  readonly before?: { readonly makes: string; readonly sql: string };
}

const STEPS: readonly Step[] = [
  {
    title: 'Rows are coming in',
    text: 'An auction house: bids arrive in a stream. This follows it. Each row is on disk before it is shown, and stays in the stream.',
    sql: 'SUBSCRIBE bids WITH (snapshot = false)',
    form: 'rows',
  },
  {
    title: 'Ask what has happened',
    text: 'The same stream, asked once: an ordinary query reads up to now, and ends.',
    sql: "SELECT window_start, count(*) AS bids\nFROM TUMBLE(bids, at, INTERVAL '10 seconds')\nGROUP BY window_start ORDER BY window_start",
    form: 'chart',
  },
  {
    title: 'Let the answer move',
    text: 'EMIT CHANGES at its end, and the answer follows: what changes is lit. Join streams with files as you like.',
    sql: 'SELECT p.country, count(*) AS bids, max(b.price) AS highest\nFROM bids b JOIN people p ON b.bidder = p.id\nGROUP BY p.country EMIT CHANGES',
    form: 'rows',
  },
  {
    title: 'Keep it',
    text: 'A materialized view keeps the answer up to date for all who ask, through restarts and crashes.',
    sql: 'SELECT * FROM tour_categories EMIT CHANGES',
    before: {
      makes: 'tour_categories',
      sql: 'CREATE MATERIALIZED VIEW IF NOT EXISTS tour_categories AS\n  SELECT a.category, count(*) AS bids, max(b.price) AS highest\n  FROM bids b JOIN auctions a ON b.auction = a.id GROUP BY a.category',
    },
    form: 'chart',
  },
];

/** In place of the tour, until its streams are there: a server that has just started may be about to make them. */
function NoDemo() {
  useEvery(EVERY_MS, readCatalog);
  return (
    <Empty title="The tour is about the demo's streams">
      <p>Start the server with them, and they move:</p>
      <pre class="value">weir serve --demo</pre>
      <p>Or <a href={link('load')}>load a file</a> of your own.</p>
    </Empty>
  );
}

/** Two minutes with the demo's streams. */
export default function Tour() {
  const at = useSignal(0);
  const problem = useSignal<Problem | null>(null);
  const busy = useSignal(false);
  if (!relations.value) return <div class="loading" role="status">…</div>;
  if (!relation('public', 'bids') || !relation('public', 'people')) return <NoDemo />;
  const step = STEPS[at.value];
  if (!step) {
    return (
      <Empty title="That is Weir">
        <p>Rows come, queries follow them, views keep the answers. From here:</p>
        <ul class="examples">
          <li><a href={link('jobs')}>See what runs</a>: the view of the tour, how far it is, and what flows into it</li>
          <li><a href={link('catalog', 'public', 'bids')}>Look into the topic</a>: its partitions, its records from any offset on</li>
          <li><a href={link('load')}>Bring a file</a> of your own</li>
          <li><a href={link('ask')}>Ask</a> something else</li>
        </ul>
        <div class="bar"><button onClick={() => (at.value = 0)}>Once more</button></div>
      </Empty>
    );
  }
  const isMade = !step.before || relation('public', step.before.makes) !== undefined;
  const make = async () => {
    if (!step.before) return;
    busy.value = true;
    problem.value = null;
    try {
      await ask(step.before.sql);
      await readCatalog();
    } catch (error) {
      problem.value = problemOf(error);
    }
    busy.value = false;
  };
  const { sql } = step;
  return (
    <div class="page narrow">
      <header>
        <h1>{step.title} <small>{at.value + 1} of {STEPS.length}</small></h1>
        <span class="gap" />
        {at.value > 0 && <button onClick={() => (at.value -= 1)}>Back</button>}
        <button class="strong" onClick={() => (at.value += 1)}>{at.value === STEPS.length - 1 ? 'Finish' : 'Next'}</button>
      </header>
      <p>{step.text}</p>
      {step.before && (
        <div class="told">
          <pre class="ddl" tabIndex={0}>{step.before.sql}</pre>
          {!isMade && <button class="strong" disabled={busy.value} onClick={() => void make()}>{busy.value ? 'Making it…' : 'Make the view'}</button>}
        </div>
      )}
      {problem.value && <Failure problem={problem.value} />}
      {isMade && (
        <>
          <pre class="ddl" tabIndex={0}>{sql}</pre>
          <div class="box tour" key={at.value}>
            <Inline sql={sql} label={step.title} {...(step.form === 'chart' ? { chart: null } : {})} />
          </div>
          <div class="bar"><button class="quiet" onClick={() => { openInEditor(sql, step.title); }}>Open in the editor</button></div>
        </>
      )}
    </div>
  );
}
