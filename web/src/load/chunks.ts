// A file of text, cut at the ends of its records into pieces that are sent one after another.

export type TextKind = 'csv' | 'ndjson';

/** A piece of a file: whole records, and how many bytes of the file have been read up to its end. */
export interface Piece {
  readonly text: string;
  readonly readBytes: number;
}

/** Finds where the last whole record of a text ends. */
export class RecordEnds {
  private inQuotes = false;

  constructor(private readonly kind: TextKind) {}

  /** The place behind the last record that ends in `text`, which follows what was seen before; -1 when none does. */
  last(text: string): number {
    if (this.kind === 'ndjson') return text.lastIndexOf('\n') + 1 || -1;
    let end = -1;
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      // A doubled quote leaves and enters again, so it needs no look ahead.
      if (code === 34) this.inQuotes = !this.inQuotes;
      else if (code === 10 && !this.inQuotes) end = at + 1;
    }
    return end;
  }
}

/** The pieces of a file, each of about `bytes`. The first line of a CSV file is put before each. */
export async function* pieces(file: Blob, kind: TextKind, bytes: number): AsyncGenerator<Piece> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const ends = new RecordEnds(kind);
  let held = '';
  let header: string | null = null;
  for (let from = 0; from < file.size; from += bytes) {
    const readBytes = Math.min(file.size, from + bytes);
    const isLast = readBytes === file.size;
    const fresh = decoder.decode(await file.slice(from, readBytes).arrayBuffer(), { stream: !isLast });
    const end = ends.last(fresh);
    if (end < 0 && !isLast) {
      held += fresh;
      continue;
    }
    let text = isLast ? held + fresh : held + fresh.slice(0, end);
    held = isLast ? '' : fresh.slice(end);
    if (kind === 'csv') {
      if (header === null) {
        const lineEnd = new RecordEnds('csv');
        header = firstRecord(text, lineEnd);
        text = text.slice(header.length);
      }
      if (text.trim() !== '') yield { text: `${header.trimEnd()}\n${text}`, readBytes };
    } else if (text.trim() !== '') yield { text, readBytes };
  }
}

function firstRecord(text: string, ends: RecordEnds): string {
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    if (newline < 0) return text;
    if (ends.last(text.slice(at, newline + 1)) >= 0) return text.slice(0, newline + 1);
    at = newline + 1;
  }
  return text;
}

/** The fields of the first records of a CSV text, RFC 4180. */
export function csvRecords(text: string, delimiter: string, records: number): string[][] {
  const found: string[][] = [];
  let fields: string[] = [];
  let field = '';
  let inQuotes = false;
  for (let at = 0; at < text.length && found.length < records; at += 1) {
    const char = text[at]!;
    if (inQuotes) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else inQuotes = false;
    } else if (char === '"') inQuotes = true;
    else if (char === delimiter) {
      fields.push(field);
      field = '';
    } else if (char === '\n') {
      fields.push(field.replace(/\r$/, ''));
      if (fields.length > 1 || fields[0] !== '') found.push(fields);
      fields = [];
      field = '';
    } else field += char;
  }
  return found;
}
