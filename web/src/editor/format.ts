// Formatting of a text of statements. Nothing but the space between tokens may change by it: what a formatter that knows
// another SQL makes of a statement is compared with it, and thrown away if there is more to it.

import { statements, tokenEnd, type Statement } from './statements';

/** A piece of the text, and what comes in its place. */
export interface Change {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
}

/** What formatting comes to. */
export interface Formatted {
  readonly changes: readonly Change[];
  /** Statements that stay as they are, since they cannot be formatted without another meaning. */
  readonly left: readonly Statement[];
}

/** Formats the statements that touch a part of the text, or all if the part is a mere place. */
export function format(text: string, part: { from: number; to: number }, laidOut: (sql: string) => string): Formatted {
  const changes: Change[] = [];
  const left: Statement[] = [];
  for (const statement of statements(text)) {
    if (part.from !== part.to && (statement.to <= part.from || statement.from >= part.to)) continue;
    const made = attempt(statement.text, laidOut);
    if (made === null) left.push(statement);
    else if (made !== statement.text) changes.push({ from: statement.from, to: statement.to, insert: made });
  }
  return { changes, left };
}

function attempt(sql: string, laidOut: (sql: string) => string): string | null {
  let made: string;
  try {
    made = laidOut(sql).trim();
  } catch {
    // The formatter reads less than the server does. Its words would not help: the statement may be right.
    return null;
  }
  return JSON.stringify(meaning(sql)) === JSON.stringify(meaning(made)) ? made : null;
}

/** Operators of several characters; what is apart in one of these is another. */
const OPERATORS = ['!~~*', '->>', '#>>', '!~~', '~~*', '!~*', '->', '#>', '#-', '@>', '<@', '?|', '?&', '@?', '@@', '&&', '||', '::', ':=', '=>', '<=', '>=', '<>', '!=', '<<', '>>', '~~', '~*', '!~', '^@'];

/** What of a text counts: its tokens without the space between them. What must stand together is one. */
export function meaning(text: string): string[] {
  const tokens: string[] = [];
  let isGlued = false;
  for (let at = 0; at < text.length; ) {
    const operator = OPERATORS.find((one) => text.startsWith(one, at));
    const end = operator ? at + operator.length : tokenEnd(text, at);
    const token = text.slice(at, end);
    at = end;
    if (/^\s/.test(token)) {
      isGlued = false;
      continue;
    }
    const before = tokens.at(-1) ?? '';
    // X'00' is no X, and the exponent of 1.5e-3 no sum.
    const isOne = isGlued && ((/^['"]/.test(token) && /[\p{L}&]$/u.test(before)) || (/^\d[\d._]*e[+-]?$/i.test(before) && /^[+\-\d]/.test(token)));
    if (isOne) tokens[tokens.length - 1] = before + token;
    else tokens.push(/^(--|\/\*)/.test(token) ? comment(token) : token);
    isGlued = true;
  }
  return tokens;
}

/** The lines of a comment may be moved together. */
function comment(token: string): string {
  return token.split('\n').map((line) => line.trim()).join('\n').trim();
}

/** The place in the changed text that a place in the text before has come to: behind as many characters that are no space. */
export function moved(before: string, after: string, place: number): number {
  let left = before.slice(0, place).replace(/\s/g, '').length;
  if (left === 0) return Math.min(place, after.length);
  for (let at = 0; at < after.length; at += 1) {
    if (/\s/.test(after[at] ?? '')) continue;
    left -= 1;
    if (left === 0) return at + 1;
  }
  return after.length;
}

/** The text with the changes in it. */
export function changed(text: string, changes: readonly Change[]): string {
  let made = '';
  let at = 0;
  for (const change of changes) {
    made += text.slice(at, change.from) + change.insert;
    at = change.to;
  }
  return made + text.slice(at);
}
