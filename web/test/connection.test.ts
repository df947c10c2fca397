// A connection as it is filled in.

import { beforeAll, describe, expect, it, vi } from 'vitest';

import type { Draft } from '../src/load/connection';

const DRAFT: Draft = { name: 'lake', kind: 's3', access: 'keys', values: { region: 'eu-1', access_key_id: "o'k", secret_access_key: 'hush' }, at: 's3://b/' };
let connection: typeof import('../src/load/connection');

describe('a connection', () => {
  beforeAll(async () => {
    vi.stubGlobal('sessionStorage', { getItem: () => null });
    connection = await import('../src/load/connection');
  });

  it('is tested and made by the same options', () => {
    const options = "(type = 's3', region = 'eu-1', access_key_id = 'o''k', secret_access_key = 'hush')";
    expect(connection.testing(DRAFT)).toBe(`TEST CONNECTION WITH ${options} AT 's3://b/'`);
    expect(connection.making({ ...DRAFT, name: 'My lake' })).toBe(`CREATE CONNECTION "My lake" WITH ${options}`);
    expect(connection.making({ ...DRAFT, access: 'anonymous' })).toBe("CREATE CONNECTION lake WITH (type = 's3', region = 'eu-1', anonymous = true)");
    expect(connection.testing({ ...DRAFT, kind: 'http', values: { url: 'https://h/' }, at: '' })).toBe("TEST CONNECTION WITH (type = 'http', url = 'https://h/')");
    expect(connection.asking(DRAFT, 's3://b/a.csv')).toBe("SELECT * FROM read_files('s3://b/a.csv', connection => 'lake') LIMIT 100");
  });

  it('says what is not filled in', () => {
    expect(connection.missing(DRAFT)).toEqual([]);
    expect(connection.missing({ ...DRAFT, values: {}, at: ' ' })).toEqual(['Access key id', 'Secret access key', 'Location']);
    expect(connection.missing({ ...DRAFT, values: {}, access: 'environment' })).toEqual([]);
    expect(connection.missing({ ...DRAFT, kind: 'http', values: {}, at: '' })).toEqual(['URL that all files are below']);
  });
});
