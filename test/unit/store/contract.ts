import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import { sha256 } from '../../../artifact/store/digest.ts';
import type { Digest, ObjectInfo, Store } from '../../../artifact/store/store.ts';
import { noise } from '../../fixtures/stored-model.ts';

export interface ContractOptions {
  /** Bytes of the large object: enough that the driver cuts it into several parts and ranges. @default 3 MiB */
  largeBytes?: number;
  /**
   * False for servers that check a condition and then write, without a lock in between: of several writers
   * at the same instant more than one may then win. @default true
   */
  atomic?: boolean;
}

/** What every driver promises, in one suite. `makeStore` gives an empty store each time. */
export function storeContract(
  name: string,
  makeStore: () => Promise<Store>,
  { largeBytes = 3 * 1024 * 1024 + 17, atomic = true }: ContractOptions = {},
): void {
  describe(`${name} keeps the store's contract`, () => {
    let folder: string;
    let store: Store;
    const text = (value: string) => new TextEncoder().encode(value);
    const file = async (bytes: Uint8Array): Promise<{ path: string } & Digest> => {
      const path = join(folder, `source-${sha256(bytes)}`);
      await writeFile(path, bytes);
      return { path, sha256: sha256(bytes), bytes: bytes.length };
    };
    const objects = async (prefix: string) => {
      const found: ObjectInfo[] = [];
      for await (const object of store.list(prefix)) found.push(object);
      return found;
    };
    const keys = async (prefix: string) => (await objects(prefix)).map((object) => object.key);

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'foldgate-contract-'));
      store = await makeStore();
    });
    afterAll(async () => {
      await rm(folder, { recursive: true, force: true });
    });

    it('reads back what was written, with its size and time', async () => {
      const before = Date.now() - 2000; // S3 counts whole seconds.
      expect(await store.write('a/one', text('hello'))).toBe(true);
      expect(new TextDecoder().decode(await store.read('a/one'))).toBe('hello');
      const info = await store.head('a/one');
      expect(info).toMatchObject({ key: 'a/one', bytes: 5 });
      expect(info?.modified.getTime()).toBeGreaterThan(before);
      expect(info?.modified.getTime()).toBeLessThan(Date.now() + 2000);
    });

    it('keeps an empty object', async () => {
      await store.write('empty', new Uint8Array());
      expect((await store.head('empty'))?.bytes).toBe(0);
      expect(await store.read('empty')).toHaveLength(0);
      const empty = { sha256: sha256(new Uint8Array()), bytes: 0 };
      expect(await store.digest('empty')).toEqual(empty);
      await store.download('empty', join(folder, 'empty'), empty);
      expect(await readFile(join(folder, 'empty'))).toHaveLength(0);
    });

    it('replaces an object, and with ifAbsent leaves it', async () => {
      await store.write('b/two', text('first'));
      expect(await store.write('b/two', text('second'))).toBe(true);
      expect(await store.write('b/two', text('third'), { ifAbsent: true })).toBe(false);
      expect(new TextDecoder().decode(await store.read('b/two'))).toBe('second');
      expect(await store.write('b/new', text('third'), { ifAbsent: true })).toBe(true);
    });

    it('lets exactly one of many writers be first', async () => {
      const writers = Array.from({ length: 8 }, (_, index) => `writer ${index}`);
      const won = await Promise.all(
        writers.map((writer) => store.write('race', text(writer), { ifAbsent: true })),
      );
      const winners = writers.filter((_, index) => won[index]);
      if (atomic) expect(winners).toHaveLength(1);
      expect(winners).toContain(new TextDecoder().decode(await store.read('race')));
    });

    it('says NotFoundError for what is not there', async () => {
      expect(await store.head('nothing')).toBeUndefined();
      const target = join(folder, 'nothing');
      const expected = { sha256: '0'.repeat(64), bytes: 1 };
      await expect(store.read('nothing')).rejects.toThrow(NotFoundError);
      await expect(store.digest('nothing')).rejects.toThrow(NotFoundError);
      await expect(store.download('nothing', target, expected)).rejects.toThrow(NotFoundError);
      expect(await store.touch('nothing')).toBe(false);
      await store.remove('nothing');
      expect(await keys('nothing')).toEqual([]);
    });

    it('refuses to read more than maxBytes', async () => {
      await store.write('long', text('0123456789'));
      expect(await store.read('long', { maxBytes: 10 })).toHaveLength(10);
      await expect(store.read('long', { maxBytes: 9 })).rejects.toThrow(InvalidDataError);
    });

    it('refuses keys that could leave the store', async () => {
      for (const key of [
        '',
        '/',
        '../x',
        'a/../../x',
        '/etc/passwd',
        'a//b',
        'a/',
        '.hidden',
        'a/.b',
        'a b',
      ]) {
        await expect(store.read(key), key).rejects.toThrow(UsageError);
        await expect(store.write(key, text('x')), key).rejects.toThrow(UsageError);
        await expect(store.head(key), key).rejects.toThrow(UsageError);
        await expect(store.remove(key), key).rejects.toThrow(UsageError);
      }
    });

    it('lists in key order, by prefix, files before what they are a prefix of', async () => {
      // "." sorts before "/", and a folder in a file system would tempt one to sort it as "l/a".
      const all = ['l/a', 'l/a.b', 'l/a/b', 'l/a0', 'l/b/c/d', 'l2'].filter((key) => key !== 'l/a');
      for (const key of all.toReversed()) await store.write(key, text(key));
      expect(await keys('l')).toEqual(expect.arrayContaining(all));
      expect(await keys('l/')).toEqual(['l/a.b', 'l/a/b', 'l/a0', 'l/b/c/d']);
      expect(await keys('l/a')).toEqual(['l/a.b', 'l/a/b', 'l/a0']);
      expect(await keys('l/b/')).toEqual(['l/b/c/d']);
      expect(await keys('l/nothing')).toEqual([]);
      expect(await objects('l/a0')).toMatchObject([{ key: 'l/a0', bytes: 4 }]);
    });

    it('uploads and downloads a small and a large file, with their progress', async () => {
      for (const bytes of [1, 1000, largeBytes]) {
        const source = await file(noise(bytes, bytes));
        let sent = 0;
        let received = 0;
        const target = join(folder, 'deep', 'er', `target-${bytes}`);
        const key = `blobs/${source.sha256}`;
        const onSent = (count: number) => {
          sent += count;
        };
        expect(await store.upload(key, source.path, source, { onProgress: onSent })).toBe(true);
        expect(await store.digest(key)).toEqual({ sha256: source.sha256, bytes });
        const onReceived = (count: number) => {
          received += count;
        };
        await store.download(key, target, source, { onProgress: onReceived });
        expect(sha256(await readFile(target))).toBe(source.sha256);
        expect([sent, received]).toEqual([bytes, bytes]);
      }
      expect(await readdir(join(folder, 'deep', 'er'))).toHaveLength(3); // No temporary files.
    });

    it('uploads to an object that is there only without ifAbsent', async () => {
      const old = await file(noise(largeBytes, 1));
      const other = await file(noise(largeBytes, 2));
      await store.upload('u', old.path, old);
      expect(await store.upload('u', other.path, other, { ifAbsent: true })).toBe(false);
      expect((await store.digest('u')).sha256).toBe(old.sha256);
      expect(await store.upload('u', other.path, other)).toBe(true);
      expect((await store.digest('u')).sha256).toBe(other.sha256);
    });

    it('lets exactly one of two large conditional uploads win', async () => {
      const one = await file(noise(largeBytes, 3));
      const two = await file(noise(largeBytes, 4));
      const won = await Promise.all(
        [one, two].map((source) => store.upload('v', source.path, source, { ifAbsent: true })),
      );
      const winners = [one, two].filter((_, index) => won[index]).map((source) => source.sha256);
      if (atomic) expect(winners).toHaveLength(1);
      expect(winners).toContain((await store.digest('v')).sha256);
    });

    it('makes no object of a file that is not what was expected', async () => {
      for (const bytes of [1000, largeBytes]) {
        const source = await file(noise(bytes, 5));
        const wrong = [
          { sha256: 'f'.repeat(64), bytes },
          { sha256: source.sha256, bytes: bytes + 1 },
          { sha256: source.sha256, bytes: bytes - 1 },
        ];
        for (const expected of wrong) {
          await expect(store.upload('wrong', source.path, expected)).rejects.toThrow(InvalidDataError);
          expect(await store.head('wrong')).toBeUndefined();
        }
      }
    });

    it('leaves no file behind where a download is not what was expected', async () => {
      const target = join(folder, 'refused');
      for (const bytes of [1000, largeBytes]) {
        const source = await file(noise(bytes, 6));
        await store.upload('r', source.path, source);
        const wrong = [
          { sha256: 'f'.repeat(64), bytes },
          { sha256: source.sha256, bytes: bytes + 1 },
          { sha256: source.sha256, bytes: bytes - 1 },
          { sha256: source.sha256, bytes: 2 * largeBytes },
        ];
        for (const expected of wrong) {
          await expect(store.download('r', target, expected)).rejects.toThrow(InvalidDataError);
        }
      }
      expect(
        (await readdir(folder)).filter((name) => !name.startsWith('source-') && name !== 'deep'),
      ).toEqual(['empty']);
    });

    it('keeps the old file when a download fails', async () => {
      const target = join(folder, 'kept');
      await writeFile(target, 'old');
      const source = await file(noise(1000, 7));
      await store.upload('k', source.path, source);
      const wrong = { sha256: 'f'.repeat(64), bytes: 1000 };
      await expect(store.download('k', target, wrong)).rejects.toThrow(InvalidDataError);
      expect(await readFile(target, 'utf8')).toBe('old');
      await rm(target);
    });

    it('touches an object: its time is new, its bytes are the same', async () => {
      await store.write('t', text('touched'));
      const before = await store.head('t');
      expect(await store.touch('t')).toBe(true);
      const after = await store.head('t');
      expect(after?.modified.getTime()).toBeGreaterThanOrEqual(before?.modified.getTime() ?? Infinity);
      expect(new TextDecoder().decode(await store.read('t'))).toBe('touched');
    });

    it('removes an object, and only that', async () => {
      await store.write('x/y/1', text('1'));
      await store.write('x/y/2', text('2'));
      await store.remove('x/y/1');
      expect(await keys('x/')).toEqual(['x/y/2']);
      await store.remove('x/y/2');
      expect(await keys('x/')).toEqual([]);
      await store.write('x/y/1', text('again'));
      expect(await keys('x/')).toEqual(['x/y/1']);
    });

    it('does nothing once the signal is aborted, and says so with its reason', async () => {
      const source = await file(noise(largeBytes, 8));
      await store.upload('s', source.path, source);
      const reason = new Error('the user changed their mind');
      const signal = AbortSignal.abort(reason);
      const calls = [
        () => store.read('s', { signal }),
        () => store.write('s2', text('x'), { signal }),
        () => store.upload('s2', source.path, source, { signal }),
        () => store.download('s', join(folder, 's'), source, { signal }),
        () => store.digest('s', { signal }),
      ];
      for (const call of calls) await expect(call()).rejects.toBe(reason);
      expect(await store.head('s2')).toBeUndefined();
    });

    it('stops a transfer midway when the signal is aborted, leaving nothing', async () => {
      const source = await file(noise(largeBytes, 9));
      await store.upload('m', source.path, source);
      for (const transfer of ['upload', 'download'] as const) {
        const controller = new AbortController();
        const options = { signal: controller.signal, onProgress: () => controller.abort() };
        const running =
          transfer === 'upload'
            ? store.upload('m2', source.path, source, options)
            : store.download('m', join(folder, 'm'), source, options);
        // A driver that moves everything at once may be done by then; half a result is what must not be.
        const outcome = await running.then(
          () => 'done',
          (error: Error) => error.name,
        );
        expect(['done', 'AbortError']).toContain(outcome);
        if (transfer === 'upload' && outcome !== 'done') expect(await store.head('m2')).toBeUndefined();
        if (transfer === 'download') {
          const left = (await readdir(folder)).filter((name) => name === 'm' || name.startsWith('.'));
          expect(left).toEqual(outcome === 'done' ? ['m'] : []);
        }
      }
      // It cleaned up after itself, as far as it could: a server may still be taking in a part when it is told
      // to forget the upload. What is left then is an orphan like any other.
      const left = await store.abortOrphans(-1000);
      if (!store.url.startsWith('s3:')) expect(left).toBe(0);
      expect(await store.abortOrphans(-1000)).toBe(0);
    });
  });
}
