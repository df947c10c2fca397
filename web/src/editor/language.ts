// SQL as Weir speaks it, for highlighting and completion.

import { snippetCompletion, type Completion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete';
import { PostgreSQL, SQLDialect, sql, type SQLNamespace } from '@codemirror/lang-sql';
import type { Extension } from '@codemirror/state';

import type { FunctionInfo, Relation } from '../catalog/catalog';

const OWN_WORDS =
  'emit changes stream streams source sink sinks subscribe watermark materialized pause resume flush kill queries jobs tumble hop cumulate session asof final connection connections describe test';

const dialect = SQLDialect.define({
  ...PostgreSQL.spec,
  keywords: `${PostgreSQL.spec.keywords ?? ''} ${OWN_WORDS}`,
});

const SNIPPETS: readonly Completion[] = [
  snippetCompletion('SELECT * FROM ${name} EMIT CHANGES', { label: 'SELECT … EMIT CHANGES', detail: 'follow', type: 'keyword', boost: -1 }),
  snippetCompletion(
    'CREATE STREAM ${name} (\n  ${id} BIGINT,\n  at TIMESTAMP,\n  WATERMARK FOR at AS at - INTERVAL \'5 seconds\'\n) WITH (partitions = 1)',
    { label: 'CREATE STREAM …', detail: 'keep events', type: 'keyword' },
  ),
  snippetCompletion('CREATE TABLE ${name} (\n  id BIGINT PRIMARY KEY,\n  ${column} TEXT\n)', { label: 'CREATE TABLE …', detail: 'keep rows by key', type: 'keyword' }),
  snippetCompletion('CREATE MATERIALIZED VIEW ${name} AS\n  SELECT ${columns} FROM ${source}', { label: 'CREATE MATERIALIZED VIEW …', detail: 'keep an answer', type: 'keyword' }),
  snippetCompletion(
    "SELECT window_start, ${key}, count(*) AS n\nFROM TUMBLE(${stream}, ${at}, INTERVAL '1 minute')\nGROUP BY window_start, ${key}",
    { label: 'TUMBLE …', detail: 'windows of time', type: 'keyword' },
  ),
];

/** Highlighting and completion over what the catalog has. */
export function language(relations: readonly Relation[], functions: readonly FunctionInfo[]): Extension {
  const support = sql({ dialect, schema: namespace(relations), defaultSchema: 'public', upperCaseKeywords: true });
  const known: Completion[] = functions.map((one) => ({
    label: one.name,
    type: 'function',
    apply: `${one.name}(`,
    ...(one.syntax ? { detail: one.syntax.slice(one.name.length, one.name.length + 40) } : {}),
    ...(one.description ? { info: one.description } : {}),
  }));
  const source = (context: CompletionContext): CompletionResult | null => {
    const word = context.matchBefore(/\w+/);
    // Behind a dot there are columns, and no functions.
    if (!word || (word.from > 0 && context.state.sliceDoc(word.from - 1, word.from) === '.')) return null;
    const isFirst = /(^|;)\s*$/.test(context.state.sliceDoc(Math.max(0, word.from - 200), word.from));
    return { from: word.from, options: isFirst ? [...SNIPPETS] : [...known, ...SNIPPETS.slice(-1)], validFor: /^\w*$/ };
  };
  return [support, dialect.language.data.of({ autocomplete: source })];
}

function namespace(relations: readonly Relation[]): SQLNamespace {
  const schemas: Record<string, Record<string, SQLNamespace>> = {};
  for (const relation of relations) {
    if (relation.type === 'sink') continue;
    const schema = (schemas[relation.schema] ??= {});
    schema[relation.name] = {
      self: { label: relation.name, type: 'type', detail: relation.type },
      children: relation.columns.map((column) => ({ label: column.name, type: 'property', detail: column.data_type.toLowerCase() })),
    };
  }
  return schemas;
}
