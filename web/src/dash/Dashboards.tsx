import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

import { problemOf } from '../api/problem';
import { isLive, statements } from '../editor/statements';
import { Inline, openInEditor } from '../ui/Inline';
import { Choice, Dialog, Empty, Failure, say } from '../ui/parts';
import { go, link, place } from '../ui/router';
import { boardIn, moved, resized, type Board, type Form, type Tile } from './board';
import { deleteDocument, documentOf, documents, documentsProblem, readDocuments, saveDocument } from './documents';

/** How often a tile that is no live query is asked again. */
const AGAIN_MS = 10_000;

/** All dashboards, or one. */
export default function Dashboards() {
  useEffect(() => void readDocuments(), []);
  const name = place.value.path[1];
  if (name !== undefined) {
    const kept = documentOf('dashboard', name);
    return kept ? <BoardPage name={name} saved={boardIn(kept.body)} key={`${name} ${kept.saved_at}`} /> : <Empty title={`There is no dashboard ${name}`}><p><a href={link('dashboards')}>All dashboards</a></p></Empty>;
  }
  return <Overview />;
}

function Overview() {
  const name = useSignal('');
  const boards = documents.value.filter((one) => one.kind === 'dashboard');
  const make = async (event: Event) => {
    event.preventDefault();
    try {
      await saveDocument('dashboard', name.value.trim(), { tiles: [] });
      go(link('dashboards', name.value.trim()));
    } catch (error) {
      say(problemOf(error).message);
    }
  };
  return (
    <div class="page">
      <header><h1>Dashboards</h1></header>
      {documentsProblem.value && <Failure problem={documentsProblem.value} />}
      {boards.length === 0 && <p class="note">None yet. A dashboard shows answers side by side, and those that are live move. It is kept on the server, for all who use it.</p>}
      <ul class="cards">
        {boards.map((one) => {
          const { tiles } = boardIn(one.body);
          return (
            <li key={one.name} class="card">
              <a href={link('dashboards', one.name)}><b>{one.name}</b></a>
              <small>{tiles.length === 0 ? 'empty' : tiles.map((tile) => tile.title).join(', ')}</small>
            </li>
          );
        })}
      </ul>
      <form class="bar" onSubmit={(event) => void make(event)}>
        <input aria-label="Name of a new dashboard" placeholder="Name of a new dashboard" required maxLength={60} style={{ width: '240px' }} value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
        <button type="submit">Make it</button>
      </form>
    </div>
  );
}

function BoardPage({ name, saved: read }: { name: string; saved: Board }) {
  // What is read anew without a change is the same board.
  const saved = useRef(read).current;
  const board = useSignal(saved);
  const isEditing = useSignal(saved.tiles.length === 0);
  const edited = useSignal<number | 'new' | null>(null);
  const deleting = useSignal(false);
  const save = async () => {
    try {
      await saveDocument('dashboard', name, board.value);
      say('Saved');
    } catch (error) {
      say(problemOf(error).message);
    }
  };
  const put = (tile: Tile) => {
    const at = edited.value;
    const { tiles } = board.value;
    board.value = { tiles: at === 'new' ? [...tiles, tile] : tiles.map((one, other) => (other === at ? tile : one)) };
    edited.value = null;
  };
  return (
    <div class="page wide">
      <header>
        <h1>{name}</h1>
        <span class="gap" />
        <button aria-pressed={isEditing.value} onClick={() => (isEditing.value = !isEditing.value)}>{isEditing.value ? 'Done' : 'Arrange'}</button>
        {isEditing.value && <button onClick={() => (edited.value = 'new')}>Add a tile…</button>}
        {isEditing.value && <button class="danger" onClick={() => (deleting.value = true)}>Delete…</button>}
        {board.value !== saved && <button class="strong" onClick={() => void save()}>Save</button>}
      </header>
      {board.value.tiles.length === 0 && <Empty title="No tiles yet"><p>Add one: a query, as rows, a chart, or one large figure.</p></Empty>}
      <ul class="tiles">
        {board.value.tiles.map((tile, at) => (
          <li key={`${tile.title} ${tile.sql}`} style={{ gridColumn: `span ${tile.width}` }} class={`tile ${tile.form}`}>
            <header>
              <h2>{tile.title}</h2>
              <span class="gap" />
              {isEditing.value ? (
                <>
                  <button class="quiet" aria-label={`Move ${tile.title} back`} onClick={() => (board.value = moved(board.value, at, -1))}>←</button>
                  <button class="quiet" aria-label={`Move ${tile.title} on`} onClick={() => (board.value = moved(board.value, at, 1))}>→</button>
                  <button class="quiet" aria-label={`${tile.title} narrower`} onClick={() => { board.value = resize(board.value, at, -1); }}>−</button>
                  <button class="quiet" aria-label={`${tile.title} wider`} onClick={() => { board.value = resize(board.value, at, 1); }}>+</button>
                  <button class="quiet" aria-label={`Change ${tile.title}`} onClick={() => (edited.value = at)}>Change</button>
                  <button class="quiet" aria-label={`Remove ${tile.title}`} onClick={() => (board.value = { tiles: board.value.tiles.filter((one) => one !== tile) })}>✕</button>
                </>
              ) : (
                <button class="quiet" aria-label={`Open ${tile.title} in the editor`} title="Open in the editor" onClick={() => { openInEditor(tile.sql, tile.title); }}>SQL</button>
              )}
            </header>
            <div class="tile-body"><TileAnswer tile={tile} /></div>
          </li>
        ))}
      </ul>
      {edited.value !== null && <EditTile tile={edited.value === 'new' ? null : (board.value.tiles[edited.value] ?? null)} put={put} close={() => (edited.value = null)} />}
      {deleting.value && (
        <Dialog title={`Delete ${name}`} close={() => (deleting.value = false)}>
          <p>The dashboard is deleted for all who use it. The queries in it are deleted with it; what they read stays.</p>
          <div class="bar">
            <button class="danger" onClick={() => void deleteDocument('dashboard', name).then(() => { go(link('dashboards')); }, (error: unknown) => { say(problemOf(error).message); })}>Delete</button>
            <button onClick={() => (deleting.value = false)}>Keep</button>
          </div>
        </Dialog>
      )}
    </div>
  );
}

