// Where statements begin and end in a text of several, and which parameters they have. The server takes one at a time.

/** A statement within a text. */
export interface Statement {
  /** Its first and its last character's place, without what is around it. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  /** The largest `$n`. */
  readonly parameters: number;
  /** Its first words, in upper case. */
  readonly words: readonly string[];
}

/** All statements of a text; pieces of nothing but space and comments are none. */
export function statements(text: string): Statement[] {
  const found: Statement[] = [];
  let at = 0;
  let from = -1;
  let last = 0;
  let parameters = 0;
  let words: string[] = [];
  const end = () => {
    if (from >= 0) found.push({ from, to: last, text: text.slice(from, last), parameters, words });
    from = -1;
    parameters = 0;
    words = [];
  };
  while (at < text.length) {
    const next = tokenEnd(text, at);
    const token = text.slice(at, next);
    if (token === ';') {
      end();
    } else if (!/^\s/.test(token) && !token.startsWith('--') && !token.startsWith('/*')) {
      if (from < 0) from = at;
      last = next;
      const parameter = /^\$(\d+)$/.exec(token);
      if (parameter) parameters = Math.max(parameters, Number(parameter[1]));
      if (words.length < 4 && /^[a-z]/i.test(token)) words.push(token.toUpperCase());
    }
    at = next;
  }
  end();
  return found;
}

/** The statement that the place is in, or behind. */
export function statementAt(text: string, place: number): Statement | undefined {
  const all = statements(text);
  return all.findLast((statement) => statement.from <= place) ?? all[0];
}

/** Where the token that begins at `at` ends. */
export function tokenEnd(text: string, at: number): number {
  const rest = text.slice(at, at + 2);
  if (rest === '--') return endAfter(text, '\n', at);
  if (rest === '/*') return commentEnd(text, at);
  const first = text[at] ?? '';
  if (first === "'" || first === '"') return quoteEnd(text, at, first, false);
  if (/[eE]/.test(first) && text[at + 1] === "'") return quoteEnd(text, at + 1, "'", true);
  if (first === '$') {
    const dollar = /^\$([a-z_]\w*)?\$/i.exec(text.slice(at, at + 66));
    if (dollar) return endAfter(text, dollar[0], at + dollar[0].length);
    return at + (/^\$\d+/.exec(text.slice(at, at + 12))?.[0].length ?? 1);
  }
  const run = /^(\s+|[\p{L}_][\p{L}\p{N}_$]*|\d[\w.]*)/u.exec(text.slice(at, at + 200));
  return at + (run?.[0].length ?? 1);
}

function endAfter(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + mark.length;
}

/** Comments may stand within comments. */
function commentEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const two = text.slice(at, at + 2);
    if (two === '/*') {
      depth += 1;
      at += 1;
    } else if (two === '*/') {
      depth -= 1;
      at += 1;
      if (depth === 0) return at + 1;
    }
  }
  return text.length;
}

function quoteEnd(text: string, from: number, quote: string, escapes: boolean): number {
  for (let at = from + 1; at < text.length; at += 1) {
    if (escapes && text[at] === '\\') at += 1;
    else if (text[at] === quote) {
      if (text[at + 1] !== quote) return at + 1;
      at += 1;
    }
  }
  return text.length;
}

/** The place of a line and column, both from 1, in a text. Columns count characters, not UTF-16 units. */
export function placeOf(text: string, position: { line: number; column: number }): number {
  let at = 0;
  for (let line = 1; line < position.line; line += 1) {
    const next = text.indexOf('\n', at);
    if (next < 0) return text.length;
    at = next + 1;
  }
  for (let column = 1; column < position.column && at < text.length && text[at] !== '\n'; column += 1) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return at;
}

/** Whether a statement is followed rather than answered once. */
export function isLive(statement: Statement): boolean {
  if (/^(SUBSCRIBE)$/.test(statement.words[0] ?? '')) return true;
  if (!/^(SELECT|WITH|VALUES|TABLE|FROM)$/.test(statement.words[0] ?? '')) return false;
  return /\bEMIT\s+(CHANGES|FINAL|ON\s+WINDOW\s+CLOSE)\s*$/i.test(withoutComments(statement.text));
}

/** Whether a statement may hold a password, a key or a token. */
export function holdsSecret(sql: string): boolean {
  const [one] = statements(sql);
  return one !== undefined && /^((CREATE|ALTER)( OR REPLACE)? (USER|ROLE|CONNECTION)|TEST CONNECTION)\b/.test(one.words.join(' '));
}

function withoutComments(text: string): string {
  let bare = '';
  for (let at = 0; at < text.length; ) {
    const next = tokenEnd(text, at);
    const token = text.slice(at, next);
    bare += token.startsWith('--') || token.startsWith('/*') ? ' ' : token;
    at = next;
  }
  return bare;
}
