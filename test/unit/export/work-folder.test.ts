import { createHash } from 'node:crypto';
import { readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BlobWriter, type WrittenBlob } from '../../../compressor/export/blob-writer.ts';
import { WorkFolder } from '../../../compressor/export/work-folder.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** A step that writes `text` as a blob and counts how often it did. */
function step(work: WorkFolder, name: string, text: string) {
  const run = async () => {
    run.times++;
    const blob = await BlobWriter.create(work.path, name);
    await blob.add('text', 'uint8', [text.length], new TextEncoder().encode(text));
    return blob.finish();
  };
  run.times = 0;
  return run;
}

describe('a work folder', () => {
  it('runs each step once, also over several openings', async () => {
    const parent = await temporaryFolder();
    let work = await WorkFolder.open(parent, { plan: 1 });
    expect(work.resumedSteps).toBe(0);
    const first = step(work, 'a', 'alpha');
    const blob = await work.once('a', first);
    expect(blob.sha256).toBe(createHash('sha256').update('alpha').digest('hex'));

    work = await WorkFolder.open(parent, { plan: 1 });
    expect(work.resumedSteps).toBe(1);
    const again = step(work, 'a', 'alpha');
    expect(await work.once('a', again)).toEqual(blob);
    expect(await work.once('b', step(work, 'b', 'beta'))).toMatchObject({ bytes: 4 });
    expect(again.times).toBe(0);
    expect((await WorkFolder.open(parent, { plan: 1 })).resumedSteps).toBe(2);
  });

  it('belongs to one identity', async () => {
    const parent = await temporaryFolder();
    const one = await WorkFolder.open(parent, { plan: 1 });
    await one.once('a', step(one, 'a', 'alpha'));
    const other = await WorkFolder.open(parent, { plan: 2 });
    expect(other.path).not.toBe(one.path);
    expect(other.resumedSteps).toBe(0);
  });

  it.each([
    ['gone', (path: string) => rm(path)],
    ['cut short', (path: string) => truncate(path, 3)],
  ])('repeats a step whose blob is %s', async (_what, damage) => {
    const parent = await temporaryFolder();
    const work = await WorkFolder.open(parent, 1);
    const blob = await work.once('a', step(work, 'a', 'alpha'));
    await damage(join(work.path, blob.sha256));
    const again = step(work, 'a', 'alpha');
    expect(await work.once('a', again)).toEqual(blob);
    expect(again.times).toBe(1);
  });

  it('forgets a step that failed', async () => {
    const parent = await temporaryFolder();
    const work = await WorkFolder.open(parent, 1);
    const failing = (): Promise<WrittenBlob> => Promise.reject(new Error('disk full'));
    await expect(work.once('a', failing)).rejects.toThrow('disk full');
    expect((await WorkFolder.open(parent, 1)).resumedSteps).toBe(0);
  });

  it.each(['', '{"a":{"sha', '\0\0\0\0'])(
    'begins anew where its record reads %j after a power cut',
    async (text) => {
      const parent = await temporaryFolder();
      let work = await WorkFolder.open(parent, 1);
      await work.once('a', step(work, 'a', 'alpha'));
      await writeFile(join(work.path, 'state.json'), text);
      work = await WorkFolder.open(parent, 1);
      expect(work.resumedSteps).toBe(0);
      const again = step(work, 'a', 'alpha');
      await work.once('a', again);
      expect(again.times).toBe(1);
    },
  );

  it('sweeps away folds that nobody took up for a week, and no others', async () => {
    const parent = await temporaryFolder();
    const old = await WorkFolder.open(parent, 'old');
    const recent = await WorkFolder.open(parent, 'recent');
    const day = 24 * 3600;
    const now = Date.now() / 1000;
    await utimes(old.path, now - 8 * day, now - 8 * day);
    await utimes(recent.path, now - 6 * day, now - 6 * day);
    const third = await WorkFolder.open(parent, 'third');
    const names = [recent, third].map(({ path }) => path.slice(parent.length + 1));
    expect((await readdir(parent)).sort()).toEqual(names.sort());
  });

  it('is used by one at a time', async () => {
    const parent = await temporaryFolder();
    const events: string[] = [];
    let second: Promise<void> | undefined;
    await WorkFolder.use(parent, 1, async (work) => {
      await work.once('a', step(work, 'a', 'alpha'));
      await new Promise<void>((waits) => {
        const onWait = () => {
          events.push('second waits');
          waits();
        };
        const take = async ({ resumedSteps }: WorkFolder) =>
          void events.push(`second finds ${resumedSteps} steps`);
        second = WorkFolder.use(parent, 1, take, { onWait });
      });
      await WorkFolder.use(parent, 2, async () => void events.push('another fold does not wait'));
      events.push('first removes');
      await work.remove();
    });
    await second;
    expect(events).toEqual([
      'second waits',
      'another fold does not wait',
      'first removes',
      'second finds 0 steps',
    ]);
    expect((await readdir(parent)).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  it('is gone after removal', async () => {
    const parent = await temporaryFolder();
    const work = await WorkFolder.open(parent, 1);
    await work.once('a', step(work, 'a', 'alpha'));
    await work.remove();
    expect(await readdir(parent)).toEqual([]);
  });
});

describe('a blob', () => {
  it('is named by its content, its tensors at aligned places', async () => {
    const folder = await temporaryFolder();
    const blob = await BlobWriter.create(folder, 'x');
    await blob.add('a', 'float32', [3], Float32Array.of(1, 2, 3));
    await blob.begin('b', 'uint8', [70]);
    await blob.append(new Uint8Array(40).fill(1));
    await blob.append(new Uint8Array(30).fill(2));
    await blob.add('c', 'uint8', [0], new Uint8Array(0));
    const written = await blob.finish();
    expect(written.tensors).toEqual([
      { name: 'a', type: 'float32', shape: [3], offset: 0, length: 12 },
      { name: 'b', type: 'uint8', shape: [70], offset: 64, length: 70 },
      { name: 'c', type: 'uint8', shape: [0], offset: 192, length: 0 },
    ]);
    expect(written.bytes).toBe(192);
    expect(await readdir(folder)).toEqual([written.sha256]);
  });

  it('takes a view of a larger buffer by its own bytes', async () => {
    const folder = await temporaryFolder();
    const blob = await BlobWriter.create(folder, 'x');
    await blob.add('a', 'uint8', [2], new Uint8Array([9, 1, 2, 9]).subarray(1, 3));
    const { sha256 } = await blob.finish();
    expect(sha256).toBe(createHash('sha256').update(Uint8Array.of(1, 2)).digest('hex'));
  });

  it('that was given up leaves nothing', async () => {
    const folder = await temporaryFolder();
    const blob = await BlobWriter.create(folder, 'x');
    await blob.add('a', 'uint8', [2], new Uint8Array(2));
    await blob.abort();
    expect(await readdir(folder)).toEqual([]);
  });
});