function resize(board: Board, at: number, by: 1 | -1): Board {
  return { tiles: board.tiles.map((tile, other) => (other === at ? { ...tile, width: resized(tile.width, by) } : tile)) };
}

function TileAnswer({ tile }: { tile: Tile }) {
  const turn = useSignal(0);
  const [one] = statements(tile.sql);
  const follows = one !== undefined && isLive(one);
  useEffect(() => {
    if (follows) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) turn.value += 1;
    }, AGAIN_MS);
    return () => {
      clearInterval(timer);
    };
  }, [follows]);
  const form = tile.form === 'chart' ? { chart: tile.chart } : tile.form === 'figure' ? { figure: true } : {};
  return <Inline sql={tile.sql} label={tile.title} turn={turn.value} {...form} />;
}

function EditTile({ tile, put, close }: { tile: Tile | null; put: (tile: Tile) => void; close: () => void }) {
  const title = useSignal(tile?.title ?? '');
  const sql = useSignal(tile?.sql ?? '');
  const form = useSignal<Form>(tile?.form ?? 'chart');
  const saved = documents.value.filter((one) => one.kind === 'query');
  const submit = (event: Event) => {
    event.preventDefault();
    put({ title: title.value.trim(), sql: sql.value.trim().replace(/;\s*$/, ''), form: form.value, width: tile?.width ?? (form.value === 'figure' ? 2 : 3), chart: tile?.sql === sql.value ? tile.chart : null });
  };
  return (
    <Dialog title={tile ? 'Change the tile' : 'Add a tile'} close={close} wide>
      <form onSubmit={submit}>
        {saved.length > 0 && (
          <label class="field">
            From a saved query
            <select
              value=""
              onChange={(event) => {
                const from = documentOf('query', event.currentTarget.value);
                if (!from) return;
                title.value = from.name;
                sql.value = (from.body as { sql?: string }).sql ?? '';
              }}
            >
              <option value="">–</option>
              {saved.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
            </select>
          </label>
        )}
        <label class="field">Title<input required value={title.value} onInput={(event) => (title.value = event.currentTarget.value)} /></label>
        <label class="field">Query; with EMIT CHANGES it is live, else it is asked every 10 seconds<textarea required rows={6} value={sql.value} spellcheck={false} onInput={(event) => (sql.value = event.currentTarget.value)} /></label>
        <Choice label="Form" of={[['chart', 'Chart'], ['rows', 'Rows'], ['figure', 'One figure']] as const} value={form.value} set={(value) => (form.value = value)} />
        <div class="bar"><button class="strong" type="submit">{tile ? 'Change' : 'Add'}</button><button type="button" onClick={close}>Cancel</button></div>
      </form>
    </Dialog>
  );
}
