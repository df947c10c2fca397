import { useSignal } from '@preact/signals';

import { qualified, quoted } from '../api/http';
import { link } from '../ui/router';
import { catalogProblem, KINDS, relations, type Relation } from './catalog';

/** What there is, beside the editor: a name goes into the text, a column too. */
export function Tree({ insert, look }: { insert: (text: string) => void; look: (relation: Relation) => void }) {
  const filter = useSignal('');
  const open = useSignal<ReadonlySet<string>>(new Set());
  const all = relations.value;
  const wanted = filter.value.toLowerCase();
  const found = (all ?? []).filter(
    (relation) => wanted === '' || relation.name.toLowerCase().includes(wanted) || relation.columns.some((column) => column.name.toLowerCase().includes(wanted)),
  );
  const toggle = (key: string) => {
    const next = new Set(open.value);
    if (!next.delete(key)) next.add(key);
    open.value = next;
  };
  return (
    <nav class="tree" aria-label="Relations">
      <input
        type="search"
        placeholder="Find a table or column"
        aria-label="Find a table or column"
        value={filter.value}
        onInput={(event) => (filter.value = event.currentTarget.value)}
      />
      {catalogProblem.value && <p class="note bad">{catalogProblem.value.message}</p>}
      {all?.length === 0 && (
        <p class="note">
          Nothing here yet. <a href={link('load')}>Bring a file</a>, or <code>CREATE STREAM</code>.
        </p>
      )}
      {all && all.length > 0 && found.length === 0 && <p class="note">No match.</p>}
      {KINDS.map(([kind, title]) => {
        const of = found.filter((relation) => relation.type === kind);
        return of.length === 0 ? null : (
          <section key={kind}>
            <h3>
              {title} <span class="count">{of.length}</span>
            </h3>
            <ul>
              {of.map((relation) => {
                const key = `${relation.schema}.${relation.name}`;
                const isOpen = open.value.has(key);
                const name = qualified(relation.schema, relation.name);
                return (
                  <li key={key}>
                    <div class="relation">
                      <button class="twist" aria-expanded={isOpen} aria-label={`Columns of ${name}`} onClick={() => { toggle(key); }} disabled={relation.columns.length === 0}>
                        <span aria-hidden="true">{isOpen ? '▾' : '▸'}</span>
                      </button>
                      <button class="name" title={relation.comment ?? `Put ${name} into the text`} onClick={() => { insert(name); }}>
                        {relation.schema === 'public' ? relation.name : `${relation.schema}.${relation.name}`}
                      </button>
                      {relation.type !== 'sink' && (
                        <button class="quiet look" title={`Look at ${name}`} aria-label={`Look at ${name}`} onClick={() => { look(relation); }}>
                          <span aria-hidden="true">▷</span>
                        </button>
                      )}
                      <a class="quiet" href={link('catalog', relation.schema, relation.name)} title={`About ${name}`} aria-label={`About ${name}`}>
                        <span aria-hidden="true">ⓘ</span>
                      </a>
                    </div>
                    {isOpen && (
                      <ul class="columns">
                        {relation.columns.map((column) => (
                          <li key={column.name}>
                            <button title={column.comment ?? `Put ${column.name} into the text`} onClick={() => { insert(quoted(column.name)); }}>
                              <span class={column.in_primary_key ? 'key' : ''}>{column.name}</span>
                              <small>{column.data_type.toLowerCase()}</small>
                            </button>
                          </li>
                        ))}
                      </ul>
                    )}
                  </li>
                );
              })}
            </ul>
          </section>
        );
      })}
    </nav>
  );
}
