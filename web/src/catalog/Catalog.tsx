import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

import { ask } from '../api/http';
import { bytesText, countText } from '../rows/numbers';
import { Empty, Failure, useEvery } from '../ui/parts';
import { link, place } from '../ui/router';
import { catalogProblem, KINDS, readCatalog, relation, relations } from './catalog';
import { rateText, Rates, type End } from './rates';
import { RelationPage } from './Relation';

interface Facts {
  records: number;
  bytes: number;
  topic: string | null;
}

const FACTS = `SELECT schema, name, topic, sum(end_offset - start_offset) AS records, sum(bytes) AS bytes
  FROM weir.topics GROUP BY schema, name, topic`;
export const ENDS = 'SELECT DISTINCT topic, partition, start_offset, end_offset, bytes FROM weir.topics';
const EVERY_MS = 3_000;

/** All that there is, or one of it. */
export default function Catalog() {
  const [, schema, name] = place.value.path;
  const all = relations.value;
  if (!all) return catalogProblem.value ? <Failure problem={catalogProblem.value} /> : <div class="loading" role="status">…</div>;
  if (schema !== undefined && name !== undefined) {
    const one = relation(schema, name);
    if (one) return <RelationPage relation={one} key={`${schema}.${name}`} />;
    return <Missing name={`${schema}.${name}`} key={name} />;
  }
  return <Overview />;
}

/** What is not known here may have been made elsewhere a moment ago. */
function Missing({ name }: { name: string }) {
  const isRead = useSignal(false);
  useEffect(() => {
    void readCatalog().then(() => (isRead.value = true));
  }, []);
  if (!isRead.value) return <div class="loading" role="status">…</div>;
  return (
    <Empty title={`There is no ${name}`}>
      <p><a href={link('catalog')}>All that there is</a></p>
    </Empty>
  );
}

function Overview() {
  const facts = useSignal<ReadonlyMap<string, Facts>>(new Map());
  const rates = useSignal(new Rates());
  const turn = useSignal(0);
  useEvery(EVERY_MS, async (signal) => {
    try {
      const [held, ends] = await Promise.all([
        ask<Facts & { schema: string; name: string }>(FACTS, [], signal),
        ask<End>(ENDS, [], signal),
        readCatalog(),
      ]);
      facts.value = new Map(held.map((one) => [`${one.schema}.${one.name}`, one]));
      rates.value.add(ends, Date.now());
      turn.value += 1;
    } catch {
      // The top of the page says when the server is away; the next look comes soon.
    }
  });
  void turn.value;
  const all = relations.value ?? [];
  return (
    <div class="page">
      <header><h1>Catalog</h1></header>
      {all.length === 0 && (
        <Empty title="Nothing is here yet">
          <p><a href={link('load')}>Drop a file</a>, or write <code>CREATE STREAM</code> in <a href={link('ask')}>the editor</a>.</p>
        </Empty>
      )}
      {KINDS.map(([kind, title]) => {
        const of = all.filter((one) => one.type === kind);
        if (of.length === 0) return null;
        const hasTopic = kind === 'stream' || kind === 'table' || kind === 'materialized view';
        return (
          <section key={kind}>
            <h2>{title}</h2>
            <div class="scroll">
              <table class="list">
                <thead>
                  <tr>
                    <th scope="col">Name</th>
                    {kind !== 'sink' && <th scope="col">Columns</th>}
                    {hasTopic && <th scope="col" class="number">Records</th>}
                    {hasTopic && <th scope="col" class="number">Size</th>}
                    {hasTopic && <th scope="col" class="number">Rate</th>}
                    <th scope="col">Comment</th>
                  </tr>
                </thead>
                <tbody>
                  {of.map((one) => {
                    const known = facts.value.get(`${one.schema}.${one.name}`);
                    return (
                      <tr key={`${one.schema}.${one.name}`}>
                        <th scope="row"><a href={link('catalog', one.schema, one.name)}>{one.schema === 'public' ? one.name : `${one.schema}.${one.name}`}</a></th>
                        {kind !== 'sink' && <td class="wrap">{one.columns.map((column) => column.name).join(', ')}</td>}
                        {hasTopic && <td class="number">{known ? countText(known.records) : ''}</td>}
                        {hasTopic && <td class="number">{known ? bytesText(known.bytes) : ''}</td>}
                        {hasTopic && <td class="number">{known?.topic ? rateText(rates.value.of(known.topic)) : ''}</td>}
                        <td class="wrap">{one.comment}</td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
          </section>
        );
      })}
    </div>
  );
}
