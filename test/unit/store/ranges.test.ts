import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FoldgateError } from '../../../artifact/errors.ts';
import { sha256 } from '../../../artifact/store/digest.ts';
import { fetchRanges, type OpenRange, readRange } from '../../../artifact/store/ranges.ts';
import { noise } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const object = noise(100_000, 1);

function broken(): Error {
  return Object.assign(new Error('reset'), { code: 'ECONNRESET' });
}

/** Serves `object`; each connection breaks after `survives` bytes. Counts what it hands out. */
function flaky(survives: number): { open: OpenRange; served: () => number; opened: string[] } {
  let served = 0;
  const opened: string[] = [];
  return {
    served: () => served,
    opened,
    open: async (start, end) => {
      opened.push(`${start}-${end}`);
      return (async function* () {
        for (let at = start; at < end; at += 1000) {
          if (at - start >= survives) throw broken();
          const chunk = object.subarray(at, Math.min(end, at + 1000));
          served += chunk.length;
          yield chunk;
        }
      })();
    },
  };
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

describe('readRange', () => {
  it('goes on where a broken connection stopped, transferring nothing twice', async () => {
    const source = flaky(30_000);
    const bytes = await collect(readRange(source.open, 5_000, 95_000));
    expect(bytes.equals(object.subarray(5_000, 95_000))).toBe(true);
    expect(source.served()).toBe(90_000);
    expect(source.opened).toEqual(['5000-95000', '35000-95000', '65000-95000']);
  });

  it('gives up on a connection that never yields anything', async () => {
    const source = flaky(0);
    await expect(collect(readRange(source.open, 0, 1000))).rejects.toThrow('reset');
    expect(source.opened).toHaveLength(6);
  }, 30_000);

  it('treats a connection that ends early, without an error, as broken', async () => {
    let opened = 0;
    const open: OpenRange = async (start, end) => {
      opened++;
      return (async function* () {
        yield object.subarray(start, opened === 1 ? start + 10 : end);
      })();
    };
    expect((await collect(readRange(open, 0, 1000))).equals(object.subarray(0, 1000))).toBe(true);
    expect(opened).toBe(2);
  });

  it('does not try again where trying is useless', async () => {
    let opened = 0;
    const open: OpenRange = async () => {
      opened++;
      throw new FoldgateError('no');
    };
    await expect(collect(readRange(open, 0, 1000))).rejects.toThrow('no');
    expect(opened).toBe(1);
  });

  it('closes the connection when the reader leaves', async () => {
    let closed = false;
    const open: OpenRange = async (start) =>
      (async function* () {
        try {
          for (let at = start; ; at += 10) yield object.subarray(at, at + 10);
        } finally {
          closed = true;
        }
      })();
    for await (const _ of readRange(open, 0, 1000)) break;
    expect(closed).toBe(true);
  });
});

describe('fetchRanges', () => {
  const fetchWith = async (source: OpenRange, bytes = object.length) => {
    const path = join(await temporaryFolder(), 'target');
    await using file = await open(path, 'wx+');
    const digest = await fetchRanges(source, bytes, file, { rangeBytes: 7_000, parallel: 5 });
    return { digest, content: await readFile(path) };
  };

  it('assembles ranges that arrive in any order, and hashes them in the right one', async () => {
    // The first range comes last: everything behind it has to wait for its hash.
    const late = Promise.withResolvers<void>();
    let running = 0;
    let most = 0;
    const source: OpenRange = async (start, end) =>
      (async function* () {
        most = Math.max(most, ++running);
        if (start === 0) await late.promise;
        await setImmediate();
        yield object.subarray(start, end);
        running--;
        if (end === object.length) late.resolve();
      })();
    const { digest, content } = await fetchWith(source);
    expect(content.equals(object)).toBe(true);
    expect(digest).toEqual({ sha256: sha256(object), bytes: object.length });
    expect(most).toBe(5);
  });

  it('hashes what arrives in order as it arrives, and reads none of it back', async () => {
    const file = await open(join(await temporaryFolder(), 'file'), 'wx+');
    let read = 0;
    const counting = new Proxy(file, {
      get(target, name) {
        if (name === 'read') read++;
        const value = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const one = { rangeBytes: object.length, parallel: 1 };
    const { sha256: digest } = await fetchRanges(flaky(30_000).open, object.length, counting, one);
    await file.close();
    expect(digest).toBe(sha256(object));
    expect(read).toBe(0);
  });

  it('fails with the error of the disk, however late it comes', async () => {
    const file = await open(join(await temporaryFolder(), 'file'), 'wx+');
    let writes = 0;
    const full = new Proxy(file, {
      get(target, name) {
        if (name === 'writev' && writes++ > 0)
          return async () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
        const value = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const one = { rangeBytes: object.length, parallel: 1 };
    await expect(fetchRanges(flaky(Infinity).open, object.length, full, one)).rejects.toThrow('no space');
    await file.close();
  });

  it('goes on where the disk took a part of what it was given', async () => {
    const path = join(await temporaryFolder(), 'file');
    const file = await open(path, 'wx+');
    const reluctant = new Proxy(file, {
      get(target, name) {
        if (name === 'writev')
          return ([first]: Uint8Array[], at: number) =>
            target.write(first!, 0, Math.ceil(first!.length / 3), at);
        const value = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const ranges = { rangeBytes: 7_000, parallel: 5 };
    const { sha256: digest } = await fetchRanges(flaky(3_000).open, object.length, reluctant, ranges);
    await file.close();
    expect(digest).toBe(sha256(object));
    expect((await readFile(path)).equals(object)).toBe(true);
  });

  it('survives breaks in every range', async () => {
    const source = flaky(3_000);
    const { digest } = await fetchWith(source.open);
    expect(digest.sha256).toBe(sha256(object));
    expect(source.served()).toBe(object.length);
  });

  it('makes an empty file of an empty object without asking for a range', async () => {
    const source = flaky(1);
    const { digest, content } = await fetchWith(source.open, 0);
    expect(content).toHaveLength(0);
    expect(digest.sha256).toBe(sha256(new Uint8Array()));
    expect(source.opened).toEqual([]);
  });

  it('fails, and ends every other range first, when one fails for good', async () => {
    let running = 0;
    const source: OpenRange = async (start, end, signal) => {
      if (start === 14_000) throw new FoldgateError('range 2');
      return (async function* () {
        running++;
        try {
          while (!signal?.aborted) await setImmediate();
          yield object.subarray(start, end);
        } finally {
          running--;
        }
      })();
    };
    await expect(fetchWith(source)).rejects.toThrow('range 2');
    expect(running).toBe(0);
  });
});
