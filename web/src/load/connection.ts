// A connection as it is filled in, and the statements that test and make it.

import { literal, quoted } from '../api/http';

export type StoreKind = 's3' | 'gcs' | 'azure' | 'http';
export type Access = 'keys' | 'anonymous' | 'environment';

/** What is asked for one option. */
export interface Field {
  readonly option: string;
  readonly label: string;
  readonly example?: string;
  readonly isSecret?: boolean;
  /** Only asked where keys prove who asks. */
  readonly isKey?: boolean;
  readonly isRequired?: boolean;
}

export const STORES: Readonly<Record<StoreKind, { name: string; scheme: string; fields: readonly Field[] }>> = {
  s3: {
    name: 'S3',
    scheme: 's3://bucket/',
    fields: [
      { option: 'endpoint', label: 'Endpoint', example: 'empty for Amazon, or https://minio.example.com' },
      { option: 'region', label: 'Region', example: 'eu-central-1' },
      { option: 'access_key_id', label: 'Access key id', isKey: true, isRequired: true },
      { option: 'secret_access_key', label: 'Secret access key', isSecret: true, isKey: true, isRequired: true },
    ],
  },
  gcs: {
    name: 'Google Cloud Storage',
    scheme: 'gs://bucket/',
    fields: [{ option: 'service_account_key', label: 'Content of the key file', isSecret: true, isKey: true, isRequired: true }],
  },
  azure: {
    name: 'Azure',
    scheme: 'az://container/',
    fields: [
      { option: 'account', label: 'Account', isRequired: true },
      { option: 'access_key', label: 'Access key', isSecret: true, isKey: true, isRequired: true },
    ],
  },
  http: {
    name: 'Web server',
    scheme: 'https://host/folder/file.parquet',
    fields: [
      { option: 'url', label: 'URL that all files are below', example: 'https://data.example.com/', isRequired: true },
      { option: 'username', label: 'Name', isKey: true },
      { option: 'password', label: 'Password', isSecret: true, isKey: true },
    ],
  },
};

export interface Draft {
  readonly name: string;
  readonly kind: StoreKind;
  readonly access: Access;
  readonly values: Readonly<Record<string, string>>;
  /** Where the test looks. */
  readonly at: string;
}

/** The fields that are asked for. */
export function fieldsOf({ kind, access }: Draft): readonly Field[] {
  return STORES[kind].fields.filter((field) => !field.isKey || access === 'keys');
}

/** What is still to be filled in before it can be tested. */
export function missing(draft: Draft): string[] {
  const fields = fieldsOf(draft).filter((field) => field.isRequired && !draft.values[field.option]?.trim());
  return [...fields.map((field) => field.label), ...(draft.kind !== 'http' && draft.at.trim() === '' ? ['Location'] : [])];
}

function options(draft: Draft): string {
  const given = fieldsOf(draft).flatMap(({ option }) => {
    const value = draft.values[option]?.trim() ?? '';
    return value === '' ? [] : [`${option} = ${literal(value)}`];
  });
  const access = draft.kind === 'http' || draft.access === 'keys' ? [] : [draft.access === 'anonymous' ? 'anonymous = true' : "credentials = 'environment'"];
  return [`type = ${literal(draft.kind)}`, ...given, ...access].join(', ');
}

/** The statement that looks whether it leads anywhere. */
export function testing(draft: Draft): string {
  const at = draft.at.trim();
  return `TEST CONNECTION WITH (${options(draft)})${at === '' ? '' : ` AT ${literal(at)}`}`;
}

/** The statement that makes it. */
export function making(draft: Draft): string {
  return `CREATE CONNECTION ${quoted(draft.name.trim())} WITH (${options(draft)})`;
}

/** A question about a file that was found. */
export function asking(draft: Draft, location: string): string {
  return `SELECT * FROM read_files(${literal(location)}, connection => ${literal(draft.name.trim())}) LIMIT 100`;
}
