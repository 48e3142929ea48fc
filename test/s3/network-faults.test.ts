import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CopyObjectCommand, ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { FoldgateError, InvalidDataError } from '../../artifact/errors.ts';
import { sha256 } from '../../artifact/store/digest.ts';
import { openS3Store } from '../../artifact/store/s3-store.ts';
import type { Store } from '../../artifact/store/store.ts';
import { noise } from '../fixtures/stored-model.ts';
import { temporaryFolder, writeSource } from '../fixtures/temporary-folder.ts';
import { FaultProxy, type SeenRequest } from './fault-proxy.ts';
import { isInstalled, S3Server, useEndpoint } from './servers.ts';

const MiB = 1024 * 1024;
const partBytes = 5 * MiB;
const rangeBytes = MiB;
const bytes = 3 * partBytes - 100;

describe.skipIf(!isInstalled('versitygw'))('a network that breaks', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start('versitygw');
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const connect = async (idleMs = 1000): Promise<{ store: Store; bucket: string; proxy: FaultProxy }> => {
    const bucket = await server.makeBucket();
    const proxy = await FaultProxy.start(server.endpoint);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    useEndpoint(proxy.endpoint);
    const location = { kind: 's3', bucket, prefix: '', pathStyle: undefined } as const;
    return { store: await openS3Store(location, { partBytes, rangeBytes, idleMs }), bucket, proxy };
  };
  const source = async (length = bytes, seed = 1) => await writeSource(noise(length, seed));
  const uploadsOf = async (bucket: string) =>
    (await server.client().send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? [];

  /** Puts other bytes in the object's place as its first range is asked for. @returns waits for that */
  const replaceWhileRead = (bucket: string, proxy: FaultProxy) => {
    let replaced: Promise<unknown> | undefined;
    proxy.fault = ({ method, headers }) => {
      if (method !== 'GET' || !headers.range?.startsWith('bytes=0-') || replaced) return undefined;
      const object = { Bucket: bucket, Key: 'object', Body: noise(bytes, 2) };
      replaced = server.client().send(new PutObjectCommand(object));
      return { kind: 'stall', after: 10 }; // Long enough for the other object to be there.
    };
    return () => replaced;
  };

  it.each(['cut', 'stall'] as const)(
    '%s: every range is broken once, and only the rest is asked for again',
    async (kind) => {
      const { store, proxy } = await connect();
      const file = await source();
      await store.upload('object', file.path, file);
      proxy.requests.length = 0;
      const broken = new Set<string>();
      proxy.fault = ({ method, headers }) => {
        const start = /^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? '';
        // Only the first request of each range; the requests that resume it start in its middle.
        if (method !== 'GET' || Number(start) % rangeBytes !== 0 || broken.has(start)) return undefined;
        broken.add(start);
        return { kind, after: 300_000 };
      };
      let moved = 0;
      const onProgress = (count: number) => {
        moved += count;
      };
      const target = join(await temporaryFolder(), 'target');
      await store.download('object', target, file, { onProgress });
      expect(sha256(await readFile(target))).toBe(file.sha256);
      expect(moved).toBe(bytes);
      expect(broken.size).toBe(Math.ceil(bytes / rangeBytes));
      const asked = proxy.requests.filter(({ method }) => method === 'GET').map(lengthOfRange);
      // A broken range costs what was lost on the way, not another whole range.
      expect(asked.length).toBeGreaterThanOrEqual(2 * broken.size);
      expect(asked.reduce((sum, length) => sum + length, 0)).toBeLessThan(
        bytes + broken.size * (rangeBytes - 200_000),
      );
    },
  );

  it('notices that the object was replaced between two ranges, and starts over', async () => {
    const { store, bucket, proxy } = await connect();
    const old = await source(bytes, 1);
    const other = await source(bytes, 2);
    await store.upload('object', old.path, old);
    const replaced = replaceWhileRead(bucket, proxy);
    const target = join(await temporaryFolder(), 'target');
    await store.download('object', target, other);
    await replaced();
    expect(sha256(await readFile(target))).toBe(other.sha256);
    const pinned = proxy.requests.filter(({ method }) => method === 'GET');
    expect(pinned.every(({ headers }) => headers['if-match'] !== undefined)).toBe(true);
    expect(new Set(pinned.map(({ headers }) => headers['if-match'])).size).toBe(2);
    expect(await readdir(join(target, '..'))).toEqual(['target']);
  });

  it('never mixes the old and the new object where the old one was expected', async () => {
    const { store, bucket, proxy } = await connect();
    const old = await source(bytes, 1);
    await store.upload('object', old.path, old);
    replaceWhileRead(bucket, proxy);
    const folder = await temporaryFolder();
    await expect(store.download('object', join(folder, 'target'), old)).rejects.toThrow(InvalidDataError);
    expect(await readdir(folder)).toEqual([]);
  });

  it('survives an object that is touched while it is read', async () => {
    const { store, bucket, proxy } = await connect();
    const file = await source();
    await store.upload('object', file.path, file);
    let touched: Promise<unknown> | undefined;
    proxy.fault = ({ method, headers }) => {
      if (method !== 'GET' || !headers.range?.startsWith('bytes=0-') || touched !== undefined)
        return undefined;
      const CopySource = `${bucket}/object`;
      touched = server
        .client()
        .send(
          new CopyObjectCommand({ Bucket: bucket, Key: 'object', CopySource, MetadataDirective: 'REPLACE' }),
        );
      return { kind: 'stall', after: 10 };
    };
    const target = join(await temporaryFolder(), 'target');
    await store.download('object', target, file);
    await touched;
    expect(sha256(await readFile(target))).toBe(file.sha256);
  });

  it('sends a part again that the server refused or whose answer was lost', async () => {
    const { store, bucket, proxy } = await connect();
    const file = await source();
    const failures = new Map<string, number>();
    proxy.fault = ({ method, url }) => {
      const part = /partNumber=(\d+)/.exec(url)?.[1];
      if (method !== 'PUT' || part === undefined) return undefined;
      const failed = failures.get(part) ?? 0;
      failures.set(part, failed + 1);
      // More often than the client itself tries.
      if (failed >= 4) return undefined;
      return part === '1' ? { kind: 'lose' } : { kind: 'status', code: 503 };
    };
    expect(await store.upload('object', file.path, file, { ifAbsent: true })).toBe(true);
    expect((await store.digest('object')).sha256).toBe(file.sha256);
    expect(await uploadsOf(bucket)).toEqual([]);
    expect([...failures.values()]).toEqual([5, 5, 5]);
  });

  it.each([true, false])(
    'takes a completion whose answer was lost for what it is (ifAbsent: %s)',
    async (ifAbsent) => {
      const { store, bucket, proxy } = await connect();
      const file = await source();
      let lost = 0;
      proxy.fault = ({ method, url }) => {
        const isCompletion = method === 'POST' && url.includes('uploadId=');
        return isCompletion && lost++ === 0 ? { kind: 'lose' } : undefined;
      };
      await store.upload('object', file.path, file, { ifAbsent });
      expect(lost).toBe(2);
      expect((await store.digest('object')).sha256).toBe(file.sha256);
      expect(await uploadsOf(bucket)).toEqual([]);
    },
  );

  it('works with a server that has no conditional writes', async () => {
    const { store, proxy } = await connect();
    proxy.fault = ({ headers }) => (headers['if-none-match'] ? { kind: 'status', code: 501 } : undefined);
    const one = await source(bytes, 1);
    const two = await source(bytes, 2);
    expect(await store.upload('large', one.path, one, { ifAbsent: true })).toBe(true);
    expect(await store.upload('large', two.path, two, { ifAbsent: true })).toBe(false);
    expect(await store.write('small', Buffer.from('1'), { ifAbsent: true })).toBe(true);
    expect(await store.write('small', Buffer.from('2'), { ifAbsent: true })).toBe(false);
    expect(Buffer.from(await store.read('small')).toString()).toBe('1');
    expect((await store.digest('large')).sha256).toBe(one.sha256);
  });

  it('aborts its upload when a part fails for good, and when the signal says so', async () => {
    const { store, bucket, proxy } = await connect();
    const file = await source();
    proxy.fault = ({ url }) => (url.includes('partNumber=2') ? { kind: 'status', code: 403 } : undefined);
    await expect(store.upload('object', file.path, file)).rejects.toThrow(/the server refused.*s3:PutObject/);
    expect(await uploadsOf(bucket)).toEqual([]);
    const controller = new AbortController();
    proxy.fault = ({ url }) => {
      if (url.includes('partNumber=2')) controller.abort();
      return undefined;
    };
    const uploading = store.upload('object', file.path, file, { signal: controller.signal });
    await expect(uploading).rejects.toMatchObject({ name: 'AbortError' });
    expect(await uploadsOf(bucket)).toEqual([]);
    expect(await store.head('object')).toBeUndefined();
  });

  it('leaves no upload behind where a signal comes between its beginning and the answer that names it', async () => {
    const { store, bucket, proxy } = await connect();
    const file = await source();
    const controller = new AbortController();
    proxy.fault = ({ method, url }) => {
      if (method !== 'POST' || !url.includes('uploads')) return undefined;
      setTimeout(() => controller.abort(), 300);
      return { kind: 'late', ms: 600 };
    };
    const upload = store.upload('object', file.path, file, { signal: controller.signal });
    await expect(upload).rejects.toMatchObject({ name: 'AbortError' });
    expect(proxy.requests.filter(({ method }) => method === 'PUT')).toEqual([]);
    expect(await uploadsOf(bucket)).toEqual([]);
  });

  it('names a server that cannot be reached, a bucket that is missing, credentials that are wrong', async () => {
    const { store, proxy } = await connect();
    const key = process.env.AWS_SECRET_ACCESS_KEY;
    onTestFinished(() => {
      process.env.AWS_SECRET_ACCESS_KEY = key;
    });
    const location = { kind: 's3', prefix: '', pathStyle: undefined } as const;
    const missing = await openS3Store({ ...location, bucket: 'missing-bucket' });
    await expect(missing.write('object', Buffer.from('x'))).rejects.toThrow(/no such bucket/);
    await expect(missing.list('')[Symbol.asyncIterator]().next()).rejects.toThrow(/no such bucket/);
    process.env.AWS_SECRET_ACCESS_KEY = 'wrong';
    const refused = await openS3Store({ ...location, bucket: 'bucket-1' });
    await expect(refused.read('object')).rejects.toThrow(
      /refused \(SignatureDoesNotMatch\).*Check the credentials/,
    );
    await proxy[Symbol.asyncDispose]();
    await expect(store.head('object')).rejects.toThrow(/the server could not be reached/);
    await expect(store.head('object')).rejects.toThrow(FoldgateError);
  });
});

function lengthOfRange({ headers }: SeenRequest): number {
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  return Number(end) - Number(start) + 1;
}
