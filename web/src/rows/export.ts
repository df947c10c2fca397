// Rows as text that other programs read.

import type { Rows } from './column';

/** What is written at a time: a piece is large enough to be worth a step, and small enough to leave the page alive. */
const PIECE_ROWS = 20_000;

export type TextFormat = 'csv' | 'ndjson' | 'json' | 'markdown';

/** The rows in a format, piece by piece. `order` are the numbers of the rows in the order that they are shown. */
export function* pieces(rows: Rows, format: TextFormat, order: Uint32Array | null): Generator<string> {
  const names = rows.columns.map((column) => column.name);
  const keys = uniqueNames(names).map((name) => JSON.stringify(name));
  if (format === 'csv') yield `${names.map(csvField).join(',')}\r\n`;
  if (format === 'markdown') {
    yield `| ${names.map(markdownCell).join(' | ')} |\n`;
    yield `| ${rows.columns.map((column) => (column.kind === 'number' ? '--:' : '---')).join(' | ')} |\n`;
  }
  if (format === 'json') yield '[';
  const count = order?.length ?? rows.count;
  for (let from = 0; from < count; from += PIECE_ROWS) {
    const lines: string[] = [];
    for (let at = from; at < Math.min(count, from + PIECE_ROWS); at += 1) {
      const row = order?.[at] ?? at;
      if (format === 'csv') {
        lines.push(`${names.map((_, column) => csvField(rows.text(row, column))).join(',')}\r\n`);
      } else if (format === 'markdown') {
        lines.push(`| ${names.map((_, column) => markdownCell(rows.text(row, column) ?? '')).join(' | ')} |\n`);
      } else {
        const object = `{${keys.map((key, column) => `${key}:${rows.json(row, column)}`).join(',')}}`;
        lines.push(format === 'ndjson' ? `${object}\n` : `${at === 0 ? '\n' : ',\n'}${object}`);
      }
    }
    yield lines.join('');
  }
  if (format === 'json') yield '\n]\n';
}

/** RFC 4180; null is empty and the empty text is quoted, as the server writes them. */
export function csvField(text: string | null): string {
  if (text === null) return '';
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function markdownCell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/\r?\n/g, ' ');
}

/** Tab-separated cells, as spreadsheets take them from the clipboard. */
export function tabbed(cells: readonly (readonly (string | null)[])[]): string {
  const field = (text: string | null) => (text === null ? '' : /[\t\r\n"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return cells.map((row) => row.map(field).join('\t')).join('\n');
}

function uniqueNames(names: readonly string[]): string[] {
  const used = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let number = 2; used.has(unique) || (number > 2 && names.includes(unique)); number += 1) unique = `${name}_${number}`;
    used.add(unique);
    return unique;
  });
}
