// How a statement is laid out: sql-formatter, with Weir's own SQL for a dialect. It is loaded when somebody first formats.

import { expandPhrases, formatDialect, type DialectOptions } from 'sql-formatter';

/** What stands on a line of its own, with what belongs to it behind it. */
const ONE_LINE = expandPhrases([
  'WITH [RECURSIVE]',
  'LIMIT',
  'OFFSET',
  'EMIT {CHANGES | FINAL | ON WINDOW CLOSE}',
  'CREATE [OR REPLACE] {STREAM | SOURCE | EXTERNAL TABLE | MATERIALIZED VIEW | VIEW | CONNECTION} [IF NOT EXISTS]',
  'CREATE [OR REPLACE] TABLE [IF NOT EXISTS]',
  'CREATE {SINK | SCHEMA} [IF NOT EXISTS]',
  'CREATE {USER | ROLE | TOKEN | POLICY}',
  'ALTER {STREAM | TABLE | EXTERNAL TABLE | VIEW | MATERIALIZED VIEW | SINK | USER | ROLE} [IF EXISTS]',
  'DROP {STREAM | TABLE | EXTERNAL TABLE | VIEW | MATERIALIZED VIEW | SINK | CONNECTION | SCHEMA | USER | ROLE | TOKEN | POLICY} [IF EXISTS]',
  'INSERT INTO',
  'ON CONFLICT',
  'UPDATE',
  'DELETE FROM',
  'TRUNCATE [TABLE]',
  'EXPLAIN [ANALYZE] [VERBOSE]',
  'SUBSCRIBE [TO]',
  'COMMENT ON',
  'COPY',
  'DESCRIBE',
  'GRANT',
  'KILL [QUERY]',
  'REVOKE',
  'SHOW [CREATE] [STREAM | TABLE | EXTERNAL TABLE | VIEW | MATERIALIZED VIEW | SINK | CONNECTION]',
  'STORED AS',
  'LOCATION',
  'PARTITIONED BY',
  'TEST CONNECTION',
]);

const CLAUSES = expandPhrases([
  'FROM', 'WHERE', 'GROUP BY', 'HAVING', 'QUALIFY', 'WINDOW', 'PARTITION BY', 'ORDER BY', 'VALUES', 'SET', 'RETURNING',
]);

type Tokenizing = DialectOptions['tokenizerOptions'];
type Token = Parameters<NonNullable<Tokenizing['postProcess']>>[0][number];

/** A name right before a parenthesis calls a function: no list knows all of them. */
function calls(tokens: Token[]): Token[] {
  return tokens.map((token, at) => {
    const next = tokens[at + 1];
    const isCall = token.type === ('IDENTIFIER' as Token['type']) && next?.raw === '(' && !next.precedingWhitespace;
    return isCall ? { ...token, type: 'RESERVED_FUNCTION_NAME' as Token['type'] } : token;
  });
}

const WEIR: DialectOptions = {
  name: 'weir',
  tokenizerOptions: {
    reservedSelect: expandPhrases(['SELECT [ALL | DISTINCT]']),
    reservedClauses: [...CLAUSES, ...ONE_LINE],
    reservedSetOperations: expandPhrases(['{UNION | EXCEPT | INTERSECT} [ALL | DISTINCT]']),
    reservedJoins: expandPhrases([
      'JOIN', '{LEFT | RIGHT | FULL} [OUTER] JOIN', '{INNER | CROSS} JOIN', 'NATURAL [LEFT | RIGHT | FULL | INNER] [OUTER] JOIN', '[LEFT | RIGHT] {SEMI | ANTI} JOIN', 'ASOF [LEFT] JOIN',
    ]),
    reservedKeywordPhrases: expandPhrases([
      'PRIMARY KEY', 'NOT NULL', 'WATERMARK FOR', 'FOR SYSTEM_TIME AS OF', 'WITH ORDINALITY', 'WITH NO DATA', 'WITHIN GROUP', 'DO {NOTHING | UPDATE}', 'DO UPDATE SET', 'IS [NOT] DISTINCT FROM',
      'SET {NOT NULL | DEFAULT | SCHEMA}', 'EXTRACT', '{ROWS | RANGE | GROUPS} BETWEEN', 'NULLS {FIRST | LAST}',
    ]),
    reservedDataTypePhrases: expandPhrases(['{TIMESTAMP | TIME} {WITH | WITHOUT} TIME ZONE', 'DOUBLE PRECISION']),
    reservedKeywords: [
      'ALL', 'ANY', 'AS', 'ASC', 'BY', 'CAST', 'CHECK', 'CROSS', 'DEFAULT', 'DESC', 'DISTINCT', 'EXISTS', 'FALSE', 'FETCH', 'FILTER', 'FOR', 'ILIKE', 'IN', 'INTERVAL', 'INTO', 'IS', 'LATERAL',
      'LIKE', 'MATCH_CONDITION', 'NOT', 'NULL', 'ON', 'OPTIONS', 'OVER', 'SOME', 'TABLE', 'TO', 'TRUE', 'USING', 'WATERMARK',
    ],
    reservedDataTypes: [],
    reservedFunctionNames: [],
    postProcess: calls,
    nestedBlockComments: true,
    extraParens: ['[]'],
    stringTypes: ['$$', { quote: "''-qq", prefixes: ['U&'] }, { quote: "''-qq-bs", prefixes: ['E'], requirePrefix: true }, { quote: "''-raw", prefixes: ['B', 'X'], requirePrefix: true }],
    identTypes: [{ quote: '""-qq', prefixes: ['U&'] }],
    identChars: { rest: '$' },
    paramTypes: { numbered: ['$'] },
    operators: [
      '%', '^', '&', '|', '#', '~', '<<', '>>', '||', '::', ':', ':=', '=>', '->', '->>', '#>', '#>>', '#-', '@>', '<@', '?', '?|', '?&', '@?', '@@', '&&', '^@', '~*', '!~', '!~*', '~~', '~~*',
      '!~~', '!~~*',
    ],
  },
  formatOptions: { alwaysDenseOperators: ['::', ':'], onelineClauses: ONE_LINE },
};

/** The statement, laid out. @throws Error when it is none that can be read */
export function laidOut(sql: string): string {
  return formatDialect(sql, { dialect: WEIR, tabWidth: 2, expressionWidth: 72 });
}
