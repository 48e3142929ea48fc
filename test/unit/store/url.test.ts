import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { wantsPathStyle } from '../../../artifact/store/s3.ts';
import { formatStoreUrl, parseModelUrl, parseStoreUrl } from '../../../artifact/store/url.ts';

describe('the URL of a model', () => {
  it.each([
    ['file:./models/tiny', 'file:./models', 'tiny'],
    ['file:models/tiny/', 'file:models', 'tiny'],
    ['file:/srv/models/tiny', 'file:/srv/models', 'tiny'],
    ['file:///srv/my%20models/tiny', 'file:/srv/my models', 'tiny'],
    ['./models/tiny', 'file:./models', 'tiny'],
    ['models/tiny', 'file:models', 'tiny'],
    ['/srv/models/tiny', 'file:/srv/models', 'tiny'],
    ['../tiny', 'file:..', 'tiny'],
    ['tiny', 'file:.', 'tiny'],
    ['/tiny', 'file:/', 'tiny'],
    ['s3://bucket/tiny', 's3://bucket', 'tiny'],
    ['s3://bucket/a/b/tiny', 's3://bucket/a/b', 'tiny'],
    ['s3://bucket//a//tiny/', 's3://bucket/a', 'tiny'],
    ['S3://my.bucket-1/a/tiny-1.0_x', 's3://my.bucket-1/a', 'tiny-1.0_x'],
    ['s3://bucket/a/tiny?pathStyle=true', 's3://bucket/a?pathStyle=true', 'tiny'],
    ['s3://bucket/tiny?pathStyle=false', 's3://bucket?pathStyle=false', 'tiny'],
  ])('%s is a model in %s named %s', (url, storeUrl, name) => {
    expect(parseModelUrl(url)).toEqual({ storeUrl, name });
  });

  it.each([
    '',
    ' ',
    'file:',
    '.',
    './',
    '..',
    '/',
    'file://host/share/tiny',
    's3://bucket',
    's3://bucket/',
    's3:bucket/tiny',
    's3:///tiny',
    's3://b/tiny',
    's3://bucket/tiny?pathstyle=true',
    's3://bucket/tiny?pathStyle=yes',
    's3://bucket/tiny#1',
    's3://bucket/a b',
    './models/.hidden',
    './models/ä',
    `./models/${'x'.repeat(129)}`,
    'gs://bucket/tiny',
    'https://bucket.example.com/tiny',
    'memory:tiny',
  ])('refuses %j', (url) => {
    expect(() => parseModelUrl(url)).toThrow(UsageError);
  });

  it('says what would be accepted', () => {
    expect(() => parseModelUrl('gs://bucket/tiny')).toThrow(/gs: is not known.*file:PATH.*s3:\/\/BUCKET/);
  });
});

describe('the URL of a store', () => {
  it.each(['file:/srv/models', 's3://bucket', 's3://bucket/a/b?pathStyle=true'])(
    '%s survives parsing',
    (url) => {
      expect(formatStoreUrl(parseStoreUrl(url))).toBe(url);
    },
  );
});

describe('path style', () => {
  it.each([
    [{}, false],
    [{ AWS_ENDPOINT_URL: 'http://127.0.0.1:9000' }, true],
    [{ AWS_ENDPOINT_URL_S3: 'http://[::1]:9000' }, true],
    [{ AWS_ENDPOINT_URL_S3: 'http://localhost:9000' }, true],
    [{ AWS_ENDPOINT_URL_S3: 'https://objects.example.com' }, false],
    [{ AWS_ENDPOINT_URL_S3: 'https://objects.example.com', AWS_ENDPOINT_URL: 'http://127.0.0.1' }, false],
    [{ FOLDGATE_S3_PATH_STYLE: 'true', AWS_ENDPOINT_URL: 'https://objects.example.com' }, true],
    [{ FOLDGATE_S3_PATH_STYLE: 'false', AWS_ENDPOINT_URL: 'http://127.0.0.1:9000' }, false],
  ])('with %o: %s', (env, expected) => {
    expect(wantsPathStyle(env)).toBe(expected);
  });
});
